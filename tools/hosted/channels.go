package hosted

import (
	"fmt"
	"net"
	"os"
)

// controlClients bounds the clients of the control channel.
const controlClients = 16

// listen opens both channels; the function it returns begins to serve them.
func (o *options) listen(srv *Server, data *Data, ctrl *Control, left func(), log Logger) (start func(), err error) {
	var starts []func()
	if o.Chardev {
		conn, err := o.openDevice(log)
		if err != nil {
			return nil, err
		}
		starts = append(starts, func() { srv.Go(conn, data.Serve, srv.Stop) })
	} else if e := o.Data; e != nil {
		if e.FD >= 0 || e.ClientFD >= 0 {
			conn, err := connFD(max(e.FD, e.ClientFD))
			if err != nil {
				return nil, fmt.Errorf("--server: %w", err)
			}
			// There is no way to come back once this connection is gone.
			starts = append(starts, func() { srv.Go(conn, data.Serve, srv.Stop) })
		} else {
			l, err := e.Open()
			if err != nil {
				return nil, fmt.Errorf("--server: %w", err)
			}
			srv.Keep(l)
			starts = append(starts, func() { srv.Listen(l, 1, data.Serve, left) })
		}
	}
	if e := o.Control; e != nil {
		gone := func() {}
		if o.ControlTerminate {
			gone = srv.Stop
		}
		switch {
		case e.ClientFD >= 0:
			conn, err := connFD(e.ClientFD)
			if err != nil {
				return nil, fmt.Errorf("--ctrl: %w", err)
			}
			starts = append(starts, func() {
				srv.Go(conn, ctrl.Serve, func() {
					gone()
					if left != nil {
						left()
					}
				})
			})
		default:
			var l net.Listener
			if e.FD >= 0 {
				l, err = listenerFD(e.FD)
			} else {
				l, err = e.Open()
			}
			if err != nil {
				return nil, fmt.Errorf("--ctrl: %w", err)
			}
			srv.Keep(l)
			starts = append(starts, func() { srv.Listen(l, controlClients, ctrl.Serve, gone) })
		}
	}
	return func() {
		for _, f := range starts {
			f()
		}
	}, nil
}

func connFD(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "connection")
	if f == nil {
		return nil, fmt.Errorf("file descriptor %d is not open", fd)
	}
	defer f.Close()
	return net.FileConn(f)
}

func listenerFD(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	if f == nil {
		return nil, fmt.Errorf("file descriptor %d is not open", fd)
	}
	defer f.Close()
	return net.FileListener(f)
}
