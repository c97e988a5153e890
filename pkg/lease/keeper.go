package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Keeper holds a session for as long as the process lives: when one is lost, it opens the next.
// Locks do not pass from one session to the next.
type Keeper struct {
	client *clientv3.Client
	cfg    Config
	ctx    context.Context // ends with Close; a keeper's own
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	state   string // of the sessions to come
	session *Session
	err     error // why there is no usable session
}

// Keep opens a session and keeps one open. It blocks until the first is open or ctx ends. While
// an earlier session of the same holder is still registered, it waits for that one's lease to run
// out; if the lease is being renewed, it returns the *TakenError.
func Keep(ctx context.Context, client *clientv3.Client, cfg Config) (*Keeper, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	k := &Keeper{client: client, cfg: cfg}
	start, told := time.Now(), false
	s, err := Open(ctx, client, cfg)
	for {
		taken, ok := errors.AsType[*TakenError](err)
		if !ok || time.Since(start) > max(taken.TTL, cfg.TTL)+2*electionTime {
			break
		}
		if !told {
			cfg.Logger.WarnContext(ctx, "waiting for an earlier session of this host name to run out", "err", err, "ttl", taken.TTL)
			told = true
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, err
		}
		s, err = Open(ctx, client, cfg)
	}
	if err != nil {
		return nil, err
	}
	k.session = s
	k.cfg.OldIsGone = false // true of what was before this process only
	k.ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	k.wg.Go(k.run)
	return k, nil
}

func (k *Keeper) run() {
	for {
		s, _ := k.Latest()
		select {
		case <-s.Context().Done():
		case <-k.ctx.Done():
			return
		}
		k.set(s, context.Cause(s.Context()))
		s.wg.Wait()
		for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
			ctx, cancel := context.WithTimeout(k.ctx, k.cfg.TTL)
			next, err := Open(ctx, k.client, k.config())
			cancel()
			if err == nil {
				k.cfg.Logger.Info("session opened again", "session", next.ID())
				k.set(next, nil)
				break
			}
			k.cfg.Logger.Warn("open session again", "err", err)
			k.set(s, fmt.Errorf("no session with etcd: %w", err))
			select {
			case <-time.After(wait):
			case <-k.ctx.Done():
				return
			}
		}
	}
}

func (k *Keeper) set(s *Session, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.session, k.err = s, err
}

// Latest returns the newest session, also when it can no longer be used, and why.
func (k *Keeper) Latest() (*Session, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.session, k.err
}

// Current returns the session on which locks can be taken now, or why there is none: ErrSuspect,
// ErrLost, ErrClosed, or etcd's own error.
func (k *Keeper) Current() (*Session, error) {
	s, err := k.Latest()
	if err != nil {
		return nil, err
	}
	return s.Current()
}

// Close ends the session and stops keeping one. See Session.Close.
func (k *Keeper) Close(ctx context.Context) error {
	k.cancel()
	k.wg.Wait()
	s, _ := k.Latest()
	return s.Close(ctx)
}
