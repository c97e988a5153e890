package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

func TestNodePage(t *testing.T) {
	record := `{
		"uuid": "3d207534-0000-4000-8000-000000000001", "name": "n1", "driver": "fake-hardware",
		"provision_state": "cleaning", "target_provision_state": "available", "provision_updated_at": "2026-11-22T10:00:00Z",
		"power_state": "power on", "target_power_state": null, "last_error": "two\nlines\u001b[31m",
		"maintenance": true, "maintenance_reason": "a fan is loud", "protected": false, "automated_clean": false,
		"clean_step": {"interface": "deploy", "step": "erase"}, "driver_internal_info": {"clean_steps": [{}, {}], "clean_step_index": 0},
		"properties": {"cpus": 8, "caps": {"a": "<b>"}}, "driver_info": {}, "power_interface": "fake", "network_interface": "noop",
		"vendor_interface": "no-vendor", "traits": ["CUSTOM_A", "CUSTOM_B"], "owner": null, "conductor_group": "",
		"created_at": "2026-11-22T09:00:00Z", "updated_at": null
	}`
	var n nodes.Node
	var body any
	if err := json.Unmarshal([]byte(record), &n); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(record), &body); err != nil {
		t.Fatal(err)
	}
	q := lockQueue{}
	lock := `{"holders": [{"holder": "c1", "mode": "exclusive", "purpose": "clean", "user": "me", "since": "2026-11-22T10:00:00Z"}], "waiters": [{}, {}]}`
	if err := json.Unmarshal([]byte(lock), &q); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 10, 1, 5, 0, time.UTC)
	var b bytes.Buffer
	o := output{w: &b, format: choice{value: "table"}}
	if err := o.show(view{rows: nodePage(&n, body, q.at(now), now)}); err != nil {
		t.Fatal(err)
	}
	want := `name               n1
uuid               3d207534-0000-4000-8000-000000000001

State
  provision        cleaning -> available, for 1m05s
  step             step 1 of 2: deploy.erase
  power            power on
  lock             exclusive by c1 for "clean", asked for by me, since 2026-11-22T10:00:00Z, 1m05s; 2 waiting
  maintenance      yes: a fan is loud
  last error       two lines [31m

Machine
  driver           fake-hardware
  interfaces       power=fake
  traits           CUSTOM_A CUSTOM_B
  properties       caps={"a":"<b>"}
                   cpus=8
  automated clean  false

Times
  created          2026-11-22T09:00:00Z
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a record commands the terminal")
	}
}

func TestLockText(t *testing.T) {
	for raw, want := range map[string]string{
		`{"holders": [], "waiters": []}`: "free",
		`{"holders": [{"holder": "c1", "mode": "shared", "purpose": "look"}, {"holder": "c2", "mode": "shared", "purpose": "see"}]}`: `shared by c1 for "look"; shared by c2 for "see"`,
		`{"holders": [], "waiters": [{}]}`: "1 waiting",
	} {
		var q lockQueue
		if err := json.Unmarshal([]byte(raw), &q); err != nil {
			t.Fatal(err)
		}
		if got := q.at(time.Now()); got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
}
