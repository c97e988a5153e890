package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// shard is one lease with at most Config.ShardKeys entries on it.
type shard struct {
	id      clientv3.LeaseID
	ttl     time.Duration
	renewed stamp // when its newest successful renewal was sent
	used    int   // entries on it
}

// leaseAPI renews one lease once and returns the TTL that etcd granted, 0 if the lease is gone.
type leaseAPI func(ctx context.Context, id clientv3.LeaseID) (ttl int64, err error)

// newLeaseAPI goes to the connection itself where there is one: clientv3's KeepAliveOnce repeats
// without pause for as long as no endpoint answers (etcd client 3.7.3, lease.go).
func newLeaseAPI(c *clientv3.Client) leaseAPI {
	conn := c.ActiveConnection()
	if conn == nil {
		return func(ctx context.Context, id clientv3.LeaseID) (int64, error) {
			r, err := c.KeepAliveOnce(ctx, id)
			if errors.Is(err, rpctypes.ErrLeaseNotFound) {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return r.TTL, nil
		}
	}
	remote := pb.NewLeaseClient(conn)
	return func(ctx context.Context, id clientv3.LeaseID) (int64, error) {
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		defer cancel()
		stream, err := remote.LeaseKeepAlive(ctx)
		if err != nil {
			return 0, rpctypes.Error(err)
		}
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
			return 0, rpctypes.Error(err)
		}
		r, err := stream.Recv()
		if err != nil {
			return 0, rpctypes.Error(err)
		}
		return r.TTL, nil
	}
}

// grantShard adds a lease to the session.
func (s *Session) grantShard(ctx context.Context) error {
	sent := now()
	r, err := s.client.Grant(ctx, int64((s.cfg.TTL+time.Second-1)/time.Second))
	if err != nil {
		return fmt.Errorf("grant lease: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards = append(s.shards, &shard{id: r.ID, ttl: time.Duration(r.TTL) * time.Second, renewed: sent})
	return nil
}

// place finds a shard with room for n more keys, and grants one if there is none. The first
// shard, the primary, carries the session's key alone.
func (s *Session) place(ctx context.Context, n int) (*shard, error) {
	for {
		s.mu.Lock()
		if s.state == Lost || s.state == Closed || len(s.shards) == 0 {
			s.mu.Unlock()
			return nil, context.Cause(s.ctx)
		}
		for _, sh := range s.shards[1:] {
			if sh.used+n <= max(s.cfg.ShardKeys, n) {
				sh.used += n
				s.mu.Unlock()
				return sh, nil
			}
		}
		grown := s.growing
		if grown == nil { // one grants for all who need room
			grown = make(chan struct{})
			s.growing = grown
			s.mu.Unlock()
			err := s.grantShard(ctx)
			s.mu.Lock()
			s.growing = nil
			close(grown)
			s.mu.Unlock()
			if err != nil {
				return nil, err
			}
			continue
		}
		s.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// keep renews all leases every TTL/4, by the clock on which more time has passed: after the machine
// was suspended, at once. A renewal may take as long as TTL/2 to be answered: the
// next one does not wait for it, and trust counts from its sending, so a slow etcd costs trust
// but not the session. It runs outside every pool and is the last of the session to stop.
func (s *Session) keep() {
	tick := time.NewTicker(s.cfg.TTL / 16)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	last := now()
	for late := s.Trust() < s.cfg.TTL/2; ; late = false { // late: the grant itself took long
		if !late {
			select {
			case <-s.ctx.Done():
				return
			case <-tick.C:
			}
			if last.age(now()) < s.cfg.TTL/4-s.cfg.TTL/32 {
				continue
			}
		}
		last = now()
		if s.cfg.Healthy != nil {
			if err := s.cfg.Healthy(); err != nil {
				s.cfg.Metrics.renewals.WithLabelValues("unhealthy").Inc()
				s.cfg.Logger.Error("lease not renewed: this process makes no progress", "session", s.id, "err", err)
				continue
			}
		}
		s.mu.Lock()
		shards := s.shards
		s.mu.Unlock()
		for _, sh := range shards {
			wg.Go(func() { s.renew(sh) })
		}
	}
}

func (s *Session) renew(sh *shard) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.TTL/2)
	defer cancel()
	for first := true; ; first = false {
		sent := now()
		ttl, err := s.leases(ctx, sh.id)
		s.cfg.Metrics.request("renew", sent.mono, err)
		switch {
		case s.ctx.Err() != nil:
			return
		case err == nil && ttl <= 0:
			s.cfg.Metrics.renewals.WithLabelValues("gone").Inc()
			s.lose(leaseGone)
			return
		case err == nil:
			s.cfg.Metrics.renewals.WithLabelValues("ok").Inc()
			s.renewed(ctx, sh, sent, time.Duration(ttl)*time.Second)
			return
		}
		s.cfg.Metrics.renewals.WithLabelValues("error").Inc()
		if first {
			s.cfg.Logger.Warn("lease renewal", "session", s.id, "err", err)
		}
		select {
		case <-time.After(s.cfg.TTL / 30):
		case <-ctx.Done():
			return
		}
	}
}

// renewed takes note of a renewal that was sent at a moment.
func (s *Session) renewed(ctx context.Context, sh *shard, sent stamp, ttl time.Duration) {
	s.mu.Lock()
	if sh.renewed.mono.Before(sent.mono) {
		sh.renewed, sh.ttl = sent, ttl
	}
	s.mu.Unlock()
	if s.renewedAll() {
		s.verify(ctx)
	}
}

// verify makes a suspect session live again if every entry still stands as it was created. A
// lease that was renewed was never revoked, so this guards against etcd's own mistakes (etcd:
// renewals of revoked leases succeeded before 3.5.23 and 3.6.5) and against deletion by hand.
func (s *Session) verify(ctx context.Context) {
	r, err := s.client.Get(ctx, s.key)
	if err != nil {
		return // the next renewal tries again
	}
	if len(r.Kvs) == 0 || r.Kvs[0].CreateRevision != s.epoch {
		s.lose(keyGone)
		return
	}
	s.mirror.resync()
	if s.revive() {
		s.cfg.Logger.Info("session live again", "session", s.id)
	}
}
