package hardware

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// FaultKey is the key in a node's driver_info under which faults of its fake
// implementations are ordered, as a list of objects like these:
//
//	[{"mode": "fail", "on": "power.Set", "times": 2, "message": "no answer"},
//	 {"mode": "hang", "on": "deploy"},
//	 {"mode": "flap"},
//	 {"mode": "late", "on": "power.Set", "after": "5s"}]
//
// The mode is what happens:
//   - fail: the call returns a [FaultError] without touching the machine;
//   - hang: the call does nothing and returns when its context ends;
//   - flap: every other power.Get, beginning with the first, answers the
//     opposite of the truth;
//   - late: the call acts, but answers only when after has passed. If its
//     context ends sooner the machine has been changed all the same.
//
// On names an interface, or a method of one by its Go name, or a step; case
// does not matter, and nothing means every call. Times says how many matching
// calls meet the fault; nothing means all. The first fault that matches and is
// not used up is the one met. Uses are counted in the memory of the
// [Registry], and anew when the order changes. An order that cannot be read
// makes every call, Validate too, fail with [ErrInvalidParameter].
const FaultKey = "fake_faults"

// ErrFault is wrapped by the errors of calls that were told to fail.
var ErrFault = errors.New("fault ordered")

// FaultError is the result of a call that was told to fail. It wraps
// [ErrFault].
type FaultError struct {
	// Call is the interface and method.
	Call string
	// Message is the one that was ordered, if any.
	Message string
}

// Error returns the call and the message.
func (e *FaultError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s: %v", e.Call, ErrFault)
	}
	return fmt.Sprintf("%s: %s", e.Call, e.Message)
}

// Unwrap returns [ErrFault].
func (e *FaultError) Unwrap() error { return ErrFault }

// The modes of a fault. The zero mode is no fault.
const (
	faultFail = "fail"
	faultHang = "hang"
	faultFlap = "flap"
	faultLate = "late"
)

// fault is one order.
type fault struct {
	Mode    string `json:"mode"`
	On      string `json:"on"`
	Times   int    `json:"times"`
	Message string `json:"message"`
	After   string `json:"after"`

	after time.Duration
	// nth counts the uses, this one too.
	nth int
}

// faults counts the uses of orders by node and by the order's place and text.
type faults struct {
	mu   sync.Mutex
	used map[node.ID]map[string]int
}

// next returns the fault that a call meets, the zero fault for none.
func (f *faults) next(n *node.Node, c Call) (fault, error) {
	orders, err := readFaults(n.DriverInfo[FaultKey])
	if err != nil {
		return fault{}, fmt.Errorf("driver_info %s: %w: %w", FaultKey, ErrInvalidParameter, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.used[n.UUID]
	delete(f.used, n.UUID)
	if len(orders) == 0 {
		return fault{}, nil
	}
	used := map[string]int{}
	var met fault
	for i, o := range orders {
		key := fmt.Sprint(i, o)
		used[key] = before[key]
		if met.Mode == "" && o.matches(c) && (o.Times == 0 || used[key] < o.Times) {
			used[key]++
			met, met.nth = o, used[key]
		}
	}
	if f.used == nil {
		f.used = map[node.ID]map[string]int{}
	}
	f.used[n.UUID] = used
	return met, nil
}

func (o fault) matches(c Call) bool {
	if o.Mode == faultFlap {
		return c.String() == InterfacePower+".Get"
	}
	return o.On == "" || strings.EqualFold(o.On, c.Interface) || strings.EqualFold(o.On, c.String())
}

func readFaults(value any) ([]fault, error) {
	if value == nil {
		return nil, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var orders []fault
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&orders); err != nil {
		return nil, err
	}
	for i := range orders {
		if err := orders[i].check(); err != nil {
			return nil, err
		}
	}
	return orders, nil
}

func (o *fault) check() (err error) {
	switch o.Mode {
	case faultLate:
		if o.after, err = time.ParseDuration(o.After); err != nil || o.after < 0 {
			return fmt.Errorf("after: %q is not a duration such as 5s", o.After)
		}
	case faultFlap:
		if o.On != "" && !strings.EqualFold(o.On, InterfacePower+".Get") {
			return fmt.Errorf("mode flap is for power.Get, not for %q", o.On)
		}
	case faultFail, faultHang:
	default:
		return fmt.Errorf("mode %q is not one of fail, hang, flap, late", o.Mode)
	}
	if o.Times < 0 {
		return fmt.Errorf("times: %d is negative", o.Times)
	}
	return nil
}
