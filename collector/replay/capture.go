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
	cutOff bool                   // the file ends within a packet
}

// openCapture opens a file of Ethernet frames.
func openCapture(path string) (*capture, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() { // it is read twice
		f.Close()
		return nil, fmt.Errorf("open capture: %s: not a regular file", path)
	}
	c := &capture{file: f, iface: func(int) string { return "" }}
	if err := c.start(); err != nil {
		f.Close()
		return nil, fmt.Errorf("open capture: %s: %w", path, err)
	}
	return c, nil
}

func (c *capture) start() error {
	buffered := bufio.NewReaderSize(c.file, 1<<20)
	magic, err := buffered.Peek(4)
	if err != nil {
		return errors.New("not a capture: too short")
	}
	if binary.LittleEndian.Uint32(magic) != blockSection {
		r, err := pcapgo.NewReader(buffered)
		if err != nil {
			return fmt.Errorf("not a capture: %w", err)
		}
		if r.LinkType() != layers.LinkTypeEthernet {
			return fmt.Errorf("frames are %s, want Ethernet", r.LinkType())
		}
		r.SetSnaplen(maxPacketBytes)
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

// next returns the next packet. It returns io.EOF at the end, also at the end of
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

// span returns the times of a capture's earliest and latest packet.
func span(path string) (first, last time.Time, packets int, err error) {
	c, err := openCapture(path)
	if err != nil {
		return first, last, 0, err
	}
	defer c.close()
	for {
		_, _, at, _, err := c.next()
		if errors.Is(err, io.EOF) {
			return first, last, packets, nil
		}
		if err != nil {
			return first, last, packets, err
		}
		packets++
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
}
