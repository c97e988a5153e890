package hardware

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/conductor-metal/conductor/pkg/node"
)

// fakes returns a node with all fakes, storage too, and its driver.
func fakes(t *testing.T, c Config) (*node.Node, *Driver) {
	t.Helper()
	n := &node.Node{UUID: "n1", Driver: FakeHardware, StorageInterface: "fake"}
	return n, compose(t, c, n).Driver(n, Open)
}

// Ironic: drivers/modules/fake.py, and the table of what each fake does.
func TestFakeBehaves(t *testing.T) {
	ctx := t.Context()
	n, d := fakes(t, Config{})
	pair := func(v any, err error) any { return []any{v, err} }
	for _, tt := range []struct {
		call      string
		got, want any
	}{
		{"power.Get", pair(d.Power.Get(ctx)), pair(node.PowerState(""), nil)},
		{"power.Supported", pair(d.Power.Supported(ctx)), pair([]node.PowerState{
			"power on", "power off", "rebooting", "soft rebooting", "soft power off",
		}, nil)},
		{"boot.Capabilities", pair(d.Boot.Capabilities(ctx)), pair([]string{"ipxe_boot", "pxe_boot"}, nil)},
		{"boot.PrepareRamdisk", d.Boot.PrepareRamdisk(ctx, nil), nil},
		{"boot.CleanUpRamdisk", d.Boot.CleanUpRamdisk(ctx), nil},
		{"boot.PrepareInstance", d.Boot.PrepareInstance(ctx), nil},
		{"boot.CleanUpInstance", d.Boot.CleanUpInstance(ctx), nil},
		{"boot.ValidateRescue", d.Boot.ValidateRescue(ctx), nil},
		{"boot.ValidateInspection", d.Boot.ValidateInspection(ctx), nil},
		{"deploy.Prepare", d.Deploy.Prepare(ctx), nil},
		{"deploy.TearDown", pair(d.Deploy.TearDown(ctx)), pair(Done, nil)},
		{"deploy.CleanUp", d.Deploy.CleanUp(ctx), nil},
		{"deploy.TakeOver", d.Deploy.TakeOver(ctx), nil},
		{"deploy.PrepareCleaning", pair(d.Deploy.PrepareCleaning(ctx)), pair(Done, nil)},
		{"deploy.TearDownCleaning", d.Deploy.TearDownCleaning(ctx), nil},
		{"deploy.PrepareService", pair(d.Deploy.PrepareService(ctx)), pair(Done, nil)},
		{"deploy.TearDownService", d.Deploy.TearDownService(ctx), nil},
		{"deploy.Heartbeat", pair(d.Deploy.Heartbeat(ctx, "http://192.0.2.1", "9")), pair(Done, nil)},
		{"management.SupportedBootDevices", pair(d.Management.SupportedBootDevices(ctx)), pair([]string{"pxe"}, nil)},
		{"management.BootDevice", pair(d.Management.BootDevice(ctx)), pair(BootDevice{Device: "pxe"}, nil)},
		{"management.SupportedBootModes", pair(d.Management.SupportedBootModes(ctx)), pair([]string{"bios", "uefi"}, nil)},
		{"management.BootMode", pair(d.Management.BootMode(ctx)), pair("", nil)},
		{"management.SecureBoot", pair(d.Management.SecureBoot(ctx)), pair(false, nil)},
		{"management.InjectNMI", d.Management.InjectNMI(ctx), nil},
		{"management.Sensors", pair(d.Management.Sensors(ctx)), pair(map[string]any{}, nil)},
		{"management.SupportedIndicators", pair(d.Management.SupportedIndicators(ctx, "chassis")), pair(
			map[string]map[string]Indicator{"chassis": {"led-0": {true, []IndicatorState{"OFF", "ON"}}}}, nil)},
		{"management.Indicator", pair(d.Management.Indicator(ctx, "system", "led")), pair(IndicatorOn, nil)},
		{"network.VIFs", pair(d.Network.VIFs(ctx)), pair([]VIF(nil), nil)},
		{"network.Join", d.Network.Join(ctx, CleaningNetwork), nil},
		{"network.Leave", d.Network.Leave(ctx, CleaningNetwork), nil},
		{"raid.Create", pair(d.RAID.Create(ctx, true, true)), pair(Done, nil)},
		{"raid.Delete", pair(d.RAID.Delete(ctx)), pair(Done, nil)},
		{"raid.ValidateConfig", d.RAID.ValidateConfig(ctx, oneDisk), nil},
		{"bios.Cache", d.BIOS.Cache(ctx), nil},
		{"rescue.Rescue", pair(d.Rescue.Rescue(ctx)), pair(Done, nil)},
		{"rescue.Unrescue", pair(d.Rescue.Unrescue(ctx)), pair(Done, nil)},
		{"rescue.CleanUp", d.Rescue.CleanUp(ctx), nil},
		{"storage.ShouldWriteImage", pair(d.Storage.ShouldWriteImage(ctx)), pair(true, nil)},
		{"storage.Attach", d.Storage.Attach(ctx), nil},
		{"storage.Detach", d.Storage.Detach(ctx), nil},
		{"console.Connection", pair(d.Console.Connection(ctx)), pair(map[string]string{}, nil)},
		{"console.Start", d.Console.Start(ctx), nil},
		{"console.Stop", d.Console.Stop(ctx), nil},
		{"vendor.Call second", pair(d.Vendor.Call(ctx, vendorCall("second_method", "kazoo"))), pair(true, nil)},
		{"vendor.Call second, other bar", pair(d.Vendor.Call(ctx, vendorCall("second_method", "x"))), pair(false, nil)},
		{"vendor.Call third", pair(d.Vendor.Call(ctx, vendorCall("third_method_sync", "meow"))), pair(true, nil)},
		{"vendor.Query fourth", pair(d.Vendor.Query(ctx, vendorCall("fourth_method_shared_lock", "woof"))), pair(true, nil)},
		{"vendor.Call log", pair(d.Vendor.Call(ctx, vendorCall("log_passthrough", ""))), pair(nil, nil)},
		{"vendor.Validate", d.Vendor.Validate(ctx, vendorCall("second_method", "x")), nil},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.call, tt.got, tt.want)
		}
	}
	want := &node.Node{UUID: "n1", Driver: FakeHardware, StorageInterface: "fake"}
	if !reflect.DeepEqual(n, want) {
		t.Errorf("the record is %+v, want it as it was", n)
	}
}

func vendorCall(method, bar string) VendorCall {
	return VendorCall{Method: method, Args: map[string]any{"bar": bar}}
}

func TestFakeRefuses(t *testing.T) {
	ctx := t.Context()
	_, d := fakes(t, Config{})
	for call, tt := range map[string]struct{ err, want error }{
		"power.Set rebooting":           {d.Power.Set(ctx, node.PowerReboot), ErrInvalidParameter},
		"power.Set nothing":             {d.Power.Set(ctx, ""), ErrInvalidParameter},
		"management.SetBootDevice disk": {d.Management.SetBootDevice(ctx, BootDevice{Device: "disk"}), ErrInvalidParameter},
		"management.Indicator":          {second(d.Management.Indicator(ctx, "chassis", "led")), ErrInvalidParameter},
		"management.SetIndicator":       {d.Management.SetIndicator(ctx, "system", "led", "PINK"), ErrInvalidParameter},
		"management.SetIndicator, none": {d.Management.SetIndicator(ctx, "system", "led-0", IndicatorOff), ErrInvalidParameter},
		"management.SetIndicator, fix":  {d.Management.SetIndicator(ctx, "chassis", "led-0", IndicatorOff), ErrInvalidParameter},
		"management.SetBootMode":        {d.Management.SetBootMode(ctx, "punch cards"), ErrInvalidParameter},
		"management.AttachVirtualMedia": {d.Management.AttachVirtualMedia(ctx, "tape", "http://192.0.2.1"), ErrInvalidParameter},
		"management.DetachVirtualMedia": {d.Management.DetachVirtualMedia(ctx, []string{"cdrom", "tape"}), ErrInvalidParameter},
		"inspect.Abort":                 {d.Inspect.Abort(ctx), ErrUnsupported},
		"raid.ValidateConfig":           {d.RAID.ValidateConfig(ctx, nil), ErrInvalidParameter},
		"vendor.Validate without bar":   {d.Vendor.Validate(ctx, vendorCall("second_method", "")), ErrMissingParameter},
		"vendor.Validate, no method":    {d.Vendor.Validate(ctx, vendorCall("first_method", "x")), ErrInvalidParameter},
		"vendor.Validate, GET": {
			d.Vendor.Validate(ctx, VendorCall{Method: "log_passthrough", HTTPMethod: "GET"}), ErrInvalidParameter,
		},
		"vendor.Query exclusive": {second(d.Vendor.Query(ctx, vendorCall("second_method", "x"))), ErrExclusive},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: got %v, want %v", call, tt.err, tt.want)
		}
	}
}

func TestFakePowerIsTheRecord(t *testing.T) {
	ctx := t.Context()
	n, d := fakes(t, Config{})
	for _, to := range []node.PowerState{node.PowerOn, node.PowerOff, node.PowerSoftReboot, node.PowerSoftOff} {
		if err := d.Power.Set(ctx, to); err != nil {
			t.Fatal(err)
		}
		got, err := d.Power.Get(ctx)
		if err != nil || got != to || n.PowerState != to {
			t.Errorf("got %q, %v, record %q, want %q", got, err, n.PowerState, to)
		}
	}
	if err := d.Power.Reboot(ctx); err != nil || n.PowerState != node.PowerSoftOff {
		t.Errorf("reboot: %v, record %q, want it as it was", err, n.PowerState)
	}
}

func TestFakeBIOSKeepsSettings(t *testing.T) {
	ctx := t.Context()
	n, d := fakes(t, Config{})
	kept := func() any { return n.DriverInternalInfo[BIOSSettingsKey] }
	if _, err := d.BIOS.Apply(ctx, map[string]string{"a": "1", "b": "2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.BIOS.Apply(ctx, map[string]string{"b": "3"}); err != nil {
		t.Fatal(err)
	}
	if want := (map[string]any{"b": "3"}); !reflect.DeepEqual(kept(), want) {
		t.Errorf("got %v, want %v", kept(), want)
	}
	if _, err := d.BIOS.FactoryReset(ctx); err != nil || kept() != nil {
		t.Errorf("after a reset: %v, %v, want none", kept(), err)
	}
	step := Step{Interface: "bios", Name: "apply_configuration", Kind: CleanStep, Args: map[string]any{
		"settings": []any{map[string]any{"name": "a", "value": true}, node.Object{"name": "c", "value": "x"}},
	}}
	if got, err := d.RunStep(ctx, step); got != Done || err != nil {
		t.Errorf("step: got %v, %v", got, err)
	}
	if want := (map[string]any{"a": "true", "c": "x"}); !reflect.DeepEqual(kept(), want) {
		t.Errorf("got %v, want %v", kept(), want)
	}
}

func TestValidateAll(t *testing.T) {
	n := &node.Node{
		UUID: "n1", Driver: FakeHardware, InspectInterface: "no-inspect", RescueInterface: "no-rescue",
		BIOSInterface: "no-bios", ConsoleInterface: "no-console", FirmwareInterface: "no-firmware",
		RAIDInterface: "no-raid", VendorInterface: "no-vendor", DeployInterface: "noop", ManagementInterface: "noop",
		DriverInfo: node.Object{FaultKey: []any{map[string]any{"mode": "fail", "on": "power.Validate"}}},
	}
	r := compose(t, Config{}, n).Reader(n, Open)
	got := r.ValidateAll(WithActor(t.Context(), Actor{Conductor: "c1"}))
	if len(got) != 12 {
		t.Errorf("%d answers, want 12", len(got))
	}
	for _, v := range got {
		switch v.Interface {
		case "boot", "deploy", "management", "network", "storage":
			if !v.OK || v.Reason != "" || v.Err != nil {
				t.Errorf("got %+v, want it to be valid", v)
			}
		case "power":
			if v.OK || !strings.Contains(v.Reason, "on conductor c1") || !errors.Is(v.Err, ErrFault) {
				t.Errorf("got %+v, want an unexpected error on c1", v)
			}
		default:
			want := "driver fake-hardware does not support " + v.Interface + " (disabled or not implemented)"
			if v.OK || v.Reason != want || !errors.Is(v.Err, ErrUnsupported) {
				t.Errorf("got %+v, want %s", v, want)
			}
		}
	}
}

// What a user can ask of an absent interface fails; what the conductor does
// unasked passes.
func TestAbsentInterfaces(t *testing.T) {
	ctx := t.Context()
	n := &node.Node{
		UUID: "n1", Driver: FakeHardware, InspectInterface: "no-inspect", RescueInterface: "no-rescue",
		BIOSInterface: "no-bios", ConsoleInterface: "no-console", FirmwareInterface: "no-firmware",
		RAIDInterface: "no-raid", VendorInterface: "no-vendor",
	}
	d := compose(t, Config{}, n).Driver(n, Open)
	passes := map[string]bool{
		"BIOS.Cache": true, "Firmware.Cache": true, "Rescue.CleanUp": true,
		"RAID.LogicalDiskProperties": true, "Vendor.Methods": true,
	}
	boundMethods(t, d, func(field reflect.StructField, m reflect.Method, bound reflect.Value) {
		if !strings.HasPrefix(*n.Interfaces()[strings.ToLower(field.Name)+"_interface"], "no-") {
			return
		}
		name := field.Name + "." + m.Name
		err := lastError(bound.Call(zeroArgs(ctx, bound)))
		if passes[name] && err != nil || !passes[name] && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %v, passes: %v", name, err, passes[name])
		}
	})
}

func TestNoopManagement(t *testing.T) {
	ctx := t.Context()
	n := &node.Node{UUID: "n1", Driver: FakeHardware, ManagementInterface: "noop"}
	m := compose(t, Config{}, n).Driver(n, Open).Management
	if got, err := m.BootDevice(ctx); err != nil || got != (BootDevice{"pxe", true}) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := m.SetBootDevice(ctx, BootDevice{Device: "disk"}); err != nil {
		t.Error(err)
	}
	if err := m.SetBootDevice(ctx, BootDevice{Device: "cdrom"}); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("got %v, want %v", err, ErrInvalidParameter)
	}
}

// Every method of every fake meets the faults, heeds a context that ends, and
// says why it ended.
func TestFakesHeedTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("lock lost")
		n, d := fakes(t, Config{})
		n.DriverInfo = node.Object{FaultKey: []any{map[string]any{"mode": "hang"}}}
		boundMethods(t, d, func(field reflect.StructField, m reflect.Method, bound reflect.Value) {
			ctx, cancel := context.WithCancelCause(t.Context())
			got := make(chan error, 1)
			go func() { got <- lastError(bound.Call(goodArgs(ctx, m.Name, bound))) }()
			synctest.Wait()
			cancel(why)
			err := <-got
			if field.Name == "Network" || errors.Is(err, ErrUnsupported) {
				return // not a fake, or no such ability
			}
			if !errors.Is(err, why) || !strings.Contains(err.Error(), "interrupted") {
				t.Errorf("%s.%s: got %v, want interrupted: %v", field.Name, m.Name, err, why)
			}
		})
	})
}

// goodTexts are the texts that a method takes.
var goodTexts = map[string][]string{
	"SetBootMode":        {"uefi"},
	"SetIndicator":       {"system", "led", "OFF"},
	"AttachVirtualMedia": {"cdrom", "http://192.0.2.1/a.iso"},
}

// oneDisk is a RAID configuration.
var oneDisk = map[string]any{"logical_disks": []any{map[string]any{"size_gb": 100, "raid_level": "1"}}}

// goodArgs returns arguments that the fakes accept.
func goodArgs(ctx context.Context, method string, bound reflect.Value) []reflect.Value {
	args := zeroArgs(ctx, bound)
	texts := goodTexts[method]
	for i := range args {
		if args[i].Kind() == reflect.String && len(texts) > 0 {
			args[i] = reflect.ValueOf(texts[0]).Convert(args[i].Type())
			texts = texts[1:]
			continue
		}
		switch args[i].Interface().(type) {
		case node.PowerState:
			args[i] = reflect.ValueOf(node.PowerOn)
		case BootDevice:
			args[i] = reflect.ValueOf(BootDevice{Device: BootPXE})
		case VendorCall:
			args[i] = reflect.ValueOf(vendorCall("fourth_method_shared_lock", "x"))
		case map[string]any:
			args[i] = reflect.ValueOf(oneDisk)
		}
	}
	return args
}
