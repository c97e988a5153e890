package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/spf13/pflag"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// The pauses between two looks at a node: short at first, for much is over soon.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = time.Second
)

// waiting is --wait. Zero does not wait.
type waiting struct{ limit patience }

// Type is shown in the help.
func (w *waiting) Type() string { return w.limit.Type() }

func (w *waiting) String() string {
	if !w.asked() {
		return ""
	}
	return w.limit.String()
}

// Set takes how long to wait at most.
func (w *waiting) Set(text string) error { return w.limit.Set(text) }

func (w *waiting) flags(f *pflag.FlagSet) {
	f.Var(w, "wait", "wait for the end of it, and show how far it is; --wait=1h: at most so long")
	f.Lookup("wait").NoOptDefVal = "forever"
	annotate(f, "wait", fromCommandLineOnly) // "lock run" has another wait
}

func (w *waiting) asked() bool { return w.limit != 0 }

// over says whether what is awaited has come to an end, and whether to a bad one.
type over func(*nodes.Node) (bool, error)

// await looks at a node until it is over, shows what it sees, and returns the last
// of it with the time it took. What goes on there goes on without us: neither a
// timeout nor Ctrl-C ends it.
func (n *nodeVerbs) await(ctx context.Context, ref string, s *screen, w waiting, what func(*nodes.Node) string, end over) (string, error) {
	start := time.Now()
	heard, pause, seen := start, firstPause, "accepted"
	for {
		r, err := nodes.Get(ctx, n.client.api(), url.PathEscape(ref)).Extract()
		waited := time.Since(start)
		switch {
		case ctx.Err() != nil:
			return "", interrupted(ref)
		case err == nil:
			heard, seen = time.Now(), what(r)
			if done, err := end(r); done {
				return fmt.Sprintf("%s: %s after %s", ref, seen, short(waited)), err
			}
		case exitCode(err) != exitUnreachable || time.Since(heard) > n.client.timeout:
			return "", err
		default: // a conductor that starts anew is back soon
			seen = "no answer"
		}
		if d := time.Duration(w.limit); d != lease.Patient && waited > d {
			return "", &kindError{errTimeout, fmt.Errorf("%s: %s after %s; only the waiting has ended (see conductor node show %s)", ref, seen, d, ref)}
		}
		s.show(ref, progress{seen, waited})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", interrupted(ref)
		}
		pause = min(pause*5/4, lastPause)
	}
}

func interrupted(ref string) error {
	return &kindError{errInterrupted, fmt.Errorf("interrupted: what was begun on %s goes on (see conductor node show %s)", ref, ref)}
}

// becomes is the end of a verb that aims at a state. As long as a node is under
// way it has a target, and both are changed at once; so one without a target is
// where it will stay.
func becomes(ref, state string) over {
	return func(n *nodes.Node) (bool, error) {
		switch {
		case n.ProvisionState == state:
			return true, nil
		case failed(n.ProvisionState) || n.TargetProvisionState == "":
			return true, ended(ref, n, state)
		}
		return false, nil
	}
}

// goesOn is the end of what a node was already at: whatever it aimed at.
func goesOn(ref string) over {
	return func(n *nodes.Node) (bool, error) {
		if failed(n.ProvisionState) {
			return true, ended(ref, n, n.TargetProvisionState)
		}
		return n.TargetProvisionState == "", nil
	}
}

// isGivenUp is the end of what was to be given up: a node that has failed is what
// was asked for.
func isGivenUp(string) over {
	return func(n *nodes.Node) (bool, error) {
		return n.TargetProvisionState == "" || failed(n.ProvisionState), nil
	}
}

func failed(state string) bool { return strings.HasSuffix(state, " failed") || state == "error" }

func ended(ref string, n *nodes.Node, wanted string) error {
	text := fmt.Sprintf("%s is %q", ref, n.ProvisionState)
	if wanted != "" {
		text += fmt.Sprintf(" and not %q", wanted)
	}
	if n.LastError != "" {
		return errors.New(text + ": " + n.LastError)
	}
	return errors.New(text + ": another request came in between, or the node went its own way")
}

// stage is what a node is at, for people: its state, and the step if there is one.
func stage(n *nodes.Node) string {
	text := n.ProvisionState
	if step := stepOf(n); step != "" {
		text += ", " + step
	}
	if strings.HasSuffix(n.ProvisionState, " hold") {
		text += " (until conductor node unhold)"
	}
	return text
}

// stepOf is the step that a node is at, as "step 2 of 5: deploy.write_image". The
// list of all and the place in it are in driver_internal_info, as with Ironic.
func stepOf(n *nodes.Node) string {
	var kind string
	var step map[string]any
	switch state := n.ProvisionState; {
	case strings.HasPrefix(state, "clean"):
		kind, step = "clean", n.CleanStep
	case strings.HasPrefix(state, "deploy"), state == "wait call-back":
		kind, step = "deploy", n.DeployStep
	case strings.HasPrefix(state, "servic"):
		kind, step = "service", n.ServiceStep
	}
	name, _ := step["step"].(string)
	if name == "" {
		return ""
	}
	if on, _ := step["interface"].(string); on != "" {
		name = on + "." + name
	}
	all, _ := n.DriverInternalInfo[kind+"_steps"].([]any)
	if index, ok := whole(n.DriverInternalInfo[kind+"_step_index"]); ok && index >= 0 && index < len(all) {
		return fmt.Sprintf("step %d of %d: %s", index+1, len(all), name)
	}
	return "step " + name
}

// whole is a number of a decoded JSON object.
func whole(value any) (int, bool) {
	switch v := value.(type) {
	case float64:
		return int(v), v == float64(int(v))
	case json.Number:
		n, err := v.Int64()
		return int(n), err == nil
	}
	return 0, false
}
