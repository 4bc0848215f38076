package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// connectTo joins input and output to a TCP connection, and ends when the other side has
// closed it.
func connectTo(host, port string, out io.Writer) error {
	c, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	defer c.Close()
	go func() {
		io.Copy(c, os.Stdin)
		c.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(out, c)
	return err
}

// listen runs a command for each connection to a TCP port. Input and output of the command
// are pipes, and its messages are this program's, as with ssh.
func listen(port, command string, out io.Writer) error {
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	words := strings.Fields(command)
	if len(words) == 0 {
		return errors.New("no command given")
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			cmd := exec.Command(words[0], words[1:]...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			cmd.Stderr = out.(*os.File)
			in, err := cmd.StdinPipe()
			if err != nil {
				return
			}
			go func() {
				io.Copy(in, c)
				in.Close()
			}()
			cmd.Stdout, cmd.WaitDelay = c, outputLimit // xl leaves a process behind
			cmd.Run()
		}()
	}
}
