package main

import (
	"strconv"
	"testing"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// A record that was deleted by hand is told until the audit starts after it.
func TestAuditAfterHandEdit(t *testing.T) {
	l := newLab(t)
	r, err := l.client.Delete(t.Context(), lease.DefaultRoot+"nodes/"+string(l.node.UUID))
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runAs(t, l.env(), "audit"); code != exitFailure {
		t.Errorf("got code %d, want 1: %s%s", code, out, errs)
	}
	from := strconv.FormatInt(r.Header.Revision, 10)
	if code, out, errs := runAs(t, l.env(), "audit", "--from", from); code != exitOK {
		t.Errorf("from there on: got code %d, want 0: %s%s", code, out, errs)
	}
}
