package image

import (
	"fmt"
	"regexp"
	"strings"
)

// The values that are accepted. A quote or backslash would end a string of xl's
// syntax.
var (
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	pathForm  = regexp.MustCompile(`^/[A-Za-z0-9_./+:@-]+$`)
	extraForm = regexp.MustCompile(`^[ !#-&(-\[\]-~]*$`)
	iomemForm = regexp.MustCompile(`^[0-9a-f]{1,13},[0-9a-f]{1,8}$`)
	uuidForm  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// A config is the text of a configuration in the making. The first value that is
// not accepted sets err.
type config struct {
	strings.Builder
	domain string
	err    error
}

func (c *config) printf(format string, args ...any) { fmt.Fprintf(c, format, args...) }

func (c *config) fail(what, value string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w %q: %s %q", ErrDomain, c.domain, what, value)
	}
}

func (c *config) check(what, value string, form *regexp.Regexp) {
	if !form.MatchString(value) {
		c.fail(what, value)
	}
}

// Config returns the text of the xl configuration. It returns ErrDomain for a value
// that xl would read differently.
func (d Domain) Config() (string, error) {
	c := &config{domain: d.Name}
	for _, l := range strings.Split(strings.TrimSpace(d.Comment), "\n") {
		if l != "" {
			c.printf("# %s\n", l)
		}
	}
	c.kernel(d)
	c.disks(d.Disks)
	c.iomem(d.IOMem)
	if d.VTPM != nil {
		c.vtpm(*d.VTPM)
	}
	// A unikernel that stops has written why to its console. xl must not start it
	// again without the administrator's knowledge.
	c.printf("on_poweroff = \"destroy\"\non_reboot = \"destroy\"\non_crash = \"destroy\"\n")
	if c.err != nil {
		return "", c.err
	}
	return c.String(), nil
}

func (c *config) kernel(d Domain) {
	c.check("name", d.Name, nameForm)
	c.check("kernel", d.Kernel, pathForm)
	c.check("command line", d.Extra, extraForm)
	if d.Memory < 1 {
		c.fail("memory", fmt.Sprint(d.Memory))
	}
	c.printf("name = \"%s\"\ntype = \"pvh\"\nkernel = \"%s\"\n", d.Name, d.Kernel)
	if d.Ramdisk != "" {
		c.check("ramdisk", d.Ramdisk, pathForm)
		c.printf("ramdisk = \"%s\"\n", d.Ramdisk)
	}
	if d.Extra != "" {
		c.printf("extra = \"%s\"\n", d.Extra)
	}
	c.printf("memory = %d\nvcpus = 1\n", d.Memory)
	if d.NativeTSC {
		c.printf("tsc_mode = \"native\"\n")
	}
}

func (c *config) disks(disks []string) {
	if len(disks) == 0 {
		return
	}
	if len(disks) > 26 {
		c.fail("disks", fmt.Sprint(len(disks)))
	}
	var list []string
	for i, disk := range disks {
		c.check("disk", disk, pathForm)
		list = append(list, fmt.Sprintf("\"%s,raw,xvd%c,rw\"", disk, 'a'+i))
	}
	c.printf("disk = [%s]\n", strings.Join(list, ", "))
}

func (c *config) iomem(value string) {
	if value == "" {
		return
	}
	ranges := strings.Fields(value)
	for _, r := range ranges {
		if !iomemForm.MatchString(r) {
			c.fail("iomem", value)
		}
	}
	c.printf("iomem = [\"%s\"]\n", strings.Join(ranges, "\", \""))
}

func (c *config) vtpm(v VTPMDevice) {
	c.check("vtpm backend", v.Backend, nameForm)
	uuid := ""
	if v.UUID != "" {
		c.check("vtpm uuid", v.UUID, uuidForm)
		uuid = ",uuid=" + v.UUID
	}
	c.printf("vtpm = [\"backend=%s%s\"]\n", v.Backend, uuid)
}
