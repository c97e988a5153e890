package lease

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// Several names at once. Tasks take one name, or two in one transaction, hold them, weaken one or
// both, and leave; never may each wait for another.
func TestModelTwoNames(t *testing.T) {
	if states, wrong := (twoNames{tasks: 4}).run(math.MaxInt); wrong != "" {
		t.Error(wrong)
	} else {
		t.Logf("%d states, all there are", states)
	}
}

// The planted bug: one after the other.
func TestModelTwoNamesOneByOneIsADeadlock(t *testing.T) {
	states, wrong := (twoNames{tasks: 2, oneByOne: true}).run(4)
	if wrong == "" {
		t.Fatalf("not found in %d states", states)
	}
	t.Logf("%d states: %s", states, wrong)
}

type twoNames struct {
	tasks    int
	oneByOne bool
}

// pair is the entries of all tasks in the queues of two names.
type pair [2][most]place

func (m twoNames) run(depth int) (states int, wrong string) {
	todo, known := []pair{{}}, map[pair]bool{{}: true}
	for ; len(todo) > 0 && depth > 0; depth-- {
		var next []pair
		for _, x := range todo {
			for _, y := range m.next(&x) {
				if y.squeeze(m.tasks); known[y] {
					continue
				}
				known[y] = true
				if y.stuck(m) {
					return len(known), fmt.Sprintf("nobody can ever run: %v", y)
				}
				next = append(next, y)
			}
		}
		todo = next
	}
	return len(known), ""
}

// granted derives who holds what.
func (p *pair) granted(m twoNames) (held [2][most]bool) {
	for n := range p {
		w := world{entry: p[n]}
		v := w.judge(model{ours: m.tasks})
		for i := range held[n] {
			held[n][i] = v.mode[i] != ""
		}
	}
	return held
}

// stuck reports a state in which each task waits for another: none has all that it asked for, so
// none will ever leave by itself.
func (p *pair) stuck(m twoNames) bool {
	held := p.granted(m)
	someone := false
	for i := range m.tasks {
		a, b := p[0][i].create != 0, p[1][i].create != 0
		if !a && !b {
			continue
		}
		someone = true
		// One who takes the names one by one and has one of them goes on to the other.
		if (!a || held[0][i]) && (!b || held[1][i]) {
			return false
		}
	}
	return someone
}

func (m twoNames) next(x *pair) (ys []pair) {
	var rev uint8
	for n := range x {
		for _, e := range x[n] {
			rev = max(rev, e.create)
		}
	}
	rev++
	held := x.granted(m)
	for i := range m.tasks {
		a, b := x[0][i].create != 0, x[1][i].create != 0
		for _, modes := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
			y := *x
			for n, exclusive := range modes {
				y[n][i] = place{create: rev, mod: rev, rank: rev, exclusive: exclusive}
			}
			one, other := y, y
			one[1], other[0] = x[1], x[0]
			if !a && !b && !m.oneByOne {
				ys = append(ys, y)
			}
			if !a && (!b || held[1][i] && m.oneByOne) {
				ys = append(ys, one)
			}
			if !b && (!a || held[0][i] && m.oneByOne) {
				ys = append(ys, other)
			}
		}
		if !a && !b {
			continue
		}
		y := *x
		y[0][i], y[1][i] = place{}, place{}
		ys = append(ys, y)
		for n := range x { // a lock of several names is also given back and weakened name by name
			y := *x
			if y[n][i] = (place{}); x[n][i].create != 0 && held[0][i] == a && held[1][i] == b {
				ys = append(ys, y)
			}
			if x[n][i].exclusive && held[n][i] {
				y[n][i] = place{create: rev, mod: rev, rank: x[n][i].rank}
				ys = append(ys, y)
			}
		}
	}
	return ys
}

func (p *pair) squeeze(tasks int) {
	var used []uint8
	for n := range p {
		for _, e := range p[n] {
			used = append(used, e.create, e.rank)
		}
	}
	slices.Sort(used)
	used = slices.Compact(used)
	for n := range p {
		for i := range p[n] {
			e := &p[n][i]
			if e.create == 0 {
				continue
			}
			e.rank, _ = index(used, e.rank)
			e.create, _ = index(used, e.create)
			e.mod = e.create
		}
	}
	for i := 1; i < tasks; i++ { // who is alike, in order of age
		for j := i; j > 0 && p.age(j) < p.age(j-1); j-- {
			for n := range p {
				p[n][j], p[n][j-1] = p[n][j-1], p[n][j]
			}
		}
	}
}

func index(used []uint8, r uint8) (uint8, bool) {
	at, ok := slices.BinarySearch(used, r)
	return uint8(at), ok
}

func (p *pair) age(i int) uint16 { return uint16(p[0][i].rank)<<8 | uint16(p[1][i].rank) }
