package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// ErrRunning is returned by [Start] while this process has another engine open.
// ClickHouse keeps global state: close the first, or share its socket.
var ErrRunning = errors.New("engine: this process already runs an engine; close it first or use its socket")

// current is the engine of this process.
var current struct {
	sync.Mutex
	engine *Engine
}

// Engine is a running ClickHouse. Its methods may be called concurrently.
type Engine struct {
	config Config
	lib    *library
	args   []string // engine arguments, the same for every session
	lock   *folderLock
	anchor *anchor

	http     *http.Server
	served   chan struct{} // closed when the accept loop has ended
	requests context.Context
	stop     context.CancelFunc // cancels requests
	slots    chan struct{}      // one token per running request
	running  sync.WaitGroup     // requests that hold a session

	closing  sync.Mutex
	closed   bool
	closeErr error
}

// Start opens the data folder and serves it. It returns [ErrLocked] if another
// process has the folder, [ErrRunning] if this process has an engine already,
// and any other error if the library or the folder cannot be opened. ctx bounds
// only the start. The caller closes the engine.
//
// The first start in a process loads the library (some 0.3 s); later ones take
// tens of milliseconds.
func Start(ctx context.Context, config Config) (*Engine, error) {
	config, err := config.filled()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("engine: start: %w", err)
	}
	current.Lock()
	defer current.Unlock()
	if current.engine != nil {
		return nil, ErrRunning
	}
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("engine: data folder: %w", err)
	}
	lock, err := lockFolder(config.DataDir)
	if err != nil {
		return nil, err
	}
	e, err := start(config, lock)
	if err != nil {
		lock.release()
		return nil, err
	}
	current.engine = e
	return e, nil
}

func start(config Config, lock *folderLock) (*Engine, error) {
	args, err := writeServerConfig(config)
	if err != nil {
		return nil, err
	}
	lib, err := loadLibrary(config.LibPath)
	if err != nil {
		return nil, err
	}
	held, err := dropAnchor(lib, args)
	if err != nil {
		return nil, fmt.Errorf("engine: open %s: %w", config.DataDir, err)
	}
	listener, err := listenPrivate(config.SocketPath)
	if err != nil {
		held.lift()
		return nil, err
	}
	e := &Engine{
		config: config,
		lib:    lib,
		args:   args,
		lock:   lock,
		anchor: held,
		served: make(chan struct{}),
		slots:  make(chan struct{}, config.MaxConcurrentRequests),
	}
	e.requests, e.stop = context.WithCancel(context.Background())
	e.http = &http.Server{
		Handler:           e.handler(),
		BaseContext:       func(net.Listener) context.Context { return e.requests },
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    maxHeadBytes,
	}
	go func() {
		defer close(e.served)
		_ = e.http.Serve(listener) // always ends with http.ErrServerClosed or a closed listener
	}()
	return e, nil
}

// maxHeadBytes bounds a request's URL and headers. Parameters travel in the URL,
// a list of references among them.
const maxHeadBytes = 8 << 20

// SocketPath is where the engine listens.
func (e *Engine) SocketPath() string { return e.config.SocketPath }

// stopPatience is how long Close waits for cancelled queries to notice.
const stopPatience = 30 * time.Second

// Close stops accepting requests and waits for the running ones; when ctx ends
// it stops them instead. Then it closes the store cleanly. If a query does not
// stop, Close returns an error, the store stays locked, and ending the process
// is what remains. Closing twice is harmless.
func (e *Engine) Close(ctx context.Context) error {
	e.closing.Lock()
	defer e.closing.Unlock()
	if e.closed {
		return e.closeErr
	}
	e.closed = true
	e.closeErr = e.shutDown(ctx)
	return e.closeErr
}

func (e *Engine) shutDown(ctx context.Context) error {
	graceful := e.http.Shutdown(ctx)
	e.stop()
	if graceful != nil {
		_ = e.http.Close() // the connections' errors are their clients' business
	}
	<-e.served
	if !waitAtMost(&e.running, stopPatience) {
		return fmt.Errorf("engine: close: queries still run %s after they were cancelled", stopPatience)
	}
	e.anchor.lift()
	err := removeSocket(e.config.SocketPath)
	e.lock.release()
	current.Lock()
	current.engine = nil
	current.Unlock()
	return err
}

func waitAtMost(group *sync.WaitGroup, patience time.Duration) bool {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// anchor is a session that stays open for the engine's life: the library shuts
// its store when the last session closes. It has its own goroutine, since a
// session holds its thread.
type anchor struct {
	release chan struct{}
	gone    chan struct{}
}

// dropAnchor opens the store.
func dropAnchor(lib *library, args []string) (*anchor, error) {
	a := &anchor{release: make(chan struct{}), gone: make(chan struct{})}
	opened := make(chan error)
	go func() {
		defer close(a.gone)
		var s *session
		var err error
		keepSignals(func() { s, err = openSession(lib, args) })
		opened <- err
		if err != nil {
			return
		}
		<-a.release
		keepSignals(s.close)
	}()
	if err := <-opened; err != nil {
		<-a.gone
		return nil, err
	}
	return a, nil
}

// lift closes the store and returns when it is closed.
func (a *anchor) lift() {
	close(a.release)
	<-a.gone
}

// newToken returns a random name for a request.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	return hex.EncodeToString(b[:])
}
