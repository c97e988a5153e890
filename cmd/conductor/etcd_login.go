package main

import (
	"context"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// oneLogin lets one request log in for all that have to at the same moment. After a restart etcd
// knows no token any more, and it takes its time over each password.
type oneLogin struct {
	clientv3.Auth
	free chan struct{} // has room for who logs in

	logins atomic.Int64 // that succeeded
	answer *clientv3.AuthenticateResponse
}

// Authenticate implements clientv3.Auth.
func (o *oneLogin) Authenticate(ctx context.Context, name, password string) (*clientv3.AuthenticateResponse, error) {
	asked := o.logins.Load()
	select {
	case o.free <- struct{}{}:
		defer func() { <-o.free }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if o.logins.Load() > asked {
		return o.answer, nil
	}
	answer, err := o.Auth.Authenticate(ctx, name, password)
	if err == nil {
		o.answer = answer
		o.logins.Add(1)
	}
	return answer, err
}
