package proto

import (
	"encoding/binary"
	"fmt"
)

// A Client makes requests of a manager. Transact sends one message and returns
// the answer.
type Client struct {
	Transact func(message []byte) ([]byte, error)
}

func (c *Client) do(tag uint16, o Ordinal, body []byte) ([]byte, error) {
	answer, err := c.Transact(Message(tag, uint32(o), body))
	if err != nil {
		return nil, err
	}
	t, code, body, err := Parse(answer)
	if err != nil {
		return nil, err
	}
	if t != TagResponse {
		return nil, fmt.Errorf("%w: tag %#x", errMessage, t)
	}
	if Code(code) != OK {
		return nil, Code(code)
	}
	return body, nil
}

// Load asks for this vTPM's key and version.
func (c *Client) Load() (Grant, error) {
	b, err := c.do(TagRequest, Load, nil)
	if err != nil {
		return Grant{}, err
	}
	return parseGrant(b)
}

// Commit says which state is valid from now on, and with which key it is
// sealed. When it returns nil the manager has made that durable.
func (c *Client) Commit(sequence uint64, hash [HashSize]byte, key [KeySize]byte) error {
	b := binary.BigEndian.AppendUint64(nil, sequence)
	b = append(append(b, hash[:]...), key[:]...)
	_, err := c.do(TagRequest, Commit, b)
	return err
}

// Random returns n random bytes of the hardware TPM.
func (c *Client) Random(n int) ([]byte, error) {
	b, err := c.do(TagRequest, Random, binary.BigEndian.AppendUint16(nil, uint16(n)))
	if err == nil && len(b) != n {
		return nil, errMessage
	}
	return b, err
}

// PCRRead returns the SHA-256 value of a PCR of the hardware TPM.
func (c *Client) PCRRead(pcr uint8) ([]byte, error) {
	b, err := c.do(TagRequest, PCRRead, []byte{pcr})
	if err == nil && len(b) != HashSize {
		return nil, errMessage
	}
	return b, err
}

// Enroll makes the manager know a vTPM, which may then be manufactured.
func (c *Client) Enroll(uuid [16]byte) error {
	_, err := c.do(TagAdmin, Enroll, uuid[:])
	return err
}

// Delete makes the manager forget a vTPM and its key: its state can never be
// opened again.
func (c *Client) Delete(uuid [16]byte) error {
	_, err := c.do(TagAdmin, Delete, uuid[:])
	return err
}

// List returns the ledger's entries.
func (c *Client) List() ([]Entry, error) {
	var all []Entry
	for {
		b, err := c.do(TagAdmin, List, binary.BigEndian.AppendUint32(nil, uint32(len(all))))
		if err != nil {
			return nil, err
		}
		if len(b) < 4 || (len(b)-4)%EntrySize != 0 {
			return nil, errMessage
		}
		total := binary.BigEndian.Uint32(b)
		if len(b) == 4 && uint32(len(all)) < total {
			return nil, errMessage // would never end
		}
		for b = b[4:]; len(b) > 0; b = b[EntrySize:] {
			all = append(all, parseEntry(b))
		}
		if uint32(len(all)) >= total {
			return all, nil
		}
	}
}

// Status returns what the manager says of itself, for people.
func (c *Client) Status() (string, error) {
	b, err := c.do(TagAdmin, Status, nil)
	return string(b), err
}
