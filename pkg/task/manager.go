package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Sessions gives the session to take locks on, or says why there is none. A *lease.Session and a
// *lease.Keeper are Sessions.
type Sessions interface {
	Current() (*lease.Session, error)
}

// Config describes a Manager.
type Config struct {
	Client   *clientv3.Client   // for reads without a lock
	Root     string             // prefix of all keys; empty: lease.DefaultRoot
	Sessions Sessions           // required
	Hardware *hardware.Registry // required

	Workers         int           // background tasks at once; 0: 300 (Ironic: workers_pool_size)
	ReservedPercent int           // of them kept for what must not starve; 0: 5 (Ironic: reserved_workers_pool_percentage); -1: none
	CommandTimeout  time.Duration // the longest a command to a machine may take; 0: 30 s
	StepTimeout     time.Duration // the same for steps and whole phases such as deploy or inspect; 0: 1 h

	// LockDelay is how long the first command after a crash waits, from the grant of the lock, for
	// the dead holder's last one; 0: CommandTimeout. It need not cover StepTimeout: a step is many
	// commands, and it is the context of the whole step that ends while etcd still keeps the lock
	// for its dead or stalled holder. What is left by the time of the next grant is the one command
	// that is on the wire, of a driver that did not heed its context or a controller that is slow.
	// Not covered are a driver whose single request takes longer than LockDelay and that does not
	// heed its context, a process that was stopped in the middle of a driver's call and sends on
	// when it goes on, before it looks at its clock, and what a machine goes on doing by itself: a
	// firmware update that was begun does not end with the lock. Whoever recovers looks at the
	// machine first.
	LockDelay time.Duration
	// History is how long events/ keeps a node's events: each new one deletes the node's older
	// ones, and the last go with the node. 0: 7 days.
	History time.Duration
	// Events is how many events of a node are kept, however young: about so many, for they are
	// counted from time to time only. 0: 1000.
	Events int

	Notify  func(context.Context, Notification) // is told of each event; must not block. nil: nobody
	Metrics *Metrics                            // nil: none
	Logger  *slog.Logger                        // nil: discarded
}

// Manager begins tasks. Its methods are safe for concurrent use.
type Manager struct {
	cfg   Config
	keys  node.Keys
	pool  *pool
	ctx   context.Context // that of background work; ends with Close
	stop  context.CancelCauseFunc
	tasks sync.WaitGroup // and what they leave behind that must not be cut off

	trimmer trimmer
	losses  chan struct{} // one token for each loss that is being written down
}

// NewManager returns a manager that is ready for use.
func NewManager(cfg Config) (*Manager, error) {
	if cfg.Client == nil || cfg.Sessions == nil || cfg.Hardware == nil {
		return nil, errors.New("task manager: Client, Sessions and Hardware are required")
	}
	if cfg.Root == "" {
		cfg.Root = lease.DefaultRoot
	}
	setDefault(&cfg.Workers, 300)
	setDefault(&cfg.ReservedPercent, 5)
	setDefault(&cfg.CommandTimeout, 30*time.Second)
	setDefault(&cfg.StepTimeout, time.Hour)
	setDefault(&cfg.LockDelay, cfg.CommandTimeout)
	setDefault(&cfg.History, 7*24*time.Hour)
	setDefault(&cfg.Events, 1000)
	if cfg.Workers < 3 || cfg.ReservedPercent > 50 { // Ironic: the same bounds
		return nil, fmt.Errorf("task manager: %d workers with %d%% reserved: want at least 3 and at most 50%%", cfg.Workers, cfg.ReservedPercent)
	}
	if min(cfg.CommandTimeout, cfg.StepTimeout, cfg.LockDelay, cfg.History) < 0 || cfg.Events < 0 {
		return nil, errors.New("task manager: a negative time or number")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	m := &Manager{cfg: cfg, keys: node.Keys{Root: cfg.Root}, losses: make(chan struct{}, maxLosses)}
	m.trimmer = trimmer{counts: map[node.ID]int{}, busy: map[node.ID]bool{}}
	m.pool = newPool(cfg.Workers, max(cfg.ReservedPercent, 0)*cfg.Workers/100, cfg.Metrics)
	m.ctx, m.stop = context.WithCancelCause(context.Background())
	return m, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// closeGrace is what a task has to come to its end when Close has cancelled it: enough for the
// write of a transition or a release.
const closeGrace = 10 * time.Second

// Close refuses new tasks and waits for those that run until ctx ends; what still runs then is
// cancelled with ErrClosed and waited for, but not longer than 10 s: a driver that does not heed
// its context is left behind, and the error is ErrStuck. Close the session afterwards: the lock of background
// work that was cut off ends only with it, and leaves its intent behind, so that the next holder
// is told.
func (m *Manager) Close(ctx context.Context) error {
	m.pool.close()
	done := make(chan struct{})
	go func() { // ends with the last task
		m.tasks.Wait()
		close(done)
	}()
	defer m.stop(ErrClosed)
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	m.stop(ErrClosed)
	select {
	case <-done:
		return fmt.Errorf("tasks cancelled: %w", context.Cause(ctx))
	case <-time.After(closeGrace):
		return fmt.Errorf("%w: %w", ErrStuck, context.Cause(ctx))
	}
}

// Working is how many background tasks run now.
func (m *Manager) Working() int { return m.pool.working() }

// Request says on which node to act and why.
type Request struct {
	Node     node.ID       // a UUID; names are resolved before
	Purpose  string        // what others see while they wait
	Wait     time.Duration // for the lock: 0 tries once, lease.Patient waits as long as ctx lives
	User     string        // on whose behalf
	ID       string        // of the task; empty: a new UUID
	NoDriver bool          // do not compose the driver, which may be broken. Ironic: load_driver=False

	// Unreserved keeps background work out of the reserved share of workers, as agent heartbeats
	// should. Ironic: the same.
	Unreserved bool

	brief bool // no command is given: no intent is needed
}

// prepare checks a request before anything is asked of etcd.
func (m *Manager) prepare(r *Request) error {
	if !node.IsUUID(string(r.Node)) {
		return &node.ValidationError{Fields: []node.FieldError{{Field: "node", Reason: fmt.Sprintf("%q is not a UUID; look a name up first", r.Node)}}}
	}
	r.Node = node.ID(strings.ToLower(string(r.Node)))
	if r.Purpose == "" {
		r.Purpose = "unspecified action"
	}
	if r.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("task id: %w", err)
		}
		r.ID = id.String()
	}
	return m.pool.enter(&m.tasks)
}

// lock acquires the node's lock together with all its records, in one request to etcd.
func (m *Manager) lock(ctx context.Context, r Request, mode lease.Mode) (*core, *lease.Lock, error) {
	s, err := m.cfg.Sessions.Current()
	if err != nil {
		return nil, nil, fmt.Errorf("lock node %s: %w", r.Node, err)
	}
	l, err := s.Acquire(ctx, lease.Request{
		Name: string(r.Node), Mode: mode, Purpose: r.Purpose, Task: r.ID, User: r.User, Wait: r.Wait, Brief: r.brief,
		Read: m.keys.Read(r.Node), Require: m.keys.Node(r.Node),
	})
	if err != nil {
		return nil, nil, m.explain(ctx, r, err)
	}
	c := &core{m: m, req: r, since: now(), who: hardware.Actor{Conductor: s.Holder(), Session: s.ID()}}
	rs, err := m.decode(r.Node, l.Records())
	if err == nil {
		err = c.load(rs)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("node %s: %w", r.Node, err), l.Release(ctx, lease.Write{}))
	}
	return c, l, nil
}

// explain gives a failed acquire the name that callers know: a node that does not exist, or that
// was deleted while its lock was waited for.
func (m *Manager) explain(ctx context.Context, r Request, err error) error {
	missing := &node.NotFoundError{Kind: node.KindNode, Ref: string(r.Node)}
	if errors.Is(err, lease.ErrMissing) {
		return missing
	}
	if lost, ok := errors.AsType[*lease.LostError](err); ok && lost.Reason == lease.Deleted {
		got, readErr := m.cfg.Client.Get(ctx, m.keys.Node(r.Node), clientv3.WithCountOnly())
		if readErr == nil && got.Count == 0 {
			return missing
		}
	}
	return fmt.Errorf("lock node %s: %w", r.Node, err)
}

func (m *Manager) decode(id node.ID, got lease.Records) (*node.Records, error) {
	rs, err := m.keys.Decode(id, got.KVs)
	if err != nil {
		return nil, err
	}
	rs.Revision = max(rs.Revision, got.Revision)
	for _, c := range rs.Corrupt {
		m.cfg.Logger.Warn("record left out", "node", id, "err", c)
	}
	return rs, nil
}

// read reads a node and all that belongs to it at one revision, without a lock.
func (m *Manager) read(ctx context.Context, id node.ID) (*node.Records, error) {
	var ops []clientv3.Op
	for _, k := range m.keys.Read(id) {
		if k[len(k)-1] == '/' {
			ops = append(ops, clientv3.OpGet(k, clientv3.WithPrefix()))
		} else {
			ops = append(ops, clientv3.OpGet(k))
		}
	}
	r, err := m.cfg.Client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", id, err)
	}
	var kvs []*mvccpb.KeyValue
	for _, resp := range r.Responses {
		kvs = append(kvs, resp.GetResponseRange().Kvs...)
	}
	return m.decode(id, lease.Records{KVs: kvs, Revision: r.Header.Revision})
}
