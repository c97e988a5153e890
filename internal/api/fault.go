package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/internal/events"
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// refusal is an error with a text for users; what it is, the table below knows.
type refusal struct {
	is   error
	text string
}

func refuse(is error, format string, args ...any) error {
	return &refusal{is, fmt.Sprintf(format, args...)}
}

// Error is the text for users.
func (e *refusal) Error() string { return e.text }

// Unwrap returns its kind.
func (e *refusal) Unwrap() error { return e.is }

// invalid refuses a parameter of a request.
func invalid(field, format string, args ...any) error {
	return &node.ValidationError{Fields: []node.FieldError{{Field: field, Reason: fmt.Sprintf(format, args...)}}}
}

// The kinds of error that have no home elsewhere.
var (
	errNoRoute       = errors.New("no such path")
	errUnknownCaller = errors.New("unknown caller")
	errMethod        = errors.New("method not allowed")
	errMissing       = errors.New("not found") // what is not a record: a driver's host, a lock
	errNoValidHost   = errors.New("no valid host")
	errAssociated    = errors.New("associated") // Ironic: NodeAssociated and others of a workload's
	errProtected     = errors.New("protected")  // Ironic: NodeProtected
	errMisfit        = errors.New("does not fit")
	errLockChanged   = errors.New("lock changed")
	errDraining      = errors.New("draining")
	errUnanswered    = errors.New("no answer of another conductor")
	errBusy          = errors.New("too many watches")
	errPanic         = errors.New("panic")
)

const statusClientGone = 499 // as other servers log it; nobody reads the answer

// rule says how one kind of error is told. The first that fits, counts.
type rule struct {
	is     error
	status int
	kind   string
	text   func(error) string // nil: the error's own
	retry  bool               // trying again is what helps
}

// faults is the one table of errors. An error that is not in it is 500.
var faults = []rule{
	{is: errNotAcceptable, status: 406, kind: "not_acceptable"},
	{is: errNoRoute, status: 404, kind: "not_found"},
	{is: errUnknownCaller, status: 401, kind: "unauthorized"},
	{is: errMissing, status: 404, kind: "not_found"},
	{is: errMethod, status: 405, kind: "method_not_allowed"},
	{is: errNoValidHost, status: 400, kind: "no_valid_host"},
	{is: errAssociated, status: 409, kind: "associated"},
	{is: errMisfit, status: 409, kind: "misfit"},
	{is: allocate.ErrAssociated, status: 409, kind: "associated"},
	{is: allocate.ErrFailed, status: 400, kind: "allocation_failed"},
	{is: errProtected, status: 403, kind: "protected"},
	{is: errLockChanged, status: 412, kind: "lock_changed"},
	{is: errDraining, status: 503, kind: "draining", retry: true},
	{is: errUnanswered, status: 504, kind: "unanswered"},
	{is: errBusy, status: 503, kind: "busy", retry: true},
	{is: events.ErrFuture, status: 410, kind: "gone"},
	{is: events.ErrSlow, status: 503, kind: "slow", retry: true},
	{is: lease.ErrLost, status: 503, kind: "lock_lost"},
	{is: lease.ErrUnknown, status: 504, kind: "unanswered"},
	{is: lease.ErrHeld, status: 409, kind: "locked", text: lockedText, retry: true},
	{is: lease.ErrUpgradeConflict, status: 409, kind: "locked", retry: true},
	{is: node.ErrCorrupt, status: 500, kind: "corrupt"},
	{is: node.ErrNotFound, status: 404, kind: "not_found", text: notFoundText},
	{is: node.ErrDuplicate, status: 409, kind: "duplicate", text: duplicateText},
	{is: node.ErrInvalidState, status: 409, kind: "invalid_state"},
	{is: node.ErrStale, status: 409, kind: "stale"},
	{is: lease.ErrConflict, status: 409, kind: "stale"},
	{is: node.ErrInUse, status: 400, kind: "in_use", text: inUseText},
	{is: node.ErrTooLarge, status: 413, kind: "too_large"},
	{is: node.ErrInvalid, status: 400, kind: "invalid"},
	{is: provision.ErrStateRequested, status: 400, kind: "invalid_state"},
	{is: provision.ErrPowerState, status: 409, kind: "power_state"},
	{is: provision.ErrVIFAttached, status: 409, kind: "vif_attached"},
	{is: provision.ErrNoFreePort, status: 400, kind: "no_free_port"},
	{is: provision.ErrVIFNotAttached, status: 400, kind: "vif_not_attached"},
	{is: provision.ErrPowerFault, status: 503, kind: "unreachable", retry: true},
	{is: provision.ErrMaintenance, status: 400, kind: "maintenance"},
	{is: provision.ErrProtected, status: 403, kind: "protected"},
	{is: provision.ErrRetired, status: 400, kind: "retired"},
	{is: provision.ErrLimit, status: 503, kind: "limit", retry: true},
	{is: provision.ErrStepNotAllowed, status: 400, kind: "step_not_allowed"},
	{is: hardware.ErrDriverNotFound, status: 404, kind: "driver_not_found", text: driverText},
	{is: hardware.ErrInterfaceNotFound, status: 400, kind: "invalid"},
	{is: hardware.ErrIncompatibleInterface, status: 400, kind: "invalid"},
	{is: hardware.ErrNoValidDefault, status: 400, kind: "invalid"},
	{is: hardware.ErrInvalidParameter, status: 400, kind: "invalid"},
	{is: hardware.ErrUnsupported, status: 400, kind: "unsupported"},
	{is: provision.ErrDeployFailure, status: 500, kind: "deploy_failure"}, // after all that may be its cause
	{is: provision.ErrRescueFailure, status: 500, kind: "rescue_failure"},
	{is: provision.ErrUnrescueFailure, status: 500, kind: "unrescue_failure"},
	{is: task.ErrNoWorker, status: 503, kind: "no_worker", text: noWorkerText, retry: true},
	{is: task.ErrClosed, status: 503, kind: "closing", retry: true},
	{is: lease.ErrClosed, status: 503, kind: "closing", retry: true},
	{is: lease.ErrTaken, status: 503, kind: "unavailable", retry: true}, // an earlier session of ours lives on for a while
	{is: lease.ErrSuspect, status: 503, kind: "unavailable", retry: true},
	{is: rpctypes.ErrNoSpace, status: 503, kind: "unavailable", text: fullText, retry: true},
	{is: errEtcd, status: 503, kind: "unavailable", text: etcdText, retry: true},
	{is: context.DeadlineExceeded, status: 503, kind: "unavailable", text: lateText, retry: true},
	{is: context.Canceled, status: statusClientGone, kind: "client_gone"},
	{is: provision.ErrMachine, status: 500, kind: "machine"}, // last: what the machine's error is besides, says more
}

// errEtcd stands for all errors of etcd itself.
var errEtcd = errors.New("etcd")

// fault is an error as a client sees it.
type fault struct {
	rule
	err   error
	facts map[string]any      // beside error_message
	words func(string) string // makes the text the client's; nil: it is
}

func faultOf(err error) fault {
	if fromEtcd(err) {
		err = errors.Join(errEtcd, err)
	}
	for _, r := range faults {
		if errors.Is(err, r.is) {
			f := fault{rule: r, err: err}
			if held, ok := errors.AsType[*lease.HeldError](err); ok && r.is == lease.ErrHeld {
				f.facts = lockFacts(held)
			}
			if taken, ok := errors.AsType[*node.DuplicateError](err); ok && r.is == node.ErrDuplicate {
				f.facts = map[string]any{"field": taken.Field, "value": taken.Value, "owner": taken.Owner}
			}
			return f
		}
	}
	return fault{rule: rule{status: 500, kind: "internal", text: internalText}, err: err}
}

// fromEtcd finds errors of etcd and of the connection to it.
func fromEtcd(err error) bool {
	if _, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return true
	}
	s, ok := status.FromError(err)
	return ok && s.Code() != codes.OK && s.Code() != codes.Canceled
}

// retryAfter is what clients of Ironic wait by themselves.
const retryAfter = "2"

// TakesRetryAfter says whether a client may be told when to try again. Ironic
// never does, and its own client stumbles over the header: it dies of a TypeError
// in the place of the error that it would have tried again after.
func TakesRetryAfter(r *http.Request) bool {
	return !strings.HasPrefix(r.UserAgent(), "python-ironicclient")
}

// write answers with the fault. Ironic: error_message holds a string of JSON,
// and clients decode twice.
func (f fault) write(w http.ResponseWriter) {
	text := f.err.Error()
	if f.text != nil {
		text = f.text(f.err)
	}
	if f.words != nil {
		text = f.words(text)
	}
	code := "Client"
	if f.status >= 500 {
		code = "Server"
	}
	inner, _ := json.Marshal(map[string]any{"faultstring": text, "faultcode": code, "debuginfo": nil})
	body := map[string]any{"error_message": string(inner), "kind": f.kind}
	for k, v := range f.facts {
		body[k] = v
	}
	if f.retry {
		w.Header().Set("Retry-After", retryAfter)
	}
	writeJSON(w, f.status, body)
}
