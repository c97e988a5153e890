package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/conductor-metal/conductor/internal/api"
	"github.com/conductor-metal/conductor/internal/cluster"
)

// startCluster follows the other conductors, and the orders to drain.
func (s *service) startCluster(ctx context.Context) (err error) {
	try, cancel := context.WithTimeout(ctx, s.o.etcd.answerIn)
	defer cancel()
	if s.members, err = cluster.Follow(try, s.client, s.o.etcd.root(), s.log); err != nil {
		return unanswered(s.endpoints, err)
	}
	s.onStop("members", func(context.Context) error {
		s.members.Close()
		return nil
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.drains().Follow(ctx, s.o.host, s.heed) })
	s.onStop("orders", func(context.Context) error {
		stop()
		wg.Wait()
		return nil
	})
	return nil
}

func (s *service) drains() cluster.Drains {
	return cluster.Drains{Client: s.client, Root: s.o.etcd.root()}
}

// heed drains, or takes work again, and tells the others.
func (s *service) heed(ctx context.Context, o *cluster.Order) error {
	state := cluster.Active
	if o != nil {
		state = cluster.Draining
	}
	was := s.draining.Swap(o != nil)
	switch {
	case o != nil && !was:
		s.log.WarnContext(ctx, "draining: no new work is taken, what runs goes on", "by", o.By, "why", o.Why, "since", o.Since)
	case o == nil && was:
		s.log.InfoContext(ctx, "new work is taken again")
	}
	v, _ := s.members.View()
	if me, ok := v.Member(s.o.host); ok && me.State == state {
		return nil
	}
	return s.keeper.SetState(ctx, state)
}

// drainOut drains before an end: it returns when the running tasks have ended, or
// may not go on.
func (s *service) drainOut(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.o.drain)
	defer cancel()
	if err := s.heed(ctx, &cluster.Order{Host: s.o.host, By: "SIGUSR2", Since: time.Now()}); err != nil {
		s.log.WarnContext(ctx, "other conductors are not told", "err", err)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for s.tasks.Working() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.log.WarnContext(ctx, "tasks still run", "tasks", s.tasks.Working(), "err", context.Cause(ctx))
			return
		}
	}
}

// leave tells the others, if that is a matter of moments, that this conductor takes no new work.
func (s *service) leave(ctx context.Context) {
	if s.members == nil {
		return
	}
	s.draining.Store(true)
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_ = s.keeper.SetState(ctx, cluster.Draining) // or its key is gone soon
}

// peers are the other conductors, as the API reaches them.
func (s *service) peers() (api.Cluster, error) {
	dial := &net.Dialer{Timeout: 2 * time.Second}
	t := &http.Transport{DialContext: dial.DialContext, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}
	if o := s.o.secure; o.tls.Cert != "" {
		t.TLSHandshakeTimeout = 5 * time.Second
		t.ForceAttemptHTTP2 = true
		t.TLSClientConfig = &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				cert, err := tls.LoadX509KeyPair(o.tls.Cert, o.tls.Key) // may have changed
				return &cert, err
			},
		}
		if o.peers != "" {
			pem, err := os.ReadFile(o.peers)
			if err != nil {
				return api.Cluster{}, usage(err)
			}
			t.TLSClientConfig.RootCAs = x509.NewCertPool()
			if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
				return api.Cluster{}, usage(fmt.Errorf("--peer-ca-file: %s holds no certificate", o.peers))
			}
		}
	}
	return api.Cluster{Members: s.members, Transport: t, Draining: s.draining.Load}, nil
}
