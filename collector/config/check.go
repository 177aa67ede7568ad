package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"griffier/schema"
)

// problem is what is wrong where.
type problem struct{ path, what string }

const (
	maxInterfaces  = 64
	maxClients     = 4096
	maxStaticLines = 100_000
	maxRanges      = 10_000
	minSpoolBytes  = 64 << 20
	maxSlots       = 1 << 24
	maxKeys        = 1 << 26
	maxStripes     = 4096
	// Shorter IPv4 prefixes would take too many entries in the kernel's table.
	shortestIPv4 = 24
)

// check finds the first problem. That the store is not named is one if rows are
// stored.
func (c *Config) check(stored bool) *problem {
	checks := []func() *problem{c.checkNames, c.checkSizes, c.checkIntervals, c.checkInterfaces, c.checkRADIUS, c.checkRanges, c.checkStatic, c.checkCGNAT, c.checkEnrolment, c.checkHost}
	if stored || c.Store != (Store{}) {
		checks = append(checks, c.checkStore)
	}
	for _, check := range checks {
		if p := check(); p != nil {
			return p
		}
	}
	return nil
}

func (c *Config) checkNames() *problem {
	switch {
	case c.CollectorID == "":
		return &problem{"collector_id", "is required: it names this collector in every record"}
	case len(c.CollectorID) > 64 || strings.ContainsAny(c.CollectorID, " \t\n"):
		return &problem{"collector_id", "want at most 64 bytes without spaces"}
	case c.PseudonymKeyFile == "":
		return &problem{"pseudonym_key_file", "is required: make one with `openssl rand -hex 32`"}
	}
	return nil
}

// checkSizes bounds the kernel's tables.
func (c *Config) checkSizes() *problem {
	switch {
	case c.MaxSlots < 1 || c.MaxSlots > maxSlots:
		return &problem{"max_slots", fmt.Sprintf("want 1 to %d", maxSlots)}
	case c.MaxKeys != 0 && c.MaxKeys < c.MaxSlots || c.MaxKeys > maxKeys:
		return &problem{"max_keys", fmt.Sprintf("want max_slots (%d) to %d: every line has at least one", c.MaxSlots, maxKeys)}
	case c.MaxLongKeys > maxKeys:
		return &problem{"max_long_keys", fmt.Sprintf("want at most %d", maxKeys)}
	case c.CounterStripes < 0 || c.CounterStripes > maxStripes:
		return &problem{"counter_stripes", fmt.Sprintf("want 0, for one a CPU, to %d", maxStripes)}
	}
	return nil
}

func (c *Config) checkIntervals() *problem {
	for _, i := range []struct {
		path  string
		value Duration
	}{{"drain_interval", c.DrainInterval}, {"flush_interval", c.FlushInterval}} {
		d := time.Duration(i.value)
		if d < time.Second || d > schema.BucketLength || schema.BucketLength%d != 0 {
			return &problem{i.path, fmt.Sprintf("want at least 1s, and %v a multiple of it", schema.BucketLength)}
		}
	}
	if d := time.Duration(c.ReemitInterval); d < time.Second || d > time.Hour {
		return &problem{"reemit_interval", "want 1s to 1h"}
	}
	return nil
}

func (c *Config) checkInterfaces() *problem {
	if len(c.Interfaces) > maxInterfaces {
		return &problem{"interfaces", fmt.Sprintf("at most %d", maxInterfaces)}
	}
	seen := map[string]bool{}
	for i, x := range c.Interfaces {
		path := fmt.Sprintf("interfaces[%d].name", i)
		switch {
		case x.Name == "" || len(x.Name) > 15:
			return &problem{path, "want the name of an interface"}
		case seen[x.Name]:
			return &problem{path, "is there twice"}
		}
		seen[x.Name] = true
	}
	if len(c.Interfaces) == 0 && c.RADIUS.Listen == "" && !c.CGNAT.Conntrack {
		return &problem{"interfaces", "no interface, no radius.listen and no cgnat.conntrack: there is nothing to collect"}
	}
	return nil
}

func (c *Config) checkRADIUS() *problem {
	if c.RADIUS.Listen != "" && len(c.RADIUS.Clients) == 0 {
		return &problem{"radius.clients", "is required with radius.listen: nobody could send"}
	}
	if s := c.RADIUS.RadSec; s.Listen != "" {
		switch {
		case c.RADIUS.Listen == "":
			return &problem{"radius.radsec.listen", "needs radius.listen too, if only on loopback"}
		case s.CertFile == "" || s.KeyFile == "":
			return &problem{"radius.radsec", "needs cert_file and key_file"}
		case s.ClientCAFile == "":
			return &problem{"radius.radsec", "needs client_ca_file: or else everyone could send"}
		}
	}
	if len(c.RADIUS.Clients) > maxClients {
		return &problem{"radius.clients", fmt.Sprintf("at most %d", maxClients)}
	}
	if d := time.Duration(c.RADIUS.StaleAfter); d != 0 && (d < time.Minute || d > 90*24*time.Hour) {
		return &problem{"radius.stale_after", "want 1m to 2160h, or 0s for never"}
	}
	for i, x := range c.RADIUS.Clients {
		if !x.Prefix.IsValid() {
			return &problem{fmt.Sprintf("radius.clients[%d].prefix", i), "is required"}
		}
		switch path := fmt.Sprintf("radius.clients[%d]", i); {
		case x.SecretFile == "" && x.Certificate == "":
			return &problem{path + ".secret_file", "is required, or certificate for a client by RadSec"}
		case x.SecretFile != "" && x.Certificate != "":
			return &problem{path + ".certificate", "a client sends by UDP, with secret_file, or by RadSec, with certificate: make it two"}
		case x.Certificate != "" && c.RADIUS.RadSec.Listen == "":
			return &problem{path + ".certificate", "nothing listens for it: set radius.radsec.listen"}
		case slices.Contains(x.NAS, ""):
			return &problem{path + ".nas", "an empty name"}
		}
	}
	return nil
}

func (c *Config) checkRanges() *problem {
	if len(c.Ranges) > maxRanges {
		return &problem{"ranges", fmt.Sprintf("at most %d", maxRanges)}
	}
	byPrefix := map[netip.Prefix][]int{}
	for i, r := range c.Ranges {
		if !r.Prefix.IsValid() {
			return &problem{fmt.Sprintf("ranges[%d]", i), "want a prefix"}
		}
		if endsFirst(r.ValidFrom, r.ValidTo) {
			return &problem{fmt.Sprintf("ranges[%d].valid_to", i), "is not after valid_from"}
		}
		for _, j := range byPrefix[r.Prefix.Prefix] {
			o := c.Ranges[j]
			if (r.ValidTo.IsZero() || o.ValidFrom.Before(r.ValidTo.Time)) && (o.ValidTo.IsZero() || r.ValidFrom.Before(o.ValidTo.Time)) {
				return &problem{fmt.Sprintf("ranges[%d]", i), fmt.Sprintf("is valid at the same time as ranges[%d], which is the same prefix", j)}
			}
		}
		byPrefix[r.Prefix.Prefix] = append(byPrefix[r.Prefix.Prefix], i)
	}
	return nil
}

// known reports whether p is in any range; without ranges it always is.
func (c *Config) known(p netip.Prefix) bool {
	return len(c.Ranges) == 0 || slices.ContainsFunc(c.Ranges, func(r Range) bool {
		return r.Prefix.Bits() <= p.Bits() && r.Prefix.Contains(p.Addr())
	})
}

func endsFirst(from, to Time) bool { return !to.IsZero() && !from.Before(to.Time) }

func (c *Config) checkStatic() *problem {
	if len(c.StaticLines) > maxStaticLines {
		return &problem{"static_lines", fmt.Sprintf("at most %d", maxStaticLines)}
	}
	for i, x := range c.StaticLines {
		if x.Identifier.Value == "" {
			return &problem{fmt.Sprintf("static_lines[%d].identifier", i), "is required, as KIND:VALUE"}
		}
		if len(x.Prefixes) == 0 || len(x.Prefixes) > 64 {
			return &problem{fmt.Sprintf("static_lines[%d].prefixes", i), "want 1 to 64 prefixes"}
		}
		if endsFirst(x.ValidFrom, x.ValidTo) {
			return &problem{fmt.Sprintf("static_lines[%d].valid_to", i), "is not after valid_from"}
		}
		for j, p := range x.Prefixes {
			if !c.known(p.Prefix) {
				return &problem{fmt.Sprintf("static_lines[%d].prefixes[%d]", i, j), "is in none of ranges, so that it would not be recorded"}
			}
			if p.Bits() == 0 || p.Addr().Is4() && p.Bits() < shortestIPv4 {
				return &problem{fmt.Sprintf("static_lines[%d].prefixes[%d]", i, j), "too short: IPv4 needs /24 or longer, and no default route"}
			}
		}
	}
	return nil
}

// checkHost is about what the collector has on its own host.
func (c *Config) checkHost() *problem {
	switch {
	case c.Spool.Dir == "":
		return &problem{"spool.dir", "is required"}
	case c.Spool.MaxBytes < minSpoolBytes:
		return &problem{"spool.max_bytes", "want at least 64MiB"}
	}
	if c.MetricsListen == "" {
		return nil
	}
	address, err := netip.ParseAddrPort(c.MetricsListen)
	if err != nil || !address.Addr().IsLoopback() {
		return &problem{"metrics_listen", "want a loopback address and port, such as 127.0.0.1:9478"}
	}
	return nil
}

func (c *Config) checkStore() *problem {
	switch {
	case (c.Store.Socket == "") == (c.Store.DSNFile == ""):
		return &problem{"store", "want either socket or dsn_file"}
	case c.Store.CAFile != "" && c.Store.DSNFile == "":
		return &problem{"store.ca_file", "is about a server, which dsn_file names"}
	}
	return nil
}
