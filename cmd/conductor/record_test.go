package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fieldsOf is what "show -o json" or "create -o json" says.
func fieldsOf(t *testing.T, out string) map[string]any {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// Every kind of record goes from its creation to its end by the verbs alone.
func TestRecordVerbs(t *testing.T) {
	c := startConductor(t)
	c.run(t, exitOK, "node", "create", "--name", "n1", "--driver", "fake-hardware")
	c.run(t, exitOK, "node", "create", "--name", "n2", "--driver", "fake-hardware")
	c.run(t, exitOK, "node", "power", "off", "n1", "--wait=20s") // volumes change while it is off
	n1 := fieldsOf(t, first(c.run(t, exitOK, "node", "show", "n1", "-o", "json")))["uuid"]
	group := fieldsOf(t, first(c.run(t, exitOK, "portgroup", "create", "--node", "n1", "--name", "g1", "--address", "52:54:00:00:00:0a", "--mode", "802.3ad", "-o", "json")))
	type after struct {
		line string
		want map[string]any
	}
	for _, k := range []struct {
		noun    string
		create  []string
		want    map[string]any
		show    string // in the table
		changes []after
	}{
		{
			"port",
			[]string{"--address", "52:54:00:00:00:01", "--pxe-enabled=false", "--portgroup", group["uuid"].(string), "--local-link", "switch_id=aa:bb:cc:dd:ee:ff", "--extra", "n=5"},
			map[string]any{"address": "52:54:00:00:00:01", "pxe_enabled": false, "portgroup_uuid": group["uuid"], "node_uuid": n1},
			"switch_id=aa:bb:cc:dd:ee:ff",
			[]after{
				{"set --address 52:54:00:00:00:02 --extra m=x", map[string]any{"address": "52:54:00:00:00:02", "extra": map[string]any{"n": 5.0, "m": "x"}}},
				{"unset --portgroup --local-link switch_id", map[string]any{"portgroup_uuid": nil, "local_link_connection": map[string]any{}}},
				{"set --pxe-enabled --physical-network tenant1", map[string]any{"pxe_enabled": true, "physical_network": "tenant1"}},
			},
		},
		{
			"portgroup",
			[]string{"--name", "g2", "--standalone-ports=false", "--property", "miimon=100"},
			map[string]any{"name": "g2", "standalone_ports_supported": false, "mode": "active-backup", "node_uuid": n1},
			"miimon=100",
			[]after{
				{"set --standalone-ports --mode 802.3ad", map[string]any{"standalone_ports_supported": true, "mode": "802.3ad"}},
				{"unset --name", map[string]any{"name": nil}},
			},
		},
		{
			"volume connector",
			[]string{"--type", "iqn", "--connector-id", "iqn.2026-11.example:n1"},
			map[string]any{"type": "iqn", "connector_id": "iqn.2026-11.example:n1", "node_uuid": n1},
			"iqn.2026-11.example:n1",
			[]after{{"set --connector-id iqn.2026-11.example:n2", map[string]any{"connector_id": "iqn.2026-11.example:n2"}}},
		},
		{
			"volume target",
			[]string{"--volume-type", "iscsi", "--boot-index", "0", "--volume-id", "v1", "--property", "target_lun=1"},
			map[string]any{"volume_type": "iscsi", "boot_index": 0.0, "volume_id": "v1", "node_uuid": n1},
			"target_lun=1",
			[]after{
				{"set --boot-index 1 --property target_lun=2", map[string]any{"boot_index": 1.0, "properties": map[string]any{"target_lun": 2.0}}},
				{"unset --property target_lun", map[string]any{"properties": map[string]any{}}},
			},
		},
	} {
		do := func(code int, verb ...string) string {
			t.Helper()
			return first(c.run(t, code, append(strings.Fields(k.noun), verb...)...))
		}
		made := fieldsOf(t, do(exitOK, append([]string{"create", "--node", "n1", "-o", "json"}, k.create...)...))
		id, _ := made["uuid"].(string)
		shown := fieldsOf(t, do(exitOK, "show", id, "-o", "json"))
		for name, want := range k.want {
			if made[name] != want || shown[name] != want {
				t.Errorf("%s: %s is %v, and shown as %v, want %v", k.noun, name, made[name], shown[name], want)
			}
		}
		if out := do(exitOK, "show", id); !strings.Contains(out, k.show) || strings.Contains(out, "links") {
			t.Errorf("%s show: got %s, want %q and no links", k.noun, out, k.show)
		}
		if out := do(exitOK, "list", "--node", "n1", "-o", "json"); !strings.Contains(out, id) {
			t.Errorf("%s list: got %s, want %s", k.noun, out, id)
		}
		if out := do(exitOK, "list", "--node", "n2", "--no-headers"); out != "" {
			t.Errorf("%s list of another node: got %q", k.noun, out)
		}
		if out := do(exitOK, "list", "--fields", "node_uuid,uuid", "--limit", "5", "--sort", "uuid:desc"); !strings.HasPrefix(out, "NODE UUID") || !strings.Contains(out, id) {
			t.Errorf("%s list --fields: got %q", k.noun, out)
		}
		for _, change := range k.changes {
			do(exitOK, append(strings.Fields(change.line), id)...)
			now := fieldsOf(t, do(exitOK, "show", id, "-o", "json"))
			for name, want := range change.want {
				if !cmp.Equal(now[name], want) {
					t.Errorf("%s %s: %s is %v, want %v", k.noun, change.line, name, now[name], want)
				}
			}
		}
		do(exitOK, "delete", id)
		do(exitNotFound, "show", id)
		do(exitNotFound, "delete", id)
		do(exitNotFound, append([]string{"create", "--node", "nosuch"}, k.create...)...)
	}
	// What a conductor refuses keeps its reason.
	if _, errs := c.run(t, exitConflict, "portgroup", "create", "--node", "n2", "--name", "g1"); !strings.Contains(errs, "g1") {
		t.Errorf("a name twice: got %q", errs)
	}
	if _, errs := c.run(t, exitFailure, "port", "create", "--node", "n1", "--address", "nonsense"); !strings.Contains(errs, "address") {
		t.Errorf("a bad address: got %q", errs)
	}
}

// first drops what was written to the standard error.
func first(out, _ string) string { return out }

func TestNodeList(t *testing.T) {
	c := startConductor(t)
	c.run(t, exitOK, "node", "create", "../../examples/inventory.yaml")
	c.run(t, exitOK, "node", "create", "--name", "child", "--driver", "fake-hardware", "--owner", "me", "--retired",
		"--parent-node", fieldsOf(t, first(c.run(t, exitOK, "node", "show", "r1-u01", "-o", "json")))["uuid"].(string))
	c.run(t, exitOK, "node", "maintenance", "set", "r1-u01", "r1-u03", "--reason", "a fan is loud")
	for line, want := range map[string]int{
		"":                              24,
		"--children":                    25,
		"--children --retired":          1,
		"--parent r1-u01":               1,
		"--owner me --children":         1,
		"--maintenance":                 2,
		"--maintenance=false":           22,
		"--associated":                  0,
		"--state enroll":                24,
		"--state active":                0,
		"--driver fake-hardware":        24,
		"--limit 7":                     7,
		"--fields name,power_state":     24,
		"--maintenance --sort name":     2,
		"--description x --fields uuid": 0,
	} {
		out, _ := c.run(t, exitOK, append([]string{"node", "list", "--no-headers"}, strings.Fields(line)...)...)
		if got := strings.Count(out, "\n"); got != want {
			t.Errorf("node list %s: got %d lines, want %d", line, got, want)
		}
	}
	if out, _ := c.run(t, exitOK, "node", "list", "--sort", "name:desc", "--limit", "1", "-o", "name"); !strings.HasPrefix(out, "r3-") {
		t.Errorf("the last by name: got %q", out)
	}
	c.run(t, exitFailure, "node", "list", "--state", "nosuch")
}

// A list that has more than one page is shown as a whole.
func TestListOfSeveralPages(t *testing.T) {
	c := startConductor(t)
	c.run(t, exitOK, "node", "create", "../../examples/inventory.yaml")
	client := &apiClient{server: address(c.url), timeout: defaultTimeout}
	pages, all := 0, 0
	err := client.eachPage(t.Context(), "/v1/nodes", map[string][]string{"limit": {"7"}}, func(raw map[string]json.RawMessage) error {
		var some []json.RawMessage
		pages++
		err := json.Unmarshal(raw["nodes"], &some)
		all += len(some)
		return err
	})
	if err != nil || pages != 4 || all != 24 {
		t.Errorf("got %d nodes on %d pages, %v, want 24 on 4", all, pages, err)
	}
}

func TestCompletion(t *testing.T) {
	c := startConductor(t)
	c.run(t, exitOK, "node", "create", "../../examples/inventory.yaml")
	for line, want := range map[string]string{
		"node show r1-u0":               "r1-u01\tenroll\nr1-u03\tenroll\nr1-u05\tenroll\nr1-u07\tenroll\nr1-u09\tenroll\n:4\n",
		"node power on r1-u01 r1-u0":    "r1-u03\tenroll\nr1-u05\tenroll\nr1-u07\tenroll\nr1-u09\tenroll\n:4\n",
		"node manage nosuch":            ":4\n",
		"node traits add r1-u11":        "r1-u11\tenroll\n:4\n",
		"node traits add r1-u11 CUSTOM": ":4\n",
		"port list --node r1-u11":       "r1-u11\tenroll\n:4\n",
	} {
		if out, _ := c.run(t, exitOK, append([]string{"__complete"}, strings.Fields(line)...)...); sorted(out) != sorted(want) {
			t.Errorf("%s: got %q, want %q", line, out, want)
		}
	}
	code, out, _ := runAs(t, map[string]string{"CONDUCTOR_SERVER": "http://127.0.0.1:1"}, "__complete", "node", "show", "r")
	if code != exitOK || out != ":4\n" {
		t.Errorf("without a conductor: got code %d and %q, want no names", code, out)
	}
}

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
