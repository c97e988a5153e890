package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// watchdog notices that this process makes no progress: its goroutine beats, and
// the lease is not renewed when the last beat is too long ago.
type watchdog struct {
	limit time.Duration
	start time.Time
	last  atomic.Int64 // nanoseconds after start
	end   context.CancelFunc
	done  chan struct{}
}

func newWatchdog(ttl time.Duration) *watchdog {
	ctx, end := context.WithCancel(context.Background())
	w := &watchdog{limit: ttl / 2, start: time.Now(), end: end, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(max(ttl/16, time.Millisecond))
		defer tick.Stop()
		for {
			w.last.Store(int64(time.Since(w.start)))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

func (w *watchdog) healthy() error {
	if late := time.Since(w.start) - time.Duration(w.last.Load()); late > w.limit {
		return fmt.Errorf("nothing has run for %s", late.Round(time.Millisecond))
	}
	return nil
}

func (w *watchdog) close(context.Context) error {
	w.end()
	<-w.done
	return nil
}
