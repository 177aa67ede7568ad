package replay

import (
	"bufio"
	"compress/gzip"
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
	names  func() []string        // of all interfaces that the file has told so far, "" for one without
	many   func() bool            // whether the file has told of several interfaces; nil if it can have but one
	order  order                  // of their packets
	size   int64                  // of the file, in bytes
	cutOff bool                   // the file ends within a packet
}

// openCapture opens a file of Ethernet frames.
func openCapture(path string) (*capture, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	if !info.Mode().IsRegular() { // it is read from the start again; and to open a pipe waits for its writer
		return nil, fmt.Errorf("open capture: %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	c := &capture{file: f, size: info.Size(), iface: func(int) string { return "" }, names: func() []string { return nil }}
	if err := c.start(); err != nil {
		f.Close()
		return nil, fmt.Errorf("open capture: %s: %w", path, err)
	}
	return c, nil
}

// notRead says what files are that are mistaken for captures, or could be turned
// into one, by their first four octets as read in little-endian order.
var notRead = map[uint32]string{
	0xfd2fb528: "compressed with zstd: unpack it first, with zstd -d",
	0x184d2204: "compressed with lz4: unpack it first, with lz4 -d",
	0x587a37fd: "compressed with xz: unpack it first, with xz -d",
	0xa1b2cd34: "in a modified pcap format: convert it first, with editcap -F pcap",
	0x6f6f6e73: "in snoop format: convert it first, with editcap -F pcap",
}

func (c *capture) start() error {
	buffered := bufio.NewReaderSize(c.file, recordHeadBytes+maxPacketBytes)
	magic, err := peekMagic(buffered)
	if err != nil {
		return err
	}
	const gzipMagic, gzipMask = 0x8b1f, 0xffff
	if magic&gzipMask == gzipMagic {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return fmt.Errorf("not a capture: %w", err)
		}
		buffered = bufio.NewReaderSize(unpacked, recordHeadBytes+maxPacketBytes)
		if magic, err = peekMagic(buffered); err != nil {
			return err
		}
	}
	if what, known := notRead[magic]; known {
		return errors.New(what)
	}
	if magic == blockSection {
		return c.startBlocks(buffered)
	}
	x := newRecords(buffered, magic)
	if x == nil {
		return errors.New("not a capture: neither pcap nor pcapng, nor one of them packed by gzip")
	}
	r, err := pcapgo.NewReader(buffered)
	if err != nil {
		return fmt.Errorf("not a capture: %w", err)
	}
	if err := isEthernet(r.LinkType()); err != nil {
		return err
	}
	c.read = x.next
	return nil
}

// peekMagic returns what a file begins with.
func peekMagic(r *bufio.Reader) (uint32, error) {
	start, err := r.Peek(4)
	if err != nil {
		return 0, errors.New("not a capture: too short")
	}
	return binary.LittleEndian.Uint32(start), nil
}

func isEthernet(t layers.LinkType) error {
	if t == layers.LinkTypeEthernet {
		return nil
	}
	return fmt.Errorf("frames are %s (link type %d), want Ethernet: capture on the access interface itself, not on \"any\"", t, t)
}

// startBlocks begins to read a pcapng file.
func (c *capture) startBlocks(buffered *bufio.Reader) (err error) {
	defer malformed(&err)
	r, err := pcapgo.NewNgReader(&blocks{r: buffered}, pcapgo.NgReaderOptions{SkipUnknownVersion: true})
	if err != nil {
		return fmt.Errorf("not a capture: %w", err)
	}
	if err := isEthernet(r.LinkType()); err != nil {
		return err
	}
	c.read = func() (data []byte, info gopacket.CaptureInfo, err error) {
		defer malformed(&err)
		return r.ReadPacketData()
	}
	c.iface = func(index int) string {
		i, err := r.Interface(index)
		if err != nil {
			return ""
		}
		return i.Name
	}
	c.many = func() bool { return r.NInterfaces() > 1 }
	c.names = func() (names []string) {
		for i := range r.NInterfaces() {
			names = append(names, c.iface(i))
		}
		return names
	}
	return nil
}

// malformed turns a panic of pcapng's reader, which trusts the options of
// interfaces and statistics, into an error.
func malformed(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("malformed block: %v", p)
	}
}

// next returns the next packet, whose data is overwritten by the one after. It
// returns io.EOF at the end, also at the end of a capture that was cut off while
// it was written.
func (c *capture) next() (data []byte, length int, at time.Time, iface string, err error) {
	if c.many == nil { // on the way of every packet of most files
		data, info, err := c.read()
		if err != nil {
			return nil, 0, at, "", c.end(err)
		}
		return data, info.Length, info.Timestamp.UTC(), "", nil
	}
	var p packet
	if !c.many() {
		p, err = c.asWritten()
		if err != nil || !c.many() {
			return p.data, p.length, p.at, p.iface, err
		}
		c.order.add(p) // the file told of another interface just before it
	}
	p, err = c.order.next(c.asWritten)
	return p.data, p.length, p.at, p.iface, err
}

// asWritten returns the next packet in the order of the file.
func (c *capture) asWritten() (packet, error) {
	data, info, err := c.read()
	if err != nil {
		return packet{}, c.end(err)
	}
	return packet{data, info.Length, info.Timestamp.UTC(), c.iface(info.InterfaceIndex)}, nil
}

// end is what an error of the reader means: io.EOF at the end of the file.
func (c *capture) end(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		c.cutOff = true
		return io.EOF
	}
	if errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("read capture: %w", err)
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
	c.cutOff, c.order = false, order{}
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
