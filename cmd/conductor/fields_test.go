package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// dryPatch is the patch that a line would send, for a comparison as text.
func dryPatch(t *testing.T, line ...string) string {
	t.Helper()
	code, out, errs := runAs(t, nil, append(line, "--dry-run", "-o", "json")...)
	if code != exitOK {
		t.Fatalf("%q: got code %d: %s", line, code, errs)
	}
	var p []json.RawMessage
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, one := range p {
		compact, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(compact))
	}
	return strings.Join(texts, "\n")
}

func TestPatchFromFlags(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"node set n1 --name n2", []string{`{"op":"add","path":"/name","value":"n2"}`}},
		{"node set n1 --name 5", []string{`{"op":"add","path":"/name","value":"5"}`}},
		{"node set n1 --extra a=5", []string{`{"op":"add","path":"/extra/a","value":5}`}},
		{`node set n1 --extra a="5"`, []string{`{"op":"add","path":"/extra/a","value":"5"}`}},
		{"node set n1 --extra a=five", []string{`{"op":"add","path":"/extra/a","value":"five"}`}},
		{"node set n1 --extra a=", []string{`{"op":"add","path":"/extra/a","value":""}`}},
		{"node set n1 --extra a=null", []string{`{"op":"add","path":"/extra/a","value":null}`}},
		{"node set n1 --extra a=b=c", []string{`{"op":"add","path":"/extra/a","value":"b=c"}`}},
		{"node set n1 --extra a=12345678901234567890", []string{`{"op":"add","path":"/extra/a","value":12345678901234567890}`}},
		{`node set n1 --extra a={"b":[1]}`, []string{`{"op":"add","path":"/extra/a","value":{"b":[1]}}`}},
		{"node set n1 --extra a/b=1", []string{`{"op":"add","path":"/extra/a/b","value":1}`}},
		{"node set n1 --extra a~1b=1", []string{`{"op":"add","path":"/extra/a~1b","value":1}`}},
		{"node set n1 --property cpus=8 --property cpu_arch=arm", []string{
			`{"op":"add","path":"/properties/cpus","value":8}`, `{"op":"add","path":"/properties/cpu_arch","value":"arm"}`,
		}},
		{"node set n1 --driver-info a=b --instance-info c=d", []string{
			`{"op":"add","path":"/driver_info/a","value":"b"}`, `{"op":"add","path":"/instance_info/c","value":"d"}`,
		}},
		{"node set n1 --protected --retired=false", []string{
			`{"op":"add","path":"/protected","value":true}`, `{"op":"add","path":"/retired","value":false}`,
		}},
		{"node set n1 --automated-clean=false --resource-class gold --owner me", []string{
			`{"op":"add","path":"/resource_class","value":"gold"}`, `{"op":"add","path":"/owner","value":"me"}`,
			`{"op":"add","path":"/automated_clean","value":false}`,
		}},
		{"node set n1 --power-interface fake --conductor-group rack1", []string{
			`{"op":"add","path":"/conductor_group","value":"rack1"}`, `{"op":"add","path":"/power_interface","value":"fake"}`,
		}},
		{"node unset n1 --owner --extra a/b --extra c --automated-clean", []string{
			`{"op":"remove","path":"/extra/a/b"}`, `{"op":"remove","path":"/extra/c"}`,
			`{"op":"remove","path":"/owner"}`, `{"op":"remove","path":"/automated_clean"}`,
		}},
		{"port set p1 --address 52:54:00:00:00:01 --local-link switch_id=aa --pxe-enabled=false", []string{
			`{"op":"add","path":"/address","value":"52:54:00:00:00:01"}`, `{"op":"add","path":"/pxe_enabled","value":false}`,
			`{"op":"add","path":"/local_link_connection/switch_id","value":"aa"}`,
		}},
		{"port unset p1 --portgroup --extra a", []string{`{"op":"remove","path":"/portgroup_uuid"}`, `{"op":"remove","path":"/extra/a"}`}},
		{"portgroup set g1 --mode 802.3ad --standalone-ports=false --property miimon=100", []string{
			`{"op":"add","path":"/mode","value":"802.3ad"}`, `{"op":"add","path":"/standalone_ports_supported","value":false}`,
			`{"op":"add","path":"/properties/miimon","value":100}`,
		}},
		{"volume target set t1 --boot-index 1", []string{`{"op":"add","path":"/boot_index","value":1}`}},
		{"volume connector set c1 --type iqn --connector-id x", []string{
			`{"op":"add","path":"/type","value":"iqn"}`, `{"op":"add","path":"/connector_id","value":"x"}`,
		}},
	} {
		if got, want := dryPatch(t, strings.Fields(c.line)...), strings.Join(c.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.line, got, want)
		}
	}
}

// What a flag names is never taken from the environment.
func TestFieldsAreOfTheCommandLine(t *testing.T) {
	env := map[string]string{"CONDUCTOR_OWNER": "me", "CONDUCTOR_WAIT": "1h", "CONDUCTOR_DRY_RUN": "true", "CONDUCTOR_SERVER": "http://127.0.0.1:1"}
	if code, _, errs := runAs(t, env, "node", "set", "n1"); code != exitUsage || !strings.Contains(errs, "nothing to change") {
		t.Errorf("got code %d and %q, want that there is nothing to change", code, errs)
	}
	if got := shownSetting(t, env, "server", "node", "power", "on"); got.Value != "http://127.0.0.1:1" {
		t.Errorf("server: got %+v", got)
	}
}

func TestFieldsRefused(t *testing.T) {
	for line, want := range map[string]string{
		"node set n1":                             "nothing to change",
		"node unset n1":                           "nothing to change",
		"port set p1":                             "nothing to change",
		"node set --owner me":                     "want conductor node set NODE...",
		"node set n1 --extra a":                   "want KEY=VALUE",
		"node set n1 --extra =a":                  "want KEY=VALUE",
		"node set n1 --protected=maybe":           "want true or false",
		"node set n1 --colour red":                "unknown flag",
		"node unset n1 --extra a=b":               "want only the key",
		"volume target set t1 --boot-index one":   "want a whole number",
		"volume target set t1 --boot-index 1.5":   "want a whole number",
		"port create --address x":                 "--node is needed",
		"node create --driver x inventory.yaml":   "exclude each other",
		"node list --sort name:up":                "want FIELD, FIELD:asc or FIELD:desc",
		"node list --limit -1":                    "want a number of records",
		"node show n1 --server localhost:6385":    "want a URL",
		"node show n1 --server http://":           "want a URL",
		"node power on n1 --power-timeout 1.5s":   "want whole seconds",
		"node power on n1 --wait=soon":            "want a duration",
		"node clean n1":                           "clean needs --steps or --runbook",
		"node service n1":                         "service needs --steps or --runbook",
		"node clean n1 --steps [] --runbook r":    "exclude each other",
		"node clean n1 --steps []":                "there is no step",
		"node clean n1 --steps nosuch.yaml":       "no such file",
		"node deploy n1 --config-drive nosuch":    "no such file",
		"node deploy n1 --config-drive {\"a\":1}": "unknown field",
		"node rescue n1":                          "--password-file: is needed off a terminal",
		"node rescue n1 --password-file nosuch":   "no such file",
		"node rescue n1 --password-file -":        "it is empty",
		"node deploy n1 --runbook r":              "unknown flag: --runbook",
		"node service n1 --disable-ramdisk":       "unknown flag: --disable-ramdisk",
		"node rescue n1 --password secret":        "unknown flag: --password",
		"node manage":                             "want conductor node manage NODE...",
		"node traits set n1":                      "want conductor node traits set NODE TRAIT...",
	} {
		if code, _, errs := runAs(t, nil, strings.Fields(line)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: got code %d and %q, want 2 and %q", line, code, errs, want)
		}
	}
	if code, _, errs := runAs(t, nil, "node", "show", ""); code != exitUsage || !strings.Contains(errs, "empty") {
		t.Errorf("an empty name: got code %d and %q", code, errs)
	}
}

func TestRecordFromFlags(t *testing.T) {
	v := func(kind fieldKind, texts ...string) *fieldValue {
		v := &fieldValue{kind: kind}
		for _, text := range texts {
			if err := v.Set(text); err != nil {
				t.Fatal(err)
			}
		}
		return v
	}
	g := &given{fields: []field{{name: "name"}, {name: "extra"}, {name: "boot_index"}, {name: "retired"}, {name: "owner"}}, values: map[string]*fieldValue{
		"name": v(textField, "n1"), "extra": v(objectField, "a/b=1", "a/c=x", "d~1e=true", "f=1", "f/g=2"), "boot_index": v(numberField, "0"),
		"retired": v(switchField, "false"), "owner": v(textField),
	}}
	got, err := json.Marshal(g.record())
	want := `{"boot_index":0,"extra":{"a":{"b":1,"c":"x"},"d/e":true,"f":{"g":2}},"name":"n1","retired":false}`
	if err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}
