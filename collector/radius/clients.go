package radius

import (
	"fmt"
	"net/netip"
	"slices"
)

// Client is a NAS, or a network of them, that may send accounting.
type Client struct {
	Prefix netip.Prefix // source addresses; the longest match counts
	Secret []byte       // shared secret; of no use with Certificate
	Name   string       // for the operator
	// NAS are the names that the client may go by: NAS-Identifier, or the address
	// where there is none. Empty means any. With names, one NAS cannot speak of
	// another's sessions, nor end them.
	NAS []string
	// Certificate, if not empty, is a DNS name, URI or common name in the
	// certificate of a client that sends over TLS, and over TLS only.
	Certificate string
}

// mayBe says whether the client may go by the name of a NAS.
func (c Client) mayBe(nas string) bool { return len(c.NAS) == 0 || slices.Contains(c.NAS, nas) }

func validateClients(clients []Client) error {
	for i, c := range clients {
		if !c.Prefix.IsValid() {
			return fmt.Errorf("radius: client %d: no prefix", i)
		}
		if len(c.Secret) == 0 && c.Certificate == "" {
			return fmt.Errorf("radius: client %d: empty secret", i)
		}
	}
	return nil
}

// SetClients replaces the clients and their secrets, from the next datagram on.
// On an error nothing changes. It is safe to call while serving.
func (s *Server) SetClients(clients []Client) error {
	if err := validateClients(clients); err != nil {
		return err
	}
	s.setClients(clients)
	return nil
}

func (s *Server) setClients(clients []Client) {
	sorted := slices.Clone(clients)
	slices.SortStableFunc(sorted, func(a, b Client) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	s.clients.Store(&sorted)
}
