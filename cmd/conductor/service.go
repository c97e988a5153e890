package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/api"
	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// service is a running conductor. Its parts are stopped in the reverse of the
// order in which they were started: requests first, then tasks, then the session
// with its locks, and etcd last.
type service struct {
	o     *serveOptions
	log   *slog.Logger
	parts []part

	listener  net.Listener
	endpoints []string
	embedded  *embedetcd.Server // nil with an etcd of others
	client    *clientv3.Client
	metrics   *prometheus.Registry
	hardware  *hardware.Registry
	keeper    *lease.Keeper
	tasks     *task.Manager
	stopping  atomic.Bool
	failed    chan error
}

type part struct {
	name string
	stop func(context.Context) error
}

func (s *service) onStop(name string, stop func(context.Context) error) {
	s.parts = append(s.parts, part{name, stop})
}

func (s *service) url() string { return "http://" + s.listener.Addr().String() }

// start starts everything. After an error, stop what runs.
func (s *service) start(ctx context.Context) error {
	s.failed = make(chan error, 1)
	for _, step := range []func(context.Context) error{
		s.startHardware, s.startListener, s.startDir, s.startSession, s.startTasks, s.startHTTP,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) startHardware(context.Context) (err error) {
	s.metrics = newRegistry()
	s.hardware, err = hardware.NewRegistry(hardware.Config{
		HardwareTypes: s.o.types,
		Interfaces:    s.o.interfaces.lists(),
		Defaults:      s.o.defaults,
		Fake:          hardware.FakeConfig{Delays: s.o.fakeDelays},
	})
	if err != nil {
		return usage(err)
	}
	return nil
}

func (s *service) startListener(ctx context.Context) (err error) {
	s.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.o.listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &kindError{errTaken, fmt.Errorf("%s is in use: is another conductor running? listen elsewhere with --listen", s.o.listen)}
	case err != nil:
		return usage(fmt.Errorf("--listen: %w", err))
	}
	s.onStop("listener", func(context.Context) error {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

// startDir takes the data directory and connects to etcd, which may live there.
func (s *service) startDir(ctx context.Context) error {
	lock, err := embedetcd.LockDir(s.o.dataDir)
	if err != nil {
		return err
	}
	s.onStop("data directory", func(context.Context) error { return lock.Close() })
	var c clientv3.Config
	if len(s.o.etcd.endpoints) == 0 {
		s.embedded, err = embedetcd.Start(ctx, embedetcd.Config{
			Dir: filepath.Join(s.o.dataDir, "etcd"), ClientURL: s.o.etcdListen, Logger: s.log,
		})
		if err != nil {
			return err
		}
		s.onStop("etcd", func(context.Context) error { return s.embedded.Close() })
		c = s.embedded.ClientConfig()
	} else if c, err = s.o.etcd.clientConfig(); err != nil {
		return err
	}
	s.endpoints = c.Endpoints
	if s.client, err = s.o.etcd.open(ctx, c); err != nil {
		return err
	}
	s.onStop("etcd client", func(context.Context) error { return s.client.Close() })
	return claimSchema(ctx, s.client, s.o.etcd.root())
}

func (s *service) startTasks(context.Context) (err error) {
	s.tasks, err = task.NewManager(task.Config{
		Client: s.client, Root: s.o.etcd.root(), Sessions: s.keeper, Hardware: s.hardware,
		Workers: s.o.workers, CommandTimeout: s.o.commandTimeout, LockDelay: s.o.lockDelay,
		Metrics: task.NewMetrics(s.metrics), Logger: s.log,
	})
	if err != nil {
		return err
	}
	s.onStop("tasks", s.tasks.Close)
	return nil
}

func (s *service) startHTTP(ctx context.Context) error {
	root := s.o.etcd.root()
	handler, err := api.New(api.Config{
		Host: s.o.host, Version: version,
		Store: node.NewStore(s.client, root), Locks: lease.Locks{Client: s.client, Root: root},
		Tasks: s.tasks, Provision: provision.New(provision.Config{Tasks: s.tasks, Logger: s.log}),
		Hardware: s.hardware, Sessions: readiness{s}, Registry: s.metrics, Logger: s.log, MaxWait: s.o.maxWait,
	})
	if err != nil {
		return err
	}
	base, end := context.WithCancelCause(context.WithoutCancel(ctx))
	// No limit on the whole of a request: one may wait long for a lock, and a
	// watch does not end.
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.onStop("requests", func(ctx context.Context) error {
		// Who is still here after a moment, waits for a lock.
		moment := time.AfterFunc(min(5*time.Second, s.o.shutdown/2), func() { end(errStopping) })
		defer moment.Stop()
		defer end(errStopping)
		return errors.Join(server.Shutdown(ctx), server.Close())
	})
	go func() { // ends with the server, whose stop waits for it
		if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("API: %w", err)
		}
	}()
	return nil
}

// wait returns when the service is to end: nil if ctx did, or what broke.
func (s *service) wait(ctx context.Context) error {
	var gone <-chan struct{}
	if s.embedded != nil {
		gone = s.embedded.Done()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	case <-gone:
		return fmt.Errorf("etcd stopped: %w", s.embedded.Err())
	}
}

// stop stops all that runs, within --shutdown-timeout as far as that is up to us.
func (s *service) stop(ctx context.Context) {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.shutdown)
	defer cancel()
	for len(s.parts) > 0 {
		last := s.parts[len(s.parts)-1]
		s.parts = s.parts[:len(s.parts)-1]
		if err := last.stop(ctx); err != nil {
			s.log.WarnContext(ctx, "stopping "+last.name, "err", err)
		}
	}
}

func joinComma(texts []string) string { return strings.Join(texts, ",") }
