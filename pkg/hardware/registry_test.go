package hardware

import (
	"errors"
	"slices"
	"testing"

	"github.com/conductor-metal/conductor/pkg/node"
)

func TestNewRegistryRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"no types":                 {HardwareTypes: []string{}},
		"an unknown type":          {HardwareTypes: []string{"ipmi"}},
		"an unknown interface":     {Interfaces: map[string][]string{"sound": {"fake"}}},
		"an unknown name":          {Interfaces: map[string][]string{"power": {"ipmitool"}}},
		"a default for nothing":    {Defaults: map[string]string{"sound": "fake"}},
		"a delay for nothing":      {Fake: FakeConfig{Delays: map[string]string{"network": "1"}}},
		"a delay that is none":     {Fake: FakeConfig{Delays: map[string]string{"power": "soon"}}},
		"a delay that goes back":   {Fake: FakeConfig{Delays: map[string]string{"power": "3,1"}}},
		"a delay before the start": {Fake: FakeConfig{Delays: map[string]string{"power": "-1"}}},
	} {
		if _, err := NewRegistry(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v, want %v", name, err, ErrConfig)
		}
	}
}

func TestStorageDefault(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		want   string
	}{
		{"noop if nothing is said", Config{}, "noop"},
		{"the type's order if said to be empty", Config{Defaults: map[string]string{"storage": ""}}, "fake"},
		{"what is said", Config{Defaults: map[string]string{"storage": "fake"}}, "fake"},
		{"the type's order if noop is not enabled", Config{Interfaces: map[string][]string{"storage": {"fake"}}}, "fake"},
	} {
		if got := compose(t, tt.config, &node.Node{Driver: FakeHardware}).Names()["storage"]; got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestKitAddsAndReplaces(t *testing.T) {
	mine := probe{}
	c := Config{Kit: Kit{Power: map[string]Power{"mine": mine, "fake": mine}}}
	for _, name := range []string{"mine", "fake"} {
		got := compose(t, c, &node.Node{Driver: FakeHardware, PowerInterface: name}).parts.power
		if _, ok := got.(probe); !ok {
			t.Errorf("%s: got %T, want %T", name, got, mine)
		}
	}
}

func TestDescribe(t *testing.T) {
	r, err := NewRegistry(Config{Types: []Type{{Name: "bare"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Types(), []string{"bare", "fake-hardware"}; !slices.Equal(got, want) {
		t.Errorf("types %v, want %v", got, want)
	}
	fake, err := r.Describe(FakeHardware)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fake.Enabled["deploy"], []string{"fake", "noop"}; !slices.Equal(got, want) {
		t.Errorf("enabled %v, want %v", got, want)
	}
	if got := fake.Default["power"]; got != "fake" {
		t.Errorf("default power %q, want fake", got)
	}
	if fake.Properties["B1"] == "" {
		t.Errorf("properties %v, want B1 in them", fake.Properties)
	}
	bare, err := r.Describe("bare")
	if err != nil || len(bare.Default) != 0 || len(bare.Enabled["power"]) != 0 {
		t.Errorf("got %+v, %v, want nothing", bare, err)
	}
	if _, err := r.Describe("ipmi"); !errors.Is(err, ErrDriverNotFound) {
		t.Errorf("got %v, want %v", err, ErrDriverNotFound)
	}
}
