package enrol

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"
)

// A host that has no identity yet may try this often; it may be many collectors
// behind one address. Guessing 130 bits takes longer at any pace.
const (
	triesEvery = time.Second
	triesBurst = 60
	maxSources = 10_000 // in the table; when it is full of busy ones, others wait
)

// limiter bounds attempts to enrol by where they come from: an IPv4 address, or
// an IPv6 /64. It is safe for concurrent use.
type limiter struct {
	mu      sync.Mutex
	sources map[netip.Prefix]*rate.Limiter
}

func (l *limiter) allow(ctx context.Context, now time.Time) bool {
	from := source(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket := l.sources[from]
	if bucket == nil {
		if len(l.sources) >= maxSources {
			for p, b := range l.sources {
				if b.TokensAt(now) >= triesBurst {
					delete(l.sources, p)
				}
			}
		}
		if len(l.sources) >= maxSources {
			return false
		}
		bucket = rate.NewLimiter(rate.Every(triesEvery), triesBurst)
		l.sources[from] = bucket
	}
	return bucket.AllowN(now, 1)
}

// source returns where a call comes from; the zero prefix if that is unknown.
func source(ctx context.Context) netip.Prefix {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return netip.Prefix{}
	}
	from, err := netip.ParseAddrPort(p.Addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	address, bits := from.Addr().Unmap().WithZone(""), 64
	if address.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(address, bits).Masked()
}
