package datapath

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"griffier/bpf"
)

// Key is what a line is known by on the wire.
type Key struct {
	// Prefix is an IPv6 prefix, or an IPv4 prefix of /24 or longer.
	Prefix netip.Prefix
	// Scope is 0, or outer VLAN id << 16 | inner VLAN id at a scoped interface.
	Scope uint32
}

// Config says what to count where. The zero value of a field is its default.
type Config struct {
	// Interfaces are those that face the access network, in the network namespace
	// of the thread that calls Open.
	Interfaces []Interface
	// PinDir is a directory of this collector alone on a BPF file system, or "" to
	// keep nothing beyond the process.
	PinDir string
	// MaxSlots is how many lines can be counted at once. Default 131072.
	MaxSlots uint32
	// MaxKeys, MaxLongKeys and CounterStripes are for lines with many addresses, and
	// for machines with many CPUs: see bpf.Options.
	MaxKeys, MaxLongKeys uint32
	CounterStripes       int
	// DelegatedLengths are IPv6 prefix lengths to look up from the start. Default
	// none: Assign adds each length when it is first used, up to 8 in all, and each
	// costs a packet of a shorter one another look-up.
	DelegatedLengths []int
	// Hook is how the programs are attached. Default bpf.HookAuto; see there for what
	// is weaker without TCX.
	Hook bpf.Hook
	// Punt selects the control frames that Punts delivers. Default bpf.PuntDHCPv4.
	Punt bpf.PuntFlags
}

// ErrPrefix means a prefix that cannot be counted by.
var ErrPrefix = errors.New("prefix cannot be counted by: IPv4 needs /24 to /32, IPv6 /1 to /128")

// ErrOwner means the zero owner, which is nobody.
var ErrOwner = errors.New("owner is zero")

// shortestIPv4 bounds how many addresses one assignment can stand for.
const shortestIPv4 = 24

// Reconciled is what Open found out of order in pinned maps and put right.
type Reconciled struct {
	Resumed      int // slots that go on counting for their owner
	Retired      int // slots whose owner had lost its last key, or never got one
	StrayKeys    int // keys that led to no held slot; removed, and attributed to nobody
	Regressed    int // slots whose counters were not those of the note; they start anew
	StaleLinks   int // links on interfaces that are no longer configured; removed
	NewCounters  bool
	LengthsAdded int // IPv6 prefix lengths that keys use beyond those configured
}

// Datapath counts. Its methods may be called from several goroutines.
type Datapath struct {
	acct       *bpf.Accounting
	cfg        Config
	bootID     string
	epoch      [16]byte
	reconciled Reconciled
	names      map[int]string // by interface index

	mu      sync.Mutex
	table   *table
	raw     []bpf.Counters // reused by Drain
	refused uint64

	punts   *punter
	compare *comparison
	closing sync.Once
	closed  error
}

// Open loads the kernel programs and attaches them, or takes over those that an
// earlier process pinned and goes on with its slots. now is the wall clock.
//
// Errors: bpf.ErrKernelTooOld, bpf.ErrNotPermitted, bpf.ErrNotBPFFS,
// bpf.ErrPinnedIncompatible, bpf.ErrPinnedInUse, ErrInterface, or the kernel's own.
// Close it.
func Open(cfg Config, now func() time.Time) (*Datapath, error) {
	interfaces, err := resolve(cfg.Interfaces)
	if err != nil {
		return nil, fmt.Errorf("open datapath: %w", err)
	}
	acct, err := bpf.Load(bpf.Options{
		MaxSlots: cfg.MaxSlots, PinDir: cfg.PinDir, DelegatedLengths: cfg.DelegatedLengths,
		Punt: cfg.Punt, Hook: cfg.Hook, MaxKeys: cfg.MaxKeys, MaxLongKeys: cfg.MaxLongKeys, CounterStripes: cfg.CounterStripes,
	})
	if err != nil {
		return nil, fmt.Errorf("open datapath: %w", err)
	}
	d, err := newDatapath(acct, cfg)
	if err != nil {
		_ = acct.Close()
		return nil, fmt.Errorf("open datapath: %w", err)
	}
	if err := d.start(interfaces, now); err != nil {
		if d.compare != nil {
			_ = d.compare.stats.close()
		}
		_ = acct.Close()
		return nil, fmt.Errorf("open datapath: %w", err)
	}
	return d, nil
}

func newDatapath(acct *bpf.Accounting, cfg Config) (*Datapath, error) {
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("boot id: %w", err)
	}
	return &Datapath{
		acct: acct, cfg: cfg, bootID: strings.TrimSpace(string(bootID)), names: map[int]string{},
		raw: make([]bpf.Counters, acct.MaxSlots()+1),
	}, nil
}

func (d *Datapath) start(interfaces []Interface, now func() time.Time) error {
	if err := d.resume(); err != nil {
		return err
	}
	for _, i := range interfaces {
		if err := d.acct.Attach(i.Index, i.VLANScoped); err != nil {
			return fmt.Errorf("interface %s: %w", i.Name, err)
		}
		d.names[i.Index] = i.Name
	}
	stale, err := d.acct.DetachStale()
	if err != nil {
		return err
	}
	d.reconciled.StaleLinks = stale
	if d.compare, err = newComparison(d.acct, interfaces); err != nil {
		return err
	}
	d.punts, err = newPunter(d.acct, d.names, now)
	return err
}

// resume brings the table in line with the kernel before any of this process's
// programs runs.
func (d *Datapath) resume() error {
	notes := make([]bpf.Owner, d.acct.MaxSlots()+1)
	if err := d.acct.ReadOwners(notes); err != nil {
		return err
	}
	keys, err := d.acct.Keys()
	if err != nil {
		return err
	}
	_, stray, _ := resume(notes, keys, d.raw)
	for _, k := range stray {
		if err := d.acct.Delete(k); err != nil {
			return err
		}
	}
	if len(stray) > 0 {
		// Only after this is what they have counted complete.
		if err := d.acct.Settle(); err != nil {
			return err
		}
	}
	if err := d.acct.ReadCounters(d.raw); err != nil {
		return err
	}
	var regressed []uint32
	d.table, _, regressed = resume(notes, keys, d.raw)
	changed := regressed
	for n := range d.table.retired {
		if notes[n].State != stateRetired {
			d.reconciled.Retired++
			changed = append(changed, n)
		}
	}
	for _, n := range changed {
		if err := d.acct.WriteOwner(n, d.table.slots[n].note()); err != nil {
			return err
		}
	}
	d.reconciled.Regressed = len(regressed)
	d.reconciled.Resumed, d.reconciled.StrayKeys = len(d.table.byOwner), len(stray)
	for k := range d.table.keys {
		added, err := d.needLength(k.Prefix)
		if err != nil {
			return err
		}
		if added {
			d.reconciled.LengthsAdded++
		}
	}
	// Slot 0 belongs to nobody, so its note can name the set of counters.
	d.epoch = notes[0].Ref
	if d.epoch == ([16]byte{}) {
		d.reconciled.NewCounters = true
		_, _ = rand.Read(d.epoch[:]) // never fails (crypto/rand)
		return d.acct.WriteOwner(0, bpf.Owner{Ref: d.epoch})
	}
	return nil
}

// Reconciled tells what Open found.
func (d *Datapath) Reconciled() Reconciled { return d.reconciled }

// Assign makes the traffic of key count for owner, in one step if it counted for
// another before. All keys of an owner share its slot. Assigning again what is
// assigned changes nothing. Errors: ErrPrefix, ErrOwner, ErrNoSlot,
// bpf.ErrKeysFull, bpf.ErrLengths, or the kernel's own; then nothing was assigned.
func (d *Datapath) Assign(key Key, owner [16]byte) (slot uint32, err error) {
	keys, err := expand(key)
	if err != nil {
		return 0, fmt.Errorf("assign: %w", err)
	}
	if owner == ([16]byte{}) {
		return 0, fmt.Errorf("assign: %w", ErrOwner)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.assign(keys, owner)
	if err != nil {
		d.refused++
		return 0, fmt.Errorf("assign: %w", err)
	}
	return n, nil
}

func (d *Datapath) assign(keys []bpf.Key, owner [16]byte) (uint32, error) {
	if _, err := d.needLength(keys[0].Prefix); err != nil {
		return 0, err
	}
	n, held, err := d.table.pick(owner)
	if err != nil {
		return 0, err
	}
	if !held {
		if err := d.acct.WriteOwner(n, d.table.proposed(n, owner)); err != nil {
			return 0, err
		}
		d.table.hold(n, owner)
	}
	var bound []bpf.Key
	for _, k := range keys {
		if d.table.keys[k] == n {
			continue
		}
		if err = d.acct.Put(k, n); err != nil {
			break
		}
		bound = append(bound, k)
		if emptied := d.table.bind(k, n); emptied != 0 {
			if err = d.retire(emptied); err != nil {
				break
			}
		}
	}
	if err == nil {
		return n, nil
	}
	for _, k := range bound {
		err = errors.Join(err, d.unassign(k))
	}
	if d.table.slots[n].keys == 0 && d.table.slots[n].state == stateHeld {
		err = errors.Join(err, d.retire(n))
	}
	return 0, err
}

// Unassign makes the traffic of key unattributed. When it was its owner's last key,
// the owner's final reading is in the next report. Unassigning what is not assigned
// is no error.
func (d *Datapath) Unassign(key Key) error {
	keys, err := expand(key)
	if err != nil {
		return fmt.Errorf("unassign: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range keys {
		if err := d.unassign(k); err != nil {
			return fmt.Errorf("unassign: %w", err)
		}
	}
	return nil
}

func (d *Datapath) unassign(k bpf.Key) error {
	if _, ok := d.table.keys[k]; !ok {
		return nil
	}
	if err := d.acct.Delete(k); err != nil {
		return err
	}
	if emptied := d.table.unbind(k); emptied != 0 {
		return d.retire(emptied)
	}
	return nil
}

func (d *Datapath) retire(n uint32) error {
	d.table.retire(n)
	return d.acct.WriteOwner(n, d.table.slots[n].note())
}

// needLength makes sure that the kernel looks up prefixes of this length.
func (d *Datapath) needLength(p netip.Prefix) (added bool, err error) {
	if p.Addr().Is4() {
		return false, nil
	}
	lengths := d.acct.DelegatedLengths()
	for _, bits := range lengths {
		if bits == p.Bits() {
			return false, nil
		}
	}
	return true, d.acct.SetDelegatedLengths(append(lengths, p.Bits()))
}

// expand returns the kernel's keys for a key: an IPv4 prefix stands for its addresses.
func expand(key Key) ([]bpf.Key, error) {
	p := key.Prefix
	if !p.IsValid() || p.Bits() == 0 || p.Addr().Is4In6() || p.Addr().Zone() != "" {
		return nil, ErrPrefix
	}
	p = p.Masked()
	if p.Addr().Is6() {
		return []bpf.Key{{Prefix: p, Scope: key.Scope}}, nil
	}
	if p.Bits() < shortestIPv4 {
		return nil, ErrPrefix
	}
	var keys []bpf.Key
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		keys = append(keys, bpf.Key{Prefix: netip.PrefixFrom(a, 32), Scope: key.Scope})
	}
	return keys, nil
}

// Close ends the process's part. With a PinDir the kernel goes on counting for the
// same owners; without one, all is gone. Closing again does nothing.
func (d *Datapath) Close() error {
	d.closing.Do(func() { d.closed = errors.Join(d.punts.close(), d.compare.stats.close(), d.acct.Close()) })
	return d.closed
}

// Detach takes the programs off the interfaces, removes everything pinned, and
// closes. What was counted since the last Drain is lost.
func (d *Datapath) Detach() error {
	err := d.Close()
	if d.cfg.PinDir != "" {
		err = errors.Join(err, bpf.RemovePins(d.cfg.PinDir))
	}
	return err
}
