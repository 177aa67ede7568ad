package replay

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"time"

	"griffier/collector/binding"
	"griffier/collector/lease"
	"griffier/collector/radius"
	"griffier/schema"
)

// Options say how to replay a capture. Path, CollectorID and Pseudonymiser are
// required.
type Options struct {
	Path          string
	CollectorID   string
	Pseudonymiser *schema.Pseudonymiser
	// Interface is what the capture's interface is called in identifiers. Default
	// "capture". All the interfaces of a capture are taken for this one, unless it
	// names one of Access: then each of those goes by its own name and the others
	// face other networks, which may tell of RADIUS but of nothing else.
	Interface   string
	Access      []string
	VLANScoped  func(iface string) bool // default never
	Leases      lease.Config
	Clients     []radius.Client // none: secrets are not checked
	RADIUSPort  uint16          // default 1813
	StaticLines []binding.StaticLine
	Ranges      []binding.Range // the provider's own prefixes and its resellers'; none: not checked
	// EndsAt, if set, shifts every time so that the last packet is at EndsAt.
	EndsAt         time.Time
	ReemitInterval time.Duration
	// Progress is called now and then with how many packets have been read, and how
	// many bytes of the file, of all.
	Progress func(packets int, read, size int64)
}

// bootID stands in coverage rows for the boot that a capture does not tell.
const bootID = "replay"

// maxBackwards is how much earlier a packet may be than the one before, as of
// network cards that have several queues. It counts as of then, so that a record
// is wrong by as much.
const maxBackwards = time.Second

// Run replays a capture and hands the records over in order, a few at a time.
// Everything follows from the file, the options and the key: the same gives the
// same. What still lives at the end is emitted as open, up to the last packet.
func Run(ctx context.Context, o Options, emit func([]schema.Record) error) (Summary, error) {
	o.Interface = cmp.Or(o.Interface, "capture")
	o.RADIUSPort = cmp.Or(o.RADIUSPort, 1813)
	if o.VLANScoped == nil {
		o.VLANScoped = func(string) bool { return false }
	}
	o.Leases.VLANScoped = o.VLANScoped
	c, err := openCapture(o.Path)
	if err != nil {
		return Summary{}, err
	}
	defer c.close()
	first, last, err := c.ends(!o.EndsAt.IsZero())
	if err != nil {
		return Summary{}, err
	}
	r := &run{
		options: o,
		emit:    emit,
		binding: binding.New(binding.Config{
			CollectorID: o.CollectorID, Pseudonymiser: o.Pseudonymiser, ReemitInterval: o.ReemitInterval, Ranges: o.Ranges,
			WithoutDeltas: true, ReemitSlice: math.MaxInt, // nothing waits for a tick
		}),
		counter: newCounter(o.Pseudonymiser, o.CollectorID),
		leases:  lease.NewFollower(o.Leases),
		radius:  radius.NewTracker(radius.TrackerConfig{}),
		clock:   binding.Clock{BootID: bootID},
		summary: Summary{
			Classes: map[string]int{}, Control: map[string]int{}, RADIUS: map[string]int{}, Records: map[schema.Kind]int{},
		},
	}
	if !o.EndsAt.IsZero() {
		r.shift = o.EndsAt.Sub(last)
	}
	r.summary.First = first.Add(r.shift)
	err = r.all(ctx, c)
	r.summary.Ignored, r.summary.Refused = r.binding.Ignored(), r.counter.refused
	r.summary.Last = r.now
	return r.summary, err
}

type run struct {
	options Options
	emit    func([]schema.Record) error
	binding *binding.Binding
	counter *counter
	leases  *lease.Follower
	radius  *radius.Tracker
	clock   binding.Clock
	shift   time.Duration
	now     time.Time
	drained time.Time // end of the last bucket that was read
	next    time.Time // when time passing next has an effect
	scoped  bool      // whether the last packet's interface is, which is asked once
	iface   string    // its name
	summary Summary
}

func (r *run) all(ctx context.Context, c *capture) error {
	first := r.summary.First
	r.scoped, r.iface = r.options.VLANScoped(r.options.Interface), r.options.Interface
	r.now, r.drained = first, first.Truncate(schema.BucketLength)
	if err := r.perform(r.binding.Started(first, r.clock)); err != nil {
		return err
	}
	for _, o := range binding.Static(r.options.StaticLines, nil, first) {
		if err := r.perform(r.binding.Apply(first, o)); err != nil {
			return err
		}
	}
	var f frame
	for {
		data, length, at, iface, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		r.summary.Packets++
		if r.summary.Packets&0x3fff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.options.Progress != nil {
				read, size := c.progress()
				r.options.Progress(r.summary.Packets, read, size)
			}
		}
		if err := r.advance(at.Add(r.shift)); err != nil {
			return err
		}
		place, access := r.options.Interface, true
		if iface != "" {
			place, access = r.place(c, iface)
		}
		if err := r.packet(&f, data, length, place, access); err != nil {
			return err
		}
	}
	r.summary.CutOff = c.cutOff
	if err := r.perform(r.binding.Usage(r.now, r.counter.readings(), true)); err != nil {
		return err
	}
	return r.perform(r.binding.Stopped(r.now, r.clock))
}

// place returns what identifiers call an interface of the capture that has a name,
// and whether it faces the access network. One without is the only one: a pcap file's.
func (r *run) place(c *capture, name string) (iface string, access bool) {
	if slices.Contains(r.options.Access, name) {
		return name, true
	}
	names := c.names()
	for _, other := range names {
		if slices.Contains(r.options.Access, other) {
			return name, false
		}
	}
	if len(names) > 1 {
		r.summary.Together = len(names)
	}
	return r.options.Interface, true
}

// advance lets time pass up to at: counters are read at the end of every bucket,
// and leases lapse. Time never goes back; a packet that is a little earlier counts as
// of now.
func (r *run) advance(at time.Time) error {
	if back := r.now.Sub(at); back > maxBackwards {
		return fmt.Errorf("replay: packet %d is %v earlier than one before it: put them in order first, with reordercap", r.summary.Packets, back)
	} else if back > 0 {
		r.summary.Backwards++
		return nil
	}
	if at.Before(r.next) {
		r.now = at
		return nil
	}
	for end := r.drained.Add(schema.BucketLength); !end.After(at); end = end.Add(schema.BucketLength) {
		r.now, r.drained = end, end
		if err := r.perform(r.binding.Tick(end, r.clock)); err != nil {
			return err
		}
		if err := r.perform(r.binding.Usage(end, r.counter.readings(), false)); err != nil {
			return err
		}
	}
	r.now = at
	return r.perform(r.binding.Tick(at, r.clock))
}

// packet counts a packet and takes in what it says of who holds what.
func (r *run) packet(f *frame, data []byte, length int, iface string, access bool) error {
	reason := f.read(data, length)
	if !access {
		r.summary.Elsewhere++
		return r.datagram(f, data, length, iface, false)
	}
	if reason != "" {
		r.summary.Classes[reason]++
		if f.pppoe {
			r.cut(data, length)
			return r.control(data, iface)
		}
		return nil
	}
	if iface != r.iface {
		r.scoped, r.iface = r.options.VLANScoped(iface), iface
	}
	if r.counter.add(f, r.scoped) {
		r.summary.Counted++
	} else {
		r.summary.Unattributed++
	}
	if len(f.udp) < 8 {
		return nil
	}
	return r.datagram(f, data, length, iface, true)
}

// datagram takes in what a UDP datagram says, if that is what the frame holds.
func (r *run) datagram(f *frame, data []byte, length int, iface string, access bool) error {
	if len(f.udp) < 8 {
		return nil
	}
	source, destination := binary.BigEndian.Uint16(f.udp), binary.BigEndian.Uint16(f.udp[2:])
	switch {
	case isDHCP(source), isDHCP(destination):
		if !access {
			return nil
		}
		r.cut(data, length)
		return r.control(data, iface)
	case destination == r.options.RADIUSPort:
		r.cut(data, length)
		return r.accounting(f)
	}
	return nil
}

// cut counts a packet that is told of here if a part of it was not captured.
func (r *run) cut(data []byte, length int) {
	if len(data) < length {
		r.summary.Cut++
	}
}

// isDHCP says whether a UDP port is one of DHCPv4 or DHCPv6.
func isDHCP(port uint16) bool { return port == 67 || port == 68 || port == 546 || port == 547 }

func (r *run) control(data []byte, iface string) error {
	data = slices.Clone(data) // the next packet takes its place
	result, protocol := r.leases.Apply(lease.Frame{At: r.now, Interface: iface, Data: data})
	r.summary.Control[string(protocol)+" "+cmp.Or(string(result.Reason), "used")]++
	if result.BadRelayInfo {
		r.summary.Control[string(protocol)+" bad_relay_info"]++
	}
	return r.apply(result.Observations)
}

func (r *run) accounting(f *frame) error {
	length := int(binary.BigEndian.Uint16(f.udp[4:]))
	datagram := slices.Clone(f.udp[8:min(max(8, length), len(f.udp))]) // the next packet takes its place
	secret, known := r.secret(f.source)
	if !known {
		r.summary.RADIUS["unknown_client"]++
		return nil
	}
	request, err := radius.Decode(datagram, secret)
	if err != nil {
		reason := "malformed"
		var d *radius.DecodeError
		if errors.As(err, &d) {
			reason = string(d.Reason)
		}
		r.summary.RADIUS[reason]++
		return nil
	}
	if !request.EventAt.IsZero() {
		request.EventAt = request.EventAt.Add(r.shift)
	}
	result := r.radius.Apply(request, f.source, r.now)
	r.summary.RADIUS[cmp.Or(string(result.Reason), "used")]++
	return r.apply(result.Observations)
}

// secret returns the secret of the client at an address. Without any clients
// every address is one, and authenticators are not checked.
func (r *run) secret(a netip.Addr) (secret []byte, known bool) {
	if len(r.options.Clients) == 0 {
		return nil, true
	}
	best := -1
	for _, c := range r.options.Clients {
		if c.Prefix.Contains(a) && c.Prefix.Bits() > best {
			secret, known, best = c.Secret, true, c.Prefix.Bits()
		}
	}
	return secret, known
}

func (r *run) apply(observations []binding.Observation) error {
	for _, o := range observations {
		if err := r.perform(r.binding.Apply(r.now, o)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) perform(e binding.Effects) error {
	for _, c := range e.Unassign {
		r.counter.unassign(c)
	}
	for _, c := range e.Assign {
		r.counter.assign(c)
	}
	r.next = r.binding.NextTick()
	if end := r.drained.Add(schema.BucketLength); end.Before(r.next) {
		r.next = end
	}
	if len(e.Records) == 0 {
		return nil
	}
	for _, x := range e.Records {
		r.summary.Records[x.Kind()]++
	}
	return r.emit(e.Records)
}
