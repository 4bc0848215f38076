package lab

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Domain is a running domain, as in the output of `xl list`.
type Domain struct {
	Name   string
	ID     int
	Memory int // MiB
	Type   string
	IOMem  string // hexadecimal page numbers of its memory-mapped registers, separated by commas
}

// Domains lists the running domains with their types.
func (m *Machine) Domains(ctx context.Context) ([]Domain, error) {
	out, err := m.Dom0.Run(ctx, "xl list -l")
	if err != nil {
		return nil, err
	}
	return parseDomains(out)
}

// parseDomains parses the output of xl list -l.
func parseDomains(out string) ([]Domain, error) {
	var list []struct {
		Domid  int `json:"domid"`
		Config struct {
			CInfo struct {
				Type string `json:"type"`
				Name string `json:"name"`
			} `json:"c_info"`
			BInfo struct {
				MaxMem int `json:"max_memkb"`
				IOMem  []struct {
					Start  uint64 `json:"start"`
					Number uint64 `json:"number"`
				} `json:"iomem"`
			} `json:"b_info"`
		} `json:"config"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("lab: xl list -l: %w\n%s", err, out)
	}
	var ds []Domain
	for _, d := range list {
		var pages []string
		for _, i := range d.Config.BInfo.IOMem {
			for n := range i.Number {
				pages = append(pages, fmt.Sprintf("%x", i.Start+n))
			}
		}
		ds = append(ds, Domain{d.Config.CInfo.Name, d.Domid, d.Config.BInfo.MaxMem >> 10, d.Config.CInfo.Type, strings.Join(pages, ",")})
	}
	return ds, nil
}

// Disk creates a disk image of a size in MiB in dom0 and returns its block device. The
// image starts with the contents of the file source of dom0, if that is not empty; the
// rest is zeros.
func (m *Machine) Disk(ctx context.Context, name string, sizeMiB int, source string) (string, error) {
	m.mu.Lock()
	dev := fmt.Sprintf("/dev/loop%d", m.loop)
	m.loop++
	m.mu.Unlock()
	script := fmt.Sprintf("set -e\ndev=%[3]s\nmkdir -p /images\n[ -n '%[4]s' ] && cp '%[4]s' /images/%[1]s.img || :\ntruncate -s %[2]dM /images/%[1]s.img\n[ -e %[3]s ] || mknod %[3]s b 7 ${dev#/dev/loop}\nlosetup %[3]s /images/%[1]s.img", name, sizeMiB, dev, source)
	if _, err := m.Dom0.Run(ctx, script); err != nil {
		return "", err
	}
	return dev, nil
}

// Mapped creates a device-mapper device over a block device of dom0 and returns its
// path. Stall can hold the requests of such a device.
func (m *Machine) Mapped(ctx context.Context, name, device string) (string, error) {
	out, err := m.Dom0.Run(ctx, fmt.Sprintf(`set -e
sectors=$(cat /sys/block/%[2]s/size)
dmsetup create --noudevsync --noudevrules %[1]s --table "0 $sectors linear %[3]s 0" >&2
dmsetup info -c --noheadings -o minor %[1]s`, name, filepath.Base(device), device))
	if err != nil {
		return "", err
	}
	return "/dev/dm-" + strings.TrimSpace(out), nil
}

// Stall makes a device created by Mapped hold all requests until Resume. They are then
// carried out: none is lost or fails.
func (m *Machine) Stall(ctx context.Context, name string) error {
	_, err := m.Dom0.Run(ctx, "dmsetup suspend --noflush --nolockfs --noudevsync "+name)
	return err
}

// Resume ends a Stall.
func (m *Machine) Resume(ctx context.Context, name string) error {
	_, err := m.Dom0.Run(ctx, "dmsetup resume --noudevsync --noudevrules "+name)
	return err
}

// Take returns the contents of a file or a block device of dom0.
func (m *Machine) Take(ctx context.Context, name string) ([]byte, error) {
	out, err := m.Dom0.Run(ctx, "sync; gzip -c < "+name+" | base64")
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(out)))
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", name, err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", name, err)
	}
	return b, nil
}

// Create creates a domain from the text of an xl configuration, which must contain its
// name. dom0 logs its console from the first byte on.
func (m *Machine) Create(ctx context.Context, name, config string) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	file := "/etc/xen/" + name + ".cfg"
	if _, err := m.Dom0.RunInput(ctx, "cat > "+file, []byte(config)); err != nil {
		return err
	}
	if _, err := m.Dom0.Run(ctx, "xl create -q "+file); err != nil {
		return fmt.Errorf("%w\n%s", err, m.crash(ctx, name))
	}
	return nil
}

// crash returns logs that may contain why a domain did not start.
func (m *Machine) crash(ctx context.Context, name string) string {
	out, _ := m.Dom0.Run(ctx, "xl dmesg | tail -n 40; echo; cat /var/log/xen/console/guest-"+name+".log 2>/dev/null | tail -n 20")
	return out
}

// Destroy ends a domain at once and waits until it is gone.
func (m *Machine) Destroy(ctx context.Context, name string) error {
	_, err := m.Dom0.Run(ctx, "xl destroy "+name)
	m.mu.Lock()
	if g := m.guests[name]; g != nil {
		g.console.Kill()
		delete(m.guests, name)
	}
	m.mu.Unlock()
	return err
}

// Gone waits until no domain of that name exists.
func (m *Machine) Gone(ctx context.Context, name string) error {
	_, err := m.Dom0.Run(ctx, "while xl domid "+name+" >/dev/null 2>&1; do usleep 200000; done")
	return err
}

// A Console collects what a domain writes to its console.
type Console struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{}
	proc *Proc
}

// Follow reads the console log of a domain from its start and passes each piece to
// output, unless that is nil. It may be called before or after the domain is created.
func (m *Machine) Follow(name string, output func(string)) (*Console, error) {
	c := &Console{news: make(chan struct{}, 1)}
	log, err := os.Create(m.path(name + ".console.log"))
	if err != nil {
		return nil, err
	}
	file := "/var/log/xen/console/guest-" + name + ".log"
	c.proc, err = m.Dom0.Start(false, func(b []byte) {
		log.Write(b)
		if output != nil {
			output(string(b))
		}
		c.mu.Lock()
		c.text.Write(b)
		c.mu.Unlock()
		select {
		case c.news <- struct{}{}:
		default:
		}
	}, "/bin/sh", "-c", "touch "+file+"; exec tail -n +1 -f "+file)
	return c, err
}

// Text returns what the domain has written so far.
func (c *Console) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// AwaitAny waits until one of the texts is on the console, at offset from or after it,
// and returns the first one.
func (c *Console) AwaitAny(ctx context.Context, from int, texts ...string) (string, error) {
	for {
		s := c.Text()
		first, at := "", -1
		for _, t := range texts {
			if i := strings.Index(s[min(from, len(s)):], t); i >= 0 && (at < 0 || i < at) {
				first, at = t, i
			}
		}
		if at >= 0 {
			return first, nil
		}
		select {
		case <-c.news:
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return "", fmt.Errorf("lab: no %q on the console: %w; its last lines:\n%s", texts, ctx.Err(), s[max(0, len(s)-1500):])
		}
	}
}

// Stop stops reading the console log.
func (c *Console) Stop() { c.proc.Kill() }

// A Guest is a running Linux guest with an agent on its console.
type Guest struct {
	*Client
	console *Proc
}

// ConnectGuest opens the console of a Linux guest of the lab and waits until its agent
// responds.
func (m *Machine) ConnectGuest(ctx context.Context, name string, wait time.Duration) (*Guest, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	// A new domain has no terminal yet.
	out, err := m.Dom0.Run(ctx, "until xenstore-read /local/domain/$(xl domid "+name+")/console/tty 2>/dev/null; do usleep 100000; done")
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(m.path(name+".kernel.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	// Two readers of the same terminal would each get only a part of the output.
	m.mu.Lock()
	last := m.guests[name]
	m.mu.Unlock()
	if last != nil {
		last.console.Kill()
		if _, _, err := last.console.Wait(ctx); err != nil {
			return nil, err
		}
	}
	pipe := newPipe()
	p, err := m.Dom0.Open(strings.TrimSpace(out), pipe.put)
	if err != nil {
		return nil, err
	}
	c := NewClient(name, struct {
		*pipeBuf
		*Proc
	}{pipe, p}, func(s string) { fmt.Fprintln(log, s) })
	g := &Guest{Client: c, console: p}
	m.mu.Lock()
	m.guests[name] = g
	m.mu.Unlock()
	if err := c.Ready(ctx); err != nil {
		return nil, fmt.Errorf("%w\nlast lines of its console:\n%s", err, m.Tail(name+".kernel.log", 15))
	}
	return g, nil
}

// GuestConfig returns the xl configuration of a Linux PVH guest of the lab, with a
// memory in MiB and extra lines, such as for a vtpm or a disk.
func GuestConfig(name string, memory int, extra ...string) string {
	return GuestConfigLine(name, memory, "", extra...)
}

// GuestWords is the command line of the kernel of a Linux guest without more parameters.
const GuestWords = "console=hvc0 quiet loglevel=4 random.trust_cpu=on"

// GuestConfigLine is like GuestConfig, with more parameters for the kernel's command
// line.
func GuestConfigLine(name string, memory int, commandLine string, extra ...string) string {
	lines := append([]string{
		"name = " + strconv.Quote(name),
		`type = "pvh"`,
		"memory = " + strconv.Itoa(memory),
		"vcpus = 1",
		`kernel = "` + GuestKernel + `"`,
		`ramdisk = "` + GuestInitrd + `"`,
		`extra = "` + strings.TrimSpace(GuestWords+" "+commandLine) + `"`,
		// QEMU's processor has no invariant time stamp counter, so Xen would
		// emulate it, and a kernel reads it thousands of times a second.
		`tsc_mode = "native"`,
		`on_poweroff = "destroy"`, `on_reboot = "destroy"`, `on_crash = "destroy"`,
	}, extra...)
	return strings.Join(lines, "\n") + "\n"
}
