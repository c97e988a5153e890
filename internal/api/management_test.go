package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestBootDevice(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t) + "/management/boot_device"
		get := func(path string) object { return s.want(t, 200, "GET", base+path, nil).Body }
		if d := cmp.Diff(object{"boot_device": "pxe", "persistent": false}, get("")); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(object{"supported_boot_devices": []any{"pxe"}}, get("/supported")); d != "" {
			t.Error(d)
		}
		for _, persistent := range []any{true, "true", "1"} {
			s.want(t, 204, "PUT", base, object{"boot_device": "pxe", "persistent": persistent})
			if get("")["persistent"] != true {
				t.Errorf("%v: %v", persistent, get(""))
			}
			s.want(t, 204, "PUT", base, object{"boot_device": "pxe"})
			if get("")["persistent"] != false {
				t.Errorf("not given: %v", get(""))
			}
		}
		for _, bad := range []any{
			object{},
			object{"boot_device": ""},
			object{"boot_device": "disk"},
			object{"boot_device": "pxe", "persistent": "perhaps"},
			object{"boot_device": "pxe", "persistent": 1},
			object{"boot_device": 1},
			object{"boot_device": "pxe", "x": 1},
			"", "[]",
		} {
			s.want(t, 400, "PUT", base, bad)
		}
	})
}

// What the node's driver has not got is a 400, and a driver that is not there a
// 404, for reading and for writing.
func TestManagementUnsupported(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t)
		s.edit(t, idA, func(n *node.Node) { n.ManagementInterface = "noop" })
		for _, req := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/management/indicators", nil},
			{"GET", "/management/indicators/led@system", nil},
			{"PUT", "/management/indicators/led@system", object{"state": "ON"}},
			{"PUT", "/management/inject_nmi", nil},
			{"PUT", "/states/boot_mode", object{"target": "uefi"}},
			{"GET", "/vmedia", nil},
		} {
			r := s.want(t, 400, req.method, base+req.path, req.body)
			if r.Body["kind"] != "unsupported" || !strings.Contains(r.fault(), "fake-hardware does not support") {
				t.Errorf("%s %s: %s", req.method, req.path, r.Raw)
			}
		}
		s.want(t, 204, "PUT", base+"/management/boot_device", object{"boot_device": "disk"})
		s.edit(t, idA, func(n *node.Node) { n.Driver = "gone" })
		s.want(t, 404, "GET", base+"/management/boot_device", nil)
		s.want(t, 404, "PUT", base+"/management/boot_device", object{"boot_device": "disk"})
	})
}

// A record that lacks what the driver needs is not worth asking the machine.
func TestManagementValidates(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t)
		s.edit(t, idA, func(n *node.Node) {
			n.DriverInfo = node.Object{hardware.FaultKey: []any{object{"mode": "fail", "on": "management.Validate", "message": "no address"}}}
		})
		for _, path := range []string{"/management/boot_device", "/management/boot_device/supported", "/management/indicators", "/vmedia"} {
			if r := s.want(t, 500, "GET", base+path, nil); !strings.Contains(r.fault(), "no address") {
				t.Errorf("%s: %s", path, r.Raw)
			}
		}
		if all := s.bmc.Commands(idA); len(all) != 0 {
			t.Errorf("sent %v", all)
		}
	})
}

// A machine that does not answer ends a request in time.
func TestManagementHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t)
		s.edit(t, idA, func(n *node.Node) {
			n.DriverInfo = node.Object{hardware.FaultKey: []any{object{"mode": "hang", "on": "management.BootDevice"}}}
		})
		start := time.Now()
		r := s.want(t, 500, "GET", base+"/management/boot_device", nil)
		if took := time.Since(start); took != 30*time.Second || !strings.Contains(r.fault(), "took longer than 30s") {
			t.Errorf("after %s: %s", took, r.Raw)
		}
	})
}

// Ironic: TestIndicators. Names are those of its code, name@component; its
// reference has component/name.
func TestIndicators(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t) + "/management/indicators"
		all := s.want(t, 200, "GET", base, nil)
		if got := all.names("indicators", "name"); got != "led-0@chassis led@system" {
			t.Errorf("indicators %s", got)
		}
		if got := all.names("components", "name"); got != "chassis system" {
			t.Errorf("components %s", got)
		}
		first := all.Body["indicators"].([]any)[0].(object)
		if first["readonly"] != true || first["component"] != "chassis" || len(first["states"].([]any)) != 2 || len(first["links"].([]any)) != 2 {
			t.Errorf("got %v", first)
		}
		if got := s.want(t, 200, "GET", base+"/system", nil).names("indicators", "name"); got != "led@system" {
			t.Errorf("of the system: %s", got)
		}
		for _, one := range []string{"/led@system", "/system/led"} {
			for _, state := range []string{"OFF", "blinking", "on"} {
				s.want(t, 204, "PUT", base+one, object{"state": state})
				for _, same := range []string{"/led@system", "/system/led"} {
					if got := s.want(t, 200, "GET", base+same, nil).Body["state"]; got != strings.ToUpper(state) {
						t.Errorf("%s is %v, want %s", same, got, state)
					}
				}
			}
		}
		for path, body := range map[string]any{
			"/led@system": object{"state": "PINK"}, "/system/led": object{}, "/led-0@chassis": object{"state": "OFF"},
			"/led@chassis": object{"state": "OFF"}, "/system": object{"state": "OFF"},
		} {
			s.want(t, 400, "PUT", base+path, body)
		}
		s.want(t, 400, "GET", base+"/led@moon", nil)
		s.want(t, 404, "GET", base+"/moon", nil)
	})
}

func TestBootMode(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t)
		r := s.want(t, 202, "PUT", base+"/states/boot_mode", object{"target": "bios"})
		if !strings.HasSuffix(r.Header.Get("Location"), base+"/states") {
			t.Errorf("Location %q", r.Header.Get("Location"))
		}
		time.Sleep(time.Second)
		s.want(t, 202, "PUT", base+"/states/secure_boot", object{"target": false})
		time.Sleep(time.Second)
		for _, path := range []string{"", "/states"} {
			if n := s.want(t, 200, "GET", base+path, nil).Body; n["boot_mode"] != "bios" || n["secure_boot"] != false {
				t.Errorf("%s: %v, %v", path, n["boot_mode"], n["secure_boot"])
			}
		}
		for _, bad := range []any{object{}, object{"target": "BIOS"}, object{"target": "legacy"}, object{"target": true}, object{"target": nil}} {
			s.want(t, 400, "PUT", base+"/states/boot_mode", bad)
		}
		for _, bad := range []any{object{}, object{"target": "perhaps"}, object{"target": 2}, object{"target": nil}} {
			s.want(t, 400, "PUT", base+"/states/secure_boot", bad)
		}
	})
}

// Nodes on their way to another state are left alone, locked or not, and at once.
func TestBootModeInUnstableStates(t *testing.T) {
	for _, state := range node.States() {
		t.Run(string(state), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				base := s.machine(t)
				s.edit(t, idA, func(n *node.Node) { n.ProvisionState = state })
				status := 202
				if node.Unstable.Has(state) {
					status = 409
					s.lock(t, s.open(t, "c2.example"), idA, "exclusive")
				}
				start := time.Now()
				for path, body := range map[string]object{"/states/boot_mode": {"target": "uefi"}, "/states/secure_boot": {"target": true}} {
					r := s.want(t, status, "PUT", base+path, body)
					if status == 409 && (r.Body["kind"] != "invalid_state" || !strings.Contains(r.fault(), string(state)) || time.Since(start) != 0) {
						t.Errorf("after %s: %s", time.Since(start), r.Raw)
					}
					time.Sleep(time.Second)
					start = time.Now()
				}
			})
		})
	}
}
