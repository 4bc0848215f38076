package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// loaderImage is the loader's path in dom0.
const loaderImage = "/images/loader.elf"

// A LoaderDisk is a disk that the loader boots from.
type LoaderDisk struct {
	Name, Image string // of the domain, and the disk's file in dom0
	Words       string // for the loader
	Line        string // the kernel's command line, as it must be
	Says        string // what the loader's console must have
	Ramdisk     string // a unified kernel image in dom0 that takes the disk's place
	Refused     bool   // the loader must not start anything
	Install     string // script in the guest that installs another kernel
	Installed   string // that kernel's command line
}

// loaderMiB is the memory of a guest that the loader boots.
const loaderMiB = 288

// Loader boots Linux guests from their own disks. It claims that each finds its command
// line and its disk, that its kernel knows that it is a PVH guest and that it reboots the
// same way.
func Loader(ctx context.Context, r Report, m *lab.Machine, disks []LoaderDisk) error {
	for i, d := range disks {
		r.Step("%s: a guest that boots from its own disk", d.Name)
		if err := loaderGuest(ctx, r, m, d, fmt.Sprintf("/dev/loop%d", i)); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return nil
}

func loaderGuest(ctx context.Context, r Report, m *lab.Machine, d LoaderDisk, loop string) error {
	if _, err := m.Dom0.Run(ctx, fmt.Sprintf("[ -e %[1]s ] || mknod %[1]s b 7 %[2]s; losetup %[1]s %[3]s", loop, strings.TrimPrefix(loop, "/dev/loop"), d.Image)); err != nil {
		return err
	}
	var more []string
	if d.Ramdisk != "" {
		more = append(more, fmt.Sprintf("ramdisk = %q", d.Ramdisk))
	}
	config := loaderConfig(d.Name, d.Words, loop, more...)
	c, err := m.Follow(d.Name, nil)
	if err != nil {
		return err
	}
	defer c.Stop()
	begin := time.Now()
	if err := m.Create(ctx, d.Name, config); err != nil {
		return err
	}
	if d.Refused {
		return loaderRefused(ctx, r, m, d, c)
	}
	g, err := m.ConnectGuest(ctx, d.Name, 180*time.Second)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, c.Text())
	}
	r.Step("%s: its agent responds after %.1f s", d.Name, time.Since(begin).Seconds())
	r.Show(d.Name, "console", grep(c.Text(), 8, "loader:"))
	check(r, d.Name+": the loader says what it starts", strings.Contains(c.Text(), d.Says), "%s", c.Text())
	const script = `cat /proc/cmdline; dmesg | grep -o 'Booting.*Xen PVH'; dd if=/dev/xvda bs=4096 skip=1 count=16 2>/dev/null | wc -c; grep -c xen-pirq /proc/interrupts; dmesg | grep -i 'xenbus\|xen:events\|grant' | grep -i 'fail\|error\|unexpected\|timeout'`
	out, _ := g.Run(ctx, script) // the last grep finds nothing
	r.Show(d.Name, "cat /proc/cmdline; dmesg | grep ...", out)
	want := d.Line + "\nBooting paravirtualized kernel on Xen PVH\n65536\n"
	check(r, d.Name+": the kernel has its command line, knows that this is PVH and reads its disk", strings.HasPrefix(out, want), "%s", out)
	check(r, d.Name+": the kernel complains about nothing that the loader left", !strings.Contains(out, "rror") && !strings.Contains(out, "ailed"), "%s", out)
	if d.Install != "" {
		if out, err := g.Run(ctx, d.Install); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		d.Line = d.Installed
	}
	return loaderReboot(ctx, r, m, d, g)
}

// loaderConfig returns the configuration of a guest that the loader boots, and more lines.
func loaderConfig(name, words, disk string, more ...string) string {
	return strings.Join(append([]string{
		fmt.Sprintf("name = %q", name), `type = "pvh"`, fmt.Sprintf("memory = %d", loaderMiB), "vcpus = 1",
		`kernel = "` + loaderImage + `"`, fmt.Sprintf("extra = %q", words), fmt.Sprintf(`disk = ["%s,raw,xvda,rw"]`, disk),
		`tsc_mode = "native"`, `on_poweroff = "destroy"`, `on_reboot = "restart"`, `on_crash = "destroy"`,
	}, more...), "\n") + "\n"
}

// loaderRefused waits until the loader has refused to start something.
func loaderRefused(ctx context.Context, r Report, m *lab.Machine, d LoaderDisk, c *lab.Console) error {
	wait, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	_, err := c.AwaitAny(wait, 0, d.Says, "loader: starting")
	check(r, d.Name+": the loader refuses to start it, and says why", err == nil && strings.Contains(c.Text(), d.Says) && !strings.Contains(c.Text(), "loader: starting"), "%v\n%s", err, c.Text())
	r.Show(d.Name, "console", grep(c.Text(), 4, "loader:"))
	return m.Gone(wait, d.Name)
}

// loaderReboot reboots a guest from within.
func loaderReboot(ctx context.Context, r Report, m *lab.Machine, d LoaderDisk, g *lab.Guest) error {
	before, err := m.Dom0.Run(ctx, "xl domid "+d.Name)
	if err != nil {
		return err
	}
	reboot, cancel := context.WithTimeout(ctx, 20*time.Second)
	g.Run(reboot, "echo b > /proc/sysrq-trigger") // does not return
	cancel()
	again := fmt.Sprintf("until d=$(xl domid %s 2>/dev/null) && [ \"$d\" != %s ]; do usleep 300000; done; echo $d", d.Name, strings.TrimSpace(before))
	wait, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if _, err := m.Dom0.Run(wait, again); err != nil {
		return fmt.Errorf("it does not come back: %w", err)
	}
	g, err = m.ConnectGuest(ctx, d.Name, 180*time.Second)
	check(r, d.Name+": it reboots from its disk", err == nil, "%v", err)
	if err != nil {
		return err
	}
	line, err := g.Run(ctx, "cat /proc/cmdline")
	check(r, d.Name+": with the command line of the newest kernel on the disk", err == nil && line == d.Line+"\n", "%q, %v", line, err)
	return m.Destroy(ctx, d.Name)
}
