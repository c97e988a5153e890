package lease

import (
	"encoding/json"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Intent says that an exclusive section is open. It is written with the lock and deleted by a
// clean release, so one that outlives its holder tells the next that work was cut off: the
// section was abandoned.
type Intent struct {
	Holder  string    `json:"holder"`
	Session string    `json:"session"`
	Ticket  string    `json:"ticket"`
	Token   Token     `json:"token,omitempty"` // absent when written by the acquiring transaction, whose revision it is
	Purpose string    `json:"purpose"`
	Task    string    `json:"task,omitempty"`
	Detail  string    `json:"detail,omitempty"` // the event or step
	Since   time.Time `json:"since"`
	Left    *Intent   `json:"abandoned,omitempty"` // one that was found and not yet dealt with
}

func (i Intent) String() string {
	b, err := json.Marshal(i)
	if err != nil {
		panic(err) // strings, numbers and times of this century
	}
	return string(b)
}

// newIntent is the lock's own intent. The caller holds mu, or nobody else knows the lock yet.
func (l *Lock) newIntent() *Intent {
	return &Intent{
		Holder: l.s.cfg.Holder, Session: l.s.id, Ticket: l.ticket, Token: l.token, Purpose: l.req.Purpose,
		Task: l.req.Task, Detail: l.req.Detail, Since: time.Now().UTC().Truncate(time.Millisecond),
	}
}

// meetIntent takes note of the intent that stood when the lock was granted. The caller holds mu.
func (l *Lock) meetIntent(st standing) {
	if st.intent == nil {
		return
	}
	var i Intent
	if json.Unmarshal(st.intent.Value, &i) != nil {
		i = Intent{Detail: string(st.intent.Value)} // written by hand: still a sign of open work
	}
	if i.Token == 0 {
		i.Token = Token(st.intent.ModRevision)
	}
	switch {
	case i.Ticket == l.ticket:
		l.intent = &i
	case st.queue.find(i.Ticket) == nil:
		l.left = &i
	}
}

// Abandoned returns what a dead holder left undone, nil if the last section ended cleanly. Before
// it touches hardware, the new holder waits for the dead one's last command to be over, looks at
// the machine, and recovers; then it calls Settle.
func (l *Lock) Abandoned() *Intent {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.settled {
		return nil
	}
	return l.left
}

// Settle says that the abandoned section has been dealt with: the release will delete its intent.
// Without it the intent stays for the next holder.
func (l *Lock) Settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = true
}

// writeIntent returns the operation that writes our intent, nil if it stands as it should. The
// caller holds mu and takes the intent into l.intent once it is committed.
func (l *Lock) writeIntent(detail string) (*Intent, []clientv3.Op) {
	if l.intent != nil && (detail == "" || detail == l.intent.Detail) && (l.intent.Left == nil || !l.settled) {
		return l.intent, nil
	}
	if detail != "" {
		l.req.Detail = detail
	}
	i := l.newIntent()
	if !l.settled {
		i.Left = l.left
	}
	return i, []clientv3.Op{clientv3.OpPut(l.s.keys.intent(l.name), i.String())}
}

// deletes are the operations that take the lock's keys away: entry, slot and intent. An abandoned
// intent that nobody dealt with is put back. clean says that the section is complete. The caller
// holds mu.
func (l *Lock) deletes(clean bool) []clientv3.Op {
	ops := append(make([]clientv3.Op, 0, 4), clientv3.OpDelete(l.key()))
	ops = append(ops, l.unslot(clean)...)
	if clean && l.slot == 0 {
		ops = append(ops, l.closeIntent()...)
	}
	if l.doubt { // a late copy of the acquiring request would find its key free again
		ops = append(ops, l.s.bump())
	}
	return ops
}

// unslot are the operations that take away the slot and the intent beside it, whatever has become
// of them: the name of the slot is fixed, and by now it may be another's, or a later one of this
// lock. Then is what else to do, unless another slot stands. The caller holds mu.
func (l *Lock) unslot(clean bool, then ...clientv3.Op) []clientv3.Op {
	if l.slot == 0 && len(l.loose) == 0 && len(then) == 0 {
		return nil
	}
	slot, intent := l.s.keys.upgrade(l.name), l.s.keys.intent(l.name)
	var ops []clientv3.Op
	if len(then) > 0 {
		ops = []clientv3.Op{clientv3.OpTxn([]clientv3.Cmp{created(slot, 0)}, then, nil)}
	}
	gone := append([]clientv3.Op{clientv3.OpDelete(slot)}, then...)
	for _, x := range l.loose {
		ours := []clientv3.Cmp{clientv3.Compare(clientv3.Value(intent), "=", x.intent)}
		noIntent := clientv3.OpTxn(ours, []clientv3.Op{clientv3.OpDelete(intent)}, nil)
		ops = []clientv3.Op{clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.Value(slot), "=", x.slot)}, append(gone[:len(gone):len(gone)], noIntent), ops,
		)}
	}
	if l.slot != 0 {
		if clean {
			gone = append(gone, l.closeIntent()...)
		}
		ops = []clientv3.Op{clientv3.OpTxn([]clientv3.Cmp{created(slot, l.slot)}, gone, ops)}
	}
	return ops
}

func (l *Lock) closeIntent() []clientv3.Op {
	key := l.s.keys.intent(l.name)
	switch open := l.left != nil && !l.settled; {
	case open && l.intent != nil:
		return []clientv3.Op{clientv3.OpPut(key, l.left.String())}
	case l.intent != nil, l.left != nil && l.settled && l.mode == Exclusive:
		return []clientv3.Op{clientv3.OpDelete(key)}
	}
	return nil
}
