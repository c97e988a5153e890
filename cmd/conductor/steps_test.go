package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSteps(t *testing.T) {
	yaml := writeFile(t, "- interface: deploy\n  step: erase_devices\n  args: {passes: 3}\n- {interface: power, step: reboot, priority: 0}\n")
	want := `[{"args":{"passes":3},"interface":"deploy","step":"erase_devices"},{"interface":"power","priority":0,"step":"reboot"}]`
	for name, c := range map[string]struct{ text, in string }{
		"YAML in a file":     {yaml, ""},
		"JSON as it is":      {` [{"interface": "deploy", "step": "erase_devices", "args": {"passes": 3}}, {"interface": "power", "step": "reboot", "priority": 0}]`, ""},
		"the standard input": {"-", `[{"interface": "deploy", "step": "erase_devices", "args": {"passes": 3}}, {"interface": "power", "step": "reboot", "priority": 0}]`},
	} {
		steps, err := readSteps(c.text, strings.NewReader(c.in), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := json.Marshal(steps); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"interface": "deploy", "step": "x"}`: "want a list of steps",
		`[]`:                                   "there is no step",
		`[{"step": "x"}]`:                      `step 1 has no "interface"`,
		`[{"interface": "deploy", "step": "x", "priority": 1}, {"interface": "deploy"}]`: `step 2 has no "step"`,
		`[{"interface": "deploy", "step": 5}]`:                                           `step 1 has no "step"`,
		`[{"interface": "deploy", "step": "x"}]`:                                         `step 1 has no "priority"`,
		`[x`:                                                                             "want a list of steps",
	} {
		if _, err := readSteps(text, nil, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if _, err := readSteps("-", strings.NewReader(strings.Repeat(" ", maxInput+1)), false); err == nil || !strings.Contains(err.Error(), "has more than") {
		t.Errorf("endless input: got %v", err)
	}
}

// bodyOf is the body that a line would send.
func bodyOf(t *testing.T, o provisioning, in string) string {
	t.Helper()
	body, err := o.body(t.Context(), program{in: strings.NewReader(in)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func verb(t *testing.T, name string) provisionVerb {
	t.Helper()
	for _, v := range provisionVerbs {
		if v.verb == name {
			return v
		}
	}
	t.Fatalf("there is no verb %q", name)
	return provisionVerb{}
}

func TestProvisionBody(t *testing.T) {
	step, parsed := `[{"interface": "deploy", "step": "x"}]`, `[{"interface":"deploy","step":"x"}]`
	ranked, full := `[{"interface": "deploy", "step": "x", "priority": 0}]`, `[{"args":{},"interface":"deploy","priority":0,"step":"x"}]`
	for want, o := range map[string]provisioning{
		`{"target":"manage"}`:                                     {provisionVerb: verb(t, "manage")},
		`{"target":"active"}`:                                     {provisionVerb: verb(t, "deploy")},
		`{"target":"deleted"}`:                                    {provisionVerb: verb(t, "undeploy")},
		`{"clean_steps":` + parsed + `,"target":"clean"}`:         {provisionVerb: verb(t, "clean"), steps: step},
		`{"service_steps":` + parsed + `,"target":"service"}`:     {provisionVerb: verb(t, "service"), steps: step},
		`{"deploy_steps":` + full + `,"target":"active"}`:         {provisionVerb: verb(t, "deploy"), steps: ranked},
		`{"deploy_steps":` + full + `,"target":"rebuild"}`:        {provisionVerb: verb(t, "rebuild"), steps: ranked},
		`{"runbook":"r1","target":"clean"}`:                       {provisionVerb: verb(t, "clean"), runbook: "r1"},
		`{"disable_ramdisk":true,"runbook":"r","target":"clean"}`: {provisionVerb: verb(t, "clean"), runbook: "r", disableRamdisk: true},
		`{"configdrive":"http://h/drive","target":"active"}`:      {provisionVerb: verb(t, "deploy"), drive: "http://h/drive"},
		`{"configdrive":{"meta_data":{"a":1}},"target":"active"}`: {provisionVerb: verb(t, "deploy"), drive: `{"meta_data": {"a": 1}}`},
		`{"rescue_password":"s e=cret","target":"rescue"}`:        {provisionVerb: verb(t, "rescue"), passwordFile: "-"},
	} {
		if got := bodyOf(t, o, "s e=cret\nmore"); got != want {
			t.Errorf("%s: got %s, want %s", o.verb, got, want)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for text, want := range map[string]string{"secret": "secret", "secret\n": "secret", "secret\r\nsecond\n": "secret", " s ": " s "} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := (program{}).password(t.Context(), file); err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}
