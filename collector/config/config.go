// Package config reads the collector's configuration: YAML, strict, with every
// default in code. Secrets are never in the file; it names the files they are in.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"griffier/collector/cgnat"
)

// Config is the whole configuration, defaults filled in.
type Config struct {
	// CollectorID names this collector in every record.
	CollectorID string `yaml:"collector_id"`
	// PseudonymKeyFile holds the 64 hexadecimal digits of the pseudonym key.
	PseudonymKeyFile string `yaml:"pseudonym_key_file"`
	// Interfaces face the access network. None: no counting and no DHCP, RADIUS only.
	Interfaces []Interface `yaml:"interfaces"`
	// PinDir is a folder on a BPF file system, where counting goes on without
	// the collector.
	PinDir string `yaml:"pin_dir"`
	// MaxSlots is how many lines can be counted at once.
	MaxSlots uint32 `yaml:"max_slots"`
	// MaxKeys bounds the IPv4 addresses and the IPv6 prefixes up to /64 in use,
	// together; MaxLongKeys the longer IPv6 prefixes. 0: twice max_slots, and max_slots.
	MaxKeys     uint32 `yaml:"max_keys"`
	MaxLongKeys uint32 `yaml:"max_long_keys"`
	// CounterStripes is how many sets of counters the kernel keeps. 0, as any number
	// that is no smaller, stands for one for each CPU. Fewer take 64 bytes a slot less
	// for each, and some nanoseconds a packet more.
	CounterStripes int `yaml:"counter_stripes"`
	// Hook is how programs are attached: auto, tcx or clsact.
	Hook Hook `yaml:"hook"`
	// DrainInterval is how often counters are read; 5m is a multiple of it.
	DrainInterval Duration `yaml:"drain_interval"`
	// FlushInterval is how often usage is stored; 5m is a multiple of it. A host
	// that loses power loses what was counted since.
	FlushInterval Duration `yaml:"flush_interval"`
	// ReemitInterval is how often open slices are stored again, and so how far
	// behind the present an answer can be.
	ReemitInterval Duration     `yaml:"reemit_interval"`
	DHCP           DHCP         `yaml:"dhcp"`
	RADIUS         RADIUS       `yaml:"radius"`
	StaticLines    []StaticLine `yaml:"static_lines"`
	CGNAT          CGNAT        `yaml:"cgnat"`
	Spool          Spool        `yaml:"spool"`
	Store          Store        `yaml:"store"`
	Enrolment      Enrolment    `yaml:"enrolment"`
	// MetricsListen is a loopback address for Prometheus; empty: none.
	MetricsListen string `yaml:"metrics_listen"`
	// LogLevel is debug, info, warn or error.
	LogLevel LogLevel `yaml:"log_level"`
	// Ranges are the provider's own prefixes, and those of them that resellers use.
	// If there are any, only addresses that are the provider's own at the time are
	// recorded, whatever DHCP or RADIUS say; others are counted as ignored.
	Ranges []Range `yaml:"ranges"`
}

// Interface is an access-facing interface.
type Interface struct {
	Name string `yaml:"name"`
	// VLANScoped says that equal addresses in different VLANs are different.
	VLANScoped bool `yaml:"vlan_scoped"`
}

// DHCP says what of DHCP and PPPoE messages to believe.
type DHCP struct {
	// IgnoreCircuitID is for access networks that let clients write option 82, the
	// TR-101 tag of PPPoE or a layer-2 relay's DHCPv6 options.
	IgnoreCircuitID bool `yaml:"ignore_circuit_id"`
	// SubscriberID has the subscriber-id of option 82 or DHCPv6 option 38 name the
	// line before all else, whichever relay tells it. Without it that counts only
	// from an access node that tells neither a circuit-id nor a remote-id.
	SubscriberID bool `yaml:"subscriber_id"`
	// PPPoEEchoes has hosts' LCP echoes copied to the collector, if they carry
	// nothing: a PPPoE session that dies without a word then ends when they are
	// missed for half an hour, inferred. One frame a session at each echo.
	PPPoEEchoes bool `yaml:"pppoe_echoes"`
	// Servers, if any, are the only sources whose DHCPv4 answers count.
	Servers []Prefix `yaml:"servers"`
}

// RADIUS is the accounting server.
type RADIUS struct {
	// Listen is a UDP address such as ":1813"; empty: no RADIUS.
	Listen  string   `yaml:"listen"`
	RadSec  RadSec   `yaml:"radsec"`
	Clients []Client `yaml:"clients"`
	// StaleAfter is after how much silence a session without a Stop counts as
	// ended. It must be longer than interim intervals and, for a NAS that sends no
	// interim updates, than sessions last. 0s: never.
	StaleAfter Duration `yaml:"stale_after"`
}

// RadSec is RADIUS over TLS (RFC 6614), beside UDP.
type RadSec struct {
	// Listen is a TCP address such as ":2083"; empty: no RadSec.
	Listen   string `yaml:"listen"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCAFile issues the certificates of clients.
	ClientCAFile string `yaml:"client_ca_file"`
}

// Client is a NAS or a network of them.
type Client struct {
	Prefix     Prefix `yaml:"prefix"`
	SecretFile string `yaml:"secret_file"`
	Name       string `yaml:"name"`
	// NAS are the NAS-Identifiers, or addresses where there is none, that the
	// client may go by; none: any.
	NAS []string `yaml:"nas"`
	// Certificate is a DNS name, URI or common name in the certificate of a client
	// that sends by RadSec, and so needs no secret.
	Certificate string `yaml:"certificate"`
}

// StaticLine is a line with configured addresses: fixed ones, or a prefix per
// host (RFC 8273) or link (SLAAC) that no protocol tells of.
type StaticLine struct {
	Identifier Identifier `yaml:"identifier"`
	Prefixes   []Prefix   `yaml:"prefixes"`
	Scope      uint32     `yaml:"scope"`
	// ValidFrom and ValidTo are when the line has them, [from, to); empty: from when
	// the collector first reads of it, and until it is no longer configured.
	ValidFrom Time `yaml:"valid_from"`
	ValidTo   Time `yaml:"valid_to"`
}

// Spool is the durable log between network and store.
type Spool struct {
	Dir      string `yaml:"dir"`
	MaxBytes Bytes  `yaml:"max_bytes"`
}

// Store is where records go: the embedded engine's unix socket, or a ClickHouse
// server whose DSN, with its password, is in a file, and whose certificate was
// signed by CAFile (default: whom the host trusts).
type Store struct {
	Socket  string `yaml:"socket"`
	DSNFile string `yaml:"dsn_file"`
	CAFile  string `yaml:"ca_file"`
}

// Range is one of the provider's own prefixes or, with Provider, one that another
// provider uses, during [ValidFrom, ValidTo); empty: no limit. Of nested ranges the
// longest counts.
type Range struct {
	Prefix    Prefix `yaml:"prefix"`
	Provider  string `yaml:"provider"`
	ValidFrom Time   `yaml:"valid_from"`
	ValidTo   Time   `yaml:"valid_to"`
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		PinDir:         "/sys/fs/bpf/griffier",
		MaxSlots:       131072,
		DrainInterval:  Duration(10 * time.Second),
		FlushInterval:  Duration(5 * time.Minute),
		ReemitInterval: Duration(5 * time.Minute),
		CGNAT:          CGNAT{Linger: Duration(cgnat.DefaultLinger), ReadBuffer: cgnat.DefaultReadBuffer, MaxMappings: cgnat.DefaultMaxMappings},
		RADIUS:         RADIUS{StaleAfter: Duration(26 * time.Hour)},
		Spool:          Spool{Dir: "/var/lib/griffier-collector/spool", MaxBytes: 1 << 30},
		Enrolment:      Enrolment{Dir: defaultEnrolmentDir},
		MetricsListen:  "127.0.0.1:9478",
	}
}

// maxFileBytes bounds a configuration file.
const maxFileBytes = 4 << 20

// Read reads and checks the file. Errors are FILE:LINE:COLUMN: what is wrong.
func Read(path string) (Config, error) {
	text, err := readFile(path)
	if err != nil {
		return Config{}, err
	}
	return Parse(path, text)
}

// ReadUnstored is [Read] for a run that stores nothing, and need not say where.
func ReadUnstored(path string) (Config, error) {
	text, err := readFile(path)
	if err != nil {
		return Config{}, err
	}
	return parse(path, text, false)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("config: %s: larger than %d bytes", path, maxFileBytes)
	}
	return text, nil
}

// Parse reads and checks text; name is what errors call it.
func Parse(name string, text []byte) (Config, error) { return parse(name, text, true) }

// parse is Parse; unless rows are stored, it takes a text without a store.
func parse(name string, text []byte, stored bool) (Config, error) {
	c := Default()
	decoder := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField())
	if err := decode(decoder, &c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, located(name, err)
	}
	if err := decode(decoder, new(any)); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%s: more than one YAML document", name)
	}
	if p := c.check(stored); p != nil {
		line, column := place(text, p.path)
		return Config{}, fmt.Errorf("%s:%d:%d: %s: %s", name, line, column, p.path, p.what)
	}
	return c, nil
}

// decode reads one document. The decoder panics at some malformed ones, such as
// an unknown tag where a list should be.
func decode(decoder *yaml.Decoder, into any) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("not YAML that can be read: look for tags (!) and mixed indentation")
		}
	}()
	return decoder.Decode(into)
}

// located gives a decoder's error its place.
func located(name string, err error) error {
	var syntax yaml.Error
	if errors.As(err, &syntax) && syntax.GetToken() != nil && syntax.GetToken().Position != nil {
		at := syntax.GetToken().Position
		return fmt.Errorf("%s:%d:%d: %s", name, at.Line, at.Column, syntax.GetMessage())
	}
	return fmt.Errorf("%s: %w", name, err)
}

// place finds the line and column of a path; the file's start if it is not in it.
func place(text []byte, path string) (line, column int) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return 1, 1
	}
	for path != "" {
		if p, err := yaml.PathString("$." + path); err == nil {
			if node, err := p.FilterFile(file); err == nil && node.GetToken() != nil {
				return position(node)
			}
		}
		// Not there: the nearest thing above it that is.
		cut := 0
		for i, r := range path {
			if r == '.' || r == '[' {
				cut = i
			}
		}
		path = path[:cut]
	}
	return 1, 1
}

func position(node ast.Node) (line, column int) {
	at := node.GetToken().Position
	return at.Line, at.Column
}

// Print writes the effective configuration as YAML, with what follows from other
// keys filled in.
func (c Config) Print(w io.Writer) error {
	if c.MaxKeys == 0 {
		c.MaxKeys = 2 * c.MaxSlots
	}
	if c.MaxLongKeys == 0 {
		c.MaxLongKeys = c.MaxSlots
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("config: print: %w", err)
	}
	_, err = w.Write(text)
	return err
}
