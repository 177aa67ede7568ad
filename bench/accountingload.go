package main

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// accountingLoad is a closed loop of RADIUS accounting (RFC 2866): every socket
// keeps up to 256 requests outstanding, one per Identifier, and sends the next
// only when one is answered. Each Identifier lives sessions of four requests,
// Start, two Interim-Updates and Stop, so that no session overtakes itself. An
// answer counts if its Response Authenticator is right.
type accountingLoad struct {
	to          string
	secret      []byte
	outstanding int
	duration    time.Duration
}

type accountingOutcome struct {
	perSecond    float64
	p50, p99     float64 // ms, from sending to the answer
	answered     int
	sessions     map[string]bool // of which at least the Start was answered
	unanswered   int             // requests that no answer came to, retransmissions included
	retransmit   int
	wrongAnswers int
	cpuMicros    float64 // of the server's process, per request answered: says more than the rate on a shared machine
}

const (
	loadSocketWindow = 256 // Identifiers of one socket
	loadRetransmit   = 2 * time.Second
)

// run sends until the time is over, then waits for what is outstanding.
func (l accountingLoad) run() (accountingOutcome, error) {
	sockets := (l.outstanding + loadSocketWindow - 1) / loadSocketWindow
	parts := make([]*loadSocket, sockets)
	for i := range parts {
		window := min(loadSocketWindow, l.outstanding-i*loadSocketWindow)
		s, err := newLoadSocket(l, i, window)
		if err != nil {
			return accountingOutcome{}, err
		}
		defer s.conn.Close()
		parts[i] = s
	}
	began := time.Now()
	stop := began.Add(l.duration)
	var group sync.WaitGroup
	errs := make([]error, sockets)
	for i, s := range parts {
		group.Go(func() { errs[i] = s.run(stop) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return accountingOutcome{}, err
	}
	out := accountingOutcome{sessions: map[string]bool{}}
	var latencies []time.Duration
	inTime := 0
	for _, s := range parts {
		latencies = append(latencies, s.latencies...)
		inTime += s.inTime
		out.answered += len(s.latencies)
		out.unanswered += s.unanswered
		out.retransmit += s.retransmitted
		out.wrongAnswers += s.wrong
		for _, id := range s.sessions {
			out.sessions[id] = true
		}
	}
	if len(latencies) == 0 {
		return out, errors.New("no request was answered")
	}
	slices.Sort(latencies)
	out.perSecond = float64(inTime) / l.duration.Seconds()
	out.p50, out.p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	return out, nil
}

// loadSocket is one NAS: one socket, one goroutine.
type loadSocket struct {
	load   accountingLoad
	conn   *net.UDPConn
	number int
	slots  []loadSlot

	latencies     []time.Duration
	inTime        int
	sessions      []string
	unanswered    int
	retransmitted int
	wrong         int
}

// loadSlot is one Identifier: its session and the request that is outstanding.
type loadSlot struct {
	session string
	step    int // 0 Start, 1 and 2 interim, 3 Stop
	request []byte
	sentAt  time.Time
	first   time.Time
	waiting bool
}

var loadSessions atomic.Uint64

func newLoadSocket(l accountingLoad, number, window int) (*loadSocket, error) {
	to, err := net.ResolveUDPAddr("udp", l.to)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUDP("udp", nil, to)
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		conn.Close()
		return nil, err
	}
	return &loadSocket{load: l, conn: conn, number: number, slots: make([]loadSlot, window)}, nil
}

func (s *loadSocket) run(stop time.Time) error {
	for id := range s.slots {
		s.slots[id].step = 3 // a new session comes first
		if err := s.next(byte(id)); err != nil {
			return err
		}
	}
	buffer := make([]byte, 4096)
	scratch := make([]byte, 0, 4096)
	outstanding := len(s.slots)
	deadline := stop.Add(3 * loadRetransmit)
	for outstanding > 0 {
		s.conn.SetReadDeadline(time.Now().Add(loadRetransmit / 4))
		n, err := s.conn.Read(buffer)
		now := time.Now()
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			if now.After(deadline) {
				s.unanswered += outstanding
				return nil
			}
			if err := s.retransmit(now); err != nil {
				return err
			}
			continue
		}
		if n < 20 || int(buffer[1]) >= len(s.slots) {
			s.wrong++
			continue
		}
		slot := &s.slots[buffer[1]]
		if !slot.waiting || !authenticAnswer(buffer[:n], slot.request, s.load.secret, scratch) {
			s.wrong++
			continue
		}
		slot.waiting = false
		s.latencies = append(s.latencies, now.Sub(slot.first))
		if slot.step == 0 {
			s.sessions = append(s.sessions, slot.session)
		}
		if now.After(stop) {
			outstanding--
			continue
		}
		s.inTime++
		if err := s.next(buffer[1]); err != nil {
			return err
		}
	}
	return nil
}

// next sends the next request of an Identifier.
func (s *loadSocket) next(id byte) error {
	slot := &s.slots[id]
	if slot.step++; slot.step > 3 {
		slot.step = 0
		slot.session = fmt.Sprintf("%08x-%04x", loadSessions.Add(1), s.number)
	}
	slot.request = accountingRequest(slot.request[:0], id, slot.step, slot.session, s.number, s.load.secret)
	slot.waiting, slot.first, slot.sentAt = true, time.Now(), time.Now()
	_, err := s.conn.Write(slot.request)
	return err
}

func (s *loadSocket) retransmit(now time.Time) error {
	for id := range s.slots {
		slot := &s.slots[id]
		if !slot.waiting || now.Sub(slot.sentAt) < loadRetransmit {
			continue
		}
		s.retransmitted++
		slot.sentAt = now
		if _, err := s.conn.Write(slot.request); err != nil {
			return err
		}
	}
	return nil
}

// accountingRequest appends the request of a session's step, as a BNG sends it
// for a dual-stack line.
func accountingRequest(b []byte, id byte, step int, session string, nas int, secret []byte) []byte {
	b = append(b, 4, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	text := func(kind byte, s string) { b = append(append(b, kind, byte(2+len(s))), s...) }
	number := func(kind byte, v uint32) { b = binary.BigEndian.AppendUint32(append(b, kind, 6), v) }
	status := [...]uint32{1, 3, 3, 2}[step]
	number(40, status)
	text(44, session)
	text(1, "line-"+session[:8]+"@isp.example")
	text(32, fmt.Sprintf("bng%d", nas))
	b = append(b, 4, 6, 192, 0, 2, byte(nas))
	text(87, "eth 0/1/0:100."+session[4:8])
	line := uint32(0)
	fmt.Sscanf(session[:8], "%x", &line)
	number(8, 100<<24|64<<16|line&0x3fffff)
	b = append(b, 123, 11, 0, 56, 0x20, 1, 0x0d, 0xb8, byte(line>>16), byte(line>>8), byte(line))
	number(55, uint32(time.Now().Unix()))
	if step > 0 {
		number(46, uint32(step))
		number(42, uint32(step)*1000)
		number(43, uint32(step)*20000)
		number(52, 0)
		number(53, uint32(step))
	}
	if status == 2 {
		number(49, 1)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	sum := md5.Sum(append(b[:len(b):len(b)], secret...))
	copy(b[4:20], sum[:])
	return b
}

// authenticAnswer checks an Accounting-Response (RFC 2866 §3).
func authenticAnswer(answer, request, secret, scratch []byte) bool {
	if answer[0] != 5 || int(binary.BigEndian.Uint16(answer[2:])) != len(answer) {
		return false
	}
	scratch = append(scratch[:0], answer[:4]...)
	scratch = append(scratch, request[4:20]...)
	scratch = append(scratch, answer[20:]...)
	scratch = append(scratch, secret...)
	sum := md5.Sum(scratch)
	return string(sum[:]) == string(answer[4:20])
}
