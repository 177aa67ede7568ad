package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// maxPacketBytes bounds one captured packet, whatever the file says.
const maxPacketBytes = 1 << 18

// capture reads packets from a pcap or pcapng file.
type capture struct {
	file   *os.File
	read   func() ([]byte, gopacket.CaptureInfo, error)
	iface  func(index int) string // name of an interface, "" if unknown
	size   int64                  // of the file, in bytes
	cutOff bool                   // the file ends within a packet
}

// openCapture opens a file of Ethernet frames.
func openCapture(path string) (*capture, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open capture: %w", err)
	}
	if !info.Mode().IsRegular() { // it is read from the start again
		f.Close()
		return nil, fmt.Errorf("open capture: %s: not a regular file", path)
	}
	c := &capture{file: f, size: info.Size(), iface: func(int) string { return "" }}
	if err := c.start(); err != nil {
		f.Close()
		return nil, fmt.Errorf("open capture: %s: %w", path, err)
	}
	return c, nil
}

func (c *capture) start() error {
	buffered := bufio.NewReaderSize(c.file, recordHeadBytes+maxPacketBytes)
	start, err := buffered.Peek(4)
	if err != nil {
		return errors.New("not a capture: too short")
	}
	magic := binary.LittleEndian.Uint32(start)
	if magic != blockSection {
		r, err := pcapgo.NewReader(buffered)
		if err != nil {
			return fmt.Errorf("not a capture: %w", err)
		}
		if r.LinkType() != layers.LinkTypeEthernet {
			return fmt.Errorf("frames are %s, want Ethernet", r.LinkType())
		}
		if x := newRecords(buffered, magic); x != nil {
			c.read = x.next
			return nil
		}
		r.SetSnaplen(maxPacketBytes) // it is compressed
		c.read = r.ReadPacketData
		return nil
	}
	r, err := pcapgo.NewNgReader(&blocks{r: buffered}, pcapgo.NgReaderOptions{SkipUnknownVersion: true})
	if err != nil {
		return fmt.Errorf("not a capture: %w", err)
	}
	if r.LinkType() != layers.LinkTypeEthernet {
		return fmt.Errorf("frames are %s, want Ethernet", r.LinkType())
	}
	c.read = r.ReadPacketData
	c.iface = func(index int) string {
		i, err := r.Interface(index)
		if err != nil {
			return ""
		}
		return i.Name
	}
	return nil
}

// next returns the next packet, whose data is overwritten by the one after. It returns io.EOF at the end, also at the end of
// a capture that was cut off while it was written.
func (c *capture) next() (data []byte, length int, at time.Time, iface string, err error) {
	data, info, err := c.read()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		c.cutOff, err = true, io.EOF
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read capture: %w", err)
		}
		return nil, 0, time.Time{}, "", err
	}
	return data, info.Length, info.Timestamp.UTC(), c.iface(info.InterfaceIndex), nil
}

func (c *capture) close() { c.file.Close() }

// ends returns the time of the first packet and, if wanted, of the latest, and
// leaves the capture at its start. Packets without a time are left out.
func (c *capture) ends(wantLast bool) (first, last time.Time, err error) {
	for first.IsZero() || wantLast {
		_, _, at, _, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return first, last, err
		}
		if first.IsZero() {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	if first.IsZero() {
		return first, last, fmt.Errorf("replay: %s: no packets", c.file.Name())
	}
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return first, last, fmt.Errorf("read capture: %w", err)
	}
	c.cutOff = false
	if err := c.start(); err != nil {
		return first, last, fmt.Errorf("read capture: %w", err)
	}
	return first, last, nil
}

// progress returns how many bytes of the file are read, of all.
func (c *capture) progress() (read, size int64) {
	read, err := c.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, c.size
	}
	return read, c.size
}
