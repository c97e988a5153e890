package api

import (
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/node"
)

func TestAskedVersion(t *testing.T) {
	tests := []struct {
		header string
		want   string // "" for 406
	}{
		{"X-A: b", "1.1"},
		{headerVersion + ": 1.78", "1.78"},
		{headerVersion + ": latest", "1.98"},
		{headerVersion + ": 1.1", "1.1"},
		{headerCommon + ": baremetal 1.50", "1.50"},
		{headerCommon + ": baremetal latest", "1.98"},
		{headerCommon + ": compute 2.1", "1.1"},
		{headerVersion + ": 1.99", ""},
		{headerVersion + ": 1.0", ""},
		{headerVersion + ": 2.1", ""},
		{headerVersion + ": 1", ""},
		{headerVersion + ": 1.-5", ""},
		{headerVersion + ": new", ""},
		{headerCommon + ": baremetal 3.0", ""},
	}
	inBubble(t, func(t *testing.T, s *server) {
		s.version = ""
		for _, tt := range tests {
			r := s.do(t, "GET", "/v1/nodes", nil, tt.header)
			status := 200
			if tt.want == "" {
				status = 406
			}
			if r.Status != status || r.Header.Get(headerVersion) != tt.want {
				t.Errorf("%s: %d, version %q", tt.header, r.Status, r.Header.Get(headerVersion))
			}
			if status == 406 && (r.Header.Get(headerMax) != "1.98" || !strings.Contains(r.fault(), "[1.1, 1.98]")) {
				t.Errorf("%s: %s %v", tt.header, r.Raw, r.Header)
			}
		}
	})
}

func TestVersionsHideAndRefuse(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a", "owner": "ann", "shard": "s"})
		s.edit(t, idA, func(n *node.Node) { n.ProvisionState = node.StateInspectWait })
		for _, tt := range []struct {
			version, field string
			shown          bool
		}{
			{"1.4", "name", false},
			{"1.5", "name", true},
			{"1.49", "owner", false},
			{"1.50", "owner", true},
			{"1.81", "shard", false},
			{"1.82", "shard", true},
			{"1.38", "bios_interface", false},
			{"1.98", "disable_power_off", true},
			{"1.94", "disable_power_off", false},
			{"1.98", "health", false},
		} {
			s.version = tt.version
			r := s.want(t, 200, "GET", "/v1/nodes/"+idA, nil)
			if _, ok := r.Body[tt.field]; ok != tt.shown {
				t.Errorf("%s shows %s: %t", tt.version, tt.field, ok)
			}
		}
		for _, tt := range []struct {
			version, method, path, body string
			status                      int
		}{
			{"1.4", "GET", "/v1/nodes/a", "", 404},
			{"1.7", "GET", "/v1/nodes?fields=uuid", "", 406},
			{"1.49", "GET", "/v1/nodes?fields=owner", "", 406},
			{"1.49", "GET", "/v1/nodes?owner=ann", "", 406},
			{"1.49", "GET", "/v1/nodes?sort_key=owner", "", 406},
			{"1.42", "GET", "/v1/nodes?detail=true", "", 406},
			{"1.43", "GET", "/v1/nodes?detail=true", "", 200},
			{"1.49", "POST", "/v1/nodes", `{"driver": "fake-hardware", "owner": "ann"}`, 406},
			{"1.22", "GET", "/v1/portgroups", "", 404},
			{"1.23", "GET", "/v1/portgroups", "", 200},
			{"1.31", "GET", "/v1/volume/targets", "", 404},
			{"1.87", "GET", "/v1/ports/some-name", "", 404},
			{"1.93", "POST", "/v1/ports", `{"node_ident": "a", "address": "52:54:00:cf:2d:31"}`, 406},
			{"1.94", "POST", "/v1/ports", `{"node_ident": "a", "address": "52:54:00:cf:2d:31"}`, 201},
		} {
			s.version = tt.version
			if r := s.do(t, tt.method, tt.path, tt.body); r.Status != tt.status {
				t.Errorf("%s %s %s: %d, want %d: %s", tt.version, tt.method, tt.path, r.Status, tt.status, r.Raw)
			}
		}
		s.version = "1.38"
		if r := s.want(t, 200, "GET", "/v1/nodes/"+idA+"/states", nil); r.Body["provision_state"] != "inspecting" || r.Body["boot_mode"] != nil {
			t.Errorf("1.38: %s", r.Raw)
		}
		s.version = "1.1"
		old := s.want(t, 201, "POST", "/v1/nodes", object{"driver": "fake-hardware"})
		if old.Body["provision_state"] != nil {
			t.Errorf("1.1 creates a node in %v", old.Body["provision_state"])
		}
		s.version = "latest"
		if r := s.want(t, 200, "GET", "/v1/nodes/"+old.Body["uuid"].(string), nil); r.Body["provision_state"] != "available" {
			t.Errorf("created by 1.1: %v", r.Body["provision_state"])
		}
	})
}
