package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{usage(errors.New("flag")), 2},
		{&node.NotFoundError{Kind: node.KindNode, Ref: "n1"}, 3},
		{lease.ErrMissing, 3},
		{&apiError{Status: 404}, 3},
		{&lease.HeldError{}, 4},
		{&apiError{Status: 409}, 4},
		{&apiError{Status: 409, Kind: "locked"}, 4},
		{&apiError{Status: 409, Kind: "duplicate"}, 4},
		{&apiError{Status: 409, Kind: "invalid_state"}, 1},
		{&apiError{Status: 409, Kind: "power_state"}, 1},
		{&apiError{Status: 412}, 4},
		{&node.DuplicateError{}, 4},
		{&lease.TakenError{}, 4},
		{&embedetcd.DirInUseError{}, 4},
		{&embedetcd.PortInUseError{}, 4},
		{&lease.HeldError{Waited: time.Second}, 5},
		{context.DeadlineExceeded, 5},
		{&kindError{errTimeout, errors.New("not on")}, 5},
		{&apiError{Status: 504}, 5},
		{unanswered(nil, context.DeadlineExceeded), 6},
		{unanswered(nil, status.Error(codes.Unavailable, "gone")), 6},
		{&apiError{Status: 503}, 6},
		{&apiError{Status: 503, Kind: "unavailable"}, 6},
		{&apiError{Status: 503, Kind: "limit"}, 4},
		{&apiError{Status: 503, Kind: "no_worker"}, 4},
		{&lease.LostError{Reason: lease.Expired}, 7},
		{&apiError{Status: 400}, 1},
		{&apiError{Status: 500}, 1},
		{&kindError{errNotRunnable, errors.New("permission")}, 126},
		{&kindError{errNoCommand, errors.New("not found")}, 127},
		{errInterrupted, 130},
		{context.Canceled, 130},
		{&codeError{code: 42}, 42},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if c.err == nil {
				err = nil
			}
			if got := exitCode(err); got != c.want {
				t.Errorf("%v: got %d, want %d", err, got, c.want)
			}
		}
	}
}

func TestRefusal(t *testing.T) {
	since := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, body, want, holder string }{
		{"ironic", `{"error_message": "{\"faultstring\": \"no such node\", \"faultcode\": \"Client\"}"}`, "no such node", ""},
		{
			"locked", `{"error_message": "{\"faultstring\": \"locked\"}", "holder": "c2", "purpose": "deploy", "since": "2026-11-22T10:00:00Z"}`,
			`locked (held by c2 for "deploy" since 2026-11-22T10:00:00Z, ` + ago(since) + " ago)", "c2",
		},
		{"object in place of text", `{"error_message": {"faultstring": "plain"}}`, "plain", ""},
		{"problem", `{"title": "Conflict", "detail": "a detail"}`, "a detail", ""},
		{"no JSON", "<html>gateway</html>", "<html>gateway</html>", ""},
		{"nothing", "", "Conflict", ""},
	} {
		e := refusal(409, []byte(c.body))
		if e.Error() != c.want || e.Holder != c.holder || e.Status != 409 {
			t.Errorf("%s: got %q by %q (%d), want %q by %q", c.name, e.Error(), e.Holder, e.Status, c.want, c.holder)
		}
	}
}
