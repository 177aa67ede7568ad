package cgnat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	typeGet  = 1<<8 | 1
	nlError  = 2
	nlDone   = 3
	flagTorn = 0x10 // NLM_F_DUMP_INTR
)

// maxTorn is how often a dump that a change interrupted is begun again.
const maxTorn = 5

// sync brings the table in line with the flows that live. The event socket keeps
// what happens meanwhile; entries carry an identifier, so nothing counts twice.
// Quietly is for one without need: no event was lost.
func (l *Listener) sync(lastSure time.Time, quietly bool) error {
	for range maxTorn {
		l.table.BeginSync()
		whole, err := l.dump()
		if err != nil {
			return err
		}
		if whole {
			l.syncedAt = time.Now()
			if quietly {
				l.table.Reconcile(l.syncedAt)
			} else {
				l.table.EndSync(lastSure)
			}
			return nil
		}
	}
	return errors.New("interrupted too often")
}

// dump feeds every live flow to the table. whole is false if the kernel says
// that the dump is not consistent.
func (l *Listener) dump() (whole bool, err error) {
	request := netlink.Message{
		Header: netlink.Header{Type: typeGet, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, nfHeader), // AF_UNSPEC: IPv4 and IPv6
	}
	if _, err := l.dumps.Send(request); err != nil {
		return false, err
	}
	if err := l.dumps.SetReadDeadline(time.Now().Add(dumpTimeout)); err != nil {
		return false, err
	}
	whole = true
	for {
		n, err := l.await(l.rawDumps)
		if err != nil {
			return false, err
		}
		now := time.Now()
		for datagram := l.buffer[:n]; len(datagram) > 0; {
			message, rest, ok := split(datagram)
			if !ok {
				return false, errors.New("malformed message")
			}
			datagram = rest
			if binary.NativeEndian.Uint16(message[6:])&flagTorn != 0 {
				whole = false
			}
			switch binary.NativeEndian.Uint16(message[4:]) {
			case nlDone:
				return whole, nil
			case nlError:
				return false, refusal(message)
			}
			v := l.filter.Decode(message, &l.event)
			l.verdicts[v]++
			if v == Used {
				l.table.Apply(&l.event, now)
			}
		}
	}
}

// await reads one datagram, waiting for it up to the deadline.
func (l *Listener) await(raw syscall.RawConn) (n int, err error) {
	waited := raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), l.buffer, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	switch {
	case waited != nil:
		return 0, waited
	case err == nil && n > len(l.buffer):
		return 0, fmt.Errorf("datagram of %d bytes", n)
	}
	return n, err
}

func refusal(message []byte) error {
	if len(message) < nlHeader+4 {
		return errors.New("malformed error")
	}
	if errno := int32(binary.NativeEndian.Uint32(message[nlHeader:])); errno != 0 {
		return fmt.Errorf("kernel: %w", syscall.Errno(-errno))
	}
	return errors.New("unexpected acknowledgement")
}
