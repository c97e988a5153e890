package api

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestPowerOn(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		s.edit(t, idA, func(n *node.Node) { n.LastError = "old" })
		s.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
		r := s.want(t, 202, "PUT", "/v1/nodes/a/states/power", object{"target": "power on"})
		if r.Raw != "" || r.Header.Get("Content-Type") != "" {
			t.Errorf("an accepted request has the body %q of type %q", r.Raw, r.Header.Get("Content-Type"))
		}
		location := strings.TrimPrefix(r.Header.Get("Location"), "http://c1.example:6385")
		during := s.want(t, 200, "GET", location, nil)
		if during.Body["target_power_state"] != "power on" || during.Body["last_error"] != nil {
			t.Errorf("while it works: %s", during.Raw)
		}
		if n := s.want(t, 200, "GET", "/v1/nodes/a", nil); n.Body["reservation"] != "c1.example" {
			t.Errorf("reservation is %v", n.Body["reservation"])
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		done := s.want(t, 200, "GET", location, nil)
		if done.Body["power_state"] != "power on" || done.Body["target_power_state"] != nil || done.Body["last_error"] != nil {
			t.Errorf("afterwards: %s", done.Raw)
		}
	})
}

func TestPowerIsRefused(t *testing.T) {
	tests := []struct {
		name    string
		body    any
		version string
		change  func(*node.Node)
		status  int
		text    string
	}{
		{"no target", object{}, "", nil, 400, "target: is required"},
		{"strange target", object{"target": "sideways"}, "", nil, 400, "sideways"},
		{"wrong type", object{"target": 7}, "", nil, 400, "target: must be text"},
		{"unknown field", object{"target": "power on", "colour": "red"}, "", nil, 400, "colour"},
		{"timeout of nothing", object{"target": "power on", "timeout": 0}, "", nil, 400, "timeout"},
		{"soft in old versions", object{"target": "soft power off"}, "1.26", nil, 406, "1.27"},
		{"timeout in old versions", object{"target": "power on", "timeout": 5}, "1.26", nil, 406, "1.27"},
		{"cleaning", object{"target": "power on"}, "", func(n *node.Node) { n.ProvisionState = node.StateCleaning }, 400, "cleaning"},
		{"power off disabled", object{"target": "power off"}, "", func(n *node.Node) { n.DisablePowerOff = true }, 409, "power off is disabled"},
		{"driver gone", object{"target": "power off"}, "", func(n *node.Node) { n.Driver = "gone" }, 404, "gone"},
		{"interface gone", object{"target": "power off"}, "", func(n *node.Node) { n.PowerInterface = "gone" }, 400, "gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.create(t, object{"uuid": idA})
				if tt.change != nil {
					s.edit(t, idA, tt.change)
				}
				if tt.version != "" {
					s.version = tt.version
				}
				r := s.want(t, tt.status, "PUT", "/v1/nodes/"+idA+"/states/power", tt.body)
				if !strings.Contains(r.fault(), tt.text) || r.Header.Get("Retry-After") != "" {
					t.Errorf("%s %v", r.Raw, r.Header)
				}
				if n, err := s.store.Node(t.Context(), idA); err != nil || n.TargetPowerState != "" {
					t.Errorf("the node has the target %q (%v)", n.TargetPowerState, err)
				}
			})
		})
	}
}

func TestNoFreeWorker(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
		for range 3 { // as many as there are workers
			id := s.create(t, nil)
			s.want(t, 202, "PUT", "/v1/nodes/"+id+"/states/power", object{"target": "power on"})
		}
		s.create(t, object{"uuid": idA})
		r := s.want(t, 503, "PUT", "/v1/nodes/"+idA+"/states/power", object{"target": "power on"})
		if !strings.Contains(r.fault(), "lack of free conductor workers") || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s %v", r.Raw, r.Header)
		}
		n := s.want(t, 200, "GET", "/v1/nodes/"+idA, nil).Body
		if n["target_power_state"] != nil || n["reservation"] != nil || n["last_error"] == nil {
			t.Errorf("target %v, reservation %v, last_error %v", n["target_power_state"], n["reservation"], n["last_error"])
		}
	})
}

func TestWaitingForTheLock(t *testing.T) {
	tests := []struct {
		name   string
		query  string
		header string
		free   time.Duration // when the lock comes free; 0: never
		status int
		took   time.Duration
	}{
		{"two seconds by default", "", "X-A: b", 0, 409, 2 * time.Second},
		{"default, then free", "", "X-A: b", time.Second, 202, time.Second},
		{"try once", "?wait=0", "X-A: b", time.Second, 409, 0},
		{"wait, then free", "?wait=30s", "X-A: b", 20 * time.Second, 202, 20 * time.Second},
		{"wait in vain", "?wait=30", "X-A: b", 0, 409, 30 * time.Second},
		{"prefer", "", "Prefer: respond-async, wait=10", 5 * time.Second, 202, 5 * time.Second},
		{"prefer in vain", "", "Prefer: wait=10", 0, 409, 10 * time.Second},
		{"longer than allowed", "?wait=10h", "X-A: b", 0, 409, 5 * time.Minute},
		{"nonsense", "?wait=soon", "X-A: b", 0, 400, 0},
		{"negative", "?wait=-1s", "X-A: b", 0, 400, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.create(t, object{"uuid": idA})
				l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
				if tt.free > 0 {
					time.AfterFunc(tt.free, func() { _ = l.Release(t.Context(), lease.Write{}) })
				}
				start := time.Now()
				s.want(t, tt.status, "PUT", "/v1/nodes/"+idA+"/states/power"+tt.query, object{"target": "power on"}, tt.header)
				if took := time.Since(start); took < tt.took || took > tt.took+time.Second {
					t.Errorf("took %s, want %s", took, tt.took)
				}
				time.Sleep(time.Minute) // the release of the bubble's other end
			})
		})
	}
}

func TestLockedTellsWho(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		other := s.open(t, "c2.example")
		s.lock(t, other, idA, lease.Exclusive)
		for _, req := range []struct{ method, path string }{
			{"PUT", "/v1/nodes/a/states/power?wait=0"},
			{"PUT", "/v1/nodes/a/maintenance?wait=0"},
			{"DELETE", "/v1/nodes/a/maintenance?wait=0"},
			{"DELETE", "/v1/nodes/a?wait=0"},
		} {
			body := ""
			if strings.Contains(req.path, "power") {
				body = `{"target": "power on"}`
			}
			r := s.want(t, 409, req.method, req.path, body)
			want := object{"kind": "locked", "holder": "c2.example", "purpose": "deploy", "mode": "exclusive", "node": idA}
			for key, value := range want {
				if r.Body[key] != value {
					t.Errorf("%s is %v, want %v", key, r.Body[key], value)
				}
			}
			if !strings.HasPrefix(r.fault(), "Node a is locked by host c2.example, please retry after the current operation is completed.") ||
				strings.Contains(r.fault(), idA) {
				t.Errorf("text %q", r.fault())
			}
			since, err := time.Parse(time.RFC3339, r.Body["since"].(string))
			until, err2 := time.Parse(time.RFC3339, r.Body["free_by"].(string))
			if err != nil || err2 != nil || time.Since(since) > time.Second || time.Until(until) < 15*time.Second {
				t.Errorf("since %v, free by %v (%v, %v)", since, until, err, err2)
			}
			if r.Header.Get("Retry-After") != "2" || len(r.Body["queue"].([]any)) != 0 {
				t.Errorf("Retry-After %q, queue %v", r.Header.Get("Retry-After"), r.Body["queue"])
			}
		}
		// Ironic's client dies of the header.
		if r := s.want(t, 409, "DELETE", "/v1/nodes/a?wait=0", nil, "User-Agent: python-ironicclient"); r.Header.Get("Retry-After") != "" || r.Body["holder"] == nil {
			t.Errorf("python-ironicclient is told %v %s", r.Header, r.Raw)
		}
		r := s.want(t, 409, "DELETE", "/v1/nodes/"+idA+"?wait=0", nil) // named as it was called
		if !strings.HasPrefix(r.fault(), "Node "+idA+" is locked") {
			t.Errorf("text %q", r.fault())
		}
		s.want(t, 200, "GET", "/v1/nodes/a", nil) // reads take no lock
		s.want(t, 200, "GET", "/v1/nodes/a/validate", nil)
	})
}

func TestMaintenance(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		path := "/v1/nodes/" + idA
		s.want(t, 202, "PUT", path+"/maintenance", object{"reason": "new disk"})
		if n := s.want(t, 200, "GET", path, nil).Body; n["maintenance"] != true || n["maintenance_reason"] != "new disk" {
			t.Errorf("after PUT: %v, %v", n["maintenance"], n["maintenance_reason"])
		}
		s.edit(t, idA, func(n *node.Node) { n.Fault = "power failure" })
		s.want(t, 202, "PUT", path+"/maintenance", "")
		s.want(t, 202, "DELETE", path+"/maintenance", nil)
		if n := s.want(t, 200, "GET", path, nil).Body; n["maintenance"] != false || n["maintenance_reason"] != nil || n["fault"] != nil {
			t.Errorf("after DELETE: %v, %v, %v", n["maintenance"], n["maintenance_reason"], n["fault"])
		}
		s.want(t, 400, "PUT", path+"/maintenance", `{"reason": 1}`)
		s.want(t, 400, "PUT", path+"/maintenance", `"reason"`)
	})
}

// A section of this package that was cut off is the next one's to settle; one of
// others, who may have commanded the machine, is not.
func TestAbandonedSections(t *testing.T) {
	tests := []struct {
		name            string
		purpose, detail string
		state           node.ProvisionState
		stays           bool
	}{
		{"maintenance", purposeMaintenance, "", node.StateManageable, false},
		{"update", purposeUpdate, "", node.StateActive, false},
		{"of a deployment", purposeUpdate, "", node.StateDeploying, true},
		{"a command", "flash.sh", "flash.sh", node.StateManageable, true},
		{"a command that calls itself maintenance", purposeMaintenance, "flash.sh", node.StateManageable, true},
		{"power", "power on", "", node.StateManageable, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) {
				s.create(t, object{"uuid": idA})
				s.edit(t, idA, func(n *node.Node) { n.ProvisionState = tt.state })
				dead := s.open(t, "dead")
				l, err := dead.Acquire(t.Context(), lease.Request{Name: idA, Purpose: tt.purpose, Detail: tt.detail})
				if err == nil {
					err = errors.Join(l.Declare(t.Context(), tt.detail), dead.Close(t.Context()))
				}
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				s.want(t, 202, "PUT", "/v1/nodes/"+idA+"/maintenance", nil)
				r, err := s.client.Get(t.Context(), lease.DefaultRoot+"intents/"+idA)
				if err != nil || (r.Count > 0) != tt.stays {
					t.Errorf("%d intents (%v)", r.Count, err)
				}
			})
		})
	}
}

func TestValidate(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "raid_interface": "no-raid"})
		for _, path := range []string{"/v1/nodes/" + idA + "/validate", "/v1/nodes/validate?node=" + idA} {
			r := s.want(t, 200, "GET", path, nil)
			power, raid := r.Body["power"].(object), r.Body["raid"].(object)
			if len(r.Body) != 12 || power["result"] != true || raid["result"] != false || raid["reason"] == "" {
				t.Errorf("%s", r.Raw)
			}
		}
	})
}
