package xenstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Read returns the value of a node.
func (c *Client) Read(ctx context.Context, path string) (string, error) {
	return c.readTx(ctx, 0, path)
}

func (c *Client) readTx(ctx context.Context, tx uint32, path string) (string, error) {
	b, err := c.request(ctx, opRead, tx, path)
	return string(b), wrap("read", path, err)
}

// ReadUint returns the value of a node that holds a decimal number of at most
// 32 bits.
func (c *Client) ReadUint(ctx context.Context, path string) (uint32, error) {
	s, err := c.Read(ctx, path)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), wrap("read", path, err)
}

// Write sets the value of a node, and creates the node if it does not exist.
func (c *Client) Write(ctx context.Context, path, value string) error {
	return c.writeTx(ctx, 0, path, value)
}

func (c *Client) writeTx(ctx context.Context, tx uint32, path, value string) error {
	_, err := c.request(ctx, opWrite, tx, path, value)
	return wrap("write", path, err)
}

// Mkdir creates a node without a value. A node that exists stays as it is.
func (c *Client) Mkdir(ctx context.Context, path string) error {
	return c.mkdirTx(ctx, 0, path)
}

func (c *Client) mkdirTx(ctx context.Context, tx uint32, path string) error {
	_, err := c.request(ctx, opMkdir, tx, path)
	return wrap("mkdir", path, err)
}

// Remove removes a node and all nodes below it.
func (c *Client) Remove(ctx context.Context, path string) error {
	return c.removeTx(ctx, 0, path)
}

func (c *Client) removeTx(ctx context.Context, tx uint32, path string) error {
	_, err := c.request(ctx, opRemove, tx, path)
	return wrap("remove", path, err)
}

// Directory returns the names of a node's children. Their list may be up to 1 MiB
// long.
func (c *Client) Directory(ctx context.Context, path string) ([]string, error) {
	b, err := c.request(ctx, opDirectory, 0, path)
	if errors.Is(err, ErrTooBig) {
		b, err = c.directoryParts(ctx, path)
	}
	return split(b), wrap("directory", path, err)
}

// maxDirectory is the size in bytes of the longest list of children that is
// accepted.
const maxDirectory = 1 << 20

// directoryParts lists a directory that does not fit one reply. Each part starts
// with the generation of the node; if that has changed, the list is read from the
// start again. The last part ends in an empty name.
func (c *Client) directoryParts(ctx context.Context, path string) ([]byte, error) {
	var list []byte
	generation := ""
	for {
		b, err := c.request(ctx, opDirectoryPart, 0, path, strconv.Itoa(len(list)), "\x00")
		if err != nil {
			return nil, err
		}
		g, part, ok := bytes.Cut(b, []byte{0})
		if !ok || len(part) == 0 {
			return nil, fmt.Errorf("%w: malformed part of a directory", errProtocol)
		}
		if string(g) != generation && len(list) > 0 {
			list, generation = nil, ""
			continue
		}
		generation = string(g)
		list = append(list, part...)
		if n := len(list); n == 1 || list[n-1] == 0 && list[n-2] == 0 {
			return list[:n-1], nil
		}
		if len(list) > maxDirectory {
			return nil, fmt.Errorf("xenstore: directory of more than %d bytes", maxDirectory)
		}
	}
}

// split returns the strings of a list. Each of them ends in a zero byte.
func split(b []byte) []string {
	var names []string
	for len(b) > 0 {
		name, rest, _ := bytes.Cut(b, []byte{0})
		names = append(names, string(name))
		b = rest
	}
	return names
}

// SetPerms sets the permissions of a node. Each entry is a letter and a domain ID,
// such as "n0" or "r5". The letter is n for no access, r for read, w for write, b
// for both. The first entry names the owner, and its letter applies to all domains
// without an entry; the others are for single domains.
func (c *Client) SetPerms(ctx context.Context, path string, perms ...string) error {
	return c.setPermsTx(ctx, 0, path, perms)
}

func (c *Client) setPermsTx(ctx context.Context, tx uint32, path string, perms []string) error {
	_, err := c.request(ctx, opSetPerms, tx, path, strings.Join(perms, "\x00"), "\x00")
	return wrap("set permissions", path, err)
}

// GetPerms returns the permissions of a node, in the form that SetPerms takes.
func (c *Client) GetPerms(ctx context.Context, path string) ([]string, error) {
	b, err := c.request(ctx, opGetPerms, 0, path)
	return split(b), wrap("get permissions", path, err)
}
