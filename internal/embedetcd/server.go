package embedetcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// startLimit bounds a start whose caller has set no bound.
const startLimit = 2 * time.Minute

// Server is a running etcd.
type Server struct {
	etcd     *embed.Etcd
	run      *run
	lock     *DirLock
	endpoint string

	stopped   chan struct{} // closed when etcd no longer serves
	err       error         // why, readable once stopped is closed
	closeOnce sync.Once
	closeErr  error
}

// Start starts etcd and waits until it serves clients, for as long as ctx lasts
// and at most two minutes; only the reading of old data is not cut short. ctx has
// no say over the server once started.
//
// The error is a [*PortInUseError], [*DirInUseError], [*DirError] or
// [*DataError] when it is one of these, and each of their texts says what can be
// done about it.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Dir == "" {
		return nil, errors.New("embedded etcd: no data directory given")
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	listen, err := listenURL(cfg.ClientURL)
	if err != nil {
		return nil, err
	}
	lock, err := LockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := foreignEtcd(cfg.Dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	warnIfExposed(log, listen)

	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	s, err := start(ctx, cfg, listen, log)
	if err != nil {
		// Errors that leave parts of etcd behind leave the directory locked by
		// the database's own lock; ours can go.
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

// start tries a few ports if the choice was left to us: one that was free a
// moment ago may be taken by now.
func start(ctx context.Context, cfg Config, listen *url.URL, log *slog.Logger) (*Server, error) {
	if listen.Port() != "0" {
		return startOn(ctx, cfg, *listen, log)
	}
	for try := 1; ; try++ {
		u := *listen
		port, err := freePort(listen.Hostname())
		if err != nil {
			return nil, err
		}
		u.Host = net.JoinHostPort(listen.Hostname(), strconv.Itoa(port))
		s, err := startOn(ctx, cfg, u, log)
		if _, taken := errors.AsType[*PortInUseError](err); taken && try < 8 {
			continue
		}
		return s, err
	}
}

func startOn(ctx context.Context, cfg Config, listen url.URL, log *slog.Logger) (*Server, error) {
	run := newRun()
	ec := etcdConfig(cfg, listen, zapTo(log, run))
	e, err := open(ctx, cfg.Dir, ec, run)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
		run.started.Store(true)
	case err := <-run.reasons:
		return nil, dataError(cfg.Dir, err)
	case err := <-e.Err():
		e.Close()
		return nil, fmt.Errorf("start etcd on %s: %w", cfg.Dir, err)
	case <-ctx.Done():
		e.Close()
		return nil, dataError(cfg.Dir, fmt.Errorf("it has elected no leader yet: %w", context.Cause(ctx)))
	}
	s := &Server{etcd: e, run: run, endpoint: ec.AdvertiseClientUrls[0].String(), stopped: make(chan struct{})}
	go s.watch()
	return s, nil
}

// open reads the data and opens the listener. What it starts is not waited for
// if etcd gives up in the middle, since then it may not end: see run.
func open(ctx context.Context, dir string, ec *embed.Config, run *run) (*embed.Etcd, error) {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	results := make(chan result, 1)
	go func() {
		defer func() {
			// On a damaged log etcd also falls over by itself.
			if p := recover(); p != nil {
				run.fail(fmt.Errorf("etcd panicked: %v", p))
			}
		}()
		e, err := embed.StartEtcd(ec)
		results <- result{e, err}
	}()

	select {
	case r := <-results:
		if r.err != nil {
			return nil, explain(dir, ec.ListenClientUrls[0].Host, r.err)
		}
		return r.etcd, nil
	case err := <-run.reasons:
		return nil, dataError(dir, err)
	case <-ctx.Done():
		// It is reading its data and cannot be interrupted in that.
		select {
		case r := <-results:
			if r.err == nil {
				r.etcd.Close()
			}
		case err := <-run.reasons:
			return nil, dataError(dir, err)
		}
		return nil, fmt.Errorf("start etcd on %s: %w", dir, context.Cause(ctx))
	}
}

// watch ends when etcd does: by Close, or by itself.
func (s *Server) watch() {
	defer close(s.stopped)
	select {
	case err, ok := <-s.etcd.Err():
		if ok && err != nil {
			s.err = fmt.Errorf("etcd stopped: %w", err)
		}
	case <-s.etcd.Server.StopNotify():
	}
}

// Endpoint is the URL that clients use, http://host:port.
func (s *Server) Endpoint() string { return s.endpoint }

// ClientConfig is what clientv3.New needs to talk to this etcd, over its
// listener like everybody else.
func (s *Server) ClientConfig() clientv3.Config {
	return clientv3.Config{
		Endpoints:   []string{s.endpoint},
		DialTimeout: 5 * time.Second,
		Logger:      zap.NewNop(),
	}
}

// Done is closed when etcd no longer serves, be it by Close or by itself.
func (s *Server) Done() <-chan struct{} { return s.stopped }

// Err tells why etcd stopped by itself. It is nil before Done is closed, and
// after a Close.
func (s *Server) Err() error {
	select {
	case <-s.stopped:
		return s.err
	default:
		return nil
	}
}

// Close stops etcd and gives its directory back. Close clients first: etcd waits
// some seconds for open watches to end. Further calls wait for the first.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.run.closing.Store(true)
		s.etcd.Close()
		<-s.stopped
		s.closeErr = s.lock.Close()
	})
	return s.closeErr
}

// explain turns what etcd said when it would not start into an error that says
// what to do.
func explain(dir, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return &PortInUseError{Addr: addr, Err: err}
	}
	if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Op == "listen" {
		return fmt.Errorf("etcd cannot listen on %s: %w: choose another address with --etcd-listen", addr, err)
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return &DirError{Dir: dir, Err: err}
	}
	return dataError(dir, err)
}

// dataError blames the data, if there was any.
func dataError(dir string, err error) error {
	if _, statErr := os.Stat(filepath.Join(dir, "member", "wal")); statErr != nil {
		return fmt.Errorf("start etcd on %s: %w", dir, err)
	}
	return &DataError{Dir: dir, Version: version.Version, Err: err}
}
