package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"griffier/collector/binding"
	"griffier/collector/lease"
	"griffier/collector/radius"
	"griffier/schema"
)

// maxSecretBytes bounds a secret file.
const maxSecretBytes = 4096

// RADIUSClients reads the clients' secrets from their files. Errors name the
// file and never what is in it.
func (c Config) RADIUSClients() ([]radius.Client, error) {
	clients := make([]radius.Client, 0, len(c.RADIUS.Clients))
	for _, x := range c.RADIUS.Clients {
		client := radius.Client{Prefix: x.Prefix.Prefix, Name: x.Name, NAS: x.NAS, Certificate: x.Certificate}
		if x.Certificate == "" {
			var err error
			if client.Secret, err = readSecret(x.SecretFile); err != nil {
				return nil, err
			}
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// RadSec reads certificate, key and authorities; nil if there is no RadSec.
func (c Config) RadSec() (*radius.RadSec, error) {
	s := c.RADIUS.RadSec
	if s.Listen == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("radius.radsec: %w", err)
	}
	text, err := os.ReadFile(s.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("radius.radsec: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("radius.radsec: %s: no certificate in it", s.ClientCAFile)
	}
	return &radius.RadSec{Listen: s.Listen, Certificate: certificate, ClientCAs: pool}, nil
}

// Where returns how to open the store. A server is shown the collector's own
// certificate, if it asks for one and there is one: for each new connection the
// one of that moment.
func (c Config) Where() (schema.Config, error) {
	if c.Store.DSNFile == "" {
		return schema.Config{Socket: c.Store.Socket}, nil
	}
	dsn, err := readSecret(c.Store.DSNFile)
	if err != nil {
		return schema.Config{}, err
	}
	return schema.Config{DSN: string(dsn), CAFile: c.Store.CAFile, ClientCertificate: c.Identity().ClientCertificate}, nil
}

// Static returns the static lines in the binding's terms.
func (c Config) Static() []binding.StaticLine {
	out := make([]binding.StaticLine, 0, len(c.StaticLines))
	for _, x := range c.StaticLines {
		l := binding.StaticLine{Identifier: x.Identifier.Identifier, Scope: x.Scope, ValidFrom: x.ValidFrom.Time, ValidTo: x.ValidTo.Time}
		for _, p := range x.Prefixes {
			l.Prefixes = append(l.Prefixes, p.Prefix)
		}
		out = append(out, l)
	}
	return out
}

// Own returns the provider's own prefixes and its resellers'.
func (c Config) Own() (out []binding.Range) {
	for _, r := range c.Ranges {
		out = append(out, binding.Range{Prefix: r.Prefix.Prefix, Provider: r.Provider, ValidFrom: r.ValidFrom.Time, ValidTo: r.ValidTo.Time})
	}
	return out
}

// Leases returns how to follow DHCPv4.
func (c Config) Leases() lease.Config {
	scoped := map[string]bool{}
	for _, i := range c.Interfaces {
		scoped[i.Name] = i.VLANScoped
	}
	out := lease.Config{
		VLANScoped:      func(iface string) bool { return scoped[iface] },
		IgnoreCircuitID: c.DHCP.IgnoreCircuitID,
		SubscriberID:    c.DHCP.SubscriberID,
	}
	for _, p := range c.DHCP.Servers {
		out.Servers = append(out.Servers, p.Prefix)
	}
	return out
}

// readSecret reads one line; the newline is no part of the secret.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	if info.Size() > maxSecretBytes {
		return nil, fmt.Errorf("secret: %s: larger than %d bytes", path, maxSecretBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 {
		return nil, fmt.Errorf("secret: %s: is empty", path)
	}
	return text, nil
}
