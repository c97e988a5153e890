package api

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestDocumentIsServed(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.version = ""
		r := s.want(t, 200, "GET", "/openapi.yaml", nil)
		var asYAML map[string]any
		if err := yaml.Unmarshal([]byte(r.Raw), &asYAML); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(asYAML)
		if err != nil {
			t.Fatal(err)
		}
		asJSON := s.want(t, 200, "GET", "/openapi.json", nil).Body
		var same map[string]any
		if err := json.Unmarshal(data, &same); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(same, asJSON); d != "" {
			t.Errorf("YAML and JSON differ: %s", d)
		}
		if asJSON["openapi"] != "3.0.3" {
			t.Errorf("openapi is %v", asJSON["openapi"])
		}
	})
}
