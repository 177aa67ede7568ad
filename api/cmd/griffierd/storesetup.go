package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"griffier/api/daemon"
)

// storeSetup is the command line of -store-setup.
type storeSetup struct {
	wanted          bool
	networks, nodes string
	options         daemon.StoreSetup
}

func (s *storeSetup) flags(f *flag.FlagSet) {
	f.BoolVar(&s.wanted, "store-setup", false, "make schema, users, grants and row policies on the ClickHouse server of the configuration, and stop; again after each upgrade")
	f.StringVar(&s.options.AdminDSN, "store-admin", "", "with -store-setup: file with the DSN of an administrator of the server")
	f.StringVar(&s.networks, "store-networks", "", "with -store-setup: networks that griffierd and collectors connect from, by comma (default: the server's own host)")
	f.StringVar(&s.nodes, "store-nodes", "", "with -store-setup: networks of the cluster's servers, by comma")
	f.StringVar(&s.options.PasswordDir, "store-passwords", "", "with -store-setup: folder with ROLE.password for each role, made where missing (default: users log in by certificate)")
	f.BoolVar(&s.options.Print, "store-print", false, "with -store-setup: print the statements and run none")
}

func (s *storeSetup) run(ctx context.Context, store daemon.StoreConfig, out io.Writer) (err error) {
	if s.options.AdminDSN == "" && !s.options.Print {
		return errors.New("-store-setup needs -store-admin FILE, or -store-print")
	}
	if s.options.Networks, err = prefixes("-store-networks", s.networks); err != nil {
		return err
	}
	if s.options.Nodes, err = prefixes("-store-nodes", s.nodes); err != nil {
		return err
	}
	return s.options.Setup(ctx, store, out)
}

func prefixes(flag, list string) (out []netip.Prefix, err error) {
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: want a network such as 192.0.2.0/24", flag, text)
		}
		out = append(out, p)
	}
	return out, nil
}
