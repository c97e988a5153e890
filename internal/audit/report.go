package audit

import (
	"fmt"
	"io"
	"strings"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// Report is what a check found. It is also the JSON of `conductor audit`.
type Report struct {
	Root       string      `json:"root"`
	From       int64       `json:"from"` // the revision whose state was the first to be checked
	To         int64       `json:"to"`   // the last revision that was checked
	Gaps       []Gap       `json:"gaps,omitempty"`
	Revisions  int         `json:"revisions"` // those that changed something below the root
	Names      int         `json:"names"`     // that were locked or written
	Grants     int         `json:"grants"`    // upgrades included
	Writes     int         `json:"writes"`    // of records
	Deletes    int         `json:"deletes"`   // of records
	Count      int         `json:"count"`     // of all violations
	Violations []Violation `json:"violations"`
}

// Gap is revisions that were compacted before they could be checked.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Kind is a promise that was not kept.
type Kind string

// The kinds of violations.
const (
	Exclusion Kind = "exclusion"  // two hold a lock who exclude each other
	LostGrant Kind = "lost grant" // a holder's grant went away while its entry stood
	Stalled   Kind = "stalled"    // entries wait and nobody holds the lock
	Unowned   Kind = "unowned"    // a record was written or deleted by one who was not the owner
	Token     Kind = "token"      // a token does not belong to the owner, or is not larger than the last
)

// Violation is one promise that was not kept, at the first revision that shows it.
type Violation struct {
	Revision int64   `json:"revision"`
	Kind     Kind    `json:"kind"`
	Name     string  `json:"name"` // of the lock, which is the node's
	Detail   string  `json:"detail"`
	Entries  []Entry `json:"entries,omitempty"` // those that are involved
}

// Entry is one entry of a lock queue.
type Entry struct {
	Key     string     `json:"key"`
	Mode    lease.Mode `json:"mode"`
	Holder  string     `json:"holder,omitempty"`
	Purpose string     `json:"purpose,omitempty"`
	Ticket  string     `json:"ticket,omitempty"`
	Create  int64      `json:"create_revision"`
	Rank    int64      `json:"rank"`
	Foreign bool       `json:"foreign,omitempty"`
}

func show(e lease.Entry) Entry {
	return Entry{e.Key, e.Mode, e.Holder, e.Purpose, e.Ticket, e.Create, e.Rank, e.Foreign}
}

func shown(es []lease.Entry) []Entry {
	out := make([]Entry, len(es))
	for i, e := range es {
		out[i] = show(e)
	}
	return out
}

// OK reports that no promise was found broken.
func (r *Report) OK() bool { return r.Count == 0 }

// String is a summary of one line.
func (r *Report) String() string {
	verdict := "no violation"
	if r.Count > 0 {
		verdict = fmt.Sprintf("%d violations", r.Count)
	}
	return fmt.Sprintf("revisions %d to %d below %s: %d changes, %d names, %d grants, %d writes, %d deletes: %s",
		r.From, r.To, r.Root, r.Revisions, r.Names, r.Grants, r.Writes, r.Deletes, verdict)
}

// WriteText writes the report for people to read.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, r)
	if r.From > 1 {
		fmt.Fprintf(&b, "not checked: before revision %d\n", r.From)
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(&b, "not checked: revisions %d to %d, compacted while the check ran\n", g.From, g.To)
	}
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "revision %d: %s: %s: %s\n", v.Revision, v.Name, v.Kind, v.Detail)
		for _, e := range v.Entries {
			fmt.Fprintf(&b, "    %s %s", e.Mode, e.Key)
			if e.Holder != "" {
				fmt.Fprintf(&b, " by %s for %q", e.Holder, e.Purpose)
			}
			fmt.Fprintf(&b, ", created at %d", e.Create)
			if e.Rank != e.Create {
				fmt.Fprintf(&b, ", ranks as %d", e.Rank)
			}
			fmt.Fprintln(&b)
		}
	}
	if n := r.Count - len(r.Violations); n > 0 {
		fmt.Fprintf(&b, "and %d more\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
