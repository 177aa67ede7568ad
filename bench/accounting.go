package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"griffier/collector/binding"
	"griffier/collector/daemon"
	"griffier/collector/spool"
	"griffier/schema"
)

// accountingOutstanding are how many requests wait for an answer at any time: many,
// for the rate, and fewer, for how long one waits. In a closed loop the mean wait
// is outstanding / rate.
var accountingOutstanding = []int{512, 256}

const (
	accountingWarmUp   = time.Second
	accountingDuration = 5 * time.Second
	accountingSecret   = "bench-secret"
)

// accountingServer is a server under load, in a process of its own.
type accountingServer struct {
	name    string
	address string
	cmd     *exec.Cmd
	log     *bytes.Buffer
	// recorded returns the sessions that are on disk. It is called once the
	// process was killed with SIGKILL.
	recorded func() (map[string]bool, error)
	stop     func() error // ends what the server needed besides, if not nil
}

// benchAccounting measures RADIUS accounting from the request to its answer: the
// collector answers after decoding, binding and an fsync; FreeRADIUS after writing
// its detail file, which it does not fsync, or after PostgreSQL committed, with
// the stock schema and queries. All are driven by the same closed loop, which
// shares the machine with them. After the load each is killed, and every session
// whose Start was answered must be found on disk.
func benchAccounting(emit func(result)) error {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, err := startAccountingCollector(dir)
	if err != nil {
		return err
	}
	mine, err := ours.measure()
	if err != nil {
		return err
	}
	for _, peer := range accountingPeers {
		theirs := make([]accountingOutcome, len(accountingOutstanding))
		name := peer.name
		if why := peer.missing(); why != "" {
			name += " (not installed: " + why + ")"
		} else {
			server, err := peer.start(dir)
			if err != nil {
				return err
			}
			theirs, err = server.measure()
			if server.stop != nil {
				err = errors.Join(err, server.stop())
			}
			if err != nil {
				return err
			}
		}
		for i, outstanding := range accountingOutstanding {
			compareAccounting(emit, outstanding, mine[i], theirs[i], name)
		}
	}
	return nil
}

func compareAccounting(emit func(result), outstanding int, mine, theirs accountingOutcome, peer string) {
	for _, x := range []struct {
		what, unit  string
		mine, their float64
	}{
		{"accounting requests durable and answered", "1/s", mine.perSecond, theirs.perSecond},
		{"accounting answer, p50", "ms", mine.p50, theirs.p50},
		{"accounting answer, p99", "ms", mine.p99, theirs.p99},
		{"accounting, server's CPU a request", "µs", mine.cpuMicros, theirs.cpuMicros},
		{"accounting requests retransmitted after 2 s", "requests", float64(mine.retransmit), float64(theirs.retransmit)},
		{"accounting requests never answered", "requests", float64(mine.unanswered), float64(theirs.unanswered)},
	} {
		r := result{Name: fmt.Sprintf("%s (%d outstanding)", x.what, outstanding), Value: x.mine, Unit: x.unit, Baseline: peer, BaselineValue: x.their}
		if x.their != 0 {
			r.Ratio = x.mine / x.their
		}
		emit(r)
	}
}

// measure loads the server, with each number outstanding in turn, kills it and
// checks what it left on disk.
func (s *accountingServer) measure() ([]accountingOutcome, error) {
	killed := false
	kill := func() {
		if !killed {
			killed = true
			s.cmd.Process.Kill()
			s.cmd.Wait()
		}
	}
	defer kill()
	load := accountingLoad{to: s.address, secret: []byte(accountingSecret), outstanding: accountingOutstanding[0], duration: accountingWarmUp}
	warm, err := load.run()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", s.name, err, s.log)
	}
	runs := []accountingOutcome{warm}
	load.duration = accountingDuration
	for _, load.outstanding = range accountingOutstanding {
		cpu, err := s.cpuTime()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		out, err := load.run()
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", s.name, err, s.log)
		}
		after, err := s.cpuTime()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		out.cpuMicros = float64((after - cpu).Microseconds()) / float64(out.answered)
		if out.wrongAnswers > 0 {
			return nil, fmt.Errorf("%s: %d answers that no request asked for", s.name, out.wrongAnswers)
		}
		runs = append(runs, out)
	}
	kill()
	recorded, err := s.recorded()
	if err != nil {
		return nil, fmt.Errorf("%s: read back: %w", s.name, err)
	}
	var answered, sessions int
	for _, run := range runs {
		for id := range run.sessions {
			if !recorded[id] {
				return nil, fmt.Errorf("%s: a session was acknowledged and is not on disk, of %d", s.name, len(run.sessions))
			}
		}
		answered, sessions = answered+int(run.answered), sessions+len(run.sessions)
	}
	fmt.Fprintf(os.Stderr, "bench: %s: %d answered, %d sessions, all of them on disk after a kill\n", s.name, answered, sessions)
	return runs[1:], nil
}

// cpuTime is what the server has used of the CPUs.
func (s *accountingServer) cpuTime() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat of the process has %d fields", len(fields))
	}
	var ticks time.Duration
	for _, f := range fields[11:13] { // utime, stime (proc(5)), in hundredths of a second
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond, nil
}

// begin starts a server and waits until it answers Status-Server or accounting.
func (s *accountingServer) begin(name string, args ...string) error {
	s.log = &bytes.Buffer{}
	s.cmd = exec.Command(name, args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if s.answers() {
			return nil
		}
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	return fmt.Errorf("%s does not answer:\n%s", s.name, s.log)
}

func (s *accountingServer) answers() bool {
	conn, err := net.Dial("udp", s.address)
	if err != nil {
		return false
	}
	defer conn.Close()
	request := accountingRequest(nil, 0, 0, "ffffffff-ffff", 9999, []byte(accountingSecret))
	conn.Write(request)
	conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		time.Sleep(100 * time.Millisecond)
		return false
	}
	return n >= 20 && authenticAnswer(buffer[:n], request, []byte(accountingSecret), nil)
}

// freePort returns a UDP port of loopback that nobody uses now.
func freePort() (int, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port, nil
}

// startAccountingCollector builds and runs the collector with RADIUS alone. There is no
// store, which is the worst case: everything stays in the spool.
func startAccountingCollector(dir string) (*accountingServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "griffier-collector")
	build := exec.Command("go", "build", "-o", binary, "griffier/collector/cmd/griffier-collector")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the collector: %w\n%s", err, out)
	}
	spoolDir := filepath.Join(dir, "spool")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	files := map[string]string{
		"key":    strings.Repeat("01", schema.KeyLength),
		"secret": accountingSecret,
		"collector.yaml": fmt.Sprintf("collector_id: bench\npseudonym_key_file: %s/key\nmetrics_listen: ''\n"+
			"radius: {listen: '%s', clients: [{prefix: 127.0.0.0/8, secret_file: %s/secret, name: bench}]}\n"+
			"spool: {dir: %s, max_bytes: 4GiB}\nstore: {socket: %s/nothing}\n", dir, address, dir, spoolDir, dir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	s := &accountingServer{name: "griffier-collector", address: address, recorded: func() (map[string]bool, error) { return spooledSessions(spoolDir) }}
	return s, s.begin(binary, "-config", filepath.Join(dir, "collector.yaml"))
}

// spooledSessions returns the Acct-Session-Ids that a killed collector's spool
// still knows.
func spooledSessions(dir string) (map[string]bool, error) {
	log, err := spool.Open(spool.Config{Dir: dir, MaxBytes: 4 << 30, SegmentBytes: 64 << 20})
	if err != nil {
		return nil, err
	}
	defer log.Close()
	state, deltas, err := log.Recover()
	if err != nil {
		return nil, err
	}
	pseudonymiser, err := schema.NewPseudonymiser(bytes.Repeat([]byte{1}, schema.KeyLength))
	if err != nil {
		return nil, err
	}
	b := binding.New(binding.Config{CollectorID: "bench", Pseudonymiser: pseudonymiser})
	held, err := daemon.BindingState(state)
	if err != nil {
		return nil, err
	}
	if err := b.Restore(held, deltas); err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, o := range b.Sessions() {
		if parts := strings.Split(o.SessionKey, "|"); len(parts) == 4 {
			found[parts[2]] = true
		}
	}
	return found, nil
}
