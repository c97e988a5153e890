package bench

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// work is one way to do what a scenario asks for.
type work struct {
	what    string // put, mutex, locks or unbatched: ratios are to these
	doing   string // which work; ratios are between equal ones, and to a put that has none
	workers int
	leaders int      // the first so many workers are counted apart
	parts   []string // with leaders: what they and the others do

	// begin prepares one slice. What end undoes is not measured, and it works after ctx has ended.
	begin func(ctx context.Context) (do operation, end func(), err error)
	after func(ctx context.Context, row *Row, s *slice) error // looks at what a slice left; nil: nothing
}

// operation is what a worker repeats; i counts its own. It returns the time that counts, 0 if none does.
type operation func(ctx context.Context, worker, i int) (time.Duration, error)

// timed makes an operation whose whole time counts.
func timed(do func(ctx context.Context, worker, i int) error) operation {
	return func(ctx context.Context, worker, i int) (time.Duration, error) {
		start := time.Now()
		err := do(ctx, worker, i)
		return time.Since(start), err
	}
}

// slice is what one work did in one turn.
type slice struct {
	parts   []part
	total   int     // operations from the beginning to the end
	entries float64 // in etcd's log, per operation
	spent   spent   // per operation
}

// spent is CPU time.
type spent struct{ client, server time.Duration }

// part is what some of the workers did in the measured time.
type part struct {
	rate  float64 // per second
	times []time.Duration
	ops   int
}

// phases of a slice. Workers that are not told to stop go on.
const (
	priming int32 = iota
	warming
	measuring
	stopping
)

// crew is the workers of one slice.
type crew struct {
	work  *work
	do    operation
	phase atomic.Int32
	ready sync.WaitGroup // for the first operation of each
	warm  sync.WaitGroup // for the second: all that started together has been through the queue
	all   sync.WaitGroup
	times [][]time.Duration // by worker
	ops   []int             // by worker, in the measured time
	total []int             // by worker
	done  [2]atomic.Bool    // whether the leaders, or the others, did something in the measured time
	stop  context.CancelCauseFunc
}

func newCrew(w *work, do operation, stop context.CancelCauseFunc) *crew {
	return &crew{
		work: w, do: do, stop: stop,
		times: make([][]time.Duration, w.workers), ops: make([]int, w.workers), total: make([]int, w.workers),
	}
}

func (c *crew) start(ctx context.Context) (begin chan struct{}) {
	begin = make(chan struct{})
	for i := range c.work.workers {
		c.ready.Add(1)
		c.warm.Add(1)
		c.all.Go(func() { c.run(ctx, i, begin) })
	}
	return begin
}

func (c *crew) run(ctx context.Context, worker int, begin <-chan struct{}) {
	warmed := sync.OnceFunc(c.warm.Done)
	defer warmed()
	_, err := c.do(ctx, worker, 0)
	c.ready.Done()
	if err != nil {
		c.stop(err)
		return
	}
	select {
	case <-begin:
	case <-ctx.Done():
		return
	}
	for i := 1; ctx.Err() == nil && c.phase.Load() != stopping; i++ {
		d, err := c.do(ctx, worker, i)
		if err != nil {
			c.stop(err)
			return
		}
		warmed()
		c.total[worker]++
		if c.phase.Load() == measuring { // it ended in the measured time
			c.ops[worker]++
			c.done[c.part(worker)].Store(true)
			if d > 0 {
				c.times[worker] = append(c.times[worker], d)
			}
		}
	}
}

// part is 1 for those who do not lead.
func (c *crew) part(worker int) int {
	if c.work.leaders > 0 && worker >= c.work.leaders {
		return 1
	}
	return 0
}

// did reports whether each part has done something in the measured time.
func (c *crew) did() bool {
	return c.done[0].Load() && (c.work.leaders == 0 || c.done[1].Load())
}

// slice lets the workers of a work loose for one turn.
func (r *run) slice(ctx context.Context, w *work) (*slice, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	do, end, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	c := newCrew(w, do, stop)
	begin := c.start(ctx)
	c.ready.Wait()
	first, err := r.meter.entries(ctx)
	if err != nil {
		stop(err)
	}
	c.phase.Store(warming)
	close(begin)
	c.warm.Wait()
	pause(ctx, r.o.Warm)
	servers, client, start := r.meter.servers(ctx), own(), time.Now()
	c.phase.Store(measuring)
	pause(ctx, r.o.Slice)
	for !c.did() && ctx.Err() == nil { // on a slow machine a short slice ends with the first operation
		pause(ctx, time.Millisecond)
	}
	c.phase.Store(stopping)
	took, client := time.Since(start), own()-client
	servers = max(r.meter.servers(ctx)-servers, 0)
	c.all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	last, err := r.meter.entries(ctx)
	if err != nil {
		return nil, err
	}
	s := &slice{parts: c.parts(took)}
	for _, n := range c.total {
		s.total += n
	}
	ops := 0
	for _, p := range s.parts {
		ops += p.ops
	}
	s.entries = float64(last-first) / float64(s.total)
	s.spent = spent{client / time.Duration(ops), servers / time.Duration(ops)}
	return s, nil
}

// parts sums up the workers, the leaders apart.
func (c *crew) parts(took time.Duration) []part {
	ends := []int{c.work.workers}
	if c.work.leaders > 0 {
		ends = []int{c.work.leaders, c.work.workers}
	}
	var ps []part
	from := 0
	for _, to := range ends {
		p := part{times: slices.Concat(c.times[from:to]...)}
		for _, n := range c.ops[from:to] {
			p.ops += n
		}
		p.rate = float64(p.ops) / took.Seconds()
		slices.Sort(p.times)
		ps = append(ps, p)
		from = to
	}
	return ps
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// quantile of sorted times, in milliseconds.
func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(times)))) - 1
	return float64(times[max(i, 0)].Nanoseconds()) / 1e6
}
