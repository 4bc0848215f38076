package movehost

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/tools/xenmove"
)

// Names of the programs that this package has itself started by: the first words of RunXL and
// Relay.
const (
	ProgramXL    = "migrate-xl"
	ProgramRelay = "migrate-relay"
)

// Descriptors that the programs find open.
const (
	lockFD = 3 // of RunXL: the lock
	linkFD = 4 // of RunXL for xl migrate, and of Relay: the socket of the program that moves the guest
)

// outputLimit is how long the output of a program that has ended is read: xl leaves a process
// behind that may have it.
const outputLimit = 2 * time.Second

// Programs start the programs of a move. Self is the program that has Relay and RunXL.
type Programs struct {
	Self string
	Dir  Dir
}

// A process is RunXL, with a connection to what it started.
type process struct {
	io.ReadWriteCloser
	cmd  *exec.Cmd
	once sync.Once
	err  error
}

func (p *process) Wait() error {
	p.once.Do(func() { p.err = p.cmd.Wait() })
	return p.err
}

func (p *process) Kill() {
	p.cmd.Process.Kill() // and xl with it
	p.Close()
	p.Wait()
}

// Migrate starts xl migrate of a domain. record has what xenmove remembers of the move.
func (p *Programs) Migrate(id xen.DomID, record string, l xenmove.Lock) (xenmove.Process, error) {
	path, err := p.Dir.file(record)
	if err != nil {
		return nil, err
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "link"), os.NewFile(uintptr(pair[1]), "link")
	defer theirs.Close()
	c, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, err
	}
	relay := fmt.Sprintf("exec %s %s %s", Quote(p.Self), ProgramRelay, Quote(path))
	cmd := exec.Command(p.Self, ProgramXL, "migrate", "-s", "", strconv.Itoa(int(id)), relay)
	cmd.ExtraFiles = []*os.File{l.(*lock).xl, theirs}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		c.Close()
		return nil, err
	}
	return &process{ReadWriteCloser: c, cmd: cmd}, nil
}

// Receive starts xl migrate-receive.
func (p *Programs) Receive(l xenmove.Lock) (xenmove.Process, error) {
	cmd := exec.Command(p.Self, ProgramXL, "migrate-receive")
	cmd.ExtraFiles = []*os.File{l.(*lock).xl}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = apart()
	pipes, err := start(cmd)
	if err != nil {
		return nil, err
	}
	return &process{ReadWriteCloser: pipes, cmd: cmd}, nil
}

// apart keeps the signals of a terminal from xl: whether it ends is not for the terminal to say.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// Quote quotes a word for a shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// pipes are input and output of a program. Close ends its input; the output can be read on.
type pipes struct {
	io.Reader
	io.WriteCloser
}

// start starts a program with pipes.
func start(cmd *exec.Cmd) (*pipes, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	return &pipes{r, in}, nil
}

// A link is a program that is connected to the other host, such as ssh.
type link struct {
	*pipes
	cmd *exec.Cmd
}

// linkRest is how long the program of a link may take to end.
const linkRest = 2 * time.Second

// Dial starts a command of the shell whose input and output are the other host's.
func Dial(command string) (io.ReadWriteCloser, error) {
	cmd := exec.Command("/bin/sh", "-c", "exec "+command)
	cmd.Stderr = os.Stderr
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	return &link{p, cmd}, nil
}

// Close ends the link. What the other side still says is lost.
func (l *link) Close() error {
	err := l.pipes.WriteCloser.Close()
	go func() {
		end := time.AfterFunc(linkRest, func() { l.cmd.Process.Kill() })
		defer end.Stop()
		io.Copy(io.Discard, l.Reader)
		l.cmd.Wait()
		l.Reader.(*os.File).Close()
	}()
	return err
}

// RunXL runs xl with arguments. It holds the lock of the guest. xl migrate-receive does not: it
// leaves a process behind for as long as the guest's domain exists. If this program is killed xl
// is, too.
func RunXL(args []string) error {
	held := os.NewFile(lockFD, "lock")
	if err := held.Truncate(0); err != nil {
		return err
	}
	if _, err := held.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return err
	}
	syscall.CloseOnExec(lockFD)
	cmd := exec.Command("xl", args...)
	cmd.Stdin, cmd.Stderr, cmd.WaitDelay = os.Stdin, os.Stderr, outputLimit
	cmd.Stdout = struct{ io.Writer }{os.Stdout} // a pipe, so that outputLimit counts
	if args[0] == "migrate" {
		syscall.CloseOnExec(linkFD)
		// The same numbers as here. The relay ends with xl, and so do its helpers, which
		// must have ended when somebody else has the lock.
		cmd.ExtraFiles = []*os.File{held, os.NewFile(linkFD, "link")}
		cmd.Stdout = os.Stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the signal is sent at the end of the thread
	if err := cmd.Start(); err != nil {
		return err
	}
	if len(cmd.ExtraFiles) == 2 {
		cmd.ExtraFiles[1].Close() // so the end of xl is seen
	}
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return err
}

// Relay joins xl migrate, whose link it is, to the program that moves the guest. After the end of that program xl notices the end of its link if the record in a file says that
// the guest may go on here; else it waits until it is killed.
func Relay(file string) error {
	c := os.NewFile(linkFD, "link")
	go func() {
		io.Copy(os.Stdout, c)
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || err == nil && !xenmove.Holds(b) {
			os.Exit(0)
		}
	}()
	io.Copy(c, os.Stdin)
	io.Copy(io.Discard, os.Stdin) // the program is gone
	return nil
}
