package movehost

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stubtpm/tools/xenmove"
)

// TestMain is also the programs that this package starts, and a manager that is played.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		var err error
		switch os.Args[1] {
		case ProgramXL:
			err = RunXL(os.Args[2:])
		case ProgramRelay:
			err = Relay(os.Args[2])
		case playedManager:
			os.Exit(play(os.Args[2], os.Args[3:]))
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// playXL puts a script in xl's place. Its end leaves a file, end, beside the records.
func playXL(t *testing.T, script string) (*Programs, Dir) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), Dir(t.TempDir())
	script = "#!/bin/sh\ncd " + string(dir) + "\n" + script + "\necho $? > end\n"
	if err := os.WriteFile(filepath.Join(bin, "xl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return &Programs{Self: self, Dir: dir}, dir
}

// sender is xl migrate: it sends, and says what it was answered or that its link ended.
const sender = `mkfifo in out
sh -c "$5" <out >in &
exec 5>out 6<in
echo memory >&5
while read -r line <&6; do echo "got $line" >&5; done`

const guest = "mail"

func lockOf(t *testing.T, d Dir) xenmove.Lock {
	t.Helper()
	l, err := d.Lock(guest)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ended reports whether xl has ended by itself within a time.
func ended(d Dir, wait time.Duration) bool {
	for until := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		if _, ok, _ := d.Load("end"); ok {
			return true
		}
		if time.Now().After(until) {
			return false
		}
	}
}

// TestMigrateProgram has xl migrate linked with this program, which then ends: xl notices it
// only while the guest may go on here. The lock is free once xl has ended.
func TestMigrateProgram(t *testing.T) {
	record := xenmove.DepartureRecord(guest)
	for phase, notices := range map[string]bool{"copying": true, "sending": false, "going": false} {
		t.Run(phase, func(t *testing.T) {
			p, d := playXL(t, sender)
			if err := d.Save(record, []byte(`{"Phase":"`+phase+`"}`)); err != nil {
				t.Fatal(err)
			}
			l := lockOf(t, d)
			x, err := p.Migrate(7, record, l)
			if err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(x)
			if s, err := r.ReadString('\n'); s != "memory\n" {
				t.Fatalf("%q, %v", s, err)
			}
			io.WriteString(x, "ready\n")
			if s, err := r.ReadString('\n'); s != "got ready\n" {
				t.Fatalf("%q, %v", s, err)
			}
			if _, err := d.Lock(guest); !errors.Is(err, xenmove.ErrBusy) {
				t.Errorf("a second lock: %v", err)
			}
			x.Close()
			if notices {
				x.Wait()
				if !ended(d, 0) {
					t.Error("xl was killed")
				}
				l.Close()
				lockOf(t, d).Close()
				return
			}
			if ended(d, 500*time.Millisecond) {
				t.Fatal("xl has noticed the end of its link")
			}
			l.Close()
			go x.Wait()
			if _, err := d.Lock(guest); !errors.Is(err, xenmove.ErrBusy) {
				t.Errorf("a lock while xl waits: %v", err)
			}
			took, err := d.Take(guest)
			if err != nil {
				t.Fatal(err)
			}
			defer took.Close()
			if ended(d, 100*time.Millisecond) {
				t.Error("xl ended by itself, and would have had the guest run")
			}
			if _, err := d.Take(guest); !errors.Is(err, xenmove.ErrBusy) {
				t.Errorf("taken from a program that is there: %v", err)
			}
		})
	}
}

// TestReceiveProgram has xl migrate-receive read to the end of its input. What it leaves behind
// has neither its output nor the lock.
func TestReceiveProgram(t *testing.T) {
	p, d := playXL(t, "sleep 60 & echo $! > left; cat")
	l := lockOf(t, d)
	x, err := p.Receive(l)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(x, "memory")
	x.Close()
	begin := time.Now()
	b, err := io.ReadAll(x)
	if err != nil || string(b) != "memory" || time.Since(begin) > 30*time.Second {
		t.Errorf("%q, %v after %v", b, err, time.Since(begin))
	}
	if err := x.Wait(); err != nil {
		t.Error(err)
	}
	l.Close()
	lockOf(t, d).Close()
	pid, _, _ := d.Load("left")
	if p, err := os.FindProcess(atoi(string(pid))); err == nil {
		p.Kill()
	}
}

func atoi(s string) (n int) { fmt.Sscan(s, &n); return n }

// TestDial has a program as the link, which is ended with it.
func TestDial(t *testing.T) {
	t.Parallel()
	c, err := Dial("cat")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "hello\n")
	if s, err := bufio.NewReader(c).ReadString('\n'); s != "hello\n" {
		t.Errorf("%q, %v", s, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestRecords keeps records, and refuses names that would be files elsewhere.
func TestRecords(t *testing.T) {
	t.Parallel()
	d := Dir(filepath.Join(t.TempDir(), "moves"))
	if _, ok, err := d.Load("a"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if err := d.Save("a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	if b, ok, err := d.Load("a"); string(b) != "b" || !ok || err != nil {
		t.Errorf("%q, %v, %v", b, ok, err)
	}
	for range 2 {
		if err := d.Remove("a"); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "../x", "a/b", ".", "a\x00"} {
		if err := d.Save(name, nil); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if _, err := d.Visit(t.Context(), "k"); err == nil {
		t.Error("visited nobody")
	}
	got := make(chan string)
	go func() {
		c, err := d.Listen(t.Context(), "k")
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(c)
		got <- string(b)
	}()
	for {
		if c, err := d.Visit(t.Context(), "k"); err == nil {
			io.WriteString(c, "hello")
			c.Close()
			break
		}
		time.Sleep(time.Millisecond)
	}
	if s := <-got; s != "hello" {
		t.Error(s)
	}
}
