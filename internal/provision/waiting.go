package provision

import (
	"sync"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// waiting remembers since when nodes wait, by a clock that nobody can set: a wall
// clock that jumps must not fail all nodes that wait, neither this conductor's nor
// that of the one whose stamp stands in the record. Only at the first look there is
// nothing else to go by than the stamps. (Ironic always goes by them.)
type waiting struct {
	mu     sync.Mutex
	looked time.Time // the last look; zero: never
	nodes  map[node.ID]wait
}

type wait struct {
	stamp time.Time // what the record says; another one is another wait
	began time.Time // what the monotonic clock says
}

// look takes note of all nodes that wait now. A node that is new among them cannot
// have waited since before the last look.
func (w *waiting) look(all []*node.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	seen := make(map[node.ID]wait, len(all))
	for _, n := range all {
		old, ok := w.nodes[n.UUID]
		if ok && old.stamp.Equal(since(n)) {
			seen[n.UUID] = old
			continue
		}
		age := max(0, now.Sub(since(n)))
		if !w.looked.IsZero() {
			age = min(age, now.Sub(w.looked))
		}
		seen[n.UUID] = wait{since(n), now.Add(-age)}
	}
	w.looked, w.nodes = now, seen
}

// age is for how long a node has waited, 0 if that is not known.
func (w *waiting) age(n *node.Node) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.nodes[n.UUID]
	if !ok || !known.stamp.Equal(since(n)) {
		return 0
	}
	return time.Since(known.began)
}

// since is when a node began to wait, or was last heard of, by its record.
func since(n *node.Node) time.Time {
	if n.ProvisionState == node.StateInspectWait && !n.InspectionStartedAt.IsZero() {
		return n.InspectionStartedAt
	}
	return n.ProvisionUpdatedAt
}
