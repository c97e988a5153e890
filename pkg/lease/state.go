package lease

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// SetState says in the session's key what its conductor does, such as "active" or "draining", for
// others to read; the session and its locks stay as they are. It blocks until etcd has answered,
// sending again what has no answer, and returns the cause if the session or ctx ends first.
func (s *Session) SetState(ctx context.Context, state string) error {
	s.mu.Lock()
	s.member.State = state
	value, err := json.Marshal(s.member)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("session info: %w", err)
	}
	ctx, stop := s.bind(ctx)
	defer stop()
	for {
		s.mu.Lock()
		mod := s.mod
		s.mu.Unlock()
		try, cancel := context.WithTimeout(ctx, s.attempt())
		r, err := s.client.Txn(try).
			If(clientv3.Compare(clientv3.ModRevision(s.key), "=", mod)). // a late copy must not undo a later state
			Then(clientv3.OpPut(s.key, string(value), clientv3.WithIgnoreLease())).
			Else(clientv3.OpGet(s.key)).Commit()
		cancel()
		switch {
		case err == nil && r.Succeeded:
			s.bumped(r.Header.Revision)
			return nil
		case err == nil:
			kvs := r.Responses[0].GetResponseRange().Kvs
			if len(kvs) == 0 || kvs[0].CreateRevision != s.epoch {
				s.lose(keyGone)
				return context.Cause(s.ctx)
			}
			s.bumped(kvs[0].ModRevision)
			continue
		case ctx.Err() != nil:
			return fmt.Errorf("state %s: %w", state, context.Cause(ctx))
		case !unknownOutcome(err):
			return fmt.Errorf("state %s: %w", state, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// SetState is Session.SetState for this session and those to come. If there is none at the moment,
// the next will say so, and the error tells why there is none.
func (k *Keeper) SetState(ctx context.Context, state string) error {
	k.mu.Lock()
	k.state = state
	s, err := k.session, k.err
	k.mu.Unlock()
	if err != nil {
		return err
	}
	return s.SetState(ctx, state)
}

// config is that of the next session.
func (k *Keeper) config() Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.cfg
	if k.state != "" {
		c.State = k.state
	}
	return c
}
