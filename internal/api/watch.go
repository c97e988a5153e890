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

	"github.com/conductor-metal/conductor/pkg/lease"
)

const (
	maxWatches    = 100              // each is a watch on etcd
	watchInterval = 15 * time.Second // between signs of life, which proxies want and which find dead clients
	writeTimeout  = 30 * time.Second // for one event; a client that does not read is left
)

// lockEvent is one change of a lock queue as clients see it.
type lockEvent struct {
	Type     lease.EventType `json:"type"`
	Node     string          `json:"node"`
	Revision int64           `json:"revision"`
	Entry    lockEntry       `json:"entry"`
	Break    *lease.Break    `json:"break,omitempty"`
}

// watch streams the present state of one queue or all, and then each change,
// until the client has enough: as server-sent events if it accepts these, and
// else as one JSON object a line.
func (c *call) watch(ctx context.Context, name string) error {
	select {
	case c.watchers <- struct{}{}:
	default:
		return refuse(errBusy, "%d clients watch locks already.", maxWatches)
	}
	c.metrics.watches.Inc()
	defer func() {
		<-c.watchers
		c.metrics.watches.Dec()
	}()
	s := &stream{w: c.w, rc: http.NewResponseController(c.w), sse: strings.Contains(c.r.Header.Get("Accept"), "text/event-stream")}
	s.begin()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer cancel()
		s.beat(ctx)
	})
	for ev, err := range c.cfg.Locks.Watch(ctx, name) {
		if err != nil {
			return s.fail(err)
		}
		granted := ev.Type != lease.EventWaiting
		out := lockEvent{Type: ev.Type, Node: ev.Entry.Name, Revision: ev.Revision, Entry: entryOf(ev.Entry, granted), Break: ev.Break}
		if s.send(string(ev.Type), out) != nil {
			break // the client is gone
		}
	}
	return nil
}

// stream writes events, from the watch and from its sign of life.
type stream struct {
	mu  sync.Mutex
	w   http.ResponseWriter
	rc  *http.ResponseController
	sse bool
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

func (s *stream) write(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	text := "\n"
	if s.sse {
		text = ": alive\n\n"
	}
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.write(text) != nil {
				return
			}
		}
	}
}

// fail tells the client why the stream ends; its status has been sent long ago.
func (s *stream) fail(err error) error {
	f := faultOf(err)
	text := err.Error()
	if f.text != nil {
		text = f.text(err)
	}
	_ = s.send("error", map[string]string{"type": "error", "kind": f.kind, "error": text})
	return nil
}

// changed tells apart a lock that is not there to be broken from one that is in
// the way.
func changed(err error) error {
	held, ok := errors.AsType[*lease.HeldError](err)
	if !ok {
		return err
	}
	if len(held.Queue.Entries) == 0 {
		return refuse(errMissing, "Node %s is not locked.", held.Queue.Name)
	}
	return refuse(errLockChanged, "No entry of the lock of node %s has this revision (any more); look at the lock again.", held.Queue.Name)
}
