package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// picked are some fields of a node, as the API has them.
func (c *conductor) picked(t *testing.T, name string, fields ...string) map[string]any {
	t.Helper()
	all := fieldsOf(t, first(c.run(t, exitOK, "node", "show", name, "-o", "json")))
	out := map[string]any{}
	for _, f := range fields {
		out[f] = all[f]
	}
	return out
}

func TestNodeSet(t *testing.T) {
	c := startConductor(t)
	c.run(t, exitOK, "node", "create", "--name", "n1", "--driver", "fake-hardware", "--extra", "a=1", "--automated-clean=false", "--resource-class", "gold")
	c.run(t, exitOK, "node", "create", "--name", "n2", "--driver", "fake-hardware")
	for _, s := range []struct {
		line string
		want map[string]any
	}{
		{"show n1", map[string]any{"extra": map[string]any{"a": 1.0}, "automated_clean": false, "resource_class": "gold", "name": "n1"}},
		{
			"set n1 --owner me --extra b=two --extra deep={\"c\":[]} --property cpus=8 --retired --description x",
			map[string]any{
				"owner": "me", "extra": map[string]any{"a": 1.0, "b": "two", "deep": map[string]any{"c": []any{}}},
				"properties": map[string]any{"cpus": 8.0}, "retired": true, "description": "x",
			},
		},
		{"set n1 --extra deep/c=5 --retired=false --name n3 --dry-run", map[string]any{"retired": true, "name": "n1"}},
		{
			"set n1 --extra deep/c=5 --retired=false --driver-info address=10.0.0.5",
			map[string]any{
				"extra": map[string]any{"a": 1.0, "b": "two", "deep": map[string]any{"c": 5.0}}, "retired": false,
				"driver_info": map[string]any{"address": "10.0.0.5"},
			},
		},
		{
			"unset n1 --extra deep/c --extra b --owner --automated-clean --property cpus",
			map[string]any{
				"extra": map[string]any{"a": 1.0, "deep": map[string]any{}}, "owner": nil, "automated_clean": nil, "properties": map[string]any{},
			},
		},
		{"set n1 --driver fake-hardware --reset-interfaces", map[string]any{"driver": "fake-hardware", "power_interface": "fake"}},
	} {
		c.run(t, exitOK, append([]string{"node"}, strings.Fields(s.line)...)...)
		if diff := cmp.Diff(s.want, c.picked(t, "n1", sortedKeys(s.want)...)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", s.line, diff)
		}
	}
	if _, errs := c.run(t, exitOK, "node", "set", "n1", "n2", "--shard", "s1"); errs != "n1 changed\nn2 changed\n" && errs != "n2 changed\nn1 changed\n" {
		t.Errorf("set of two: got %q", errs)
	}
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"set n1 --name n2":                    {exitConflict, "n2"},
		"set n1 --instance-uuid nonsense":     {exitFailure, "instance_uuid"},
		"set nosuch --owner me":               {exitNotFound, "nosuch"},
		"set n1 nosuch --owner me":            {exitNotFound, "1 of 2 nodes"},
		"set n1 --driver nosuch":              {exitFailure, "nosuch"},
		"unset n1 --extra nosuch":             {exitFailure, "nosuch"},
		"set n1 --name n9 --property cpus=-1": {exitFailure, "cpus"},
	} {
		if _, errs := c.run(t, want.code, append([]string{"node"}, strings.Fields(line)...)...); !strings.Contains(errs, want.text) {
			t.Errorf("%s: got %q, want %q", line, errs, want.text)
		}
	}
	if got := fmt.Sprint(c.picked(t, "n1", "owner", "shard", "name")); got != "map[name:n1 owner:me shard:s1]" {
		t.Errorf("after what was refused: got %s, want what was granted", got)
	}
}

// A refusal because of a lock says by whom, and what for, and has a code of its own.
func TestVerbsAreRefusedByALock(t *testing.T) {
	l := newLab(t)
	c := startConductor(t, "--etcd-endpoints", l.endpoint)
	l.holdBy("--holder", "me@desk", "--purpose", "firmware by hand", "n1", "--", "sh", "-c", "echo up; exec sleep 1000")
	for _, line := range []string{"set n1 --owner me", "power on n1", "delete n1", "maintenance set n1"} {
		args := append([]string{"node", "--lock-wait", "50ms"}, strings.Fields(line)...)
		if _, errs := c.run(t, exitConflict, args...); !strings.Contains(errs, "firmware by hand") || !strings.Contains(errs, "me@desk") {
			t.Errorf("%s: got %q, want who has the lock and what for", line, errs)
		}
	}
	if out, _ := c.run(t, exitOK, "node", "show", "n1"); !strings.Contains(out, `exclusive by me@desk for "firmware by hand"`) {
		t.Errorf("node show: got %s, want who has the lock", out)
	}
	if out, _ := c.run(t, exitOK, "node", "list", "--no-headers"); !strings.Contains(out, "me@desk") {
		t.Errorf("node list: got %s, want who has the lock", out)
	}
}
