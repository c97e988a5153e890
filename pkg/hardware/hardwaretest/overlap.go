package hardwaretest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

// OverlapKind is how two commands got in each other's way.
type OverlapKind string

const (
	// Concurrent: two actors commanded one machine at the same time.
	Concurrent OverlapKind = "concurrent"
	// Late: a command reached a machine that had already been commanded
	// under a higher token, so by a later holder of the lock.
	Late OverlapKind = "late"
)

// Overlap is a pair of commands that a lock should have kept apart.
type Overlap struct {
	Kind OverlapKind
	// Of a concurrent pair First was sent first; of a late one it has the
	// higher token and Second came late.
	First, Second Command
}

// String returns the pair in one line.
func (o Overlap) String() string {
	return fmt.Sprintf("%s: %v and %v", o.Kind, o.First, o.Second)
}

// Overlaps returns the pairs of commands on one machine that a lock should have
// kept apart, by node and time. Only commands that write count, as readers
// share; so do those whose caller gave up, as the machine carried them out.
// Commands that were refused did not happen.
//
// Two commands of different actors are Concurrent if one was sent before the
// machine had finished the other. A command that meets the very end of another
// is not. For each command that is Late one pair is returned.
func (b *BMC) Overlaps() []Overlap {
	of := map[node.ID][]Command{}
	for _, c := range b.AllCommands() {
		if c.Writes && !c.Refused {
			of[c.Node] = append(of[c.Node], c)
		}
	}
	var found []Overlap
	for _, commands := range of {
		found = append(found, concurrent(commands)...)
		found = append(found, late(commands)...)
	}
	slices.SortFunc(found, func(a, b Overlap) int {
		return cmp.Or(
			cmp.Compare(a.First.Node, b.First.Node),
			a.Second.Start.Compare(b.Second.Start),
			cmp.Compare(a.First.Seq, b.First.Seq),
			cmp.Compare(a.Second.Seq, b.Second.Seq),
			cmp.Compare(a.Kind, b.Kind),
		)
	})
	return found
}

// concurrent wants the commands of one machine in the order they were sent.
func concurrent(commands []Command) []Overlap {
	var found []Overlap
	for i, a := range commands {
		for _, b := range commands[i+1:] {
			if !b.Start.Before(a.End) {
				break
			}
			if a.Actor != b.Actor && a.Start.Before(b.End) {
				found = append(found, Overlap{Concurrent, a, b})
			}
		}
	}
	return found
}

// late looks at the commands of one machine in the order they arrived.
func late(commands []Command) []Overlap {
	arrived := slices.Clone(commands)
	slices.SortStableFunc(arrived, func(a, b Command) int { return a.Arrived.Compare(b.Arrived) })
	var found []Overlap
	var highest Command
	for _, c := range arrived {
		switch {
		case c.Actor.Token < highest.Actor.Token:
			found = append(found, Overlap{Late, highest, c})
		case c.Actor.Token > highest.Actor.Token:
			highest = c
		}
	}
	return found
}
