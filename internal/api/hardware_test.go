package api

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// hardwareWrites are the requests of this package that command a machine, each
// with the first version that knows it and with the answer of a free node.
var hardwareWrites = []struct {
	since        minor
	method, path string // below the node
	body         any
	status       int
	command      string // what reaches the machine; "": nothing
	background   bool   // the answer does not wait for the machine
}{
	{1, "PUT", "/management/boot_device", object{"boot_device": "pxe", "persistent": true}, 204, "management.SetBootDevice", false},
	{29, "PUT", "/management/inject_nmi", object{}, 204, "management.InjectNMI", false},
	{63, "PUT", "/management/indicators/led@system", object{"state": "off"}, 204, "management.SetIndicator", false},
	{63, "PUT", "/management/indicators/system/led", object{"state": "BLINKING"}, 204, "management.SetIndicator", false},
	{76, "PUT", "/states/boot_mode", object{"target": "uefi"}, 202, "management.SetBootMode", true},
	{76, "PUT", "/states/secure_boot", object{"target": "true"}, 202, "management.SetSecureBoot", true},
	{1, "PUT", "/states/console", object{"enabled": true}, 202, "console.Start", true},
	{12, "PUT", "/states/raid", object{"logical_disks": []object{{"size_gb": 10, "raid_level": "1"}}}, 204, "", false},
	{28, "POST", "/vifs", object{"id": "v", "free": "form"}, 204, "", false},
	{28, "DELETE", "/vifs/w", nil, 204, "", false},
	{89, "POST", "/vmedia", object{"device_type": "cdrom", "image_url": "http://192.0.2.1/a.iso"}, 204, "management.AttachVirtualMedia", true},
	{89, "DELETE", "/vmedia?device_types=cdrom,disk", nil, 204, "management.DetachVirtualMedia", true},
	{1, "POST", "/vendor_passthru/third_method_sync", object{"bar": "meow"}, 200, "vendor.third_method_sync", false},
	{1, "POST", "/vendor_passthru/second_method", object{"bar": "meow"}, 202, "vendor.second_method", true},
}

// hardwareReads are those that take no lock.
var hardwareReads = []struct {
	since minor
	path  string // below the node
}{
	{1, "/management/boot_device"},
	{1, "/management/boot_device/supported"},
	{63, "/management/indicators"},
	{63, "/management/indicators/system"},
	{63, "/management/indicators/led@system"},
	{63, "/management/indicators/system/led"},
	{1, "/states/console"},
	{40, "/bios"},
	{40, "/bios/a"},
	{86, "/firmware"},
	{81, "/inventory"},
	{83, "/children"},
	{83, "/children/detail"},
	{28, "/vifs"},
	{93, "/vmedia"},
	{1, "/vendor_passthru/methods"},
}

// machine makes a node that all of them can be asked of.
func (s *server) machine(t *testing.T) string {
	t.Helper()
	s.create(t, object{"uuid": idA})
	for i, vif := range []string{"w", ""} {
		p := &node.Port{NodeUUID: idA, Address: fmt.Sprintf("52:54:00:00:00:0%d", i)}
		if vif != "" {
			p.InternalInfo = node.Object{"tenant_vif_port_id": vif}
		}
		if err := s.store.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	s.edit(t, idA, func(n *node.Node) {
		n.ProvisionState = node.StateActive
		n.DriverInternalInfo = node.Object{
			hardware.BIOSSettingsKey: map[string]any{"a": "1", "b": "2"},
			hardware.InspectionKey:   map[string]any{"inventory": map[string]any{"cpu": map[string]any{"count": 4}}, "plugin_data": map[string]any{}},
		}
	})
	return "/v1/nodes/" + idA
}

// sent are the commands that could change a machine.
func (s *server) sent(id node.ID) string {
	var all []string
	for _, c := range s.bmc.Commands(id) {
		if c.Writes || strings.HasPrefix(c.Method, "vendor.") {
			all = append(all, c.Method)
		}
	}
	return strings.Join(all, " ")
}

func TestHardwareWrites(t *testing.T) {
	for _, tt := range hardwareWrites {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				base := s.machine(t)
				s.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
				start := time.Now()
				r := s.want(t, tt.status, tt.method, base+tt.path, tt.body)
				if took := time.Since(start); (took == 0) != (tt.background || tt.command == "") {
					t.Errorf("took %s", took)
				}
				if (tt.status == 204 || tt.status == 202) && (r.Raw != "" || r.Header.Get("Content-Type") != "") {
					t.Errorf("a body %q of type %q", r.Raw, r.Header.Get("Content-Type"))
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := s.sent(idA); got != tt.command {
					t.Errorf("sent %q, want %q", got, tt.command)
				}
				n := s.want(t, 200, "GET", base, nil).Body
				if n["last_error"] != nil || n["reservation"] != nil {
					t.Errorf("last error %v, reservation %v", n["last_error"], n["reservation"])
				}
			})
		})
	}
}

func TestHardwareWritesOfOldVersions(t *testing.T) {
	for _, tt := range hardwareWrites {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				base := s.machine(t)
				if tt.since > 1 {
					s.version = (tt.since - 1).String()
					s.want(t, 404, tt.method, base+tt.path, tt.body)
				}
				s.version = tt.since.String()
				s.want(t, tt.status, tt.method, base+tt.path, tt.body)
				s.want(t, 404, tt.method, "/v1/nodes/"+idB+tt.path, tt.body)
				time.Sleep(time.Minute)
			})
		})
	}
}

// A locked node is told by 409 and who has it, and waited for when asked.
func TestHardwareWritesWaitForTheLock(t *testing.T) {
	for _, tt := range hardwareWrites {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				base := s.machine(t)
				l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
				start := time.Now()
				r := s.want(t, 409, tt.method, base+tt.path, tt.body)
				if r.Body["kind"] != "locked" || r.Body["holder"] != "c2.example" || r.Body["purpose"] != "deploy" || r.Header.Get("Retry-After") == "" {
					t.Errorf("%s", r.Raw)
				}
				if took := time.Since(start); took != defaultWait {
					t.Errorf("took %s", took)
				}
				time.AfterFunc(5*time.Second, func() { _ = l.Release(t.Context(), lease.Write{}) })
				sep := "?"
				if strings.Contains(tt.path, "?") {
					sep = "&"
				}
				s.want(t, tt.status, tt.method, base+tt.path+sep+"wait=10s", tt.body)
				time.Sleep(time.Minute)
				if got := s.sent(idA); got != tt.command {
					t.Errorf("sent %q, want %q", got, tt.command)
				}
			})
		})
	}
}

// Who waits for the answer is told when the lock is lost meanwhile.
func TestHardwareWritesLoseTheLock(t *testing.T) {
	for _, tt := range hardwareWrites {
		if tt.command == "" || tt.background {
			continue
		}
		t.Run(tt.method+tt.path, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				base := s.machine(t)
				before, err := s.store.Node(t.Context(), idA)
				if err != nil {
					t.Fatal(err)
				}
				s.bmc.SetLatency(hardwaretest.Latency{Work: 20 * time.Second})
				time.AfterFunc(time.Second, func() { s.breakLock(t, idA) })
				r := s.want(t, 503, tt.method, base+tt.path, tt.body)
				if r.Body["kind"] != "lock_lost" {
					t.Errorf("%s", r.Raw)
				}
				if n, err := s.store.Node(t.Context(), idA); err != nil || n.Revision != before.Revision {
					t.Errorf("the node was written: %v", err)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// What the machine answers to who waits, is told to him.
func TestHardwareWritesFail(t *testing.T) {
	for _, tt := range hardwareWrites {
		if tt.command == "" || tt.background {
			continue
		}
		t.Run(tt.method+tt.path, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				base := s.machine(t)
				s.bmc.Unplug(idA)
				r := s.want(t, 500, tt.method, base+tt.path, tt.body)
				if r.Body["kind"] != "machine" || !strings.Contains(r.fault(), "unreachable") {
					t.Errorf("%s", r.Raw)
				}
				s.bmc.Plug(idA)
				s.want(t, tt.status, tt.method, base+tt.path, tt.body)
			})
		})
	}
}

func TestHardwareReads(t *testing.T) {
	for _, tt := range hardwareReads {
		t.Run(tt.path, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				base := s.machine(t)
				s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
				start := time.Now()
				s.want(t, 200, "GET", base+tt.path, nil)
				s.version = tt.since.String()
				s.want(t, 200, "GET", base+tt.path, nil)
				s.want(t, 404, "GET", "/v1/nodes/"+idB+tt.path, nil)
				if tt.since > 1 {
					s.version = (tt.since - 1).String()
					s.want(t, 404, "GET", base+tt.path, nil)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("waited %s", took)
				}
				q, err := lease.Locks{Client: s.client}.Queue(t.Context(), idA)
				if err != nil || len(q.Entries) != 1 {
					t.Errorf("the queue is %v, %v", q.Entries, err)
				}
			})
		})
	}
}

// breakLock ends the exclusive lock of a node as an operator does.
func (s *server) breakLock(t *testing.T, id string) {
	t.Helper()
	locks := lease.Locks{Client: s.client, Root: lease.DefaultRoot}
	q, err := locks.Queue(t.Context(), id)
	if err == nil {
		_, err = locks.Break(t.Context(), id, q.Holders()[0].Create, "alice", "test")
	}
	if err != nil {
		t.Error(err)
	}
}
