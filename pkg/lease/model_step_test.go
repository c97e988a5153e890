package lease

import (
	"iter"
	"math/bits"
	"slices"
)

// next yields every step that is possible in a state and the state after it. A view stays usable
// after a transaction that came from it: a copy of the request may arrive late. A new purpose is no
// step: it makes a key newer, which can only refuse what is allowed without it.
func (m model) next(x *world, now *verdict) iter.Seq2[step, world] {
	return func(yield func(step, world) bool) {
		rev := x.newest() + 1
		for i := range m.ours + m.foreign {
			for _, f := range []func(*world, *verdict, int, uint8, func(string, world) bool) bool{
				m.come, m.leave, m.look, m.downgrade, m.upgrade, m.rename,
			} {
				if !f(x, now, i, rev, func(what string, y world) bool { return yield(step{what, int8(i)}, y) }) {
					return
				}
			}
		}
		if x.slot.create != 0 && x.slot.owner < 0 { // its lease ends
			y := *x
			y.slot = slot{}
			yield(step{"slot expires", -1}, y)
		}
	}
}

func (w *world) newest() (rev uint8) {
	for i := range w.entry {
		p, v := w.entry[i], w.seen[i]
		rev = max(rev, p.create, p.mod, v.rev, v.create, v.mod)
	}
	return max(rev, w.slot.create, w.slot.mod)
}

// come appends an entry: unguarded.
func (m model) come(x *world, _ *verdict, i int, rev uint8, yield func(string, world) bool) bool {
	if x.entry[i].create != 0 {
		return true
	}
	y := *x
	y.entry[i] = place{create: rev, mod: rev, rank: rev, exclusive: true}
	if !yield("come exclusive", y) {
		return false
	}
	y.entry[i].exclusive = false
	return i >= m.ours || yield("come shared", y)
}

// leave takes an entry away, by release, cancel, break or expiry, with its slot or, by a break that
// did not see the slot, without. An upgrade may also be given up, or be downgraded from.
func (m model) leave(x *world, _ *verdict, i int, _ uint8, yield func(string, world) bool) bool {
	if x.entry[i].create == 0 {
		return true
	}
	y := *x
	y.entry[i], y.seen[i] = place{}, view{}
	if x.slot.create == 0 || int(x.slot.owner) != i {
		return yield("go", y)
	}
	y.slot.owner = -1
	if !yield("go without slot", y) {
		return false
	}
	y.slot = slot{}
	if !yield("go", y) {
		return false
	}
	y = *x
	y.slot = slot{}
	return yield("drop slot", y)
}

// look refreshes a holder's view.
func (m model) look(x *world, now *verdict, i int, rev uint8, yield func(string, world) bool) bool {
	if i >= m.ours || now.mode[i] == "" {
		return true
	}
	v := view{on: true, rev: rev - 1, slot: x.slot.create != 0 && x.slot.owner >= 0}
	for j := m.ours; j < most; j++ {
		v.foreign = v.foreign || x.entry[j].create != 0
	}
	if now.first >= 0 {
		f := x.entry[now.first]
		v.create, v.mod, v.first = f.create, f.mod, f.rank
	}
	if v == x.seen[i] {
		return true
	}
	y := *x
	y.seen[i] = v
	return yield("look", y)
}

// nothingNew is the compare over the whole prefix, the slot included.
func (w *world) nothingNew(since uint8) bool {
	return w.slot.mod <= since && !slices.ContainsFunc(w.entry[:], func(p place) bool { return p.mod > since })
}

// downgrade is downgradeEntry: the exclusive key goes and a shared one comes that stores the rank.
func (m model) downgrade(x *world, now *verdict, i int, rev uint8, yield func(string, world) bool) bool {
	v := x.seen[i]
	if i >= m.ours || !x.entry[i].exclusive || now.mode[i] == "" || !v.on {
		return true
	}
	if v.foreign && !m.drop.downForeign || !x.nothingNew(v.rev) && !m.drop.downNew {
		return true
	}
	y := *x
	y.entry[i] = place{create: rev, mod: rev, rank: x.entry[i].rank}
	if m.drop.rankKept {
		y.entry[i].rank = rev
	}
	y.seen[i] = view{} // no request of before can pass the new fence
	return yield("downgrade", y)
}

// upgrade is slotTxn.
func (m model) upgrade(x *world, now *verdict, i int, rev uint8, yield func(string, world) bool) bool {
	v := x.seen[i]
	if i >= m.ours || x.entry[i].create == 0 || x.entry[i].exclusive || now.mode[i] == "" || !v.on || v.slot {
		return true
	}
	waits := v.create != 0
	same := !waits || slices.ContainsFunc(x.entry[:], func(p place) bool { return p.create == v.create && p.mod == v.mod })
	anew := m.drop.newAlone && !waits || m.drop.newBehind && waits
	free := x.slot.create == 0
	if !same && !m.drop.firstWaiter || !anew && !x.nothingNew(v.rev) || !free && !m.drop.slotFree {
		return true
	}
	y := *x
	y.slot = slot{create: rev, mod: rev, owner: int8(i)}
	if !free { // a put over a key keeps its create revision
		y.slot.create = x.slot.create
	}
	y.slot.barrier = y.slot.create
	if waits && !m.drop.barrierEnd {
		y.slot.barrier = v.first
	}
	if m.drop.barrierLow {
		y.slot.barrier = x.entry[i].rank
	}
	return yield("upgrade", y)
}

// rename writes a slot anew. As it should be it is no step, see next.
func (m model) rename(x *world, _ *verdict, i int, rev uint8, yield func(string, world) bool) bool {
	if !m.drop.barrierKept || x.slot.create == 0 || int(x.slot.owner) != i {
		return true
	}
	y := *x
	y.slot.mod, y.slot.barrier = rev, x.slot.create
	return yield("rename", y)
}

// squeeze gives states that no compare can tell apart the same form.
func (w *world) squeeze(m model) {
	var used uint64
	for i := range w.entry {
		p, v := &w.entry[i], &w.seen[i]
		used |= 1<<p.create | 1<<p.mod | 1<<p.rank | 1<<v.create | 1<<v.mod | 1<<v.first
	}
	used |= 1<<w.slot.create | 1<<w.slot.mod | 1<<w.slot.barrier
	used &^= 1
	small := func(r *uint8) { *r = uint8(bits.OnesCount64(used & (2<<*r - 1))) }
	for i := range w.entry {
		p, v := &w.entry[i], &w.seen[i]
		for _, r := range []*uint8{&p.create, &p.mod, &p.rank, &v.create, &v.mod, &v.first, &v.rev} {
			small(r)
		}
	}
	small(&w.slot.create)
	small(&w.slot.mod)
	small(&w.slot.barrier)
	w.sort(0, m.ours)
	w.sort(m.ours, m.ours+m.foreign)
}

// sort orders those who are alike by the age of their entries.
func (w *world) sort(from, to int) {
	for i := from + 1; i < to; i++ {
		for j := i; j > from && w.entry[j].create < w.entry[j-1].create; j-- {
			w.entry[j], w.entry[j-1] = w.entry[j-1], w.entry[j]
			w.seen[j], w.seen[j-1] = w.seen[j-1], w.seen[j]
			switch s := &w.slot; {
			case s.create == 0:
			case s.owner == int8(j):
				s.owner--
			case s.owner == int8(j-1):
				s.owner++
			}
		}
	}
}
