package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/conductor-metal/conductor/internal/api"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// startListener takes the address, and answers there that the conductor starts:
// it may have to wait for etcd, or for an earlier session of its host name.
func (s *service) startListener(ctx context.Context) (err error) {
	s.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.o.listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &kindError{errTaken, fmt.Errorf("%s is in use: is another conductor running? listen elsewhere with --listen", s.o.listen)}
	case err != nil:
		return usage(fmt.Errorf("--listen: %w", err))
	}
	if s.listener, err = s.secure(s.listener); err != nil {
		return err
	}
	s.serve(http.HandlerFunc(starting))
	base, end := context.WithCancelCause(context.WithoutCancel(ctx))
	s.endWaits = end
	// No limit on the whole of a request: one may wait long for a lock, and a
	// watch does not end.
	s.server = &http.Server{
		Handler:           http.HandlerFunc(s.answer),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.background("API", s.server, s.listener)
	s.onStop("waits", func(context.Context) error {
		end(errStopping)
		return nil
	})
	return s.startAdmin()
}

// background runs a server until the service stops.
func (s *service) background(name string, server *http.Server, l net.Listener) {
	served := make(chan struct{})
	go func() { // ends with the server, whose stop waits for it
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("%s: %w", name, err)
		}
	}()
	s.onStop(name, func(context.Context) error {
		err := server.Close()
		<-served
		return err
	})
}

// answer passes a request on. While this conductor drains, clients are asked to come back by
// a new connection: the old one may be closed just when they use it.
func (s *service) answer(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	(*s.handler.Load()).ServeHTTP(w, r)
}

// serve makes h answer the requests that come from now on.
func (s *service) serve(h http.Handler) { s.handler.Store(&h) }

// starting answers for a conductor that is not there yet.
func starting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path == "/livez" {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	if api.TakesRetryAfter(r) {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "not ready: this conductor is starting\n")
}

// startLists begins to follow the records, for those who only look at them.
func (s *service) startLists(store *node.Store) *node.Cache {
	age := s.o.maxListAge
	if age <= 0 {
		age = -1
	}
	lists := node.NewCache(store, node.CacheConfig{MaxAge: age})
	s.onStop("lists", func(context.Context) error {
		lists.Close()
		return nil
	})
	return lists
}

func (s *service) startHTTP(context.Context) error {
	root := s.o.etcd.root()
	store := node.NewStore(s.client, root)
	lists := s.startLists(store)
	peers, err := s.peers()
	if err != nil {
		return err
	}
	allocations, err := s.allocations(store)
	if err != nil {
		return err
	}
	handler, err := api.New(api.Config{
		Host: s.o.host, Version: version,
		Store: store, Lists: lists, Locks: lease.Locks{Client: s.client, Root: root},
		Tasks: s.tasks, Provision: s.startProvision(store, lists),
		Hardware: s.hardware, Allocations: allocations, Sessions: readiness{s}, Registry: s.metrics, Users: s.users, Cluster: peers, Logger: s.log, MaxWait: s.o.maxWait,
	})
	if err != nil {
		return err
	}
	s.serve(handler)
	s.onStop("requests", func(ctx context.Context) error {
		// Who is still here after a moment, waits for a lock.
		moment := time.AfterFunc(min(5*time.Second, s.o.shutdown/2), func() { s.endWaits(errStopping) })
		defer moment.Stop()
		defer s.endWaits(errStopping)
		return errors.Join(s.server.Shutdown(ctx), s.server.Close())
	})
	return nil
}
