package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestVIFs(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t) + "/vifs" // one of two ports has the VIF w
		ports := s.want(t, 200, "GET", "/v1/ports/detail?sort_key=address", nil).Body["ports"].([]any)
		taken, free := ports[0].(object)["uuid"].(string), ports[1].(object)["uuid"].(string)
		list := func() string { return s.want(t, 200, "GET", base, nil).names("vifs", "id") }
		if list() != "w" {
			t.Errorf("at first %s", list())
		}
		refused := func(status int, kind, text string, body any) {
			t.Helper()
			if r := s.want(t, status, "POST", base, body); r.Body["kind"] != kind || !strings.Contains(r.fault(), text) {
				t.Errorf("%v: %s", body, r.Raw)
			}
		}
		refused(409, "vif_attached", "Unable to attach VIF because VIF w is already attached to port "+taken, object{"id": "w"})
		refused(400, "no_free_port", "Unable to attach VIF v, not enough free physical ports.", object{"id": "v", "port_uuid": taken})
		refused(400, "invalid", "both port_uuid and portgroup_uuid", object{"id": "v", "port_uuid": free, "portgroup_uuid": idB})
		for _, bad := range []any{object{}, object{"id": ""}, object{"id": 1}, object{"id": "a b"}, object{"id": "a/b"}, "", "[]"} {
			s.want(t, 400, "POST", base, bad)
		}
		s.want(t, 204, "POST", base, object{"id": "v", "port_uuid": free})
		if got := strings.Fields(list()); len(got) != 2 {
			t.Errorf("attached %v", got)
		}
		info := s.want(t, 200, "GET", "/v1/ports/"+free, nil).Body["internal_info"]
		if d := cmp.Diff(object{"tenant_vif_port_id": "v"}, info); d != "" {
			t.Error(d)
		}
		refused(400, "no_free_port", "VIF x", object{"id": "x"})
		s.want(t, 204, "DELETE", base+"/v", nil)
		if r := s.want(t, 400, "DELETE", base+"/v", nil); r.Body["kind"] != "vif_not_attached" ||
			r.fault() != "Unable to detach VIF v from node "+idA+" because it is not attached to it." {
			t.Errorf("%s", r.Raw)
		}
		s.want(t, 400, "DELETE", base+"/a%20b", nil)
		s.version = "1.66" // which does not know of ports
		s.want(t, 204, "POST", base, object{"id": "v", "port_uuid": taken})
		if got := s.want(t, 200, "GET", "/v1/ports/"+free, nil).Body["internal_info"].(object)["tenant_vif_port_id"]; got != "v" {
			t.Errorf("the free port has %v", got)
		}
	})
}

func TestVirtualMedia(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t) + "/vmedia"
		inserted := func() string {
			t.Helper()
			time.Sleep(time.Second)
			return strings.TrimSpace(s.want(t, 200, "GET", base, nil).Raw)
		}
		empty := `[{"image":null,"inserted":false,"media_types":["CD","DVD"]},{"image":null,"inserted":false,"media_types":["USBStick"]},{"image":null,"inserted":false,"media_types":["Floppy"]}]`
		if got := inserted(); got != empty {
			t.Errorf("at first %s", got)
		}
		s.want(t, 204, "POST", base, object{"device_type": "cdrom", "image_url": "https://alice:hunter2@192.0.2.1/a.iso", "image_download_source": "http"})
		if got := inserted(); !strings.Contains(got, `[{"image":"https://alice:******@192.0.2.1/a.iso","inserted":true,"media_types":["CD","DVD"]}`) {
			t.Errorf("attached: %s", got)
		}
		if r := s.want(t, 200, "GET", "/v1/nodes/"+idA, nil); strings.Contains(r.Raw, "hunter2") {
			t.Errorf("the node shows the password: %s", r.Raw)
		}
		s.want(t, 204, "POST", base, object{"device_type": "disk", "image_url": "nfs://192.0.2.1/b.img"})
		time.Sleep(time.Second)
		s.want(t, 204, "DELETE", base+"?device_types=cdrom,floppy", nil)
		if got := inserted(); strings.Contains(got, "a.iso") || !strings.Contains(got, "b.img") {
			t.Errorf("detached the cdrom: %s", got)
		}
		s.want(t, 204, "DELETE", base, nil)
		if got := inserted(); got != empty {
			t.Errorf("detached all: %s", got)
		}
		for _, bad := range []any{
			object{"device_type": "cdrom"},
			object{"image_url": "http://192.0.2.1"},
			object{"device_type": "tape", "image_url": "http://192.0.2.1"},
			object{"device_type": "cdrom", "image_url": "ftp://192.0.2.1"},
			object{"device_type": "cdrom", "image_url": "a.iso"},
			object{"device_type": "cdrom", "image_url": "http://192.0.2.1", "image_download_source": "pigeon"},
			object{"device_type": "cdrom", "image_url": "http://192.0.2.1", "x": 1},
			"",
		} {
			s.want(t, 400, "POST", base, bad)
		}
		s.want(t, 400, "DELETE", base+"?device_types=cdrom,tape", nil)
	})
}

func TestVirtualMediaFails(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		base := s.machine(t)
		body := object{"device_type": "cdrom", "image_url": "http://192.0.2.1/a.iso"}
		s.edit(t, idA, func(n *node.Node) {
			n.DriverInfo = node.Object{hardware.FaultKey: []any{object{"mode": "fail", "on": "management.AttachVirtualMedia", "message": "bad mood"}}}
		})
		s.want(t, 204, "POST", base+"/vmedia", body)
		time.Sleep(time.Second)
		if got, want := s.want(t, 200, "GET", base, nil).Body["last_error"], "Could not attach device cdrom to node "+idA+": management.AttachVirtualMedia: bad mood"; got != want {
			t.Errorf("last error %v, want %s", got, want)
		}
		s.edit(t, idA, func(n *node.Node) { n.Maintenance, n.Fault = true, "power failure" })
		for _, method := range []string{"POST", "DELETE"} {
			r := s.want(t, 503, method, base+"/vmedia", body)
			if r.Body["kind"] != "unreachable" || r.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %s", method, r.Raw)
			}
		}
	})
}
