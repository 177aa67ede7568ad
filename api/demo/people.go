package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"google.golang.org/grpc/metadata"

	"griffier/api/auth/demoidp"
	"griffier/api/pki"
)

// cast are the people of the story.
var cast = []demoidp.Person{
	{Subject: "anna", Name: "Anna (customer, DHCP)", Roles: []string{"customer"}, Account: "acc-anna"},
	{Subject: "bea", Name: "Bea (customer, RADIUS)", Roles: []string{"customer"}, Account: "acc-bea"},
	{Subject: "cas", Name: "Cas (customer, QinQ and PPPoE)", Roles: []string{"customer"}, Account: "acc-cas"},
	{Subject: "sam", Name: "Sam (support)", Roles: []string{"support"}},
	{Subject: "olga", Name: "Olga (legal officer)", Roles: []string{"legal_officer"}},
	{Subject: "arjan", Name: "Arjan (legal approver)", Roles: []string{"legal_approver"}},
	{Subject: "dina", Name: "Dina (data protection officer)", Roles: []string{"overseer"}},
	{Subject: "otto", Name: "Otto (operator)", Roles: []string{"operator"}},
	{Subject: "petra", Name: "Petra (privacy controller)", Roles: []string{"privacy_controller"}},
	{Subject: "nina", Name: "Nina (network engineer)", Roles: []string{"network_engineer"}},
}

// provider serves the demo identity provider on loopback until it is closed.
type provider struct {
	*demoidp.Provider
	issuer string
	caFile string
	server *http.Server
}

func startProvider(dir string) (*provider, error) {
	folder := filepath.Join(dir, "idp")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := pki.Init(folder, []string{"127.0.0.1", "localhost"}); err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(folder, "server.pem"), filepath.Join(folder, "server.key"))
	if err != nil {
		return nil, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, err
	}
	p := &provider{issuer: "https://" + listener.Addr().String(), caFile: filepath.Join(folder, "ca.pem")}
	p.Provider, err = demoidp.New(demoidp.Config{Issuer: p.issuer, Audience: "griffier", People: cast})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	p.server = &http.Server{Handler: p.Provider, ReadHeaderTimeout: 5 * time.Second}
	go p.server.Serve(listener) // ends with Close
	return p, nil
}

func (p *provider) Close() error { return p.server.Close() }

// as returns a context that carries a fresh token of a person.
func (p *provider) as(ctx context.Context, who string) (context.Context, error) {
	token, err := p.Token(who, time.Now())
	if err != nil {
		return nil, err
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), nil
}

// homes writes a folder for each person (and one for the provisioning machine)
// that `griffier --home` takes.
func (p *provider) homes(dir, server, tlsDir string) error {
	for _, person := range append(cast, demoidp.Person{Subject: "provisioner"}) {
		home := filepath.Join(dir, "home", person.Subject)
		if err := os.MkdirAll(home, 0o700); err != nil {
			return err
		}
		config := map[string]string{"server": server, "ca_file": filepath.Join(tlsDir, "ca.pem")}
		if person.Subject == "provisioner" {
			config["cert_file"] = filepath.Join(tlsDir, "provisioner.pem")
			config["key_file"] = filepath.Join(tlsDir, "provisioner.key")
		} else {
			config["issuer"], config["issuer_ca_file"] = p.issuer, p.caFile
			token, err := p.Token(person.Subject, time.Now())
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(home, "token"), []byte(token+"\n"), 0o600); err != nil {
				return err
			}
		}
		text, err := yaml.Marshal(config)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(home, "client.yaml"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// freeAddress finds a loopback port that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
