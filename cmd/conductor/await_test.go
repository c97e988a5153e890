package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/conductor-metal/conductor/pkg/lease"
)

func TestStage(t *testing.T) {
	for _, c := range []struct{ record, want string }{
		{`{"provision_state": "manageable"}`, "manageable"},
		{`{"provision_state": "cleaning", "clean_step": {}}`, "cleaning"},
		{
			`{"provision_state": "cleaning", "clean_step": {"interface": "deploy", "step": "erase_devices"},
			  "driver_internal_info": {"clean_steps": [{}, {}, {}], "clean_step_index": 1}}`,
			"cleaning, step 2 of 3: deploy.erase_devices",
		},
		{
			`{"provision_state": "clean hold", "clean_step": {"step": "hold"}, "driver_internal_info": {"clean_steps": [{}], "clean_step_index": 0}}`,
			"clean hold, step 1 of 1: hold (until conductor node unhold)",
		},
		{
			`{"provision_state": "wait call-back", "deploy_step": {"interface": "deploy", "step": "write_image"},
			  "driver_internal_info": {"deploy_steps": [{}, {}], "deploy_step_index": 1, "clean_steps": [{}], "clean_step_index": 0}}`,
			"wait call-back, step 2 of 2: deploy.write_image",
		},
		{
			`{"provision_state": "service wait", "service_step": {"interface": "firmware", "step": "update"}, "driver_internal_info": {"service_steps": [{}]}}`,
			"service wait, step firmware.update",
		},
		{ // an index that fits no list is not believed
			`{"provision_state": "servicing", "service_step": {"interface": "raid", "step": "x"}, "driver_internal_info": {"service_steps": [{}], "service_step_index": 1}}`,
			"servicing, step raid.x",
		},
		{ // a step that was left behind is none
			`{"provision_state": "active", "deploy_step": {"interface": "deploy", "step": "write_image"}}`,
			"active",
		},
	} {
		var n nodes.Node
		if err := json.Unmarshal([]byte(c.record), &n); err != nil {
			t.Fatal(err)
		}
		if got := stage(&n); got != c.want {
			t.Errorf("%s: got %q, want %q", c.record, got, c.want)
		}
	}
}

func TestOver(t *testing.T) {
	for _, c := range []struct {
		name                 string
		end                  over
		state, target, error string
		done                 bool
		want                 string // in the error; "": none
	}{
		{"reached", becomes("n1", "available"), "available", "", "", true, ""},
		{"under way", becomes("n1", "available"), "cleaning", "available", "", false, ""},
		{"waits", becomes("n1", "available"), "clean wait", "available", "", false, ""},
		{"is held", becomes("n1", "available"), "clean hold", "available", "", false, ""},
		{"an old error", becomes("n1", "available"), "cleaning", "available", "old", false, ""},
		{"failed", becomes("n1", "available"), "clean failed", "available", "disk on fire", true, `n1 is "clean failed" and not "available": disk on fire`},
		{"error", becomes("n1", "available"), "error", "available", "boom", true, "boom"},
		{"back to enroll", becomes("n1", "manageable"), "enroll", "", "no such host", true, `n1 is "enroll" and not "manageable": no such host`},
		{"elsewhere", becomes("n1", "available"), "manageable", "", "", true, "another request came in between"},
		{"goes on", goesOn("n1"), "cleaning", "manageable", "", false, ""},
		{"went on", goesOn("n1"), "manageable", "", "", true, ""},
		{"went on and failed", goesOn("n1"), "deploy failed", "active", "boom", true, `n1 is "deploy failed" and not "active": boom`},
		{"not given up yet", isGivenUp("n1"), "clean wait", "available", "", false, ""},
		{"given up", isGivenUp("n1"), "clean failed", "available", "aborted", true, ""},
		{"given up for good", isGivenUp("n1"), "active", "", "", true, ""},
	} {
		done, err := c.end(&nodes.Node{ProvisionState: c.state, TargetProvisionState: c.target, LastError: c.error})
		if done != c.done || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v and %v, want %v and %q", c.name, done, err, c.done, c.want)
		}
	}
}

func TestReached(t *testing.T) {
	for _, c := range []struct {
		power, target, error string
		done                 bool
		want                 string
	}{
		{"power off", "power on", "", false, ""},
		{"power on", "", "", true, ""},
		{"power on", "", "old", true, "old"},
		{"power off", "", "no answer", true, "no answer"},
		{"power off", "", "", true, "another request"},
		{"", "power on", "", false, ""},
	} {
		done, err := reached("n1", &nodes.Node{PowerState: c.power, TargetPowerState: c.target, LastError: c.error}, "power on")
		if done != c.done || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v and %v", c, done, err)
		}
	}
}

// script is a server that answers with one thing after the other, and the last
// for ever: a conductor that fails at the right moment.
type script struct {
	answers []func(http.ResponseWriter)
	asked   atomic.Int32
}

func (s *script) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i := int(s.asked.Add(1)) - 1
	s.answers[min(i, len(s.answers)-1)](w)
}

func inState(state, target string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		fmt.Fprintf(w, `{"provision_state": %q, "target_provision_state": %q}`, state, target)
	}
}

func away(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }

func awaiting(t *testing.T, s *script, limit, timeout time.Duration) (*nodeVerbs, *screen, waiting, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	var b bytes.Buffer
	n := &nodeVerbs{}
	n.client.server, n.client.timeout = address(server.URL), timeout
	return n, newScreen(&b), waiting{patience(limit)}, &b
}

func TestAwait(t *testing.T) {
	s := &script{answers: []func(http.ResponseWriter){inState("cleaning", "available"), away, inState("cleaning", "available"), inState("available", "")}}
	n, sc, w, b := awaiting(t, s, lease.Patient, time.Minute)
	text, err := n.await(t.Context(), "n1", sc, w, stage, becomes("n1", "available"))
	if err != nil || !strings.HasPrefix(text, "n1: available after ") {
		t.Errorf("got %q, %v", text, err)
	}
	var seen []string
	for line := range strings.Lines(b.String()) {
		state, _, _ := strings.Cut(line, ",")
		seen = append(seen, state)
	}
	if got := strings.Join(seen, "; "); got != "n1: cleaning; n1: no answer; n1: cleaning" {
		t.Errorf("got %q", got)
	}
}

func TestAwaitEnds(t *testing.T) {
	for _, c := range []struct {
		name           string
		answer         func(http.ResponseWriter)
		limit, timeout time.Duration
		code           int
		want           string
	}{
		{"in time", inState("cleaning", "available"), time.Millisecond, time.Minute, exitTimeout, "n1: cleaning after 1ms; only the waiting has ended"},
		{"nobody answers", away, time.Minute, time.Millisecond, exitUnreachable, "Service Unavailable"},
		{"deleted", func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, time.Minute, time.Minute, exitNotFound, "Not Found"},
		{"failed", inState("clean failed", "available"), time.Minute, time.Minute, exitFailure, `is "clean failed"`},
	} {
		n, sc, w, _ := awaiting(t, &script{answers: []func(http.ResponseWriter){c.answer}}, c.limit, c.timeout)
		if c.name == "nobody answers" {
			n.client.timeout = 2 * time.Second
		}
		_, err := n.await(t.Context(), "n1", sc, w, stage, becomes("n1", "available"))
		if exitCode(err) != c.code || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v with code %d, want code %d and %q", c.name, err, exitCode(err), c.code, c.want)
		}
	}
}

func TestAwaitInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{answers: []func(http.ResponseWriter){inState("cleaning", "available"), func(w http.ResponseWriter) {
		cancel()
		inState("cleaning", "available")(w)
	}}}
	n, sc, w, _ := awaiting(t, s, lease.Patient, time.Minute)
	_, err := n.await(ctx, "n1", sc, w, stage, becomes("n1", "available"))
	if !errors.Is(err, errInterrupted) || exitCode(err) != exitInterrupted || !strings.Contains(err.Error(), "goes on") {
		t.Errorf("got %v, want that the work goes on", err)
	}
}
