package cluster

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/conductor-metal/conductor/pkg/node"
)

// View is who lives at one moment. It does not change.
type View struct {
	Members  []Member // in order of their names
	Revision int64    // of etcd, up to which the view is true
}

// Member finds a live conductor by its host name.
func (v *View) Member(host string) (Member, bool) {
	for _, m := range v.Members {
		if m.Host == host {
			return m, true
		}
	}
	return Member{}, false
}

// Preferred is the conductor that should work on a node: of those that take new
// work and serve its group and hardware type, the one whose hash with the node's
// uuid is the highest (rendezvous hashing). ok is false if there is none.
//
// When a member comes, exactly the nodes that now prefer it move, 1/n of them in
// the mean; when one goes, exactly its own move, evenly over those that remain.
// Nothing else does.
func (v *View) Preferred(n *node.Node) (_ Member, ok bool) {
	var best Member
	var top uint64
	for _, m := range v.Members {
		if m.State == Draining || !m.Serves(n.ConductorGroup, n.Driver) {
			continue
		}
		if w := weight(m.Host, n.UUID); !ok || w > top || w == top && m.Host < best.Host {
			best, top, ok = m, w, true
		}
	}
	return best, ok
}

// Ranked are all conductors that could work on a node, the preferred one first.
func (v *View) Ranked(n *node.Node) []Member {
	all := slices.DeleteFunc(slices.Clone(v.Members), func(m Member) bool {
		return m.State == Draining || !m.Serves(n.ConductorGroup, n.Driver)
	})
	slices.SortFunc(all, func(a, b Member) int {
		return cmp.Or(cmp.Compare(weight(b.Host, n.UUID), weight(a.Host, n.UUID)), cmp.Compare(a.Host, b.Host))
	})
	return all
}

// weight must be the same in every process and version: conductors route by it.
func weight(host string, id node.ID) uint64 {
	return xxhash.Sum64String(host + "\x00" + string(id))
}
