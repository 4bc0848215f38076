package crb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A Handler decides which guests may connect.
type Handler interface {
	// OpenCRB is called when the host has a guest's control area for this TPM. With
	// firmware, the guest does not run yet, and the host measures what it will run. An
	// error that wraps tpmif.ErrLater makes the server try again; any other one refuses
	// the guest.
	OpenCRB(p tpmif.Peer, firmware bool) (Conn, error)
}

// A Server is the TPM's end of the control areas of all guests of this domain.
type Server struct {
	Domain  xenbus.Domain
	Handler Handler
	Log     func(format string, args ...any) // called from several goroutines
}

// Directory is where the host makes a directory for each guest, named by its domain ID, in
// the directory of the TPM's domain.
const Directory = "backend/crb"

// Nodes of a guest's directory. The host writes all but the state and the error. It
// connects, again after its process was restarted, by writing a new event channel and
// then the state Initialising. The server writes Initialised before it reads the others,
// and answers with Connected or Closed unless the host has asked again meanwhile.
const (
	NodeUUID         = "uuid"          // of the vTPM
	NodeEventChannel = "event-channel" // port of the control domain
	NodeControlRef   = "control-ref"
	NodeBufferRef    = "buffer-ref" // the first of BufferPages
	NodeFirmware     = "firmware"   // 1: the guest does not run yet
	NodeState        = "state"
	NodeError        = "error" // why the state is Closed
)

// Times of the server.
const (
	requestTimeout = 30 * time.Second // of one exchange with xenstored
	retryDelay     = time.Second
)

// controlDomain holds the other end of the event channels.
const controlDomain = 0

// Run serves guests until ctx or the connection to xenstore ends.
func (s *Server) Run(ctx context.Context) error {
	devices := map[string]*device{}
	defer func() {
		for _, d := range devices {
			d.disconnect(true)
		}
	}()
	err := s.Domain.Store.Follow(ctx, Directory, func() (again time.Duration, err error) {
		waits, err := s.scan(ctx, devices)
		if waits {
			again = retryDelay
		}
		return again, err
	})
	return fmt.Errorf("crb: %w", err)
}

// scan connects the guests that wait for it and drops those that are gone. It reports
// whether some are to be tried again.
func (s *Server) scan(parent context.Context, devices map[string]*device) (again bool, err error) {
	ctx, cancel := context.WithTimeout(parent, requestTimeout)
	defer cancel()
	names, err := s.Domain.Store.Directory(ctx, Directory)
	if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
		return false, err
	}
	there := map[string]bool{}
	for _, n := range names {
		id, err := strconv.ParseUint(n, 10, 15)
		if err != nil {
			continue
		}
		there[n] = true
		if devices[n] == nil {
			devices[n] = &device{Server: s, base: Directory + "/" + n, peer: tpmif.Peer{Domain: xen.DomID(id)}}
		}
	}
	// Those that are gone first: the TPM serves one guest at a time.
	for n, d := range devices {
		if !there[n] {
			d.disconnect(true)
			delete(devices, n)
		}
	}
	for _, d := range devices {
		if d.step(parent) {
			again = true
		}
	}
	return again, nil
}

// A device is the control area of one guest.
type device struct {
	*Server
	base string // its directory in xenstore
	peer tpmif.Peer
	link *link // nil while not connected
	met  bool  // it was connected before
	told string
}

// step connects the guest if the host asks for it, and reports whether to try again.
func (d *device) step(parent context.Context) (again bool) {
	ctx, cancel := context.WithTimeout(parent, requestTimeout)
	defer cancel()
	state, err := xenbus.ReadState(ctx, d.Domain.Store, d.base+"/"+NodeState)
	switch {
	case err != nil && !errors.Is(err, xenbus.ErrState):
		return true // what the host wants is not known
	case err != nil, state == xenbus.Gone, state == xenbus.Closing:
		d.disconnect(true)
		return false
	}
	if state != xenbus.Initialising && (state != xenbus.Initialised || d.link != nil) {
		return false
	}
	d.disconnect(false)
	if err = d.writeState(parent, state, xenbus.Initialised, ""); err == nil {
		err = d.connect(ctx)
	}
	switch {
	case err == nil:
		d.told = ""
		if err = d.writeState(parent, xenbus.Initialised, xenbus.Connected, ""); err != nil {
			d.disconnect(false)
			again = true
		}
	case errors.Is(err, tpmif.ErrLater):
		again = true
	default:
		e := d.writeState(parent, xenbus.Initialised, xenbus.Closed, err.Error())
		again = e != nil // nobody was told
	}
	if err != nil && d.told != err.Error() {
		d.told = err.Error()
		d.Log("crb: %v: %v", d.peer, err)
	}
	return again
}

// errAskedAgain means that the host has asked for the guest to be connected once more.
var errAskedAgain = errors.New("the host has asked again")

// writeState writes the state, and why it is that. It returns errAskedAgain if the state
// is not what it was, and an error if the directory is gone.
func (d *device) writeState(parent context.Context, was, s xenbus.State, why string) error {
	// Opening the TPM may have taken longer than one exchange may.
	ctx, cancel := context.WithTimeout(parent, requestTimeout)
	defer cancel()
	return d.Domain.Store.Transaction(ctx, func(t *xenstore.Tx) error {
		if now, err := t.Read(ctx, d.base+"/"+NodeState); err != nil {
			return err
		} else if now != strconv.Itoa(int(was)) {
			return errAskedAgain
		}
		if err := t.Write(ctx, d.base+"/"+NodeError, why); err != nil {
			return err
		}
		return t.Write(ctx, d.base+"/"+NodeState, strconv.Itoa(int(s)))
	})
}

// connect asks the Handler, and maps the pages.
func (d *device) connect(ctx context.Context) error {
	store := d.Domain.Store
	read := func(node string) (uint32, error) { return store.ReadUint(ctx, d.base+"/"+node) }
	port, err := read(NodeEventChannel)
	if err != nil {
		return err
	}
	control, err := read(NodeControlRef)
	if err != nil {
		return err
	}
	first, err := read(NodeBufferRef)
	if err != nil {
		return err
	}
	firmware, err := read(NodeFirmware)
	if err != nil {
		return err
	}
	if d.peer.UUID, err = store.Read(ctx, d.base+"/"+NodeUUID); err != nil {
		return err
	}
	conn, err := d.Handler.OpenCRB(d.peer, firmware == 1)
	if err != nil {
		return fmt.Errorf("refused: %w", err)
	}
	l := &link{conn: conn, log: d.Log, peer: d.peer, firmware: firmware == 1, stale: firmware != 1 && !d.met && !conn.Kept(),
		stop: make(chan struct{}), done: make(chan struct{})}
	if err := d.mapPages(l, xen.GrantRef(control), xen.GrantRef(first)); err != nil {
		conn.Close()
		return err
	}
	if l.events, err = d.Domain.Events.BindInterdomain(controlDomain, xen.Port(port)); err != nil {
		l.unmap()
		conn.Close()
		return err
	}
	d.link, d.met = l, true
	go l.serve()
	return nil
}

// mapPages maps the control area and the buffer.
func (d *device) mapPages(l *link, control, first xen.GrantRef) error {
	var mapped []xen.MappedPage
	l.unmap = func() error {
		var failed error
		for _, p := range mapped {
			failed = errors.Join(failed, p.Unmap())
		}
		return failed
	}
	refs := []xen.GrantRef{control}
	for i := range xen.GrantRef(BufferPages) {
		refs = append(refs, first+i)
	}
	for _, ref := range refs {
		p, err := d.Domain.Grants.Map(d.peer.Domain, ref)
		if err != nil {
			l.unmap()
			return err
		}
		mapped = append(mapped, p)
	}
	l.control = mapped[0].Page()
	var b buffer
	for _, p := range mapped[1:] {
		b = append(b, p.Page())
	}
	l.buffer = b
	return nil
}

// disconnect closes the link, if there is one, and cancels or waits for its command.
func (d *device) disconnect(cancel bool) {
	if d.link == nil {
		return
	}
	if err := d.link.close(cancel); err != nil {
		d.Log("crb: %v: %v", d.peer, err)
	}
	d.link = nil
}
