package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// contend makes n requests at once, each of which gives the lock back as soon as
// it is granted.
func (h *holder) contend(ctx context.Context, name string, n int) error {
	return h.all(n, func(int) error {
		l, err := h.session.Acquire(ctx, lease.Request{Name: name, Purpose: "contend", Wait: lease.Patient})
		if err != nil {
			return err
		}
		h.tell(event{Event: "granted", Name: name, Ticket: l.Ticket(), Token: l.Token()})
		return l.Release(ctx, h.record(l, "contended"))
	}, "contended")
}

// many takes n locks and keeps them, and tells how much memory they cost.
func (h *holder) many(ctx context.Context, prefix string, n int) error {
	before := memory()
	start := time.Now()
	var mu sync.Mutex
	locks := make([]*lease.Lock, 0, n)
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range n {
			next <- i
		}
	}()
	errs := make(chan error, 64)
	for range 64 {
		go func() {
			for i := range next {
				l, err := h.session.Acquire(ctx, lease.Request{Name: prefix + strconv.Itoa(i), Purpose: "many"})
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				locks = append(locks, l)
				mu.Unlock()
			}
			errs <- nil
		}()
	}
	for range 64 {
		if err := <-errs; err != nil {
			return err
		}
	}
	took := time.Since(start)
	runtime.GC()
	h.tell(event{
		Event: "many", N: len(locks), Seconds: took.Seconds(), Bytes: (memory() - before) / int64(n),
		Values: map[string]float64{"resident": resident()},
	})
	<-h.session.Context().Done()
	held := 0
	for _, l := range locks {
		if l.Context().Err() == nil {
			held++
		}
	}
	h.tell(event{Event: "many ended", N: held})
	return nil
}

// memory is what lives on the heap and on stacks.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// resident is the memory of the process as the kernel counts it, in bytes.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	pages, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return float64(pages * os.Getpagesize())
}

// cycles is the life of a task that changes its node, n times.
func (h *holder) cycles(ctx context.Context, name string, n int) error {
	start := time.Now()
	for i := range n {
		l, err := h.session.Acquire(ctx, lease.Request{Name: name, Purpose: "cycle", Read: []string{h.root + "nodes/" + name}})
		if err != nil {
			return err
		}
		if i > 0 && len(l.Records().KVs) != 1 {
			return fmt.Errorf("read %d records with the lock, want 1", len(l.Records().KVs))
		}
		if err := l.Release(ctx, h.record(l, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	h.tell(event{Event: "cycles", N: n, Seconds: time.Since(start).Seconds()})
	return nil
}

// handoffs queues n requests behind a lock, tells so, waits for the name to be
// released by "release", and tells when the last one was granted.
func (h *holder) handoffs(ctx context.Context, name string, n int) error {
	first, err := h.session.Acquire(ctx, lease.Request{Name: name, Purpose: "handoff"})
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.locks[name] = first
	h.mu.Unlock()
	h.tell(event{Event: "first", Name: name})
	return h.all(n, func(int) error {
		l, err := h.session.Acquire(ctx, lease.Request{Name: name, Purpose: "handoff", Wait: lease.Patient})
		if err != nil {
			return err
		}
		return l.Release(ctx, h.record(l, "handed"))
	}, "handoffs")
}

// conversions makes a held shared lock exclusive and shared again, n times.
func (h *holder) conversions(ctx context.Context, name string, n int) error {
	h.mu.Lock()
	l := h.locks[name]
	h.mu.Unlock()
	if l == nil {
		return fmt.Errorf("%s is not locked by me", name)
	}
	start := time.Now()
	for range n {
		if err := l.Upgrade(ctx, "", 0); err != nil {
			return err
		}
		if err := l.Downgrade(ctx, h.record(l, "converted")); err != nil {
			return err
		}
	}
	h.tell(event{Event: "conversions", N: n, Seconds: time.Since(start).Seconds()})
	return nil
}

// all runs n of something at once and tells when all are done.
func (h *holder) all(n int, f func(int) error, done string) error {
	start := time.Now()
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	h.tell(event{Event: done, N: n, Seconds: time.Since(start).Seconds()})
	return nil
}
