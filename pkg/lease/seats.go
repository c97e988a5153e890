package lease

import (
	"slices"
	"strconv"
)

// seats are the last parts of the keys that a session's entries have in the queues: numbers that
// are used again, so that a queue has no more keys, dead ones included, than there were ever entries
// in it at once. With a new key for each acquisition etcd would keep all of them in its index until
// the next compaction, and every look at the queue would pass over them.
//
// An entry is known by the create revision of its key, and by the ticket that it names, which are
// used once. A seat is given back when etcd has answered that its entry is gone, and only if no copy
// of a request that puts or deletes it can still be under way; otherwise it stays taken.
type seats map[string][]bool // by name, those that are taken

// take returns the first seat that is free in a queue.
func (s seats) take(session, name string) string {
	i := slices.Index(s[name], false)
	if i < 0 {
		i = len(s[name])
		s[name] = append(s[name], true)
	}
	s[name][i] = true
	return session + "." + strconv.Itoa(i+1)
}

// leave gives a seat back.
func (s seats) leave(session, name, seat string) {
	n, err := strconv.Atoi(seat[len(session)+1:])
	if err != nil || n > len(s[name]) {
		return
	}
	s[name][n-1] = false
	if !slices.Contains(s[name], true) {
		delete(s, name)
	}
}

// vacate gives the seat of a lock back whose entry is gone.
func (l *Lock) vacate() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if !l.doubt {
		l.s.seats.leave(l.s.id, l.name, l.seat)
	}
}
