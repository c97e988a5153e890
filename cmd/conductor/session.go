package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

var (
	errStopping = errors.New("this conductor is being stopped")
	errDraining = errors.New("this conductor takes no new work")
)

// readiness is the session as the API sees it: none while the service stops.
type readiness struct{ s *service }

// Current implements task.Sessions.
func (r readiness) Current() (*lease.Session, error) {
	if r.s.stopping.Load() {
		return nil, errStopping
	}
	return r.s.keeper.Current()
}

func (s *service) startSession(ctx context.Context) error {
	file := filepath.Join(s.o.dataDir, "identity.json")
	old, err := readIdentity(file)
	if err != nil {
		return err
	}
	me := identity{Host: s.o.host, Instance: rand.Text()}
	if me.Machine, err = os.Hostname(); err != nil {
		return err
	}
	gone, err := s.proven(ctx, old, me)
	if err != nil {
		return err
	}
	if err := writeIdentity(file, me); err != nil {
		return err
	}
	s.dog = newWatchdog(s.o.ttl)
	s.onStop("watchdog", s.dog.close)
	s.keeper, err = s.keep(ctx, lease.Config{
		Root: s.o.etcd.root(), Holder: s.o.host, TTL: s.o.ttl, Margin: s.o.margin, OldIsGone: gone,
		Info: map[string]any{
			"version": version, "api": s.advertised(), "conductor_group": s.o.group,
			"drivers": s.hardware.Types(), "instance": me.Instance,
		},
		Healthy: s.dog.healthy, Metrics: lease.NewMetrics(s.metrics, purposes...), Logger: s.log,
	})
	if errors.Is(err, lease.ErrTaken) {
		return fmt.Errorf("%w (--host)", err)
	}
	if err != nil {
		return unanswered(s.endpoints, err)
	}
	s.onStop("session", func(ctx context.Context) error {
		// The locks are worth some time of their own when the tasks have used all.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.ttl)
		defer cancel()
		return s.keeper.Close(ctx)
	})
	return nil
}

// keep opens the session. That may take as long as an earlier one of this host
// name lives, but not longer than etcd may be silent.
func (s *service) keep(ctx context.Context, cfg lease.Config) (*lease.Keeper, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { cancel(s.silence(ctx)) })
	keeper, err := lease.Keep(ctx, s.client, cfg)
	why := context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	if err != nil && errors.Is(why, errUnreachable) {
		return nil, why
	}
	return keeper, err
}

// silence returns when etcd has not answered for too long, or ctx ends.
func (s *service) silence(ctx context.Context) error {
	look := func(ctx context.Context) error { return checkSchema(ctx, s.client, s.o.etcd.root()) }
	for {
		select {
		case <-time.After(s.o.etcd.answerIn):
		case <-ctx.Done():
			return nil
		}
		try, cancel := context.WithTimeout(ctx, s.o.etcd.answerIn)
		err := look(try)
		cancel()
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.log.WarnContext(ctx, "waiting for etcd to open the session", "err", err, "wait", s.o.etcd.retry)
		if err := s.o.etcd.again(ctx, s.endpoints, look); errors.Is(err, errUnreachable) {
			return err
		}
	}
}

// proven says whether the session that is registered under this host name was
// that of the last process on this data directory.
func (s *service) proven(ctx context.Context, old, me identity) (bool, error) {
	if old.Instance == "" || old.Host != me.Host || old.Machine != me.Machine {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.etcd.answerIn)
	defer cancel()
	r, err := s.client.Get(ctx, s.o.etcd.root()+"conductors/"+me.Host)
	if err != nil {
		return false, unanswered(s.endpoints, err)
	}
	return sameInstance(r, old), nil
}

func sameInstance(r *clientv3.GetResponse, old identity) bool {
	var registered struct{ Info struct{ Instance string } }
	return len(r.Kvs) > 0 && json.Unmarshal(r.Kvs[0].Value, &registered) == nil &&
		registered.Info.Instance == old.Instance
}

// advertised is where others find this conductor's API.
func (s *service) advertised() string {
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		return s.url()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return s.scheme() + net.JoinHostPort(s.o.host, port)
	}
	return s.url()
}
