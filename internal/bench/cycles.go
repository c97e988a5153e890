package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// cycles measures locks that nobody else wants.
func (r *run) cycles(ctx context.Context) error {
	if err := r.store(ctx, r.o.pool()); err != nil {
		return err
	}
	for _, n := range r.o.Workers {
		works := []work{r.puts(n, r.o.pool())}
		for _, doing := range []string{alone, withRecords} {
			works = append(works, r.bares(n, doing),
				r.mutexes(n, doing), r.locks(n, r.o.pool(), "unbatched", doing), r.locks(n, r.o.pool(), "locks", doing))
		}
		works = append(works, r.locks(n, r.o.pool(), "locks", withIntent))
		if len(r.o.Works) > 0 {
			works = slices.DeleteFunc(works, func(w work) bool {
				return !slices.Contains(r.o.Works, strings.TrimSpace(w.what+" "+w.doing))
			})
		}
		if len(works) == 0 {
			return fmt.Errorf("none of its works is %q", r.o.Works)
		}
		if _, err := r.turns(ctx, "cycles", 0, works); err != nil {
			return err
		}
	}
	return nil
}
