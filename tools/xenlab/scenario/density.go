package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Measured creates a vTPM's domain paused, and compares its memory with images: the
// right one, and others.
func (s *Stack) Measured(ctx context.Context, r Report, name, uuid string) error {
	disk, err := s.disk(ctx, name)
	if err != nil {
		return err
	}
	config, err := s.vtpmDomain(name, uuid, disk).Config()
	if err != nil {
		return err
	}
	file := "/etc/xen/" + name + ".cfg"
	if _, err := s.M.Dom0.RunInput(ctx, "cat > "+file, []byte(config)); err != nil {
		return err
	}
	if _, err := s.M.Dom0.Run(ctx, "xl create -q -p "+file); err != nil {
		return err
	}
	out, err := s.M.Dom0.Run(ctx, hostCommand+" measure "+name+" "+vtpmImage)
	check(r, "a paused domain's memory holds the image that it was built from", err == nil, "%v\n%s", err, out)
	r.Show("dom0", "stubtpm-host measure "+name+" vtpm.elf", strings.TrimSpace(out))
	// One byte of the code differs in this file, as in a wrong build.
	const other = "/images/other.elf"
	if _, err := s.M.Dom0.Run(ctx, "cp "+vtpmImage+" "+other+" && b=$(od -An -tu1 -j 2000000 -N 1 "+other+`) && printf "\\$(printf %03o $((b ^ 1)))" | dd of=`+other+" bs=1 seek=2000000 conv=notrunc 2>/dev/null"); err != nil {
		return err
	}
	for _, wrong := range []string{other, managerImage} {
		out, err = s.M.Dom0.Run(ctx, hostCommand+" measure "+name+" "+wrong)
		check(r, "as "+wrong+" it is refused", err != nil && strings.Contains(err.Error()+out, "not"), "%v\n%s", err, out)
	}
	if _, err := s.M.Dom0.Run(ctx, "xl unpause "+name+"; sleep 1"); err != nil {
		return err
	}
	out, err = s.M.Dom0.Run(ctx, hostCommand+" measure "+name+" "+vtpmImage)
	check(r, "a domain that runs is not measured", err != nil && strings.Contains(err.Error()+out, "not paused"), "%v\n%s", err, out)
	return s.Destroy(ctx, name)
}

// Density starts vTPMs one after the other until the wanted number runs or one does
// not start, and reports the memory that they use.
func (s *Stack) Density(ctx context.Context, r Report, want int) error {
	memory := func() string {
		out, _ := s.M.Dom0.Run(ctx, "xl info | grep -E 'total_memory|free_memory' | tr -s ' ' | tr '\\n' ' '; grep -E 'MemFree|MemAvailable' /proc/meminfo | tr -s ' ' | tr '\\n' ' '")
		return strings.TrimSpace(out)
	}
	r.Show("density", "before", memory())
	start := time.Now()
	running, limit := 0, ""
	for i := range want {
		name, uuid := fmt.Sprintf("vtpm-d%d", i+1), fmt.Sprintf("5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3d%04x", i+1)
		err := s.Enroll(ctx, uuid)
		if err == nil {
			var mark string
			if mark, err = s.StartVTPM(ctx, name, uuid); err == nil && mark != vtpmReady {
				err = fmt.Errorf("%s says:\n%s", name, s.Since(name))
			}
		}
		if err != nil {
			limit = err.Error()
			break
		}
		running++
		// Its console is not needed any more.
		s.consoles[name].Stop()
		if running%10 == 0 {
			r.Step("%d vTPMs serve, %.0f s, %s", running, time.Since(start).Seconds(), memory())
		}
	}
	r.Show("density", fmt.Sprintf("%d vTPM domains serve at once under one manager; %.1f s each to manufacture and start", running, time.Since(start).Seconds()/float64(max(running, 1))), memory())
	out, _ := s.M.Dom0.Run(ctx, "xl list | sed -n '1,4p;$p'")
	r.Show("dom0", "xl list", out)
	check(r, fmt.Sprintf("%d vTPM domains run at once", want), running == want, "%d run; then: %s", running, limit)
	return nil
}
