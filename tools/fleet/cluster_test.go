package fleet

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// members is how many there are in a cluster.
const members = 3

// A cluster is three processes of Debian's etcd, on the loopback, behind proxies.
type cluster struct {
	network
	program   string
	dir       string
	args      [members][]string
	processes [members]*exec.Cmd
	clientAt  [members]string // proxies for clients
}

// etcd returns the program, which tools/deps unpacks, or skips the test.
func etcd(t *testing.T) string {
	t.Helper()
	if name, err := filepath.Abs("../../build/sysroot/usr/bin/etcd"); err == nil {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	name, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("no etcd: go run ./tools/deps -for fleet, at the root of the project")
	}
	return name
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newCluster starts a cluster, which ends with the test.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{network: network{cut: nobody, ids: map[string]int{}}, program: etcd(t), dir: t.TempDir()}
	var peerAt [members]string
	var initial []string
	for i := range members {
		name := fmt.Sprintf("m%d", i)
		peer, clients := freePort(t), freePort(t)
		peerAt[i] = c.listen(t, i, true, peer)
		c.clientAt[i] = c.listen(t, i, false, clients)
		initial = append(initial, name+"=http://"+peerAt[i])
		c.args[i] = []string{"--name", name, "--data-dir", filepath.Join(c.dir, name),
			"--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peerAt[i],
			"--listen-client-urls", "http://" + clients, "--advertise-client-urls", "http://" + c.clientAt[i],
			"--heartbeat-interval", "50", "--election-timeout", "500",
			"--logger", "zap", "--log-level", "error", "--log-outputs", filepath.Join(c.dir, name+".log")}
	}
	for i := range members {
		c.args[i] = append(c.args[i], "--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", filepath.Base(c.dir))
		c.start(t, i)
	}
	t.Cleanup(func() {
		for i := range members {
			c.kill(i)
		}
	})
	k := c.client(t)
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		list, err := k.MemberList(ctx)
		if err == nil {
			_, err = k.Get(ctx, "x")
		}
		cancel()
		if err == nil && len(list.Members) == members {
			for _, m := range list.Members {
				var i int
				if _, err := fmt.Sscanf(m.Name, "m%d", &i); err != nil {
					break // it has not started yet
				}
				c.ids[fmt.Sprintf("%x", m.ID)] = i
			}
			if len(c.ids) == members {
				return c
			}
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("the cluster does not start: %v", err)
		}
	}
}

func (c *cluster) start(t *testing.T, i int) {
	t.Helper()
	p := exec.Command(c.program, c.args[i]...)
	p.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	c.processes[i] = p
}

func (c *cluster) kill(i int) {
	if p := c.processes[i]; p != nil {
		p.Process.Kill()
		p.Wait()
		c.processes[i] = nil
	}
}

// client returns a client of some members, or of all.
func (c *cluster) client(t *testing.T, at ...int) *clientv3.Client {
	t.Helper()
	list := c.clientAt[:]
	if len(at) > 0 {
		list = nil
		for _, i := range at {
			list = append(list, c.clientAt[i])
		}
	}
	k, err := clientv3.New(clientv3.Config{Endpoints: list, DialTimeout: time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}
