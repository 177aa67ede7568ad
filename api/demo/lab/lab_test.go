package lab

import (
	"context"
	"os"
	"testing"
	"time"
)

func TestAnnaGetsAnAddressAndMovesTraffic(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := New(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.ConnectAnna(ctx); err != nil {
		t.Fatal(err)
	}
	if a := l.Anna.Addr4.String(); a < "100.64.1.10" || a > "100.64.1.50" {
		t.Errorf("anna has %s, want an address of the pool", a)
	}
	if err := l.Traffic(ctx, l.Anna); err != nil {
		t.Fatal(err)
	}
	moved, err := l.Moved(ctx, l.Anna)
	if err != nil {
		t.Fatal(err)
	}
	// 8 MiB of TCP and 1 MiB of UDP up, 24 MiB down: with headers, and not twice.
	if up := moved.Up().Bytes; up < 9<<20 || up > 11<<20 {
		t.Errorf("up %d bytes, want some 9.5 MiB", up)
	}
	if down := moved.Down().Bytes; down < 24<<20 || down > 26<<20 {
		t.Errorf("down %d bytes, want some 25 MiB", down)
	}
	t.Logf("%+v", moved)
	if err := l.Frames(ctx, 500); err != nil {
		t.Fatal(err)
	}
	if frames, err := l.Moved(ctx, l.Cas); err != nil || frames.Up().Packets != 1000 {
		t.Errorf("frames: %+v, %v; want 1000 packets", frames, err)
	}
}

func TestTCPSegments(t *testing.T) {
	const snmp = "Ip: Forwarding\nIp: 1\nTcp: InSegs OutSegs RetransSegs InErrs\nTcp: 5 70 3 9\nUdp: X\nUdp: 1\n"
	if n, err := tcpSegments([]byte(snmp)); err != nil || n != 73 {
		t.Errorf("tcpSegments = %d, %v; want 73", n, err)
	}
	if _, err := tcpSegments([]byte("Udp: X\n")); err == nil {
		t.Error("no Tcp line: want an error")
	}
}
