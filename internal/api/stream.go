package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/conductor-metal/conductor/internal/events"
)

const (
	maxWatches    = 100              // each is a watch on etcd
	watchInterval = 15 * time.Second // between signs of life, which proxies want and which find dead clients
	writeTimeout  = 30 * time.Second // for one event; a client that does not read is left
)

// streaming begins a stream and shows that it lives while follow fills it, with
// a context that ends when nobody reads. An error of follow is told in the
// stream: its status has been sent long ago.
func (c *call) streaming(ctx context.Context, sse bool, follow func(context.Context, *stream) error) error {
	select {
	case c.watchers <- struct{}{}:
	default:
		return refuse(errBusy, "%d clients watch already.", maxWatches)
	}
	c.metrics.watches.Inc()
	defer func() {
		<-c.watchers
		c.metrics.watches.Dec()
	}()
	s := &stream{w: c.w, rc: http.NewResponseController(c.w), sse: sse}
	s.begin()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer cancel()
		s.beat(ctx)
	})
	if err := follow(ctx, s); err != nil {
		s.fail(err)
	}
	return nil
}

// stream writes events, from the watch and from its sign of life.
type stream struct {
	mu  sync.Mutex
	w   http.ResponseWriter
	rc  *http.ResponseController
	sse bool

	reached, told int64 // revision up to which all is sent, and the one that the client knows of
}

func (s *stream) begin() {
	s.w.Header().Set("Content-Type", "application/x-ndjson")
	if s.sse {
		s.w.Header().Set("Content-Type", "text/event-stream")
	}
	s.w.Header().Set("Cache-Control", "no-store")
	s.w.Header().Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	_ = s.rc.Flush() // what a recorder cannot, a connection can
}

func (s *stream) send(event string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if s.sse {
		return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, data))
	}
	return s.write(string(data) + "\n")
}

// reach sends what has happened up to a revision, from which the client can go on
// once it has all of that: so the revision comes with the last event. Without
// any, the next sign of life tells it.
func (s *stream) reach(revision int64, all []events.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reached = max(s.reached, revision)
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	for i, e := range all {
		fmt.Fprintf(&b, "event: %s\ndata: %s\n", e.Type, e.JSON)
		if i == len(all)-1 {
			b.WriteString(s.id())
		}
		b.WriteByte('\n')
	}
	return s.put(b.String())
}

// id is the line that tells how far the client has come. The caller holds mu.
func (s *stream) id() string {
	s.told = s.reached
	return fmt.Sprintf("id: %d\n", s.told)
}

func (s *stream) write(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(text)
}

// put writes. The caller holds mu.
func (s *stream) put(text string) error {
	// The server's own limit is for whole answers. Writers without one need none.
	if err := s.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := s.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// beat shows that the stream lives, until ctx ends or nobody reads.
func (s *stream) beat(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.alive() != nil {
				return
			}
		}
	}
}

// alive writes a sign of life.
func (s *stream) alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := "\n"
	if s.sse {
		text = ": alive\n"
		if s.reached > s.told {
			text += s.id()
		}
		text += "\n"
	}
	return s.put(text)
}

// fail tells the client why the stream ends; its status has been sent long ago.
func (s *stream) fail(err error) {
	f := faultOf(err)
	text := err.Error()
	if f.text != nil {
		text = f.text(err)
	}
	_ = s.send("error", map[string]string{"type": "error", "kind": f.kind, "error": text})
}
