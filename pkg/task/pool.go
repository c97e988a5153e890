package task

import (
	"context"
	"sync"
)

// pool counts workers. It queues nothing: full means a clear error now. It counts what runs and
// nothing else, so it cannot wedge after a full load (Ironic's counts idle threads and does).
type pool struct {
	metrics          *Metrics
	normal, reserved int

	closing context.Context // ends when no new task is taken any more
	shut    context.CancelFunc

	mu      sync.Mutex
	busy    int
	spare   int // busy in the reserved share
	refused bool
}

func newPool(size, reserved int, m *Metrics) *pool {
	m.workers.WithLabelValues("normal").Set(float64(size - reserved))
	m.workers.WithLabelValues("reserved").Set(float64(reserved))
	p := &pool{metrics: m, normal: size - reserved, reserved: reserved}
	p.closing, p.shut = context.WithCancel(context.Background())
	return p
}

// slot is the right to run one background task.
type slot struct {
	p     *pool
	spare bool
	once  sync.Once
}

// free gives the slot back. A nil slot and a second call are harmless.
func (s *slot) free() {
	if s == nil {
		return
	}
	s.once.Do(func() {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		if s.spare {
			s.p.spare--
		} else {
			s.p.busy--
		}
		s.p.show()
	})
}

// working is how many slots are taken.
func (p *pool) working() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy + p.spare
}

// take returns a slot of the normal share or, unless the caller opted out, of the reserved one.
// Ironic: ConductorManager._spawn_worker.
func (p *pool) take(unreserved bool) (*slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.show()
	switch {
	case p.refused:
		return nil, ErrClosed
	case p.busy < p.normal:
		p.busy++
		return &slot{p: p}, nil
	}
	p.metrics.rejections.WithLabelValues("normal").Inc()
	if !unreserved {
		if p.spare < p.reserved {
			p.spare++
			return &slot{p: p, spare: true}, nil
		}
		p.metrics.rejections.WithLabelValues("reserved").Inc()
	}
	return nil, &NoWorkerError{Busy: p.busy + p.spare, Size: p.normal + p.reserved}
}

// show sets the gauges. The caller holds mu.
func (p *pool) show() {
	p.metrics.busy.WithLabelValues("normal").Set(float64(p.busy))
	p.metrics.busy.WithLabelValues("reserved").Set(float64(p.spare))
}

// enter counts a task in, unless the manager is closed.
func (p *pool) enter(tasks *sync.WaitGroup) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused {
		return ErrClosed
	}
	tasks.Add(1)
	return nil
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = true
	p.shut()
}
