package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// enrolled starts a conductor with nodes. A deployment takes long enough to be seen.
func enrolled(t *testing.T, names ...string) *conductor {
	t.Helper()
	c := startConductor(t, "--fake-delay", "inspect=0.05;deploy=0.5;rescue=0.05;power=0.05")
	for _, name := range names {
		c.run(t, exitOK, "node", "create", "--name", name, "--driver", "fake-hardware")
	}
	return c
}

// runWith is run with a standard input.
func (c *conductor) runWith(t *testing.T, in string, want int, args ...string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	p := program{in: strings.NewReader(in), out: &o, err: &e, env: func(name string) string {
		if name == "CONDUCTOR_SERVER" {
			return c.url
		}
		return ""
	}}
	if code := p.run(t.Context(), args); code != want {
		t.Fatalf("conductor %s: got code %d, want %d\n%s%s", strings.Join(args, " "), code, want, &o, &e)
	}
	return o.String(), e.String()
}

// states are what was seen of a node, without times.
func states(errs string) []string {
	var seen []string
	for line := range strings.Lines(errs) {
		text := strings.TrimSpace(line)
		if i := strings.LastIndex(text, " after "); i > 0 {
			text = text[:i]
		} else if i := strings.LastIndex(text, ", "); i > 0 {
			text = text[:i]
		}
		seen = append(seen, text)
	}
	return seen
}

// A machine goes through its whole life by the verbs alone.
func TestNodeLife(t *testing.T) {
	c := enrolled(t, "n1")
	reboot := `[{"interface": "power", "step": "reboot"}]`
	for _, s := range []struct {
		line, in string
		last     string // of what was seen
		among    string // what was seen
	}{
		{"manage n1", "", "n1: manageable", ""},
		{"inspect n1", "", "n1: manageable", ""},
		{"clean n1 --steps -", reboot, "n1: manageable", ""},
		{"provide n1", "", "n1: available", ""},
		{"deploy n1 --config-drive {\"user_data\":\"hello\"}", "", "n1: active", "n1: deploying"},
		{"rescue n1 --password-file -", "secret\n", "n1: rescue", ""},
		{"unrescue n1", "", "n1: active", ""},
		{"service n1 --steps -", reboot, "n1: active", ""},
		{"rebuild n1", "", "n1: active", ""},
		{"undeploy n1", "", "n1: available", ""},
		{"manage n1", "", "n1: manageable", ""},
		{"adopt n1", "", "n1: active", ""},
	} {
		_, errs := c.runWith(t, s.in, exitOK, append([]string{"node", "--lock-wait=20s"}, append(strings.Fields(s.line), "--wait=1m")...)...)
		seen := states(errs)
		if len(seen) == 0 || seen[len(seen)-1] != s.last || s.among != "" && !slices.Contains(seen, s.among) {
			t.Errorf("%s: saw %q, want %q among them and %q at the end", s.line, seen, s.among, s.last)
		}
		if got := "n1: " + c.picked(t, "n1", "provision_state")["provision_state"].(string); got != s.last {
			t.Errorf("%s: the node is %s, want %s", s.line, got, s.last)
		}
	}
	if out, _ := c.run(t, exitOK, "node", "show", "n1", "-o", "yaml"); strings.Contains(out, "secret") {
		t.Error("node show shows the rescue password")
	}
}

// A hold step stops a node until it is let go on; the waiting goes on over it.
func TestNodeHold(t *testing.T) {
	c := enrolled(t, "n1")
	c.run(t, exitOK, "node", "manage", "n1", "--wait=1m")
	steps := `[{"interface": "deploy", "step": "hold"}, {"interface": "power", "step": "reboot"}]`
	_, errs := c.run(t, exitTimeout, "node", "clean", "n1", "--steps", steps, "--wait=3s")
	if !strings.Contains(errs, "clean hold, step 1 of 2: deploy.hold (until conductor node unhold)") {
		t.Errorf("clean: got %q, want that it is held, and by which step", errs)
	}
	if out, _ := c.run(t, exitOK, "node", "show", "n1"); !strings.Contains(out, "step 1 of 2: deploy.hold") {
		t.Errorf("node show: got %s, want the step", out)
	}
	// The standard agent is not there: what waits for it, is let go on by abort.
	c.run(t, exitOK, "node", "abort", "n1", "--wait=1m")
	if got := c.picked(t, "n1", "provision_state")["provision_state"]; got != "clean failed" {
		t.Errorf("after abort: got %v, want clean failed", got)
	}
	c.run(t, exitOK, "node", "manage", "n1", "--wait=1m")
	c.run(t, exitOK, "node", "adopt", "n1", "--wait=1m")
	c.run(t, exitTimeout, "node", "service", "n1", "--steps", steps, "--wait=3s")
	if _, errs := c.run(t, exitOK, "node", "unhold", "n1", "--wait=1m"); states(errs)[len(states(errs))-1] != "n1: active" {
		t.Errorf("unhold: got %q, want it to end when the service does", errs)
	}
}

func TestNodeVerbsRefused(t *testing.T) {
	c := enrolled(t, "n1", "n2", "n3")
	c.run(t, exitOK, "node", "manage", "n3", "--wait=1m")
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"provide n1":     {exitFailure, `"enroll"`},
		"deploy n1":      {exitFailure, `"enroll"`},
		"abort n1":       {exitFailure, `"enroll"`},
		"manage nosuch":  {exitNotFound, "nosuch"},
		"manage n2 none": {exitNotFound, "none: Node none could not be found."},
		"clean n3 --steps [{\"interface\":\"nosuch\",\"step\":\"x\"}]":     {exitFailure, "nosuch"},
		"clean n3 --steps [{\"interface\":\"power\",\"step\":\"nosuch\"}]": {exitFailure, "nosuch"},
		"clean n3 --runbook CUSTOM_NONE":                                   {exitNotFound, "CUSTOM_NONE"},
	} {
		if _, errs := c.run(t, want.code, append([]string{"node"}, strings.Fields(line)...)...); !strings.Contains(errs, want.text) {
			t.Errorf("%s: got %q, want %q", line, errs, want.text)
		}
	}
}

// A node that fails ends the waiting with its last error.
func TestNodeFails(t *testing.T) {
	c := enrolled(t, "n1")
	c.run(t, exitOK, "node", "set", "n1", "--driver-info", `fake_faults=[{"mode":"fail","on":"power.Get","message":"no answer from the machine"}]`)
	_, errs := c.run(t, exitFailure, "node", "manage", "n1", "--wait=1m")
	if !strings.Contains(errs, `n1 is "enroll" and not "manageable"`) || !strings.Contains(errs, "no answer from the machine") {
		t.Errorf("got %q, want where it is, and why", errs)
	}
}

// Many nodes are worked on at once, and each has its lines.
func TestManyNodes(t *testing.T) {
	var names []string
	for i := range 2*atOnce + 3 {
		names = append(names, fmt.Sprint("n", i))
	}
	c := enrolled(t, names...)
	_, errs := c.run(t, exitNotFound, append([]string{"node", "manage", "nosuch", "--wait=1m"}, names...)...)
	for _, name := range names {
		if !slices.Contains(states(errs), name+": manageable") {
			t.Errorf("nothing is said of the end of %s:\n%s", name, errs)
		}
	}
	if !strings.Contains(errs, fmt.Sprintf("1 of %d nodes", len(names)+1)) {
		t.Errorf("got %q, want a count of those that are missing", errs)
	}
}

// Ctrl-C ends the waiting, and the work goes on.
func TestInterruptedWait(t *testing.T) {
	c := startConductor(t, "--fake-delay", "power=1")
	c.run(t, exitOK, "node", "create", "--name", "n1", "--driver", "fake-hardware")
	ctx, cancel := context.WithCancel(t.Context())
	errs := &syncBuffer{}
	seen := sync.OnceFunc(cancel)
	p := program{in: strings.NewReader(""), out: io.Discard, err: io.MultiWriter(errs, writerFunc(func(text string) {
		if strings.Contains(text, "verifying") {
			seen()
		}
	})), env: func(string) string { return "" }}
	code := p.run(ctx, []string{"node", "manage", "n1", "--wait", "--server", c.url})
	if code != exitInterrupted || !strings.Contains(errs.String(), "what was begun on n1 goes on") {
		t.Errorf("got code %d and %q, want 130 and that the work goes on", code, errs)
	}
	c.run(t, exitOK, "node", "inspect", "n1", "--lock-wait=20s", "--wait=1m") // needs a node that is manageable
}

type writerFunc func(string)

// Write hands on what is written.
func (f writerFunc) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}
