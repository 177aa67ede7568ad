package datapath

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Interface is one that faces the access network.
type Interface struct {
	Name string
	// Index is found by Name if it is 0.
	Index int
	// VLANScoped makes the two outermost VLAN ids part of the key: for a port where
	// one address is used in several VLANs.
	VLANScoped bool
}

// ErrInterface means an interface that cannot be counted at.
var ErrInterface = errors.New("interface cannot be counted at")

// resolve finds the interfaces and refuses those where frames would be counted
// twice or could not be read.
func resolve(wanted []Interface) ([]Interface, error) {
	var found []Interface
	var links []netlink.Link
	for _, i := range wanted {
		var l netlink.Link
		var err error
		if i.Index != 0 {
			l, err = netlink.LinkByIndex(i.Index)
		} else {
			l, err = netlink.LinkByName(i.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w: %w", i.Name, ErrInterface, err)
		}
		i.Index, i.Name = l.Attrs().Index, l.Attrs().Name
		found, links = append(found, i), append(links, l)
	}
	return found, overlap(links)
}

// overlap refuses interfaces without Ethernet frames, and pairs through which one
// frame passes twice: a device and the one it lies on, or a port and its bridge or bond.
func overlap(links []netlink.Link) error {
	for i, l := range links {
		a := l.Attrs()
		if a.EncapType != "ether" {
			return fmt.Errorf("interface %s: %w: %s frames, not Ethernet", a.Name, ErrInterface, a.EncapType)
		}
		for _, m := range links[:i] {
			b := m.Attrs()
			if a.Index == b.Index {
				return fmt.Errorf("interface %s: %w: configured twice", a.Name, ErrInterface)
			}
			// The far end of a veth pair is a parent too, often in another namespace.
			if lies(l, b) || lies(m, a) || a.MasterIndex == b.Index || b.MasterIndex == a.Index {
				return fmt.Errorf("interfaces %s and %s: %w: one carries the frames of the other, they would count twice",
					b.Name, a.Name, ErrInterface)
			}
		}
	}
	return nil
}

func lies(upper netlink.Link, lower *netlink.LinkAttrs) bool {
	a := upper.Attrs()
	return upper.Type() != "veth" && a.NetNsID < 0 && a.ParentIndex == lower.Index
}

// CheckInterfaces returns the error that Open would return for the interfaces, or
// nil. It attaches nothing.
func CheckInterfaces(wanted []Interface) error {
	_, err := resolve(wanted)
	return err
}
