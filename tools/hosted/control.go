package hosted

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Commands of swtpm's control channel (swtpm_ioctls(3)). A request is the
// number in 4 bytes and a body, an answer a result in 4 bytes and a body; all
// numbers are big-endian. A client waits for each answer.
const (
	cmdGetCapability       = 0x01
	cmdInit                = 0x02
	cmdShutdown            = 0x03
	cmdGetTPMEstablished   = 0x04
	cmdSetLocality         = 0x05
	cmdHashStart           = 0x06
	cmdHashData            = 0x07
	cmdHashEnd             = 0x08
	cmdCancelTPMCmd        = 0x09
	cmdStoreVolatile       = 0x0A
	cmdResetTPMEstablished = 0x0B
	cmdGetStateBlob        = 0x0C
	cmdSetStateBlob        = 0x0D
	cmdStop                = 0x0E
	cmdGetConfig           = 0x0F
	cmdSetDataFD           = 0x10
	cmdSetBufferSize       = 0x11
	cmdGetInfo             = 0x12
	cmdLockStorage         = 0x13
)

// Capability bits, the answer to CMD_GET_CAPABILITY: bits 0 to 14 are the
// commands, bit 15 that the data channel takes framed commands (Data),
// bit 16 is CMD_LOCK_STORAGE.
const capabilities = 0x1FFFF

// Results. The control channel uses the codes of TPM 1.2 (TPM Main Part 2,
// section 16), also for a TPM 2.0.
const (
	resSuccess      = 0
	resBadParameter = 0x03
	resFail         = 0x09
	resBadOrdinal   = 0x0A
	resIOError      = 0x1F
	resBadLocality  = 0x3D
)

// Flags of requests and answers.
const (
	initDeleteVolatile = 1 << 0 // CMD_INIT: delete the volatile file after reading it

	stateDecrypted = 1 << 0 // CMD_GET_STATEBLOB: the file key is to be taken off
	stateEncrypted = 1 << 1 // state is encrypted, under the migration key if there is one

	configFileKey      = 1 << 0
	configMigrationKey = 1 << 1
)

// bodySize is the length in bytes of each request's body. SET_STATEBLOB and
// HASH_DATA are followed by as many bytes as their last word gives. Clients that
// send their whole union (QEMU: 4 bytes of locality) are read in full, since
// what came with a request beyond its body is dropped.
var bodySize = map[uint32]int{
	cmdInit: 4, cmdSetLocality: 1, cmdHashData: 4, cmdResetTPMEstablished: 1,
	cmdGetStateBlob: 12, cmdSetStateBlob: 12, cmdSetBufferSize: 4, cmdGetInfo: 16, cmdLockStorage: 4,
}

// A Control serves swtpm's control channel.
type Control struct {
	Machine *Machine

	MigrationKey *stateKey // encrypts the blobs that leave by CMD_GET_STATEBLOB, if set

	// DataFD is called with the data channel of CMD_SET_DATAFD and takes ownership
	// of it. It ends the previous one.
	DataFD func(net.Conn)

	// Shutdown is called when CMD_SHUTDOWN was answered.
	Shutdown func()
}

// Serve answers one client until it leaves. It closes the connection.
func (c *Control) Serve(conn net.Conn) {
	defer conn.Close()
	cc := &controlConn{Control: c, conn: conn, buf: make([]byte, 0, 2*maxCommand)}
	defer cc.closeFDs()
	for {
		if err := cc.one(); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				c.Machine.log("control channel: %v", err)
			}
			return
		}
	}
}

// A controlConn is one client's connection: bytes read and not used yet, and
// file descriptors that came with them.
type controlConn struct {
	*Control
	conn net.Conn
	buf  []byte
	fds  []int
}

// fill reads until n bytes are there.
func (c *controlConn) fill(n int) error {
	for len(c.buf) < n {
		if err := c.read(); err != nil {
			if len(c.buf) > 0 && errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// read adds what one read of the socket gives, and takes file descriptors
// that came with it.
func (c *controlConn) read() error {
	room := c.buf[len(c.buf):cap(c.buf)]
	u, ok := c.conn.(*net.UnixConn)
	if !ok {
		n, err := c.conn.Read(room)
		c.buf = c.buf[:len(c.buf)+n]
		if n > 0 {
			return nil
		}
		return err
	}
	oob := make([]byte, syscall.CmsgSpace(4*4))
	n, oobn, _, _, err := u.ReadMsgUnix(room, oob)
	n = max(n, 0) // -1 where the client left without reading its answer
	if oobn > 0 {
		c.takeFDs(oob[:oobn])
	}
	c.buf = c.buf[:len(c.buf)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.EOF
	}
	return err
}

func (c *controlConn) takeFDs(oob []byte) {
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for _, m := range msgs {
		if fds, err := syscall.ParseUnixRights(&m); err == nil {
			c.fds = append(c.fds, fds...)
		}
	}
}

func (c *controlConn) closeFDs() {
	for _, fd := range c.fds {
		syscall.Close(fd)
	}
	c.fds = nil
}

// one reads a request and answers it.
func (c *controlConn) one() error {
	c.buf = c.buf[:0] // a client waits for its answer: what else came is padding
	c.closeFDs()
	if err := c.fill(1); err != nil {
		return err
	}
	c.conn.SetReadDeadline(time.Now().Add(partTimeout))
	defer c.conn.SetReadDeadline(time.Time{})
	if err := c.fill(4); err != nil {
		return err
	}
	cmd := binary.BigEndian.Uint32(c.buf)
	n := bodySize[cmd]
	if err := c.fill(4 + n); err != nil {
		return err
	}
	body := append([]byte(nil), c.buf[4:4+n]...)
	c.buf = c.buf[:copy(c.buf, c.buf[4+n:])]

	answer, failed := c.dispatch(cmd, body)
	if len(answer) > 0 {
		c.conn.SetWriteDeadline(time.Now().Add(partTimeout))
		if _, err := c.conn.Write(answer); err != nil {
			return err
		}
	}
	if failed != nil {
		return failed
	}
	if cmd == cmdShutdown && c.Shutdown != nil {
		c.Shutdown()
	}
	return nil
}

// take reads n bytes that follow a request's body.
func (c *controlConn) take(p []byte) error {
	n := copy(p, c.buf)
	c.buf = c.buf[:copy(c.buf, c.buf[n:])]
	_, err := io.ReadFull(c.conn, p[n:])
	return err
}

// dispatch runs a request. An error ends the connection once the answer, if
// there is one, is sent.
func (c *controlConn) dispatch(cmd uint32, body []byte) ([]byte, error) {
	m := c.Machine
	var err error
	switch cmd {
	case cmdGetCapability:
		return binary.BigEndian.AppendUint64(nil, capabilities), nil
	case cmdInit:
		if err = m.PowerOn(binary.BigEndian.Uint32(body)&initDeleteVolatile != 0); err != nil {
			m.log("CMD_INIT: %v", err)
			return words(rcFailure), nil // a code of TPM 2.0 here, as swtpm's
		}
	case cmdShutdown, cmdStop:
		m.PowerOff()
	case cmdGetTPMEstablished:
		bit, e := m.Established()
		b := make([]byte, 8) // result, bit, 3 bytes of padding
		binary.BigEndian.PutUint32(b, result(e))
		if bit {
			b[4] = 1
		}
		return b, nil
	case cmdSetLocality:
		err = m.SetLocality(body[0])
	case cmdHashStart:
		err = m.HashStart()
	case cmdHashData:
		return c.hashData(binary.BigEndian.Uint32(body))
	case cmdHashEnd:
		err = m.HashEnd()
	case cmdCancelTPMCmd:
		err = m.Cancel()
	case cmdStoreVolatile:
		err = m.StoreVolatile()
	case cmdResetTPMEstablished:
		err = m.ResetEstablished(body[0])
	case cmdGetStateBlob:
		return c.getBlob(body), nil
	case cmdSetStateBlob:
		return c.setBlob(body)
	case cmdGetConfig:
		return words(resSuccess, c.config()), nil
	case cmdSetDataFD:
		err = c.setDataFD()
	case cmdSetBufferSize:
		size, e := m.SetBufferSize(binary.BigEndian.Uint32(body))
		return words(result(e), size, minCommand, maxBuffer), nil
	case cmdGetInfo:
		return c.getInfo(body), nil
	case cmdLockStorage:
		err = m.LockStorage(binary.BigEndian.Uint32(body))
	default:
		// The client does not speak the protocol. It may be a browser that a web
		// page made send an HTTP request, whose body must not be taken for further
		// commands.
		return words(resBadOrdinal), fmt.Errorf("unknown command 0x%X: connection ends", cmd)
	}
	if err != nil {
		m.log("control command 0x%X: %v", cmd, err)
	}
	return words(result(err)), nil
}

// result is the code for an error of the machine.
func result(err error) uint32 {
	switch {
	case err == nil:
		return resSuccess
	case errors.Is(err, errOff), errors.Is(err, errRunning):
		return resBadOrdinal
	case errors.Is(err, errLocality):
		return resBadLocality
	case errors.Is(err, errNoBlob):
		return resBadParameter
	}
	return resFail
}

// hashData passes n bytes from the socket on, a buffer at a time.
func (c *controlConn) hashData(n uint32) ([]byte, error) {
	buf := make([]byte, min(n, maxCommand))
	var res error
	for n > 0 {
		p := buf[:min(n, uint32(len(buf)))]
		if err := c.take(p); err != nil {
			return nil, err
		}
		c.conn.SetReadDeadline(time.Now().Add(partTimeout))
		if res == nil {
			res = c.Machine.HashData(p)
		}
		n -= uint32(len(p))
	}
	return words(result(res)), nil
}

func (c *controlConn) config() (flags uint32) {
	if c.Machine.files.opt.key != nil {
		flags |= configFileKey
	}
	if c.MigrationKey != nil {
		flags |= configMigrationKey
	}
	return flags
}

// leavingKey returns the key that encrypts a blob that leaves: the migration key
// if there is one, since the flag PTM_STATE_FLAG_DECRYPTED is about the file key
// only; otherwise the file key, unless that flag is set.
func (c *controlConn) leavingKey(flags uint32) *stateKey {
	if c.MigrationKey != nil || flags&stateDecrypted != 0 {
		return c.MigrationKey
	}
	return c.Machine.files.opt.key
}

// getBlob answers CMD_GET_STATEBLOB (flags, type, offset) with the whole rest
// of the blob from offset on.
func (c *controlConn) getBlob(body []byte) []byte {
	flags, typ := binary.BigEndian.Uint32(body), BlobType(binary.BigEndian.Uint32(body[4:]))
	offset := binary.BigEndian.Uint32(body[8:])
	blob, err := c.Machine.Blob(typ)
	var out uint32
	if key := c.leavingKey(flags); err == nil && key != nil && len(blob) > 0 {
		blob, err = sealFile(typ, 0, blob, key)
		out = stateEncrypted
	}
	if err == nil && uint64(offset) > uint64(len(blob)) {
		err = errNoBlob
	}
	if err != nil {
		c.Machine.log("get state blob %d: %v", typ, err)
		return words(result(err), 0, 0, 0)
	}
	rest := blob[offset:]
	return append(words(resSuccess, out, uint32(len(blob)), uint32(len(rest))), rest...)
}

// setBlob takes CMD_SET_STATEBLOB (flags, type, length) and the blob.
func (c *controlConn) setBlob(body []byte) ([]byte, error) {
	flags, typ := binary.BigEndian.Uint32(body), BlobType(binary.BigEndian.Uint32(body[4:]))
	n := binary.BigEndian.Uint32(body[8:])
	if n > maxBlob {
		// Its bytes cannot be skipped in bounded time, so the client goes.
		return nil, fmt.Errorf("state blob of %d bytes; the limit is %d", n, maxBlob)
	}
	blob := make([]byte, n)
	if err := c.take(blob); err != nil {
		return nil, err
	}
	var err error
	if flags&stateEncrypted != 0 && n > 0 {
		if key := c.leavingKey(0); key == nil {
			err = errors.New("blob is encrypted, and there is neither a migration key nor a file key")
		} else {
			blob, err = openFile(typ, blob, key)
		}
	} else if n > 0 && c.MigrationKey != nil {
		// A client without the key could otherwise give the machine a TPM whose
		// secrets it knows.
		err = errors.New("blob is not encrypted, and there is a migration key")
	}
	if err == nil {
		err = c.Machine.SetBlob(typ, blob)
	}
	if err != nil {
		c.Machine.log("set state blob %d: %v", typ, err)
	}
	return words(result(err)), nil
}

// setDataFD takes the data channel that came by SCM_RIGHTS.
func (c *controlConn) setDataFD() error {
	if len(c.fds) != 1 || c.DataFD == nil {
		return errNoBlob
	}
	f := os.NewFile(uintptr(c.fds[0]), "data channel")
	c.fds = nil
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return err
	}
	c.DataFD(conn)
	return nil
}

// getInfo answers CMD_GET_INFO (flags 8 bytes, offset, padding) with JSON and
// a zero byte, as libtpms does.
func (c *controlConn) getInfo(body []byte) []byte {
	info, err := c.Machine.info()
	if err != nil {
		c.Machine.log("get info: %v", err)
		return words(result(err), 0, 0)
	}
	text := append(info.json(binary.BigEndian.Uint64(body)), 0)
	offset := binary.BigEndian.Uint32(body[8:])
	if uint64(offset) > uint64(len(text)) {
		return words(resBadParameter, 0, 0)
	}
	rest := text[offset:]
	return append(words(resSuccess, uint32(len(text)), uint32(len(rest))), rest...)
}
