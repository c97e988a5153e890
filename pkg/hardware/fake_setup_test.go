package hardware

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/node"
)

// stored is the record as another conductor reads it.
func stored(t *testing.T, n *node.Node) *node.Node {
	t.Helper()
	data, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var out node.Node
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// What the fake management is told is there for whoever reads the record later,
// and a copy that was taken before does not change.
func TestFakeManagementKeepsItsSetup(t *testing.T) {
	ctx := t.Context()
	n, d := fakes(t, Config{})
	m := d.Management
	before := *n
	for what, err := range map[string]error{
		"boot device": m.SetBootDevice(ctx, BootDevice{"pxe", true}),
		"boot mode":   m.SetBootMode(ctx, "uefi"),
		"secure boot": m.SetSecureBoot(ctx, true),
		"indicator":   m.SetIndicator(ctx, "system", "led", IndicatorBlinking),
		"cdrom":       m.AttachVirtualMedia(ctx, "cdrom", "http://192.0.2.1/a.iso"),
		"floppy":      m.AttachVirtualMedia(ctx, "floppy", "http://192.0.2.1/b.img"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(before.DriverInternalInfo) != 0 {
		t.Errorf("a copy has changed: %v", before.DriverInternalInfo)
	}
	n = stored(t, n)
	m = compose(t, Config{}, n).Driver(n, Open).Management
	pair := func(v any, err error) any { return []any{v, err} }
	for what, tt := range map[string]struct{ got, want any }{
		"boot device": {pair(m.BootDevice(ctx)), pair(BootDevice{"pxe", true}, nil)},
		"boot mode":   {pair(m.BootMode(ctx)), pair("uefi", nil)},
		"secure boot": {pair(m.SecureBoot(ctx)), pair(true, nil)},
		"indicator":   {pair(m.Indicator(ctx, "system", "led")), pair(IndicatorBlinking, nil)},
		"fixed":       {pair(m.Indicator(ctx, "chassis", "led-0")), pair(IndicatorOn, nil)},
		"media": {pair(m.VirtualMedia(ctx)), pair([]VirtualMedia{
			{[]string{"CD", "DVD"}, true, "http://192.0.2.1/a.iso"}, {[]string{"USBStick"}, false, ""}, {[]string{"Floppy"}, true, "http://192.0.2.1/b.img"},
		}, nil)},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", what, tt.got, tt.want)
		}
	}
	for _, devices := range [][]string{{"cdrom"}, nil} {
		if err := m.DetachVirtualMedia(ctx, devices); err != nil {
			t.Fatal(err)
		}
		left, err := m.VirtualMedia(ctx)
		if err != nil || left[0].Inserted || left[2].Inserted != (devices != nil) {
			t.Errorf("after %v: %v, %v", devices, left, err)
		}
	}
}

func TestFakeFirmwareKeepsVersions(t *testing.T) {
	ctx := t.Context()
	n, d := fakes(t, Config{})
	version := func(component, key string) string {
		return node.Object(setup(n.DriverInternalInfo).object(FirmwareKey).object(component)).Text(key)
	}
	if err := d.Firmware.Cache(ctx); err != nil {
		t.Fatal(err)
	}
	if got := version("bmc", "current_version"); got != fakeVersion {
		t.Errorf("bmc has %q, want %q", got, fakeVersion)
	}
	step := Step{Interface: "firmware", Name: "update", Kind: CleanStep, Args: map[string]any{"settings": []any{
		map[string]any{"component": "bios", "url": "http://192.0.2.1/2.1.7"},
	}}}
	if _, err := d.RunStep(ctx, step); err != nil {
		t.Fatal(err)
	}
	if err := d.Firmware.Cache(ctx); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"current_version": "2.1.7", "last_version_flashed": "2.1.7", "initial_version": fakeVersion} {
		if got := version("bios", key); got != want {
			t.Errorf("bios has the %s %q, want %q", key, got, want)
		}
	}
	if got := version("bmc", "current_version"); got != fakeVersion {
		t.Errorf("bmc has %q, want %q", got, fakeVersion)
	}
	for _, settings := range []any{nil, []any{}, []any{"x"}, []any{map[string]any{"component": "bios"}}, []any{map[string]any{"component": "nic", "url": "x"}}} {
		step.Args["settings"] = settings
		if _, err := d.RunStep(ctx, step); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%v: got %v, want %v", settings, err, ErrInvalidParameter)
		}
	}
}

func TestFakeInspectDescribesTheMachine(t *testing.T) {
	n, d := fakes(t, Config{})
	n.Properties = node.Object{"cpus": json.Number("4"), "memory_mb": "2048", "cpu_arch": "aarch64"}
	if _, err := d.Inspect.Inspect(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := setup(stored(t, n).DriverInternalInfo).object(InspectionKey)
	cpu, memory := found.object("inventory").object("cpu"), found.object("inventory").object("memory")
	if node.Object(cpu).Text("count") != "4" || cpu["architecture"] != "aarch64" || node.Object(memory).Text("physical_mb") != "2048" {
		t.Errorf("found %v", found)
	}
	if got := node.Object(found.object("plugin_data")).Text("local_gb"); got != "100" {
		t.Errorf("local_gb %q, want what a fake machine has", got)
	}
	if len(n.Properties) != 3 {
		t.Errorf("the properties are now %v", n.Properties)
	}
}

// Ironic: raid_config_schema.json and test_raid.py.
func TestCheckRAIDConfig(t *testing.T) {
	disk := func(more string) string {
		return `{"logical_disks": [{"size_gb": 100, "raid_level": "1"` + more + `}]}`
	}
	tests := []struct{ config, text string }{
		{disk(``), ""},
		{`{"logical_disks": [{"size_gb": "MAX", "raid_level": "JBOD"}, {"size_gb": 0, "raid_level": "5+0"}]}`, ""},
		{disk(`, "is_root_volume": true, "volume_name": "a", "share_physical_disks": false, "disk_type": "ssd", "interface_type": "sas"`), ""},
		{disk(`, "number_of_physical_disks": 2, "controller": "c", "physical_disks": ["a"]`), ""},
		{disk(`, "controller": "c", "physical_disks": [{"size": "> 1"}, {"size": "> 2"}]`), ""},
		{`{}`, "logical_disks must be"},
		{`{"logical_disks": []}`, "at least one"},
		{`{"logical_disks": {}}`, "must be a list"},
		{`{"logical_disks": ["a"]}`, "logical_disks/0 must be an object"},
		{`{"logical_disks": [{"size_gb": 1, "raid_level": "0"}], "x": 1}`, `"x" is unknown`},
		{`{"logical_disks": [{"size_gb": 1}]}`, "raid_level is required"},
		{`{"logical_disks": [{"raid_level": "0"}]}`, "size_gb is required"},
		{`{"logical_disks": [{"size_gb": 1.5, "raid_level": "0"}]}`, "size_gb must be"},
		{`{"logical_disks": [{"size_gb": -1, "raid_level": "0"}]}`, "size_gb must be"},
		{`{"logical_disks": [{"size_gb": "all", "raid_level": "0"}]}`, "size_gb must be"},
		{`{"logical_disks": [{"size_gb": 1, "raid_level": 0}]}`, "raid_level must be one of JBOD"},
		{`{"logical_disks": [{"size_gb": 1, "raid_level": "7"}]}`, "raid_level must be"},
		{disk(`, "color": "red"`), "logical_disks/0/color is unknown"},
		{disk(`, "is_root_volume": "yes"`), "is_root_volume must be"},
		{disk(`, "disk_type": "tape"`), "disk_type must be"},
		{disk(`, "interface_type": "nvme"`), "interface_type must be"},
		{disk(`, "number_of_physical_disks": 0`), "number_of_physical_disks must be"},
		{disk(`, "physical_disks": ["a"]`), "needs controller"},
		{disk(`, "controller": "c", "physical_disks": [{"size": 1}]`), "physical_disks must be"},
		{disk(`, "controller": "c", "physical_disks": ["a", {"size": 1}]`), "physical_disks must be"},
		{`{"logical_disks": [{"size_gb": 1, "raid_level": "0", "is_root_volume": true}, {"size_gb": 1, "raid_level": "0", "is_root_volume": true}]}`, "2 root volumes"},
	}
	for _, tt := range tests {
		var exact node.Object // as a record is read
		var rough map[string]any
		if err := errors.Join(json.Unmarshal([]byte(tt.config), &exact), json.Unmarshal([]byte(tt.config), &rough)); err != nil {
			t.Fatal(err)
		}
		for _, config := range []map[string]any{exact, rough} {
			err := CheckRAIDConfig(config)
			if (tt.text == "") != (err == nil) || err != nil && (!errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), tt.text)) {
				t.Errorf("%s: got %v, want %q", tt.config, err, tt.text)
			}
		}
	}
}
