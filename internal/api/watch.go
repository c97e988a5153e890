package api

import (
	"context"
	"errors"
	"strings"

	"github.com/conductor-metal/conductor/pkg/lease"
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
	sse := strings.Contains(c.r.Header.Get("Accept"), "text/event-stream")
	return c.streaming(ctx, sse, func(ctx context.Context, s *stream) error {
		for ev, err := range c.cfg.Locks.Watch(ctx, name) {
			if err != nil {
				return err
			}
			granted := ev.Type != lease.EventWaiting
			out := lockEvent{Type: ev.Type, Node: ev.Entry.Name, Revision: ev.Revision, Entry: entryOf(ev.Entry, granted), Break: ev.Break}
			if s.send(string(ev.Type), out) != nil {
				break // the client is gone
			}
		}
		return nil
	})
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
