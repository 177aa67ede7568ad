package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// checkOffloads looks for ways of frames around the hooks. What a NIC or switch
// chip forwards by itself, because of a tc rule or a flow table, reaches no
// program in the kernel: it would be missing from every count, silently.
func checkOffloads(ctx context.Context, s *system) Finding {
	if len(s.config.Interfaces) == 0 {
		return noInterfaces
	}
	var able, blind, untried []string
	tables, err := output(ctx, "nft", "list", "flowtables")
	if err != nil {
		untried = append(untried, err.Error())
	}
	offloaded := offloadedDevices(tables)
	for _, i := range s.config.Interfaces {
		if slices.Contains(offloaded, i.Name) {
			blind = append(blind, i.Name+" (nft flow table with flags offload)")
		}
		for _, side := range []string{"ingress", "egress"} {
			// Without such a hook tc says nothing, or complains.
			filters, err := output(ctx, "tc", "filter", "show", "dev", i.Name, side)
			if err == nil && inHardware(filters) {
				blind = append(blind, i.Name+" (tc filter in hardware, "+side+")")
			}
		}
		features, err := output(ctx, "ethtool", "-k", i.Name)
		if err != nil {
			untried = append(untried, err.Error())
		} else if featureOn(features, "hw-tc-offload") {
			able = append(able, i.Name)
		}
	}
	switch {
	case len(blind) > 0:
		return Finding{Status: Fail, Found: "hardware forwards by itself at " + strings.Join(blind, ", "),
			Cause: "frames that the hardware forwards are counted nowhere, neither here nor in conntrack",
			Cure:  "take `flags offload` from the flow table (a software flow table is counted), or remove the tc filter"}
	case len(able) > 0:
		return Finding{Status: Warn, Found: "hw-tc-offload is on at " + strings.Join(able, ", "),
			Cause: "any tc rule or flow table with offload that is added later takes frames out of sight",
			Cure:  "ethtool -K " + able[0] + " hw-tc-offload off"}
	case len(untried) > 0:
		return Finding{Status: Warn, Found: "not everything could be looked at", Cause: strings.Join(untried, "; "),
			Cure: "apt install ethtool nftables, and run the doctor as root"}
	}
	return pass("no hardware forwarding around the hooks at %d interfaces", len(s.config.Interfaces))
}

// output runs a command in the C locale and returns what it printed.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		first, _, _ := strings.Cut(strings.TrimSpace(string(exit.Stderr)), "\n")
		return nil, fmt.Errorf("%s: %s", name, first)
	}
	return out, err
}

// featureOn reads the output of ethtool -k.
func featureOn(text []byte, feature string) bool {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if ok && name == feature {
			fields := strings.Fields(value) // such as "on", "off [fixed]", "off [requested on]"
			return len(fields) > 0 && fields[0] == "on"
		}
	}
	return false
}

// offloadedDevices reads the output of nft list flowtables, or of a whole
// ruleset, and returns the devices of flow tables that are put into hardware.
// (The JSON output does not tell: nft writes no flags there.)
func offloadedDevices(text []byte) (devices []string) {
	var inside, hardware bool
	var named []string
	for _, word := range words(text) {
		switch {
		case word == "flowtable":
			inside, hardware, named = true, false, nil
		case !inside:
		case word == "flags offload":
			hardware = true
		case word == "}":
			if hardware {
				devices = append(devices, named...)
			}
			inside = false
		default:
			if list, ok := strings.CutPrefix(word, "devices = "); ok {
				named = append(named, strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune("{}, \t\"", r) })...)
			}
		}
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// words cuts nft's output into what offloadedDevices tells apart: the openings
// of flow tables, statements, and closing braces.
func words(text []byte) (out []string) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		for _, statement := range strings.Split(lines.Text(), ";") {
			statement = strings.TrimSpace(statement)
			switch {
			case statement == "":
			case strings.HasPrefix(statement, "flowtable "):
				out = append(out, "flowtable")
			case strings.HasPrefix(statement, "flags ") && slices.Contains(strings.FieldsFunc(statement[6:], func(r rune) bool { return r == ',' || r == ' ' }), "offload"):
				out = append(out, "flags offload")
			default:
				out = append(out, statement)
			}
		}
	}
	return out
}

// inHardware reads the output of tc filter show.
func inHardware(text []byte) bool {
	return slices.Contains(strings.Fields(string(text)), "in_hw")
}
