package hardware

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestSortSteps(t *testing.T) {
	step := func(priority int, iface, name string) Step {
		return Step{Interface: iface, Name: name, Priority: priority}
	}
	steps := []Step{
		step(0, "vendor", "a"), step(10, "raid", "b"), step(10, "bios", "c"), step(10, "deploy", "d"),
		step(10, "firmware", "e"), step(10, "management", "f"), step(10, "power", "g"), step(10, "vendor", "h"),
		step(10, "network", "i"), step(99, "raid", "j"), step(0, "vendor", "k"), step(50, "deploy", "l"),
	}
	SortSteps(steps)
	var got string
	for _, s := range steps {
		got += s.Name
	}
	if want := "jlihgfedcbak"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFakeSteps(t *testing.T) {
	n, d := fakes(t, Config{})
	r := compose(t, Config{}, n).Reader(n, Open)
	for kind, want := range map[StepKind]string{
		DeployStep:  "deploy.deploy 100",
		CleanStep:   "vendor.log_passthrough 1, firmware.update 0, bios.apply_configuration 0, bios.factory_reset 0, bios.cache_bios_settings 0",
		ServiceStep: "vendor.log_passthrough 0, vendor.trigger_servicewait 0",
		VerifyStep:  "",
	} {
		steps, err := d.Steps(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range steps {
			text, err := json.Marshal(s.Priority)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s.Interface+"."+s.Name+" "+string(text))
			if s.Kind != kind {
				t.Errorf("%s is of kind %s, want %s", s.Name, s.Kind, kind)
			}
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
		again, err := r.Steps(t.Context(), kind)
		if err != nil || !reflect.DeepEqual(again, steps) {
			t.Errorf("%s: the reader says %v, %v, the driver %v", kind, again, err, steps)
		}
	}
}

func TestRunStep(t *testing.T) {
	_, d := fakes(t, Config{})
	for _, tt := range []struct {
		step Step
		want Outcome
		err  error
	}{
		{Step{Interface: "deploy", Name: "deploy", Kind: DeployStep}, Done, nil},
		{Step{Interface: "vendor", Name: "log_passthrough", Kind: CleanStep}, Done, nil},
		{Step{Interface: "vendor", Name: "log_passthrough", Kind: ServiceStep}, Done, nil},
		{Step{Interface: "vendor", Name: "trigger_servicewait", Kind: ServiceStep}, Waiting, nil},
		{Step{Interface: "vendor", Name: "trigger_servicewait", Kind: CleanStep}, Done, ErrStepNotFound},
		{Step{Interface: "firmware", Name: "update", Kind: CleanStep}, Done, ErrMissingParameter},
		{Step{Interface: "bios", Name: "apply_configuration", Kind: CleanStep}, Done, ErrMissingParameter},
		{Step{Interface: "bios", Name: "apply_configuration", Kind: CleanStep, Args: map[string]any{"settings": "x"}}, Done, ErrInvalidParameter},
		{Step{Interface: "bios", Name: "apply_configuration", Kind: CleanStep, Args: map[string]any{"settings": []any{map[string]any{"name": "x"}}}}, Done, ErrInvalidParameter},
		{Step{Interface: "power", Name: "reboot", Kind: CleanStep}, Done, ErrStepNotFound},
		{Step{Interface: "sound", Name: "beep", Kind: CleanStep}, Done, ErrStepNotFound},
		{Step{Interface: "deploy", Name: "destroy", Kind: DeployStep}, Done, ErrStepNotFound},
	} {
		got, err := d.RunStep(t.Context(), tt.step)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s %s.%s: got %v, %v, want %v, %v", tt.step.Kind, tt.step.Interface, tt.step.Name, got, err, tt.want, tt.err)
		}
	}
}

func TestStepIsWrittenAsIronicsIs(t *testing.T) {
	got, err := json.Marshal(Step{
		Interface: "vendor", Name: "x", Priority: 1, Args: map[string]any{"a": 1}, Abortable: true, Kind: CleanStep,
	})
	want := `{"interface":"vendor","step":"x","priority":1,"args":{"a":1},"abortable":true,"kind":"clean"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
