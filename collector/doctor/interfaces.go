package doctor

import (
	"context"
	"net"
	"strings"

	"github.com/vishvananda/netlink"

	"griffier/collector/datapath"
)

func checkInterfaces(_ context.Context, s *system) Finding {
	if len(s.config.Interfaces) == 0 {
		return noInterfaces
	}
	var wanted []datapath.Interface
	var down, idle []string
	for _, i := range s.config.Interfaces {
		wanted = append(wanted, datapath.Interface{Name: i.Name, VLANScoped: i.VLANScoped})
		l, err := netlink.LinkByName(i.Name)
		if err != nil {
			return Finding{Status: Fail, Found: "interface " + i.Name + " is not there", Cause: err.Error(),
				Cure: "correct interfaces; those that are there: " + strings.Join(interfaceNames(), ", ")}
		}
		switch a := l.Attrs(); {
		case a.Flags&net.FlagUp == 0:
			down = append(down, i.Name)
		case a.OperState == netlink.OperDown || a.OperState == netlink.OperLowerLayerDown:
			idle = append(idle, i.Name)
		}
	}
	if err := datapath.CheckInterfaces(wanted); err != nil {
		return Finding{Status: Fail, Found: "interfaces cannot be counted at as configured", Cause: err.Error(),
			Cure: "keep one of the two, or the one that carries Ethernet frames"}
	}
	switch {
	case len(down) > 0:
		return Finding{Status: Fail, Found: "down: " + strings.Join(down, ", "), Cause: "an interface that is down moves nothing",
			Cure: "ip link set " + down[0] + " up"}
	case len(idle) > 0:
		return Finding{Status: Warn, Found: "no carrier: " + strings.Join(idle, ", "), Cause: "the far end is down or the cable is out",
			Cure: "look at the port and its peer: ip -s link show " + idle[0]}
	}
	return pass("%d up, and none carries another's frames", len(wanted))
}

func interfaceNames() (names []string) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil
	}
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}
