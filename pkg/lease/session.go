package lease

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// electionTime is added where a dead holder's lease may live on: a new leader of etcd arms leases anew.
const electionTime = 2 * time.Second

// Config describes a session. The zero value of each field is usable.
type Config struct {
	Root      string         // prefix of all keys, with a slash at its end; empty: DefaultRoot
	Holder    string         // who holds this session's locks; empty: the host name
	Client    bool           // a command's session, registered under clients/ and not as a conductor
	Info      map[string]any // further facts for the conductor's key, such as version and API address
	State     string         // what the conductor's key says it does; empty: active. See Session.SetState
	User      string         // on whose behalf locks are taken unless the request says so
	TTL       time.Duration  // how long locks outlive a dead holder; 0: 15 s. etcd may return more
	Margin    time.Duration  // how long before the TTL's end the session stops trusting itself; 0: TTL/5
	ShardKeys int            // keys per lease; 0: 256. etcd's work per put and per revoke grows with it
	Unbatched bool           // each operation travels in a request of its own, however many are ready
	OldIsGone bool           // the caller has proof that no other process of this Holder lives: end its locks at once
	Healthy   func() error   // asked before each renewal; an error lets the lease run out. nil: always healthy
	Metrics   *Metrics       // nil: none
	Logger    *slog.Logger   // nil: discarded
}

func (c *Config) fill() error {
	if c.Holder == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("host name: %w", err)
		}
		c.Holder = host
	}
	if err := checkName(c.Holder); err != nil {
		return fmt.Errorf("holder: %w", err)
	}
	for what, text := range map[string]string{"holder": c.Holder, "user": c.User} {
		if err := checkText(what, text); err != nil {
			return err
		}
	}
	if c.TTL == 0 {
		c.TTL = 15 * time.Second
	}
	if c.Margin == 0 {
		c.Margin = c.TTL / 5
	}
	if c.TTL < 2*time.Second || c.Margin < 0 || c.Margin > c.TTL/2 {
		return fmt.Errorf("lease TTL %s with margin %s: want a TTL of at least 2s and a margin of at most half of it", c.TTL, c.Margin)
	}
	if c.ShardKeys == 0 {
		c.ShardKeys = 256
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Session is one process's presence in etcd, on which its locks stand. It renews its leases by
// itself and ends all its locks, each with a cause, before etcd can give them to another.
// A lost session does not come back; open a new one, or use a Keeper. All methods are safe for
// concurrent use.
type Session struct {
	client  *clientv3.Client
	cfg     Config
	keys    layout
	id      string
	key     string // the session's own key, on the primary lease
	epoch   int64  // create revision of that key
	cluster uint64 // id of the etcd cluster: a restore from a backup makes a new one
	leases  leaseAPI

	ctx    context.Context // ends with the session; the one context that is stored
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mirror *mirror
	batch  *batcher

	mu      sync.Mutex
	state   State
	mod     int64    // mod revision of the session's key; bumped to refuse delayed copies of abandoned requests
	member  member   // as the session's key says
	shards  []*shard // the first is the primary
	growing chan struct{}
	trusted stamp // the trust window counts from here
	suspect *time.Timer
	lost    *time.Timer
	tickets int
	locks   map[string]*Lock // by ticket, waiting or held
	names   map[string]int   // how many of them a name has
	seats   seats
}

// member is the value of a session's key.
type member struct {
	Session string         `json:"session"`
	Holder  string         `json:"holder"`
	Since   time.Time      `json:"since"`
	TTL     string         `json:"ttl"`
	State   string         `json:"state"`
	Info    map[string]any `json:"info,omitempty"`
}

// Open registers a session in etcd and starts to renew it. It blocks until etcd has answered or
// ctx ends; the session itself lives until Close or until it is lost. A host name that another
// live session holds is a *TakenError.
func Open(ctx context.Context, client *clientv3.Client, cfg Config) (*Session, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	keys, err := newLayout(cfg.Root)
	if err != nil {
		return nil, err
	}
	id := make([]byte, 6)
	_, _ = rand.Read(id) // never fails
	s := &Session{
		client: client, cfg: cfg, keys: keys, id: hex.EncodeToString(id),
		leases: newLeaseAPI(client), locks: map[string]*Lock{}, names: map[string]int{}, seats: seats{},
	}
	s.key = keys.conductor(cfg.Holder)
	if cfg.Client {
		s.key = keys.client(s.id)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.mirror, s.batch = newMirror(s), newBatcher(s)
	if err := s.register(ctx); err != nil {
		s.cancel(ErrClosed)
		s.dropLeases(ctx)
		return nil, fmt.Errorf("open session: %w", err)
	}
	s.arm()
	s.wg.Go(s.keep)
	s.wg.Go(s.mirror.run)
	cfg.Metrics.opened(s)
	return s, nil
}

// register grants the primary lease and the first shard, and puts the session's key.
func (s *Session) register(ctx context.Context) error {
	for range 2 {
		if err := s.grantShard(ctx); err != nil {
			return err
		}
	}
	if s.cfg.State == "" {
		s.cfg.State = "active"
	}
	s.member = member{
		Session: s.id, Holder: s.cfg.Holder, Since: time.Now().UTC().Truncate(time.Millisecond),
		TTL: s.shards[0].ttl.String(), State: s.cfg.State, Info: s.cfg.Info,
	}
	value, err := json.Marshal(s.member)
	if err != nil {
		return fmt.Errorf("session info: %w", err)
	}
	for {
		r, err := s.client.Txn(ctx).
			If(created(s.key, 0)).
			Then(clientv3.OpPut(s.key, string(value), clientv3.WithLease(s.shards[0].id))).
			Else(clientv3.OpGet(s.key)).Commit()
		if err != nil {
			return err
		}
		s.cluster = r.Header.ClusterId
		if r.Succeeded {
			s.epoch, s.mod = r.Header.Revision, r.Header.Revision
			return nil
		}
		kv := r.Responses[0].GetResponseRange().Kvs[0]
		var old member
		_ = json.Unmarshal(kv.Value, &old) // an unreadable value has no session to name
		if old.Session == s.id {           // our own put, whose answer was lost
			s.epoch, s.mod = kv.CreateRevision, kv.ModRevision
			return nil
		}
		if !s.cfg.OldIsGone {
			ttl, _ := time.ParseDuration(old.TTL)
			return &TakenError{Host: s.cfg.Holder, Session: old.Session, Since: old.Since, TTL: ttl}
		}
		if err := s.endOld(ctx, old.Session, clientv3.LeaseID(kv.Lease)); err != nil {
			return err
		}
	}
}

// endOld ends the locks of a session whose process is proven gone: its leases are those on which
// its key and its entries stand.
func (s *Session) endOld(ctx context.Context, session string, primary clientv3.LeaseID) error {
	leases := map[clientv3.LeaseID]bool{}
	locks := Locks{Client: s.client, Root: s.keys.root}
	qs, err := locks.List(ctx)
	if err != nil {
		return err
	}
	for _, q := range qs {
		for _, e := range q.Entries {
			if e.Session == session && session != "" && e.Lease != 0 {
				leases[e.Lease] = true
			}
		}
	}
	delete(leases, primary)
	for id := range leases {
		if err := s.revoke(ctx, id); err != nil {
			return err
		}
	}
	s.cfg.Logger.InfoContext(ctx, "ended the locks of an earlier process of this host", "holder", s.cfg.Holder, "session", session)
	return s.revoke(ctx, primary)
}

func (s *Session) revoke(ctx context.Context, id clientv3.LeaseID) error {
	_, err := s.client.Revoke(ctx, id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

// ID is unique to the session and part of each of its tickets.
func (s *Session) ID() string { return s.id }

// Holder is the name under which the session's locks are held.
func (s *Session) Holder() string { return s.cfg.Holder }

// Context ends when the session does, with ErrLost or ErrClosed as its cause.
func (s *Session) Context() context.Context { return s.ctx }

// Current returns the session itself, or why it cannot be used. A Keeper has the same method.
func (s *Session) Current() (*Session, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends the session and with it all its locks, whose contexts end first. It waits for the
// session's goroutines and for etcd's answer, at most until ctx ends, or a second if it has ended;
// without an answer the locks run out with their lease. Closing twice is harmless.
func (s *Session) Close(ctx context.Context) error {
	s.end(Closed, ErrClosed)
	s.wg.Wait()
	s.mu.Lock()
	grown := s.growing
	s.mu.Unlock()
	if grown != nil {
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
	return s.dropLeases(ctx)
}

// dropLeases tries for a second even if ctx has ended: the locks of a clean stop should not have to
// run out. It stops at the first revoke that etcd does not answer.
func (s *Session) dropLeases(ctx context.Context) error {
	patience, lost := s.cfg.TTL, errors.Is(context.Cause(s.ctx), ErrLost)
	if ctx.Err() != nil || lost {
		ctx, patience = context.WithoutCancel(ctx), time.Second
	}
	s.mu.Lock()
	shards := s.shards
	s.shards = nil
	s.mu.Unlock()
	for i := len(shards) - 1; i >= 0; i-- { // the session's own key goes last
		err := s.revokeWithin(ctx, patience, shards[i].id)
		if lost && unknownOutcome(err) {
			return nil // a courtesy: the session is over, and its leases run out
		}
		if err != nil {
			return err // the others would not be answered either, and run out
		}
	}
	return nil
}

// revokeWithin sends a revoke again when it is not answered, for it may have gone to a connection
// that is dead.
func (s *Session) revokeWithin(ctx context.Context, patience time.Duration, id clientv3.LeaseID) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		actx, cancel := context.WithTimeout(ctx, min(s.attempt(), patience))
		err := s.revoke(actx, id)
		cancel()
		if err == nil || ctx.Err() != nil || !unknownOutcome(err) {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// end ends the session once; the first cause stays. It reports whether this was the first.
func (s *Session) end(to State, cause error) bool {
	s.mu.Lock()
	if s.state == Lost || s.state == Closed {
		s.mu.Unlock()
		return false
	}
	s.state = to
	if s.suspect != nil {
		s.suspect.Stop()
		s.lost.Stop()
	}
	locks := make([]*Lock, 0, len(s.locks))
	for _, l := range s.locks {
		locks = append(locks, l)
	}
	s.mu.Unlock()
	s.cancel(cause)
	s.cfg.Metrics.ended(s, to, locks)
	if to == Lost {
		s.cfg.Logger.Error("session lost", "session", s.id, "err", cause, "locks", len(locks))
	}
	return true
}

// lose ends the session because its leases are gone or can no longer be trusted.
func (s *Session) lose(e ending) {
	if s.end(Lost, &LostError{Reason: Expired, Detail: e.detail}) {
		s.cfg.Metrics.sessionsLost.WithLabelValues(e.reason).Inc()
	}
}
