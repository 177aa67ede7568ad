package server

import (
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxConnections is how many connections there are at once. Whoever opens more, known
// or not, must not take the files that the ledger and the store need, nor the memory.
const maxConnections = 2048

// limited closes connections that are too many as soon as they come.
type limited struct {
	net.Listener
	open    chan struct{} // one of each connection
	refused prometheus.Counter
}

func limit(l net.Listener, most int, refused prometheus.Counter) limited {
	return limited{l, make(chan struct{}, most), refused}
}

// Accept implements [net.Listener].
func (l limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.open <- struct{}{}:
			return &connection{Conn: c, gone: sync.OnceFunc(func() { <-l.open })}, nil
		default:
			l.refused.Inc()
			c.Close()
		}
	}
}

// connection counts until it is closed.
type connection struct {
	net.Conn
	gone func()
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	defer c.gone()
	return c.Conn.Close()
}
