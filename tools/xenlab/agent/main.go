// Command agent is the first process of the lab's dom0 and Linux guests: it
// mounts file systems, loads modules, starts Xen's services in dom0, and then
// runs the commands that the lab on the host sends (package wire).
//
// With the name of a program as first argument, such as "agent ping DEVICE
// COUNT", it runs that program: ping and measure time TPM commands, flood writes
// to an NV index without a pause, load changes a TPM's state until it is killed
// and prints the results, status repeatedly asks a manager for its status, gap
// prints how long its machine stood still, and connect and listen join two machines'
// programs, as ssh does.
//
// It runs on Linux only, as init of an initramfs made by package lab. As process
// 1 it powers the machine off when it fails.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"stubtpm/tools/xenlab/wire"
)

func main() {
	if len(os.Args) > 1 {
		if p, ok := programs[os.Args[1]]; ok && len(os.Args) == 4 {
			if err := p(os.Args[2], os.Args[3], os.Stdout); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
				os.Exit(1)
			}
			return
		}
	}
	if len(os.Args) == 3 && os.Args[1] == "load" {
		pause, err := time.ParseDuration(os.Args[2])
		if err == nil {
			err = load(pause, os.Stdout)
		}
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "agent: must run as init of the lab's machines; see tools/xenlab")
		os.Exit(2)
	}
	fmt.Fprintf(os.Stderr, "\nXENLAB AGENT FAILED: %v\n", run())
	time.Sleep(time.Second) // let the console drain
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// programs take two arguments and print their results.
var programs = map[string]func(a, b string, out io.Writer) error{
	"ping":    ping,      // device, count
	"extend":  extend,    // device, count
	"measure": measure,   // device, count
	"flood":   flood,     // device, duration
	"status":  status,    // domain, duration
	"gap":     gap,       // pause, file
	"connect": connectTo, // host, port
	"listen":  listen,    // port, command
}

// run serves the console. It returns only on failure.
func run() error {
	var c wire.Config
	b, err := os.ReadFile(wire.ConfigFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("%s: %w", wire.ConfigFile, err)
	}
	if err := setUp(c); err != nil {
		return err
	}
	if c.Dom0 {
		if err := startXen(c); err != nil {
			return err
		}
	}
	if !c.Dom0 {
		if err := quiet(); err != nil {
			return err
		}
	}
	tty, err := openRaw(c.Console)
	if err != nil {
		return err
	}
	return serve(tty, tty)
}
