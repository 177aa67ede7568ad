package daemon

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// gate is a unix socket that leads to the store while it is open.
type gate struct {
	t            *testing.T
	path, behind string
	mu           sync.Mutex
	listener     net.Listener
	conns        map[net.Conn]bool
	wg           sync.WaitGroup
}

func openGate(t *testing.T, path, behind string) *gate {
	g := &gate{t: t, path: path, behind: behind, conns: map[net.Conn]bool{}}
	g.open()
	t.Cleanup(func() { g.shut(); g.wg.Wait() })
	return g
}

func (g *gate) open() {
	l, err := net.Listen("unix", g.path)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	g.listener = l
	g.mu.Unlock()
	g.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", g.behind)
			if err != nil {
				in.Close()
				continue
			}
			g.mu.Lock()
			g.conns[in], g.conns[out] = true, true
			g.mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				g.wg.Go(func() {
					io.Copy(way[1], way[0])
					in.Close()
					out.Close()
				})
			}
		}
	})
}

func (g *gate) listening() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.listener != nil
}

// shut breaks every connection and refuses new ones.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		g.listener.Close()
		g.listener = nil
	}
	for c := range g.conns {
		c.Close()
		delete(g.conns, c)
	}
}

// collector is a running collector process.
type collector struct {
	t      *testing.T
	setup  *setup
	cmd    *exec.Cmd
	output *strings.Builder
	read   chan struct{}
}

// start runs the collector in the router's network namespace, but in this mount
// namespace: the pins have to outlive it.
func (s *setup) start() *collector {
	s.t.Helper()
	return s.startBy()
}

// startBy starts it by way of another program.
func (s *setup) startBy(way ...string) *collector {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	way = append(way, "nsenter", "--net=/run/netns/"+s.router, self)
	c := &collector{t: s.t, setup: s, cmd: exec.Command(way[0], way[1:]...), output: &strings.Builder{}, read: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), collectorEnv+"="+s.config)
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		defer close(c.read)
		once := sync.OnceFunc(func() { close(ready) })
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			c.output.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "msg=ready") {
				once()
			}
		}
	}()
	s.t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.read
		c.cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("collector %d:\n%s", c.cmd.Process.Pid, c.output.String())
		}
	})
	select {
	case <-ready:
	case <-c.read:
		s.t.Fatalf("the collector did not start:\n%s", c.output.String())
	case <-time.After(3 * time.Minute):
		s.t.Fatal("the collector did not start in three minutes")
	}
	return c
}

func (c *collector) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	<-c.read
	c.cmd.Wait()
}

// stop ends it in order, and sees what it saw into the store if that is open.
func (c *collector) stop() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	<-c.read
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("the collector ended with %v", err)
	}
	if c.setup.gate.listening() {
		c.setup.deliver()
	}
}
