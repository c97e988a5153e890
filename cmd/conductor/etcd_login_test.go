package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// slowDoor checks passwords as slowly as etcd does.
type slowDoor struct {
	clientv3.Auth
	asked atomic.Int64
}

func (d *slowDoor) Authenticate(ctx context.Context, _, password string) (*clientv3.AuthenticateResponse, error) {
	d.asked.Add(1)
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if password != "right" {
		return nil, errors.New("wrong")
	}
	return &clientv3.AuthenticateResponse{Token: "token"}, nil
}

func TestOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &slowDoor{}
		o := &oneLogin{Auth: door, free: make(chan struct{}, 1)}
		many := func(password string) (in int64) {
			var ok atomic.Int64
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if r, err := o.Authenticate(t.Context(), "c1", password); err == nil && r.Token == "token" {
						ok.Add(1)
					}
				})
			}
			wg.Wait()
			return ok.Load()
		}
		if in := many("right"); in != 20 || door.asked.Load() != 1 {
			t.Errorf("%d of 20 logged in, with %d checks, want all with 1", in, door.asked.Load())
		}
		if many("right"); door.asked.Load() != 2 {
			t.Errorf("%d checks, want another one: the token may have ended since", door.asked.Load())
		}
		if in := many("wrong"); in != 0 {
			t.Errorf("%d logged in with a wrong password", in)
		}

		// Who gives up takes nobody along.
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := o.Authenticate(soon, "c1", "right"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("gave up with %v", err)
			}
		})
		synctest.Wait()
		if _, err := o.Authenticate(t.Context(), "c1", "right"); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

// Who may not read nodes still sees the locks, and who may nothing is told what to do.
func TestLockListOfAViewer(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	s, err := lease.Open(ctx, l.client, lease.Config{Holder: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(ctx, lease.Request{Name: l.node.ID(), Purpose: "deploy"}); err != nil {
		t.Fatal(err)
	}
	c := l.client
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.RoleAdd(ctx, "viewer"))
	for _, keys := range []string{"locks", "intents/", "meta/"} {
		must(c.RoleGrantPermission(ctx, "viewer", lease.DefaultRoot+keys, clientv3.GetPrefixRangeEnd(lease.DefaultRoot+keys), clientv3.PermissionType(clientv3.PermRead)))
	}
	for name, role := range map[string]string{"root": "root", "vera": "viewer", "nemo": ""} {
		must(c.UserAdd(ctx, name, "pw"))
		if role != "" {
			must(c.UserGrantRole(ctx, name, role))
		}
	}
	must(c.AuthEnable(ctx))
	for _, as := range []struct {
		user      string
		code      int
		out, errs string
	}{
		{"vera:pw", exitOK, "deploy", "uuids in place of names"},
		{"nemo:pw", exitFailure, "", "permission denied (give a user of etcd"},
		{"vera:wrong", exitFailure, "", "(give a user of etcd"},
		{"", exitFailure, "", "user name is empty (give a user of etcd"},
	} {
		args := []string{"lock", "list"}
		if as.user != "" {
			args = append(args, "--etcd-user", as.user)
		}
		code, out, errs := runAs(t, l.env(), args...)
		if code != as.code || !strings.Contains(out, as.out) || !strings.Contains(errs, as.errs) {
			t.Errorf("as %q: got code %d, %q, %q, want %d, %q, %q", as.user, code, out, errs, as.code, as.out, as.errs)
		}
	}
}
