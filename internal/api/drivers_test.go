package api

import (
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/hardware"
)

func TestDriverFields(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		list := func(version, query string) object {
			t.Helper()
			s.version = version
			return s.want(t, 200, "GET", "/v1/drivers"+query, nil).Body["drivers"].([]any)[0].(object)
		}
		for _, tt := range []struct{ version, query, want string }{
			{"1.1", "", "hosts links name"},
			{"1.14", "", "hosts links name properties"},
			{"1.30", "", "hosts links name properties type"},
			{"1.77", "?fields=name,default_power_interface", "default_power_interface name"},
			{"1.98", "?detail=false&type=dynamic", "hosts links name properties type"},
		} {
			if got := keys(list(tt.version, tt.query)); got != tt.want {
				t.Errorf("%s%s: %s, want %s", tt.version, tt.query, got, tt.want)
			}
		}
		// With detail, the interfaces that the version knows.
		for version, hidden := range map[string]string{"1.30": "storage rescue bios firmware", "1.39": "bios firmware", "1.85": "firmware", "1.86": ""} {
			for what, d := range map[string]object{
				"list": list(version, "?detail=true"), "one": s.want(t, 200, "GET", "/v1/drivers/fake-hardware", nil).Body,
			} {
				for _, i := range hardware.Interfaces() {
					_, enabled := d["enabled_"+i+"_interfaces"].([]any)
					_, byDefault := d["default_"+i+"_interface"].(string)
					if want := !strings.Contains(hidden, i); enabled != want || byDefault != want {
						t.Errorf("%s in the %s: %s is there: %t, %t", version, what, i, enabled, byDefault)
					}
				}
			}
		}
		for _, bad := range []struct {
			version, query string
			status         int
		}{
			{"1.29", "?detail=true", 406},
			{"1.29", "?type=dynamic", 406},
			{"1.76", "?fields=name", 406},
			{"1.98", "?fields=x", 400},
			{"1.98", "?detail=true&fields=name", 400},
			{"1.98", "?detail=perhaps", 400},
			{"1.98", "?type=steam", 400},
			{"1.85", "?fields=default_firmware_interface", 400},
		} {
			s.version = bad.version
			s.want(t, bad.status, "GET", "/v1/drivers"+bad.query, nil)
		}
		s.version = "latest"
		if got := s.want(t, 200, "GET", "/v1/drivers?type=classic", nil).Body["drivers"].([]any); len(got) != 0 {
			t.Errorf("classic drivers: %v", got)
		}
		if got := keys(s.want(t, 200, "GET", "/v1/drivers/fake-hardware?fields=name,type", nil).Body); got != "name type" {
			t.Errorf("one with fields: %s", got)
		}
	})
}
