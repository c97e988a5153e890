package bench

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// sizeWorkers take locks while much is stored or held.
const sizeWorkers = 16

// nodes measures cycles while more and more nodes are stored. Sizes cannot take turns here: a row
// beside raw puts of its own rounds tells whether the machine has changed.
func (r *run) nodes(ctx context.Context) error {
	var first *Row
	for _, n := range r.o.Nodes {
		if err := r.store(ctx, n); err != nil {
			return err
		}
		rows, err := r.turns(ctx, "nodes", n, []work{r.puts(sizeWorkers, n), r.locks(sizeWorkers, n, "locks", withRecords)})
		if err != nil {
			return err
		}
		if first == nil {
			first = rows[1]
		}
		rows[1].beside("smallest", first)
	}
	return nil
}

// held measures cycles of a session that holds other locks meanwhile; the sizes take turns.
func (r *run) held(ctx context.Context) error {
	if err := r.store(ctx, r.o.pool()); err != nil {
		return err
	}
	works := []work{r.puts(sizeWorkers, r.o.pool())}
	for _, n := range r.o.Held {
		works = append(works, r.holding(n))
	}
	rows, err := r.turns(ctx, "held", 0, works)
	if err != nil {
		return err
	}
	for i, row := range rows[1:] {
		row.Size, row.Doing = r.o.Held[i], withRecords
		row.beside("smallest", rows[1])
	}
	return nil
}

// holding is cycles with n locks held beside them.
func (r *run) holding(n int) work {
	w := work{what: "locks", doing: fmt.Sprint(n), workers: sizeWorkers}
	w.begin = func(ctx context.Context) (operation, func(), error) {
		s, end, err := r.session(ctx, w.what)
		if err != nil {
			return nil, nil, err
		}
		const atOnce = 40
		for i := 0; i < n; i += atOnce {
			var rs []lease.Request
			for j := i; j < min(i+atOnce, n); j++ {
				rs = append(rs, lease.Request{Name: fmt.Sprintf("held-%06d", j), Purpose: "bench"})
			}
			if _, err := s.AcquireAll(ctx, 0, rs...); err != nil {
				end()
				return nil, nil, err
			}
		}
		return r.cycle(s, sizeWorkers, r.o.pool(), withRecords), end, nil
	}
	return w
}
