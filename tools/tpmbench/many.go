package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"stubtpm/tools/hosted"
	"stubtpm/tools/hosted/tpmproc"
	"stubtpm/vtpm"
)

// hostArg as first argument makes this program host many devices.
const hostArg = "host-devices"

func socketOf(dir string, i int) string { return filepath.Join(dir, strconv.Itoa(i), "sock") }

// host serves n devices, each with its state and its socket in its own directory below
// dir, until standard input ends.
func host(n int, dir string) error {
	// Each client needs a descriptor, and each device one for its lock and one for
	// its listener.
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil {
		lim.Cur = lim.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim)
	}
	srv := hosted.NewServer()
	defer srv.Wait()
	defer srv.Stop()
	for i := range n {
		path := socketOf(dir, i)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		files, err := hosted.OpenStateDir(filepath.Dir(path), hosted.StateOptions{Mode: 0o600, NoSync: true})
		if err != nil {
			return err
		}
		defer files.Close()
		m := hosted.NewMachine(func(store hosted.Store, permanent, _ []byte) (hosted.TPM, error) {
			if permanent == nil {
				return vtpm.Manufacture(vtpm.Config{Store: store})
			}
			return vtpm.Load(vtpm.Config{Store: store}, permanent)
		}, files, nil)
		if err := m.PowerOn(false); err != nil {
			return err
		}
		m.Execute(0, startupClear)
		l, err := hosted.Endpoint{Unix: true, Path: path, UID: -1, GID: -1}.Open()
		if err != nil {
			return err
		}
		srv.Listen(l, 1, (&hosted.Data{Machine: m}).Serve, nil)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	return nil
}

// A hostProcess is another process of this program that hosts devices.
type hostProcess struct {
	cmd *exec.Cmd
	in  io.Closer
	dir string
}

func startHost(n int, tmp string) (*hostProcess, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(tmp, "host")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, hostArg, strconv.Itoa(n), dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	h := &hostProcess{cmd, in, dir}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return nil, fmt.Errorf("host of %d devices did not start: %w", n, h.close())
	}
	return h, nil
}

func (h *hostProcess) close() error {
	h.in.Close()
	err := h.cmd.Wait()
	os.RemoveAll(h.dir)
	return err
}

// memory returns the resident memory of a process in bytes, from /proc: all of it, and
// the part that is not mapped from the program's file.
func (h *hostProcess) memory() (all, own int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", h.cmd.Process.Pid))
	var size, resident, shared int64
	fmt.Sscan(string(b), &size, &resident, &shared)
	page := int64(os.Getpagesize())
	return resident * page, (resident - shared) * page
}

// manyTime is how long each throughput is measured.
const manyTime = time.Second

// throughput makes each client repeat its command, and returns the commands per second
// of all clients together.
func throughput(run []func() error) (float64, error) {
	var total atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	end := start.Add(manyTime)
	for _, f := range run {
		wg.Go(func() {
			n := int64(0)
			for time.Now().Before(end) {
				if err := f(); err != nil {
					failed.Store(&err)
					break
				}
				n++
			}
			total.Add(n)
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(total.Load()) / time.Since(start).Seconds(), nil
}

// repeated prepares a command on each connection: GetRandom, or Sign with a key.
func repeated(c *tpmproc.Conn, signs bool) (func() error, error) {
	if !signs {
		return func() error { _, err := c.Send(getRandom32); return err }, nil
	}
	k := &keyring{c: c}
	t := eccSigner()
	key, err := k.key(t)
	if err != nil {
		return nil, err
	}
	cmd := &recorder{Conn: c}
	if _, err := signCommand(key, t).Execute(cmd); err != nil {
		return nil, err
	}
	return func() error {
		rsp, err := c.Send(cmd.last)
		if err == nil && (len(rsp) < 10 || rsp[6]|rsp[7]|rsp[8]|rsp[9] != 0) {
			err = fmt.Errorf("response %x", rsp[:min(len(rsp), 10)])
		}
		return err
	}, nil
}

// A recorder keeps the last command, so that it can be repeated unchanged.
type recorder struct {
	*tpmproc.Conn
	last []byte
}

func (r *recorder) Send(cmd []byte) ([]byte, error) {
	r.last = append([]byte(nil), cmd...)
	return r.Conn.Send(cmd)
}

// many prints the throughput of 1, 8 and 64 devices in one process, and the
// memory of a thousand idle ones.
func many(w io.Writer, tmp string) error {
	fmt.Fprintf(w, "\n%-34s %12s %12s %12s %12s\n", "commands a second", "GetRandom", "Sign ECDSA", "GetRandom", "Sign ECDSA")
	fmt.Fprintf(w, "%-34s %12s %12s %12s %12s\n", fmt.Sprintf("devices (%d processors)", runtime.NumCPU()), "in process", "in process", "by sockets", "by sockets")
	for _, n := range []int{1, 8, 64} {
		var rates []float64
		for _, sockets := range []bool{false, true} {
			for _, signs := range []bool{false, true} {
				r, err := rate(n, sockets, signs, tmp)
				if err != nil {
					return err
				}
				rates = append(rates, r)
			}
		}
		fmt.Fprintf(w, "%-34d %12.0f %12.0f %12.0f %12.0f\n", n, rates[0], rates[1], rates[2], rates[3])
	}
	const idle = 1000
	h, err := startHost(idle, tmp)
	if err != nil {
		return err
	}
	defer h.close()
	before, ownBefore := h.memory()
	var conns []*tpmproc.Conn
	for i := range idle {
		c, err := tpmproc.Dial(socketOf(h.dir, i))
		if err != nil {
			return err
		}
		conns = append(conns, c)
		if _, err := c.Send(getRandom32); err != nil {
			return err
		}
	}
	after, ownAfter := h.memory()
	for _, c := range conns {
		c.Close()
	}
	fmt.Fprintf(w, "\n%d idle devices in one process, resident: %.1f MB, %.1f kB a device; each with a client: %.1f MB, %.1f kB\n",
		idle, float64(before)/1e6, float64(ownBefore)/1e3/idle, float64(after)/1e6, float64(ownAfter)/1e3/idle)
	return nil
}

func rate(n int, sockets, signs bool, tmp string) (float64, error) {
	var conns []*tpmproc.Conn
	if sockets {
		h, err := startHost(n, tmp)
		if err != nil {
			return 0, err
		}
		defer h.close()
		for i := range n {
			c, err := tpmproc.Dial(socketOf(h.dir, i))
			if err != nil {
				return 0, err
			}
			defer c.Close()
			conns = append(conns, c)
		}
	} else {
		for range n {
			s, err := inProcess()
			if err != nil {
				return 0, err
			}
			conns = append(conns, s.conn)
		}
	}
	var run []func() error
	for _, c := range conns {
		f, err := repeated(c, signs)
		if err != nil {
			return 0, err
		}
		run = append(run, f)
	}
	return throughput(run)
}
