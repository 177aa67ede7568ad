package datapath

import (
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"griffier/bpf"
)

// VLAN is one tag of a frame.
type VLAN struct {
	Proto uint16 // 0x8100, 0x88a8 or 0x9100
	ID    uint16 // 12 bits
}

// PuntFrame is a control frame (DHCP) that passed an access interface.
type PuntFrame struct {
	// At is when it passed, by the wall clock.
	At        time.Time
	Ifindex   int
	Interface string // "" if it is no longer configured
	Direction bpf.Direction
	// VLANs are the frame's tags, outermost first. They are in Frame too.
	VLANs []VLAN
	// Frame is the frame as it was on the wire, from the Ethernet header. It is
	// shorter than Len if it was cut at 1536 bytes.
	Frame []byte
	Len   int
}

// puntQueue is how many frames may wait for the reader of Punts; more wait in the
// kernel's ring, and what that cannot hold is counted as PuntDrops.
const puntQueue = 256

type punter struct {
	reader    *bpf.PuntReader
	frames    chan PuntFrame
	quit      chan struct{}
	done      chan struct{}
	malformed atomic.Uint64
}

func newPunter(acct *bpf.Accounting, names map[int]string, now func() time.Time) (*punter, error) {
	r, err := acct.Punts()
	if err != nil {
		return nil, err
	}
	p := &punter{
		reader: r, frames: make(chan PuntFrame, puntQueue),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	go p.run(names, now)
	return p, nil
}

func (p *punter) run(names map[int]string, now func() time.Time) {
	defer close(p.done)
	defer close(p.frames)
	for {
		raw, err := p.reader.Read()
		if errors.Is(err, bpf.ErrPunt) {
			p.malformed.Add(1)
			continue
		}
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				p.malformed.Add(1)
			}
			return
		}
		f := PuntFrame{
			At: now().Add(-sinceBoot(raw.BootNanos)), Ifindex: int(raw.Ifindex), Interface: names[int(raw.Ifindex)],
			Direction: raw.Direction, VLANs: tags(raw.Frame), Frame: raw.Frame, Len: raw.FrameLen,
		}
		select {
		case p.frames <- f:
		case <-p.quit:
			return
		}
	}
}

func (p *punter) close() error {
	close(p.quit)
	err := p.reader.Close()
	<-p.done
	return err
}

// sinceBoot returns how long ago an instant of CLOCK_BOOTTIME was.
func sinceBoot(nanos uint64) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return max(0, time.Duration(ts.Nano()-int64(nanos)))
}

// tags returns the VLAN tags of a frame, outermost first.
func tags(frame []byte) []VLAN {
	var vlans []VLAN
	for at := 12; at+4 <= len(frame); at += 4 {
		proto := binary.BigEndian.Uint16(frame[at:])
		if proto != 0x8100 && proto != 0x88a8 && proto != 0x9100 {
			break
		}
		vlans = append(vlans, VLAN{proto, binary.BigEndian.Uint16(frame[at+2:]) & 0xfff})
	}
	return vlans
}

// Punts returns the channel of control frames, which Close closes. Frames that
// passed while no process lived come first, with the time at which they passed.
func (d *Datapath) Punts() <-chan PuntFrame { return d.punts.frames }

// PuntsMalformed returns how many records of the ring could not be read.
func (d *Datapath) PuntsMalformed() uint64 { return d.punts.malformed.Load() }
