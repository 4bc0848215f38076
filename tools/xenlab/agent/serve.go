package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"stubtpm/tools/xenlab/wire"
)

// A server runs the commands of one connection.
type server struct {
	out *wire.Sender

	mu    sync.Mutex
	jobs  map[uint32]*job
	begun map[uint32]bool // all that were ever asked for
}

// A job is a running command or an open terminal.
type job struct {
	stdin chan []byte // an empty one ends the input
	done  chan struct{}
	kill  func()
}

func serve(r io.Reader, w io.Writer) error {
	s := &server{out: wire.NewSender(wire.NewWriter(w)), jobs: make(map[uint32]*job), begun: make(map[uint32]bool)}
	if err := s.out.Hello(); err != nil {
		return err
	}
	err := wire.Read(r, s.handle, nil)
	if err == nil {
		err = errors.New("the console was closed")
	}
	return err
}

func (s *server) handle(q wire.Request) {
	switch q.Op {
	case "hello":
		s.out.Hello()
	case "seen":
		s.out.Seen(q.N, q.Lost)
	case "exec", "open":
		j := &job{stdin: make(chan []byte, 64), done: make(chan struct{})}
		s.mu.Lock()
		begun := s.begun[q.ID]
		if !begun {
			s.begun[q.ID], s.jobs[q.ID] = true, j
		}
		s.mu.Unlock()
		if begun {
			return
		}
		go s.out.Send(wire.Event{ID: q.ID, Op: "begin"}) // it may have to wait for a request
		start := s.exec
		if q.Op == "open" {
			start = s.open
		}
		if err := start(q, j); err != nil {
			go s.finish(q.ID, -1, err.Error()) // the same
		}
	case "stdin", "kill":
		s.mu.Lock()
		j := s.jobs[q.ID]
		s.mu.Unlock()
		switch {
		case j == nil: // it ended while the message was on its way
		case q.Op == "kill":
			j.kill()
		default:
			select {
			case j.stdin <- q.Data:
			case <-j.done:
			}
		}
	default:
		go s.finish(q.ID, -1, fmt.Sprintf("unknown operation %q", q.Op))
	}
}

// exec starts a command in a session of its own, so that kill also reaches its
// children.
func (s *server) exec(q wire.Request, j *job) error {
	if len(q.Argv) == 0 {
		return errors.New("no command given")
	}
	cmd := exec.Command(q.Argv[0], q.Argv[1:]...)
	cmd.Dir = "/root"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	j.kill = func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var in io.WriteCloser
	var out io.Reader
	var ours []*os.File // ends that belong to the child
	if q.TTY {
		master, slave, err := openPty()
		if err != nil {
			return err
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr.Setctty = true
		in, out, ours = master, master, []*os.File{slave}
	} else {
		r1, w1, err := os.Pipe()
		if err != nil {
			return err
		}
		r2, w2, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = r1, w2, w2
		in, out, ours = w1, r2, []*os.File{r1, w2}
	}
	err := cmd.Start()
	for _, f := range ours {
		f.Close()
	}
	if err != nil {
		return err
	}
	go feed(in, j)
	done, sent := make(chan struct{}), make(chan struct{}, 1)
	go func() { s.pump(q.ID, out, sent); close(done) }()
	go func() {
		err := cmd.Wait()
		for silent := false; !silent; {
			select {
			case <-done:
				silent = true
			case <-sent:
			case <-time.After(outputLimit):
				silent = true
			}
		}
		var exit *exec.ExitError
		switch {
		case err == nil:
			s.finish(q.ID, 0, "")
		case errors.As(err, &exit):
			s.finish(q.ID, exit.ExitCode(), exit.String())
		default:
			s.finish(q.ID, -1, err.Error())
		}
		in.Close()
	}()
	return nil
}

// outputLimit is how long to wait for more output after the end of a command. A process
// that it left in the background may keep the output open.
const outputLimit = 2 * time.Second

// open connects a job to a terminal device, such as the console of a domain.
func (s *server) open(q wire.Request, j *job) error {
	if len(q.Argv) != 1 {
		return errors.New("open needs one device")
	}
	f, err := openRaw(q.Argv[0])
	if err != nil {
		return err
	}
	j.kill = func() { f.Close() }
	go feed(f, j)
	go func() {
		s.pump(q.ID, f, nil)
		s.finish(q.ID, 0, "")
		f.Close()
	}()
	return nil
}

// feed writes a job's input until the job ends.
func feed(w io.WriteCloser, j *job) {
	dead := false
	for {
		select {
		case <-j.done:
			return
		case b := <-j.stdin:
			if len(b) == 0 {
				w.Close()
				dead = true
			} else if !dead {
				_, err := w.Write(b)
				dead = err != nil
			}
		}
	}
}

// pump sends what it reads from r, and signals sent after each piece, unless that is
// nil.
func (s *server) pump(id uint32, r io.Reader, sent chan<- struct{}) {
	buf := make([]byte, wire.MaxData)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			s.out.Send(wire.Event{ID: id, Op: "out", Data: buf[:n]})
			select {
			case sent <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *server) finish(id uint32, code int, text string) {
	s.mu.Lock()
	j := s.jobs[id]
	delete(s.jobs, id)
	s.mu.Unlock()
	if j != nil {
		close(j.done)
	}
	s.out.Send(wire.Event{ID: id, Op: "exit", Code: code, Text: text})
}
