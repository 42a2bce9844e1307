package dump

import (
	"encoding/binary"
	"errors"
)

var errShort = errors.New("the file is too short")

// cursor takes values from the front of some bytes. After its first error it gives zeros.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) take(count uint64) []byte {
	if c.err == nil && count > uint64(len(c.rest)) {
		c.err = errShort
	}
	if c.err != nil {
		// Enough for every field of fixed size.
		return make([]byte, 256)[:min(count, 256)]
	}
	taken := c.rest[:count:count]
	c.rest = c.rest[count:]
	return taken
}

func (c *cursor) number() uint64 { return binary.LittleEndian.Uint64(c.take(8)) }

// bytes are nil where there are none.
func (c *cursor) bytes() []byte {
	count := c.number()
	if count == 0 {
		return nil
	}
	return c.take(count)
}

func (c *cursor) end() error {
	if c.err == nil && len(c.rest) > 0 {
		c.err = errors.New("the file is too long")
	}
	return c.err
}
