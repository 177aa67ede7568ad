package radius

import "sync"

// lanes run what is in flight, each request in a goroutine of its own, except
// that those of one Acct-Session-Id follow each other in order. The session id
// alone, so that packets of one session meet even if the NAS names itself
// differently in them. So as many requests as are in flight can become durable
// with one fsync. The zero value is ready.
type lanes struct {
	mu      sync.Mutex
	waiting map[string][]*pending // behind one that runs, by session id
}

// add runs finish on p, once those of its session before it are finished.
func (l *lanes) add(sessionID string, p *pending, finish func(*pending)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if queue, busy := l.waiting[sessionID]; busy {
		l.waiting[sessionID] = append(queue, p)
		return
	}
	if l.waiting == nil {
		l.waiting = map[string][]*pending{}
	}
	l.waiting[sessionID] = nil
	go func() {
		for p := p; p != nil; p = l.next(sessionID) {
			finish(p)
		}
	}()
}

// next returns the request that waits behind the one that is finished, or nil.
func (l *lanes) next(sessionID string) *pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.waiting[sessionID]
	if len(queue) == 0 {
		delete(l.waiting, sessionID)
		return nil
	}
	l.waiting[sessionID] = queue[1:]
	return queue[0]
}
