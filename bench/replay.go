package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"griffier/collector/binding"
	"griffier/collector/replay"
	"griffier/schema"
)

// replayRounds is how often each reader goes; the best round counts, since
// others on the machine can only make one slower.
const replayRounds = 3

// spent is how long something took and how much CPU it had.
type spent struct{ wall, cpu time.Duration }

func (r spent) better(than spent) spent {
	if than.wall == 0 {
		return r
	}
	return spent{min(r.wall, than.wall), min(r.cpu, than.cpu)}
}

// A reader reads the capture and returns the IPv4 packets and L3 bytes that it
// says it found, 0 if it does not say.
type reader struct {
	program string // "" for ours
	does    string // against ours: what it does more or less
	read    func(ctx context.Context, capture, dir string) (spent, uint64, uint64, error)
}

// benchReplay measures a capture of 2 million packets of 10,000 lines turned into
// records by what griffier-collector -replay calls, against what others do with
// the same file, one after the other in each round. Each result is packets a
// second of elapsed time (and, apart, CPU time of all threads per packet); what
// each reader counted is compared with the generator's own count.
func benchReplay(emit func(result)) error {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	capture := filepath.Join(dir, "big.pcap")
	size, truth, err := writeCapture(capture, capturePackets)
	if err != nil {
		return err
	}
	var wantBytes uint64
	for _, m := range truth {
		wantBytes += m.upBytes + m.downBytes
	}
	fmt.Fprintf(os.Stderr, "bench: replay: %d packets, %.2f GB, %d lines\n", capturePackets, float64(size)/1e9, captureLines)
	ours := reader{read: func(ctx context.Context, capture, _ string) (spent, uint64, uint64, error) {
		return replayOurs(ctx, capture, truth)
	}}
	var peers []reader
	for _, p := range replayPeers {
		if _, err := exec.LookPath(p.program); err != nil {
			fmt.Fprintf(os.Stderr, "bench: replay: %s is not installed and is left out\n", p.program)
			continue
		}
		peers = append(peers, p)
	}
	best := make([]spent, 1+len(peers))
	for round := range replayRounds {
		for i, r := range append([]reader{ours}, peers...) {
			work := filepath.Join(dir, fmt.Sprint("r", round, "-", i))
			if err := os.Mkdir(work, 0o700); err != nil {
				return err
			}
			took, packets, l3, err := r.read(context.Background(), capture, work)
			if err != nil {
				return fmt.Errorf("%s: %w", r.program, err)
			}
			if packets != 0 && packets != capturePackets || l3 != 0 && l3 != wantBytes {
				return fmt.Errorf("%s counted %d packets and %d bytes, the generator %d and %d", r.program, packets, l3, capturePackets, wantBytes)
			}
			best[i] = took.better(best[i])
		}
	}
	rate := func(r spent) float64 { return capturePackets / r.wall.Seconds() }
	cpu := func(r spent) float64 { return float64(r.cpu.Nanoseconds()) / capturePackets }
	emit(result{"replay_target", rate(best[0]), "packets/s", "the target: 4 million packets/s", 4e6, rate(best[0]) / 4e6})
	for i, p := range peers {
		emit(result{"replay", rate(best[0]), "packets/s", p.does, rate(best[i+1]), rate(best[0]) / rate(best[i+1])})
	}
	for i, p := range peers {
		emit(result{"replay_cpu", cpu(best[0]), "ns/packet", p.does, cpu(best[i+1]), cpu(best[0]) / cpu(best[i+1])})
	}
	return nil
}

// replayOurs is ours: it knows the lines as configured ones and makes session,
// assignment, usage and coverage records, which it adds up and compares with the
// generator's count line by line. Its CPU time includes the garbage collector's.
func replayOurs(ctx context.Context, capture string, truth []moved) (took spent, packets, l3 uint64, err error) {
	p, err := schema.NewPseudonymiser([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		return took, 0, 0, err
	}
	o := replay.Options{Path: capture, CollectorID: "bench", Pseudonymiser: p}
	lines := make(map[schema.AccessRef]int, len(truth))
	for n := range truth {
		id := schema.Identifier{Kind: schema.IdentStaticPrefix, Value: fmt.Sprint("line-", n)}
		lines[p.Ref(id)] = n
		o.StaticLines = append(o.StaticLines, binding.StaticLine{Identifier: id, Prefixes: []netip.Prefix{netip.PrefixFrom(lineAddress(n), 32)}})
	}
	counted := make([]moved, len(truth))
	before, start := ownCPU(), time.Now()
	_, err = replay.Run(ctx, o, func(records []schema.Record) error {
		for _, r := range records {
			u, ok := r.(*schema.Usage)
			if !ok {
				continue
			}
			m := &counted[lines[u.AccessRef]]
			if u.Direction == schema.Up {
				m.upBytes, m.upPackets = m.upBytes+u.Bytes, m.upPackets+u.Packets
			} else {
				m.downBytes, m.downPackets = m.downBytes+u.Bytes, m.downPackets+u.Packets
			}
		}
		return nil
	})
	took = spent{time.Since(start), ownCPU() - before}
	if err != nil {
		return took, 0, 0, err
	}
	for n, m := range counted {
		if m != truth[n] {
			return took, 0, 0, fmt.Errorf("line %d moved %+v, the records say %+v", n, truth[n], m)
		}
		packets += m.upPackets + m.downPackets
		l3 += m.upBytes + m.downBytes
	}
	return took, packets, l3, nil
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// external runs a program to its end and returns what it wrote.
func external(ctx context.Context, dir, program string, args ...string) (took spent, output []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return took, nil, fmt.Errorf("%w: %s", err, out.Bytes())
	}
	return spent{time.Since(start), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, out.Bytes(), nil
}

var replayPeers = []reader{
	{"tcpdump", "tcpdump -nr --count: the read floor, parses nothing", func(ctx context.Context, capture, dir string) (spent, uint64, uint64, error) {
		took, out, err := external(ctx, dir, "tcpdump", "-nr", capture, "--count")
		if err != nil {
			return took, 0, 0, err
		}
		n, err := number(out, `(?m)^(\d+) packets`)
		return took, n, 0, err
	}},
	{"softflowd", "softflowd -r -T ip: pairs of addresses, far side kept, NetFlow 9 over UDP; 32-bit counters, no lines, no buckets", func(ctx context.Context, capture, dir string) (spent, uint64, uint64, error) {
		return softflowd(ctx, capture, dir, "ip")
	}},
	{"softflowd", "softflowd -r -T full: flows of 5 keys, far side kept, NetFlow 9 over UDP; 32-bit counters, no lines, no buckets", func(ctx context.Context, capture, dir string) (spent, uint64, uint64, error) {
		return softflowd(ctx, capture, dir, "full")
	}},
	{"nfpcapd", "nfpcapd -r: flows of 5 keys, far side kept, written to nfcapd files; no lines", func(ctx context.Context, capture, dir string) (spent, uint64, uint64, error) {
		took, _, err := external(ctx, dir, "nfpcapd", "-r", capture, "-l", dir)
		if err != nil {
			return took, 0, 0, err
		}
		_, out, err := external(ctx, dir, "nfdump", "-R", dir, "-I")
		if err != nil {
			return took, 0, 0, err
		}
		packets, err1 := number(out, `(?m)^Packets:\s*(\d+)`)
		l3, err2 := number(out, `(?m)^Bytes:\s*(\d+)`)
		return took, packets, l3, errors.Join(err1, err2)
	}},
	{"pmacctd", "pmacctd, aggregate src_host: bytes and packets by source address, so up only; printed once, no times; CPU is the fair figure, as it sleeps", func(ctx context.Context, capture, dir string) (spent, uint64, uint64, error) {
		config, printed := filepath.Join(dir, "pmacctd.conf"), filepath.Join(dir, "printed")
		text := fmt.Sprintf("daemonize: false\npcap_savefile: %s\naggregate: src_host\nplugins: print\nprint_output: csv\nprint_output_file: %s\n"+
			"print_refresh_time: 3600\nprint_cache_entries: 32771\nplugin_pipe_size: 67108864\nplugin_buffer_size: 65536\n", capture, printed)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return spent{}, 0, 0, err
		}
		took, _, err := external(ctx, dir, "pmacctd", "-f", config)
		if err != nil {
			return took, 0, 0, err
		}
		out, err := os.ReadFile(printed)
		if err != nil {
			return took, 0, 0, err
		}
		var packets, l3 uint64
		for _, row := range regexp.MustCompile(`(?m)^[0-9.]+,(\d+),(\d+)$`).FindAllSubmatch(out, -1) {
			p, err1 := strconv.ParseUint(string(row[1]), 10, 64)
			b, err2 := strconv.ParseUint(string(row[2]), 10, 64)
			if err := errors.Join(err1, err2); err != nil {
				return took, 0, 0, err
			}
			packets, l3 = packets+p, l3+b
		}
		return took, packets, l3, nil
	}},
}

// softflowd sends its flows to a port of this host where nobody listens.
func softflowd(ctx context.Context, capture, dir, track string) (spent, uint64, uint64, error) {
	took, _, err := external(ctx, dir, "softflowd", "-r", capture, "-d", "-m", "2000000", "-T", track, "-v", "9",
		"-n", "127.0.0.1:9995", "-p", filepath.Join(dir, "pid"), "-c", "none")
	return took, 0, 0, err
}

func number(out []byte, pattern string) (uint64, error) {
	m := regexp.MustCompile(pattern).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no figure in its output: %.200s", out)
	}
	return strconv.ParseUint(string(m[1]), 10, 64)
}
