package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func TestFaults(t *testing.T) {
	held := &lease.HeldError{Queue: lease.Queue{Name: idA, Entries: []lease.Entry{{Name: idA, Mode: lease.Exclusive, Ticket: "t", Holder: "c2", Purpose: "deploy"}}}}
	dup := func(k node.Kind, field string) error {
		return &node.DuplicateError{Kind: k, Field: field, Value: "V", Owner: "O"}
	}
	tests := []struct {
		err    error
		status int
		kind   string
		text   string // part of it
	}{
		{held, 409, "locked", "Node " + idA + " is locked by host c2, please retry"},
		{&lease.UpgradeConflictError{}, 409, "locked", "upgraded"},
		{&lease.LostError{Name: idA, Reason: lease.Broken}, 503, "lock_lost", "lost"},
		{fmt.Errorf("%w (the task: %w)", &lease.LostError{}, node.ErrStale), 503, "lock_lost", ""},
		{&node.NotFoundError{Kind: node.KindNode, Ref: "x"}, 404, "not_found", "Node x could not be found."},
		{&node.NotFoundError{Kind: node.KindVolumeTarget, Ref: "x"}, 404, "not_found", "Volume target x could not be found."},
		{dup(node.KindNode, "name"), 409, "duplicate", "A node with name V already exists."},
		{dup(node.KindNode, "uuid"), 409, "duplicate", "A node with UUID V already exists."},
		{dup(node.KindNode, "instance_uuid"), 409, "duplicate", "Instance V is already associated with a node"},
		{dup(node.KindPortgroup, "address"), 409, "duplicate", "A portgroup with MAC address V already exists."},
		{dup(node.KindVolumeTarget, "boot_index"), 409, "duplicate", "A volume target with boot index 'V' for the same node already exists."},
		{&node.InvalidStateError{State: "active", Event: "manage"}, 409, "invalid_state", "active"},
		{&node.StaleError{Key: "k"}, 409, "stale", "k"},
		{lease.ErrConflict, 409, "stale", ""},
		{lease.ErrUnknown, 504, "unanswered", "look at them before"},
		{&node.InUseError{Kind: node.KindPortgroup, UUID: "g", By: []string{"p"}}, 400, "in_use", "portgroup g contains ports p"},
		{&node.ValidationError{Fields: []node.FieldError{{Field: "f", Reason: "r"}}}, 400, "invalid", "f: r"},
		{node.ErrTooLarge, 413, "too_large", ""},
		{&node.CorruptError{Key: "k", Err: node.ErrInvalid}, 500, "corrupt", "k"},
		{&provision.StateError{State: "cleaning"}, 400, "invalid_state", "cleaning"},
		{&provision.PowerError{Target: "power off"}, 409, "power_state", "Failed to set node power state to power off"},
		{&hardware.DriverNotFoundError{Driver: "d"}, 404, "driver_not_found", "Could not find the following driver(s) or hardware type(s): d."},
		{&hardware.InterfaceNotFoundError{}, 400, "invalid", ""},
		{&hardware.IncompatibleInterfaceError{}, 400, "invalid", ""},
		{&hardware.NoValidDefaultError{}, 400, "invalid", ""},
		{&hardware.UnsupportedError{Driver: "d"}, 400, "unsupported", "d"},
		{hardware.ErrMissingParameter, 400, "invalid", ""},
		{&task.NoWorkerError{Busy: 3, Size: 3}, 503, "no_worker", "Requested action cannot be performed due to lack of free conductor workers."},
		{task.ErrClosed, 503, "closing", ""},
		{lease.ErrClosed, 503, "closing", ""},
		{lease.ErrSuspect, 503, "unavailable", ""},
		{&lease.TakenError{Host: "c1"}, 503, "unavailable", "c1"},
		{fmt.Errorf("write: %w", rpctypes.ErrNoSpace), 503, "unavailable", "alarm disarm"},
		{fmt.Errorf("read: %w", rpctypes.ErrTimeout), 503, "unavailable", "etcd"},
		{status.Error(codes.Unavailable, "connection refused"), 503, "unavailable", "etcd"},
		{fmt.Errorf("%w after 10s", context.DeadlineExceeded), 503, "unavailable", "10s"},
		{context.Canceled, statusClientGone, "client_gone", ""},
		{errors.New("password=hunter2"), 500, "internal", "internal error"},
	}
	retry := map[string]bool{"locked": true, "no_worker": true, "closing": true, "unavailable": true}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		faultOf(fmt.Errorf("wrapped: %w", tt.err)).write(w)
		var body struct {
			Message string `json:"error_message"`
			Kind    string `json:"kind"`
		}
		var inner map[string]any
		if err := errors.Join(json.Unmarshal(w.Body.Bytes(), &body), json.Unmarshal([]byte(body.Message), &inner)); err != nil {
			t.Fatalf("%v: %v in %s", tt.err, err, w.Body)
		}
		if w.Code != tt.status || body.Kind != tt.kind || !strings.Contains(inner["faultstring"].(string), tt.text) {
			t.Errorf("%v: %d %s", tt.err, w.Code, w.Body)
		}
		side := "Client"
		if tt.status >= 500 {
			side = "Server"
		}
		debug, ok := inner["debuginfo"]
		if inner["faultcode"] != side || debug != nil || !ok || len(inner) != 3 {
			t.Errorf("%v: inner body %v", tt.err, inner)
		}
		if got := w.Header().Get("Retry-After") != ""; got != retry[tt.kind] {
			t.Errorf("%v: Retry-After %t", tt.err, got)
		}
		if strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("an internal error is told to clients: %s", w.Body)
		}
	}
}
