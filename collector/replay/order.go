package replay

import (
	"bytes"
	"container/heap"
	"time"
)

// maxWaitingBytes bounds what waits to be put in order.
const maxWaitingBytes = 64 << 20

// packet is one packet of a capture.
type packet struct {
	data   []byte
	length int // on the wire
	at     time.Time
	iface  string // "" if unknown
}

// order puts packets in order that are at most maxBackwards late: a capture of
// several interfaces is written by as many threads. Packets of one time keep the
// order that they have.
type order struct {
	waiting packets
	bytes   int
	newest  time.Time
	count   int
	err     error // what follows the packets that wait
}

// next returns the earliest of the packets that read returns.
func (o *order) next(read func() (packet, error)) (packet, error) {
	for o.err == nil && (len(o.waiting) == 0 || o.newest.Sub(o.waiting[0].at) <= maxBackwards && o.bytes < maxWaitingBytes) {
		p, err := read()
		if err != nil {
			o.err = err
			break
		}
		o.add(p)
	}
	if len(o.waiting) == 0 {
		return packet{}, o.err
	}
	first := heap.Pop(&o.waiting).(numbered).packet
	o.bytes -= len(first.data)
	return first, nil
}

// add has a packet wait. Its data is copied.
func (o *order) add(p packet) {
	p.data = bytes.Clone(p.data)
	o.count++
	heap.Push(&o.waiting, numbered{p, o.count})
	o.bytes += len(p.data)
	if p.at.After(o.newest) {
		o.newest = p.at
	}
}

// numbered is a packet and its place in the capture.
type numbered struct {
	packet
	number int
}

// packets is a heap by time.
type packets []numbered

func (p packets) Len() int { return len(p) }
func (p packets) Less(i, j int) bool {
	if c := p[i].at.Compare(p[j].at); c != 0 {
		return c < 0
	}
	return p[i].number < p[j].number
}
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)   { *p = append(*p, x.(numbered)) }
func (p *packets) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	(*p)[last] = numbered{}
	*p = (*p)[:last]
	return x
}
