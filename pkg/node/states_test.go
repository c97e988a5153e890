package node

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// dump is the machine as Ironic's own code answers it.
type dump struct {
	States []struct {
		Name   ProvisionState
		Stable bool
		Target ProvisionState
	}
	Transitions []struct {
		From  ProvisionState
		Event Event
		To    ProvisionState
	}
	Events      []Event
	Sets        map[string][]ProvisionState
	PowerStates map[string]PowerState `json:"power_states"`
}

func readDump(t *testing.T) dump {
	t.Helper()
	data, err := os.ReadFile("testdata/ironic-fsm.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dump
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.States) != 30 || len(d.Events) != 18 || len(d.Transitions) != 93 {
		t.Fatalf("dump has %d states, %d events, %d transitions", len(d.States), len(d.Events), len(d.Transitions))
	}
	return d
}

func TestTableIsIronics(t *testing.T) {
	d := readDump(t)
	var names []ProvisionState
	for _, s := range d.States {
		names = append(names, s.Name)
		if got := s.Name.Stable(); got != s.Stable {
			t.Errorf("%q stable: got %v", s.Name, got)
		}
		if got := s.Name.DefaultTarget(); got != s.Target {
			t.Errorf("%q default target: got %q, want %q", s.Name, got, s.Target)
		}
	}
	if diff := cmp.Diff(names, States()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(d.Events, Events()); diff != "" {
		t.Error(diff)
	}
	for name, want := range d.PowerStates {
		if !want.Valid() {
			t.Errorf("power state %s %q is not valid", name, want)
		}
	}
}

// TestEveryPair fires each of the 18 events in each of the 30 states.
func TestEveryPair(t *testing.T) {
	type pair struct {
		s ProvisionState
		e Event
	}
	d := readDump(t)
	want := map[pair]ProvisionState{}
	for _, tr := range d.Transitions {
		want[pair{tr.From, tr.Event}] = tr.To
	}
	legal := 0
	for _, s := range States() {
		for _, e := range Events() {
			m, err := NewMachine(s, "")
			if err != nil {
				t.Fatal(err)
			}
			to, ok := want[pair{s, e}]
			if slices.Contains(m.Permitted(), e) != ok {
				t.Errorf("%q permits %q: got %v", s, e, !ok)
			}
			before := *m
			err = m.Fire(t.Context(), e, "")
			if ok {
				legal++
				if err != nil || m.State() != to {
					t.Errorf("%q + %q: got %q, %v, want %q", s, e, m.State(), err, to)
				}
				continue
			}
			bad, typed := errors.AsType[*InvalidStateError](err)
			if !typed || !errors.Is(err, ErrInvalidState) || bad.State != s || bad.Event != e {
				t.Errorf("%q + %q: got %v", s, e, err)
			}
			if *m != before {
				t.Errorf("%q + %q changed the machine: %v to %v", s, e, before, *m)
			}
		}
	}
	if legal != 93 {
		t.Errorf("got %d legal pairs, want 93", legal)
	}
}

func TestSetsAreIronics(t *testing.T) {
	d := readDump(t)
	for name, set := range map[string]Set{
		"STABLE_STATES": Stable, "UNSTABLE_STATES": Unstable, "FAILURE_STATES": Failure,
		"STUCK_STATES_TREATED_AS_FAIL": Stuck, "UPDATE_ALLOWED_STATES": UpdateAllowed,
		"DELETE_ALLOWED_STATES": DeleteAllowed, "LOOKUP_ALLOWED_STATES": LookupAllowed,
		"FASTTRACK_LOOKUP_ALLOWED_STATES": FastTrackLookupAllowed, "SERVICING_STATES": Servicing,
		"INSPECTION_STATES": Inspection, "SYNC_EXCLUDED_STATES": SyncExcluded,
		"INTERFACE_UPDATE_ALLOWED": InterfaceUpdateAllowed, "CONNECTIVITY_UPDATE_ALLOWED": ConnectivityUpdateAllowed,
		"HEARTBEAT_ALLOWED": HeartbeatAllowed, "FASTTRACK_HEARTBEAT_ALLOWED": FastTrackHeartbeatAllowed,
		"HEARTBEAT_RECORD_ONLY": HeartbeatRecordOnly, "CONCURRENT_DEPLOY_COUNTED": DeployCounted,
		"CONCURRENT_CLEAN_COUNTED": CleanCounted,
	} {
		var want []ProvisionState
		for full, members := range d.Sets {
			if strings.Split(full, " ")[0] == name {
				want = members
			}
		}
		// The verb "service" stands in this set and is no state.
		want = slices.DeleteFunc(want, func(s ProvisionState) bool { return name == "UPDATE_ALLOWED_STATES" && s == "service" })
		got := set.States()
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
			t.Errorf("%s: %s", name, diff)
		}
		for _, s := range States() {
			if set.Has(s) != slices.Contains(want, s) {
				t.Errorf("%s has %q: got %v", name, s, set.Has(s))
			}
		}
	}
	if got := len(sets); got != 18 {
		t.Errorf("%d sets, want 18", got)
	}
}

func TestTargetRule(t *testing.T) {
	type step struct {
		event  Event
		target ProvisionState
		state  ProvisionState
		want   ProvisionState
	}
	for _, tt := range []struct {
		name          string
		state, target ProvisionState
		start         ProvisionState
		steps         []step
	}{
		{"default at the start", StateCleaning, "", StateAvailable, nil},
		{"own target at the start", StateCleaning, StateManageable, StateManageable, nil},
		{
			"reached target is cleared", StateVerifying, "", StateManageable,
			[]step{{EventDone, "", StateManageable, ""}},
		},
		{
			"default of the new state overwrites", StateCleaning, StateManageable, StateManageable,
			[]step{{EventWait, "", StateCleanWait, StateAvailable}},
		},
		{
			"explicit target wins over the default", StateCleaning, StateManageable, StateManageable,
			[]step{
				{EventWait, StateManageable, StateCleanWait, StateManageable},
				{EventResume, StateManageable, StateCleaning, StateManageable},
				{EventManage, "", StateManageable, ""},
			},
		},
		{
			"a stable state keeps another target", StateDeleting, "", StateAvailable,
			[]step{{EventFail, "", StateError, StateAvailable}},
		},
		{
			"a deployment with a wait", StateAvailable, "", "",
			[]step{
				{EventDeploy, "", StateDeploying, StateActive},
				{EventWait, "", StateWaitCallBack, StateActive},
				{EventResume, "", StateDeploying, StateActive},
				{EventDone, "", StateActive, ""},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewMachine(tt.state, tt.target)
			if err != nil || m.Target() != tt.start {
				t.Fatalf("got %v, %v, want target %q", m, err, tt.start)
			}
			for _, s := range tt.steps {
				if err := m.Fire(t.Context(), s.event, s.target); err != nil {
					t.Fatal(err)
				}
				if m.State() != s.state || m.Target() != s.want {
					t.Errorf("%s: got %q, %q, want %q, %q", s.event, m.State(), m.Target(), s.state, s.want)
				}
			}
		})
	}
}

func TestMachineRefuses(t *testing.T) {
	for _, tt := range []struct {
		name          string
		state, target ProvisionState
		want          string
	}{
		{"no state", "", "", `provision state "": the machine does not know this state`},
		{"a state outside the machine", "deleted", "", `provision state "deleted": the machine does not know this state`},
		{
			"a target that is not stable", StateCleaning, StateCleanWait,
			`provision state "cleaning" with target "clean wait": the target is not a stable state; ` +
				`allowed events: done, fail, hold, manage, wait`,
		},
		{
			"an unknown target", StateCleaning, "nowhere",
			`provision state "cleaning" with target "nowhere": the target is not a stable state; ` +
				`allowed events: done, fail, hold, manage, wait`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewMachine(tt.state, tt.target)
			if m != nil || !errors.Is(err, ErrInvalidState) || err.Error() != tt.want {
				t.Errorf("got %v, %v, want %s", m, err, tt.want)
			}
		})
	}
	m, err := NewMachine(StateEnroll, "")
	if err != nil {
		t.Fatal(err)
	}
	err = m.Fire(t.Context(), EventManage, StateVerifying)
	if !errors.Is(err, ErrInvalidState) || m.State() != StateEnroll || m.Target() != "" {
		t.Errorf("event with a bad target: got %v, %v", m, err)
	}
	err = m.Fire(t.Context(), EventDeploy, "")
	if want := `event "deploy" in provision state "enroll" is not allowed; allowed events: manage`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Fire(ended, EventManage, ""); err != nil || m.State() != StateVerifying {
		t.Errorf("with an ended context: got %v, %v", m, err)
	}
}

// TestMachinesAreApart walks many machines at once over the one definition;
// each must follow its own way. It is here for the race detector.
func TestMachinesAreApart(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			m, err := NewMachine(StateEnroll, "")
			if err != nil {
				t.Error(err)
				return
			}
			for step := range 500 {
				legal := m.Permitted()
				e := legal[(step*7+i)%len(legal)]
				want, _ := m.State().After(e)
				if err := m.Fire(t.Context(), e, ""); err != nil || m.State() != want {
					t.Errorf("got %q, %v, want %q", m.State(), err, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestWalks checks on random walks that no state is terminal and that a
// target is always "" or stable.
func TestWalks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := NewMachine(rapid.SampledFrom(States()).Draw(t, "start"), "")
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			e := rapid.SampledFrom(m.Permitted()).Draw(t, "event")
			target := rapid.SampledFrom(append(Stable.States(), "", "")).Draw(t, "target")
			if err := m.Fire(context.Background(), e, target); err != nil {
				t.Fatal(err)
			}
			if m.Target() != "" && !m.Target().Stable() || target != "" && m.Target() != target {
				t.Fatalf("target %q after %q with %q", m.Target(), e, target)
			}
		}
	})
}

func BenchmarkMachine(b *testing.B) {
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		m, _ := NewMachine(StateEnroll, "")
		_ = m.Fire(ctx, EventManage, "")
	}
}
