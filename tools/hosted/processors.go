package hosted

import (
	"os"
	"runtime"
	"sync"
	"time"
)

// longCommand is the time after which a command may use all processors.
const longCommand = time.Millisecond

// A processors keeps the Go runtime to one processor between commands and for
// short ones. Commands run one after the other in any case, and a second
// processor only looks for work in vain while commands come and go (measured:
// 26 us for GetRandom instead of 16). The generation of an RSA key can use all.
type processors struct {
	all   int
	timer *time.Timer

	mu      sync.Mutex
	running bool
	wide    bool
}

// oneProcessor begins that. It is for a process that serves one TPM, and does
// nothing where the environment has GOMAXPROCS.
func oneProcessor() *processors {
	if os.Getenv("GOMAXPROCS") != "" {
		return nil
	}
	p := &processors{all: runtime.GOMAXPROCS(1)}
	if p.all == 1 {
		return nil
	}
	p.timer = time.AfterFunc(time.Hour, p.widen)
	p.timer.Stop()
	return p
}

// begin is called before a command.
func (p *processors) begin() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.running = true
	p.mu.Unlock()
	p.timer.Reset(longCommand)
}

// widen is called by the timer.
func (p *processors) widen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		p.wide = true
		runtime.GOMAXPROCS(p.all)
	}
}

// end is called after a command.
func (p *processors) end() {
	if p == nil {
		return
	}
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
	if p.wide {
		p.wide = false
		runtime.GOMAXPROCS(1)
	}
}
