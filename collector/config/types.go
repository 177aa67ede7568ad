package config

import (
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"griffier/bpf"
	"griffier/schema"
)

// Duration is a time.Duration written as Go writes it: 10s, 5m.
type Duration time.Duration

// UnmarshalYAML reads a duration with its unit.
func (d *Duration) UnmarshalYAML(node ast.Node) error {
	v, err := time.ParseDuration(scalar(node))
	if err != nil {
		return wrong(node, "want a duration with its unit, such as 10s or 5m")
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML writes the duration with its unit.
func (d Duration) MarshalYAML() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Time is an instant, written with its offset: 2026-11-20T00:00:00+01:00 or …Z.
// Empty is none.
type Time struct{ time.Time }

// UnmarshalYAML reads an instant.
func (t *Time) UnmarshalYAML(node ast.Node) error {
	s := scalar(node)
	if s == "" {
		return nil
	}
	v, err := time.Parse(time.RFC3339, s)
	if err != nil || v.Year() < 1970 || v.Year() > 9000 {
		return wrong(node, "want a time with its offset, such as 2026-11-20T00:00:00+01:00 or 2026-11-19T23:00:00Z")
	}
	t.Time = v.UTC()
	return nil
}

// MarshalYAML writes the instant in UTC.
func (t Time) MarshalYAML() ([]byte, error) {
	if t.IsZero() {
		return []byte(`""`), nil
	}
	return []byte(strconv.Quote(t.UTC().Format(time.RFC3339Nano))), nil
}

// Bytes is a size in bytes, written with or without a unit: 4096, 512MiB, 1GiB.
type Bytes int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// UnmarshalYAML reads a size.
func (b *Bytes) UnmarshalYAML(node ast.Node) error {
	s := scalar(node)
	for _, u := range byteUnits {
		if number, ok := strings.CutSuffix(s, u.name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			if err != nil || n < 0 || n > (1<<62)/u.size {
				break
			}
			*b = Bytes(n * u.size)
			return nil
		}
	}
	return wrong(node, "want a size, such as 4096, 64MiB or 1GiB")
}

// MarshalYAML writes the size in the largest unit that holds it exactly.
func (b Bytes) MarshalYAML() ([]byte, error) {
	for _, u := range byteUnits {
		if int64(b)%u.size == 0 && b != 0 {
			return []byte(strconv.FormatInt(int64(b)/u.size, 10) + u.name), nil
		}
	}
	return []byte("0"), nil
}

// Prefix is an IPv4 or IPv6 prefix without host bits; an address alone stands
// for itself.
type Prefix struct{ netip.Prefix }

// UnmarshalYAML reads a prefix.
func (p *Prefix) UnmarshalYAML(node ast.Node) error {
	s := scalar(node)
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		p.Prefix = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return nil
	}
	v, err := netip.ParsePrefix(s)
	if err != nil {
		return wrong(node, "want a prefix such as 192.0.2.0/28 or 2001:db8::/56")
	}
	if v != v.Masked() || v.Addr().Is4In6() {
		return wrong(node, "prefix has host bits set; want its first address")
	}
	p.Prefix = v
	return nil
}

// MarshalYAML writes the prefix.
func (p Prefix) MarshalYAML() ([]byte, error) { return []byte(strconv.Quote(p.String())), nil }

// Identifier is an access identifier, written KIND:VALUE.
type Identifier struct{ schema.Identifier }

// UnmarshalYAML reads an access identifier.
func (i *Identifier) UnmarshalYAML(node ast.Node) error {
	id, err := schema.ParseIdentifier(scalar(node))
	if err != nil {
		return wrong(node, err.Error())
	}
	i.Identifier = id
	return nil
}

// MarshalYAML writes the identifier.
func (i Identifier) MarshalYAML() ([]byte, error) {
	return []byte(strconv.Quote(string(i.Kind) + ":" + i.Value)), nil
}

// LogLevel is the least level of what is logged.
type LogLevel struct{ slog.Level }

var logLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// UnmarshalYAML reads a level by its name.
func (l *LogLevel) UnmarshalYAML(node ast.Node) error {
	level, ok := logLevels[scalar(node)]
	if !ok {
		return wrong(node, "want debug, info, warn or error")
	}
	l.Level = level
	return nil
}

// MarshalYAML writes the level's name.
func (l LogLevel) MarshalYAML() ([]byte, error) {
	return []byte(strings.ToLower(l.Level.String())), nil
}

// Hook is how the kernel programs are attached.
type Hook struct{ bpf.Hook }

// UnmarshalYAML reads a hook by its name.
func (h *Hook) UnmarshalYAML(node ast.Node) error {
	for _, hook := range []bpf.Hook{bpf.HookAuto, bpf.HookTCX, bpf.HookClsact} {
		if scalar(node) == hook.String() {
			h.Hook = hook
			return nil
		}
	}
	return wrong(node, "want auto, tcx (Linux 6.6) or clsact")
}

// MarshalYAML writes the hook's name.
func (h Hook) MarshalYAML() ([]byte, error) { return []byte(h.String()), nil }

// scalar returns the text of a scalar, or "" for anything else.
func scalar(node ast.Node) string {
	switch n := node.(type) {
	case *ast.StringNode:
		return strings.TrimSpace(n.Value)
	case *ast.AnchorNode, *ast.AliasNode, *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode, *ast.TagNode:
		return ""
	}
	return strings.TrimSpace(node.GetToken().Value)
}

// wrong is an error at a node's place.
func wrong(node ast.Node, what string) error {
	return &yaml.SyntaxError{Message: what, Token: node.GetToken()}
}
