package api

import (
	"strings"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// ramdisk makes a node in a state with two ports, 52:54:00:00:00:01 and :02.
func (s *server) ramdisk(t *testing.T, state node.ProvisionState) {
	t.Helper()
	s.create(t, object{"uuid": idA, "name": "a", "driver_info": object{"ipmi_password": "x"}, "extra": object{"x": 1}})
	for _, mac := range []string{"52:54:00:00:00:01", "52:54:00:00:00:02"} {
		s.want(t, 201, "POST", "/v1/ports", object{"node_uuid": idA, "address": mac})
	}
	s.edit(t, idA, func(n *node.Node) { n.ProvisionState = state })
}

func TestLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.ramdisk(t, node.StateWaitCallBack)
		s.version = "1.61" // which knows of no token
		for _, query := range []string{
			"node_uuid=" + idA, "addresses=52:54:00:00:00:01", "addresses=52-54-00-00-00-02", "addresses=52:54:00:00:00:01,52:54:00:00:00:02",
			"addresses=52:54:00:00:00:01&addresses=00:11:22:33:44:55", "addresses=lo,52:54:00:00:00:02", "node_uuid=" + idA + "&addresses=00:11:22:33:44:55",
			"node_uuid=" + strings.ToUpper(idA),
		} {
			r := s.want(t, 200, "GET", "/v1/lookup?"+query, nil)
			if n := r.Body["node"].(object); n["uuid"] != idA || keys(n) != "driver_internal_info instance_info links properties uuid" {
				t.Errorf("%s: %v", query, n)
			}
			if c := r.Body["config"].(object); c["heartbeat_timeout"] != float64(300) || c["agent_token"] != nil {
				t.Errorf("%s: %v", query, c)
			}
		}
		s.want(t, 200, "GET", "/lookup?node_uuid="+idA, nil)
		for query, status := range map[string]int{
			"": 400, "addresses=": 400, "addresses=lo": 400, "node_uuid=a": 400,
			"node_uuid=" + idB: 404, "addresses=00:11:22:33:44:55": 404,
		} {
			s.want(t, status, "GET", "/v1/lookup?"+query, nil)
		}
		s.version = "1.21"
		s.want(t, 404, "GET", "/v1/lookup?node_uuid="+idA, nil)
	})
}

// Addresses of two nodes tell nothing. Ironic: DuplicateNodeOnLookup.
func TestLookupOfTwoNodes(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.ramdisk(t, node.StateWaitCallBack)
		s.create(t, object{"uuid": idB})
		s.want(t, 201, "POST", "/v1/ports", object{"node_uuid": idB, "address": "52:54:00:00:00:03"})
		s.edit(t, idB, func(n *node.Node) { n.ProvisionState = node.StateWaitCallBack })
		s.version = "1.61"
		s.want(t, 200, "GET", "/v1/lookup?addresses=52:54:00:00:00:03", nil)
		s.want(t, 404, "GET", "/v1/lookup?addresses=52:54:00:00:00:01,52:54:00:00:00:03", nil)
	})
}

// A node in a state without an agent looks like one that does not exist.
func TestLookupStates(t *testing.T) {
	allowed := map[node.ProvisionState]bool{
		"deploying": true, "wait call-back": true, "cleaning": true, "clean wait": true, "inspecting": true, "inspect wait": true,
		"rescuing": true, "rescue wait": true, "service wait": true,
	}
	inBubble(t, func(t *testing.T, s *server) {
		s.ramdisk(t, node.StateEnroll)
		none := s.want(t, 404, "GET", "/v1/lookup?node_uuid="+idB, nil)
		for _, state := range node.States() {
			s.edit(t, idA, func(n *node.Node) { n.ProvisionState = state })
			for _, query := range []string{"node_uuid=" + idA, "addresses=52:54:00:00:00:01"} {
				r := s.do(t, "GET", "/v1/lookup?"+query, nil)
				if allowed[state] != (r.Status == 200) || r.Status == 404 && r.Raw != none.Raw {
					t.Errorf("%s: %d %s", state, r.Status, r.Raw)
				}
			}
		}
	})
}

// The token is told to who asks first, and to nobody else by any path.
func TestLookupMakesAToken(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.ramdisk(t, node.StateCleanWait)
		l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		start := time.Now()
		if r := s.want(t, 409, "GET", "/v1/lookup?node_uuid="+idA, nil); r.Body["kind"] != "locked" || time.Since(start) != 0 {
			t.Errorf("after %s: %s", time.Since(start), r.Raw)
		}
		if err := l.Release(t.Context(), lease.Write{}); err != nil {
			t.Fatal(err)
		}
		first := s.want(t, 200, "GET", "/v1/lookup?node_uuid="+idA, nil)
		token, _ := first.Body["config"].(object)["agent_token"].(string)
		if len(token) < 20 {
			t.Fatalf("token %q", token)
		}
		if again := s.want(t, 200, "GET", "/v1/lookup?node_uuid="+idA, nil).Body["config"].(object)["agent_token"]; again != "******" {
			t.Errorf("again: %v", again)
		}
		for _, path := range []string{"/v1/nodes/" + idA, "/v1/nodes/detail"} {
			if r := s.want(t, 200, "GET", path, nil); strings.Contains(r.Raw, token) {
				t.Errorf("%s tells the token", path)
			}
		}
		if shown := first.Body["node"].(object)["driver_internal_info"].(object)["agent_secret_token"]; shown != "******" {
			t.Errorf("the node shows %v", shown)
		}
	})
}

func TestHeartbeat(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.ramdisk(t, node.StateDeploying)
		token := s.want(t, 200, "GET", "/v1/lookup?node_uuid="+idA, nil).Body["config"].(object)["agent_token"]
		beat := func(change object) object {
			out := object{"callback_url": "https://192.0.2.1:9999", "agent_version": "9.1", "agent_token": token}
			for k, v := range change {
				if out[k] = v; v == nil {
					delete(out, k)
				}
			}
			return out
		}
		for _, tt := range []struct {
			version string
			change  object
			status  int
			text    string
		}{
			{"1.21", nil, 404, "1.22"},
			{"1.35", nil, 400, "agent_version"},
			{"1.67", object{"agent_verify_ca": "x"}, 400, "agent_verify_ca"},
			{"1.71", object{"agent_status": "start"}, 400, "agent_status"},
			{"1.71", object{"agent_status_message": "x"}, 400, "agent_status"},
			{"latest", object{"callback_url": nil}, 400, "callback_url"},
			{"latest", object{"callback_url": "gopher://x"}, 400, "callback_url"},
			{"latest", object{"callback_url": "http://"}, 400, "callback_url"},
			{"latest", object{"callback_url": "192.0.2.1:9999"}, 400, "callback_url"},
			{"latest", object{"agent_token": nil}, 400, "Agent token is required"},
			{"latest", object{"agent_token": "******"}, 400, "token"},
			{"latest", object{"agent_version": nil}, 400, "agent_version"},
			{"latest", object{"agent_status": "tired"}, 400, "Valid states are start,end,error"},
			{"latest", object{"color": "red"}, 400, "color"},
			{"latest", object{"callback_url": "http://" + strings.Repeat("x", 2048)}, 400, "callback_url"},
			{"latest", object{"agent_version": strings.Repeat("9", 2049)}, 400, "agent_version"},
			{"latest", object{"agent_verify_ca": strings.Repeat("x", 64<<10+1)}, 400, "agent_verify_ca"},
		} {
			s.version = tt.version
			r := s.want(t, tt.status, "POST", "/v1/heartbeat/"+idA, beat(tt.change))
			if !strings.Contains(r.fault(), tt.text) {
				t.Errorf("%s %v: %s", tt.version, tt.change, r.fault())
			}
		}
		s.version = "latest"
		if r := s.want(t, 404, "POST", "/v1/heartbeat/"+idB, beat(nil)); r.fault() != "Resource could not be found." {
			t.Errorf("to nobody: %s", r.fault())
		}
		if n, err := s.store.Node(t.Context(), idA); err != nil || n.DriverInternalInfo["agent_url"] != nil {
			t.Errorf("something was stored: %v", n.DriverInternalInfo)
		}
		l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		if r := s.want(t, 409, "POST", "/v1/heartbeat/"+idA, beat(nil)); r.Body["holder"] != "c2.example" {
			t.Errorf("%s", r.Raw)
		}
		if err := l.Release(t.Context(), lease.Write{}); err != nil {
			t.Fatal(err)
		}
		if r := s.want(t, 202, "POST", "/v1/heartbeat/a", beat(object{"agent_verify_ca": "PEM", "agent_status": "start"})); r.Raw != "" {
			t.Errorf("a body: %s", r.Raw)
		}
		time.Sleep(time.Second)
		n, err := s.store.Node(t.Context(), idA)
		if err != nil || n.DriverInternalInfo["agent_url"] != "https://192.0.2.1:9999" || n.DriverInternalInfo["agent_verify_ca"] != "PEM" {
			t.Errorf("stored %v, %v", n.DriverInternalInfo, err)
		}
		r := s.want(t, 400, "POST", "/v1/heartbeat/a", beat(object{"callback_url": "https://root:s3cret@198.51.100.1:9999"}))
		if !strings.Contains(r.fault(), "Detected change") || strings.Contains(s.log.String(), "s3cret") {
			t.Errorf("from elsewhere: %s, logged %s", r.fault(), s.log.String())
		}
		r = s.want(t, 400, "POST", "/v1/heartbeat/a", beat(object{"callback_url": "https://198.51.100.1:9999", "agent_token": "wrong"}))
		if !strings.Contains(r.fault(), "token") || strings.Contains(r.fault(), idA) {
			t.Errorf("from nobody: %s", r.fault())
		}
		s.want(t, 202, "POST", "/v1/heartbeat/a", beat(object{"agent_status": "start", "agent_status_message": strings.Repeat("x", 900_000)}))
		time.Sleep(time.Second)
		if n, err = s.store.Node(t.Context(), idA); err != nil || len(n.DriverInternalInfo.Text("agent_status_message")) > maxAgentMessage+3 {
			t.Errorf("a message of %d bytes is stored, %v", len(n.DriverInternalInfo.Text("agent_status_message")), err)
		}
	})
}
