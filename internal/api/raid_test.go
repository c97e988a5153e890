package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/node"
)

func TestRAID(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t)
		config := object{"logical_disks": []any{
			object{"size_gb": float64(50), "raid_level": "1+0", "is_root_volume": true}, object{"size_gb": "MAX", "raid_level": "JBOD"},
		}}
		s.want(t, 204, "PUT", base+"/states/raid", config)
		for _, path := range []string{"", "/states"} {
			if d := cmp.Diff(config, s.want(t, 200, "GET", base+path, nil).Body["target_raid_config"]); d != "" {
				t.Errorf("%s: %s", path, d)
			}
		}
		for text, bad := range map[string]any{
			"logical_disks":                   object{"disks": 1},
			"at least one":                    object{"logical_disks": []any{}},
			"logical_disks/0/raid_level":      object{"logical_disks": []any{object{"size_gb": 1, "raid_level": "9"}}},
			"logical_disks/0/size_gb":         object{"logical_disks": []any{object{"size_gb": "some", "raid_level": "1"}}},
			"must be a JSON object":           "[]",
			"root volumes":                    `{"logical_disks": [{"size_gb": 1, "raid_level": "0", "is_root_volume": true}, {"size_gb": 1, "raid_level": "0", "is_root_volume": true}]}`,
			"occurs twice in one object":      `{"logical_disks": [], "logical_disks": []}`,
			"not valid JSON":                  `{"logical_disks": `,
			"nested too deep":                 `{"logical_disks": ` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`,
			"logical_disks/0/physical_disks ": object{"logical_disks": []any{object{"size_gb": 1, "raid_level": "1", "physical_disks": []any{"a"}}}},
		} {
			r := s.want(t, 400, "PUT", base+"/states/raid", bad)
			if !strings.Contains(r.fault(), text) {
				t.Errorf("%v: %s", bad, r.fault())
			}
		}
		s.want(t, 204, "PUT", base+"/states/raid", object{})
		if got := s.want(t, 200, "GET", base, nil).Body["target_raid_config"]; len(got.(object)) != 0 {
			t.Errorf("left %v", got)
		}
		s.edit(t, idA, func(n *node.Node) { n.RAIDInterface = "no-raid" })
		s.want(t, 404, "PUT", base+"/states/raid", config)
		s.want(t, 204, "PUT", base+"/states/raid", object{})
	})
}

func TestLogicalDiskProperties(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		r := s.want(t, 200, "GET", "/v1/drivers/fake-hardware/raid/logical_disk_properties", nil)
		if len(r.Body) != 10 || !strings.Contains(r.Body["raid_level"].(string), "JBOD") {
			t.Errorf("got %s", r.Raw)
		}
		s.want(t, 404, "GET", "/v1/drivers/gone/raid/logical_disk_properties", nil)
		s.version = "1.11"
		s.want(t, 404, "GET", "/v1/drivers/fake-hardware/raid/logical_disk_properties", nil)
	})
}
