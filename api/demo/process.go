package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// program finds one of our own commands beside this one.
func program(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not beside griffier; run `make build` and then bin/griffier demo", name)
	}
	return path, nil
}

// child is one of our programs as a process of its own.
type child struct {
	cmd  *exec.Cmd
	done chan error
	log  string
}

// startChild starts cmd; what it writes goes to a file in dir.
func startChild(cmd *exec.Cmd, dir, name string) (*child, error) {
	c := &child{cmd: cmd, done: make(chan error, 1), log: filepath.Join(dir, name+".log")}
	log, err := os.OpenFile(c.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // a Ctrl-C is ours to pass on, in order
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { c.done <- cmd.Wait() }()
	return c, nil
}

// stop asks the process to end and waits for it.
func (c *child) stop() error {
	if c == nil {
		return nil
	}
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-c.done:
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() < 0 {
			return nil // ended by our signal
		}
		if err != nil {
			return fmt.Errorf("%s: %w%s", filepath.Base(c.cmd.Path), err, c.tail())
		}
		return nil
	case <-time.After(40 * time.Second):
		c.cmd.Process.Kill()
		<-c.done
		return fmt.Errorf("%s did not stop in 40 s", filepath.Base(c.cmd.Path))
	}
}

// tail returns the end of the process's log, for an error message.
func (c *child) tail() string {
	text, err := os.ReadFile(c.log)
	if err != nil || len(text) == 0 {
		return ""
	}
	if len(text) > 1500 {
		text = text[len(text)-1500:]
	}
	return "; its log ends with:\n" + string(text)
}

// connect dials griffierd and waits until it serves.
func connect(ctx context.Context, c *child, addr, caFile string, cert *tls.Certificate) (*grpc.ClientConn, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return nil, err
	}
	err = until(ctx, 3*time.Minute, 200*time.Millisecond, func() (bool, error) {
		select {
		case err := <-c.done:
			c.done <- err
			return false, fmt.Errorf("%s ended: %v%s", filepath.Base(c.cmd.Path), err, c.tail())
		default:
		}
		resp, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		return err == nil && resp.GetStatus() == healthv1.HealthCheckResponse_SERVING, nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("griffierd: %w%s", err, c.tail()), conn.Close())
	}
	return conn, nil
}

// errTooLate is returned by until when its time is over.
var errTooLate = errors.New("it took too long")

// until calls f every pause until it is true, fails, or limit is over.
func until(ctx context.Context, limit, pause time.Duration, f func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := f()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errTooLate
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
