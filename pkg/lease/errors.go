package lease

import (
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Each error of this package is one of these; use errors.Is.
var (
	ErrHeld            = errors.New("lock is held")
	ErrUpgradeConflict = errors.New("another holder is upgrading")
	ErrLost            = errors.New("lock lost")
	ErrSuspect         = errors.New("lease not renewed in time")
	ErrReleased        = errors.New("lock released")
	ErrClosed          = errors.New("session closed")
	ErrNotExclusive    = errors.New("lock is not exclusive")
	ErrMissing         = errors.New("name does not exist")
	ErrConflict        = errors.New("records changed")
	ErrForeignWaiter   = errors.New("a foreign locker waits, who cannot see ranks: the lock stays exclusive")
	ErrTaken           = errors.New("host name is taken by a live session")
	ErrAbandoned       = errors.New("a section was abandoned and is to be dealt with under the lock")
	ErrUnknown         = errors.New("an answer of etcd was lost and the records have changed since: look at them before you try again")
)

// HeldError says who has the lock that was not to be had. It is ErrHeld.
type HeldError struct {
	Queue  Queue         // everybody, at the revision of the refusal, or as last heard of
	Waited time.Duration // zero for a try
}

// Holder is the first of those who hold the lock; the zero Entry if the queue emptied meanwhile.
func (e *HeldError) Holder() Entry {
	if h := e.Queue.Holders(); len(h) > 0 {
		return h[0]
	}
	return Entry{}
}

// FreeBy is the longest that the holder's entry can stand if the holder is dead:
// its TTL and an election of etcd, during which leases do not expire.
func (e *HeldError) FreeBy() time.Duration {
	if ttl := e.Holder().TTL; ttl > 0 {
		return ttl + electionTime
	}
	return 0
}

func (e *HeldError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is locked", e.Queue.Name)
	h := e.Holder()
	if h.Foreign {
		fmt.Fprintf(&b, " by a foreign entry %s", h.Key)
	} else if h.Holder == "" && h.Key != "" {
		fmt.Fprintf(&b, " by an entry that names nobody, %s", h.Key)
	} else if h.Holder != "" {
		fmt.Fprintf(&b, " (%s) by %s for %q since %s", h.Mode, h.Holder, h.Purpose, h.Since.UTC().Format(time.RFC3339))
	}
	if n := len(e.Queue.Waiters()); n > 0 {
		fmt.Fprintf(&b, ", %d waiting", n)
	}
	if e.Waited > 0 {
		fmt.Fprintf(&b, "; gave up after %s", e.Waited.Round(time.Millisecond))
	}
	return b.String()
}

// Unwrap makes it ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }

// UpgradeConflictError names the holder whose upgrade came first. It is ErrUpgradeConflict.
// Release the lock, or take it anew: waiting would be a deadlock, since each waits for the other to leave.
type UpgradeConflictError struct{ Winner Entry }

func (e *UpgradeConflictError) Error() string {
	w := e.Winner
	return fmt.Sprintf("%s is being upgraded by %s for %q since %s", w.Name, w.Holder, w.Purpose, w.Since.UTC().Format(time.RFC3339))
}

// Unwrap makes it ErrUpgradeConflict.
func (e *UpgradeConflictError) Unwrap() error { return ErrUpgradeConflict }

// Reason says why a lock was lost.
type Reason string

// The reasons for which a lock is lost.
const (
	Expired Reason = "lease_expired" // the lease was not renewed in time, or is gone
	Broken  Reason = "broken"        // an operator broke it
	Deleted Reason = "deleted"       // the entry was deleted by hand, or with its name
)

// LostError says how a lock or a session was lost. It is ErrLost.
type LostError struct {
	Name   string // empty when the whole session is lost
	Reason Reason
	Detail string
	Owner  *Entry // who holds the lock now, when known
}

func (e *LostError) Error() string {
	s := "session lost: "
	if e.Name != "" {
		s = "lock of " + e.Name + " lost: "
	}
	s += strings.ReplaceAll(string(e.Reason), "_", " ")
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Owner != nil {
		s += fmt.Sprintf("; now held by %s for %q", e.Owner.Holder, e.Owner.Purpose)
	}
	return s
}

// Unwrap makes it ErrLost.
func (e *LostError) Unwrap() error { return ErrLost }

// ConflictError is a fenced write whose own compares failed while the lock still stood. It is ErrConflict.
// Responses are those of Write.Else.
type ConflictError struct {
	Name      string
	Responses []*pb.ResponseOp

	queue Queue // as it stood
}

func (e *ConflictError) Error() string {
	return "write under the lock of " + e.Name + ": records changed"
}

// Unwrap makes it ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// TakenError names the live session that has the host name. It is ErrTaken.
type TakenError struct {
	Host    string
	Session string
	Since   time.Time
	TTL     time.Duration // of its lease
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("host name %q is taken by session %s since %s: stop that conductor, or give this one another name",
		e.Host, e.Session, e.Since.UTC().Format(time.RFC3339))
}

// Unwrap makes it ErrTaken.
func (e *TakenError) Unwrap() error { return ErrTaken }
