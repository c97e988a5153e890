package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/auth"
	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
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
	server    *http.Server
	handler   atomic.Pointer[http.Handler]
	endWaits  context.CancelCauseFunc // of requests
	endpoints []string
	embedded  *embedetcd.Server // nil with an etcd of others
	client    *clientv3.Client
	metrics   *prometheus.Registry
	hardware  *hardware.Registry
	keeper    *lease.Keeper
	dog       *watchdog
	users     *auth.Users // nil: everybody may call
	tasks     *task.Manager
	members   *cluster.Members
	draining  atomic.Bool // takes no new work
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

func (s *service) url() string { return s.scheme() + s.listener.Addr().String() }

func (s *service) scheme() string {
	if s.o.secure.tls.Cert != "" {
		return "https://"
	}
	return "http://"
}

// start starts everything. After an error, stop what runs.
func (s *service) start(ctx context.Context) error {
	s.failed = make(chan error, 2) // one for each server
	for _, step := range []func(context.Context) error{
		s.startHardware, s.startListener, s.startDir, s.startSession, s.startCluster, s.startTasks, s.startHTTP,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) startHardware(context.Context) (err error) {
	s.metrics = newRegistry()
	fake := hardware.FakeConfig{Delays: s.o.fakeDelays}
	if s.o.fakeMachines != "" {
		fake.Machines = hardware.RemoteMachines{URL: s.o.fakeMachines}
	}
	s.hardware, err = hardware.NewRegistry(hardware.Config{
		HardwareTypes: s.o.types,
		Interfaces:    s.o.interfaces.lists(),
		Defaults:      s.o.defaults,
		Fake:          fake,
	})
	if err != nil {
		return usage(err)
	}
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
	return s.o.etcd.again(ctx, s.endpoints, func(ctx context.Context) error {
		return claimSchema(ctx, s.client, s.o.etcd.root())
	})
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

// wait returns when the service is to end: nil if ctx did, or what broke.
func (s *service) wait(ctx context.Context) error {
	var gone <-chan struct{}
	if s.embedded != nil {
		gone = s.embedded.Done()
	}
	usr2 := make(chan os.Signal, 1)
	signal.Notify(usr2, syscall.SIGUSR2)
	defer signal.Stop(usr2)
	select {
	case <-ctx.Done():
		return nil
	case <-usr2:
		s.drainOut(ctx)
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
	s.leave(ctx)
	for len(s.parts) > 0 {
		last := s.parts[len(s.parts)-1]
		s.parts = s.parts[:len(s.parts)-1]
		if err := last.stop(ctx); err != nil {
			s.log.WarnContext(ctx, "stopping "+last.name, "err", err)
		}
	}
}

func joinComma(texts []string) string { return strings.Join(texts, ",") }
