package api

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Ironic: the metadata of its passthru decorator.
func TestVendorMethods(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		all := s.want(t, 200, "GET", s.machine(t)+"/vendor_passthru/methods", nil).Body
		if got := keys(all); got != "fourth_method_shared_lock log_passthrough second_method third_method_sync" {
			t.Errorf("methods %s", got)
		}
		for name, want := range map[string]object{
			"second_method":             {"async": true, "require_exclusive_lock": true},
			"third_method_sync":         {"async": false, "require_exclusive_lock": true},
			"fourth_method_shared_lock": {"async": true, "require_exclusive_lock": false},
		} {
			m := all[name].(object)
			if keys(m) != "async attach description http_methods require_exclusive_lock" || m["http_methods"].([]any)[0] != "POST" {
				t.Errorf("%s: %v", name, m)
			}
			for k, v := range want {
				if m[k] != v {
					t.Errorf("%s: %s is %v", name, k, m[k])
				}
			}
		}
		if got := s.want(t, 200, "GET", "/v1/drivers/fake-hardware/vendor_passthru/methods", nil).Body; len(got) != 0 {
			t.Errorf("methods of the driver: %v", got)
		}
	})
}

func TestVendorPassthru(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		path := s.machine(t) + "/vendor_passthru"
		for url, want := range map[string]string{
			"/third_method_sync": "true\n", "?method=third_method_sync": "true\n",
			"/second_method": "", "/fourth_method_shared_lock": "", "/log_passthrough": "",
		} {
			status := 202
			if want != "" {
				status = 200
			}
			if r := s.want(t, status, "POST", path+url, object{"bar": "meow"}); r.Raw != want {
				t.Errorf("%s: %q", url, r.Raw)
			}
			time.Sleep(time.Second)
		}
		for _, req := range []struct {
			method, url string
			body        any
			status      int
			text        string
		}{
			{"POST", "/first_method", object{"bar": "x"}, 400, "no vendor method \"first_method\", there are: fourth"},
			{"GET", "/second_method", nil, 400, "does not take GET, but: POST"},
			{"DELETE", "?method=second_method", nil, 400, "does not take DELETE"},
			{"PUT", "/second_method", object{"bar": "x"}, 400, "does not take PUT"},
			{"PATCH", "/second_method", object{"bar": "x"}, 400, "does not take PATCH"},
			{"POST", "/second_method", nil, 400, "bar"},
			{"POST", "/second_method", object{"bar": ""}, 400, "bar"},
			{"POST", "/second_method", "[1]", 400, "JSON object"},
			{"POST", "", object{"bar": "x"}, 400, "Method not specified"},
			{"OPTIONS", "/second_method", nil, 405, "allowed"},
		} {
			r := s.want(t, req.status, req.method, path+req.url, req.body)
			if !strings.Contains(r.fault(), req.text) {
				t.Errorf("%s %s: %s", req.method, req.url, r.fault())
			}
		}
		s.edit(t, idA, func(n *node.Node) { n.VendorInterface = "no-vendor" })
		s.want(t, 400, "POST", path+"/second_method", object{"bar": "x"})
		if got := s.want(t, 200, "GET", path+"/methods", nil).Body; len(got) != 0 {
			t.Errorf("methods without a vendor interface: %v", got)
		}
	})
}

// files is a vendor interface with methods of the hardware type and files.
type files struct{ hardware.Vendor }

var fileMethods = []hardware.VendorMethod{
	{Name: "text", HTTPMethods: []string{"GET"}, Attach: true},
	{Name: "bytes", HTTPMethods: []string{"GET"}, Attach: true},
	{Name: "args", HTTPMethods: []string{"POST", "DELETE"}},
	{Name: "later", HTTPMethods: []string{"POST"}, Async: true},
	{Name: "broken", HTTPMethods: []string{"POST"}},
}

func (files) TypeMethods() []hardware.VendorMethod { return fileMethods }

func (files) CallType(_ context.Context, c hardware.VendorCall) (any, error) {
	switch c.Method {
	case "text":
		return "<html>", nil
	case "bytes":
		return []byte{0, 1}, nil
	case "broken":
		return nil, errors.New("paper jam")
	}
	return c.Args, nil
}

func (files) Validate(context.Context, *node.Node, hardware.VendorCall) error { return nil }

func (files) Methods(context.Context, *node.Node) ([]hardware.VendorMethod, error) {
	return fileMethods, nil
}

func (f files) Query(ctx context.Context, _ *node.Node, c hardware.VendorCall) (any, error) {
	return f.CallType(ctx, c)
}

// furnish gives a server other hardware.
func (s *server) furnish(t *testing.T, change func(*hardware.Config)) {
	t.Helper()
	config := hardwaretest.Config(s.bmc)
	change(&config)
	r, err := hardware.NewRegistry(config)
	if err != nil {
		t.Fatal(err)
	}
	s.tasks, err = task.NewManager(task.Config{Client: s.client, Sessions: s.session, Hardware: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.tasks.Close(context.Background()) })
	c := s.config(s.session)
	c.Hardware, c.Registry = r, nil
	c.Provision = provision.New(provision.Config{Tasks: s.tasks, Store: s.store})
	if s.Handler, err = judged(t, c); err != nil {
		t.Fatal(err)
	}
}

// What methods of a node can answer, those of a hardware type can too.
func TestVendorResults(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.furnish(t, func(c *hardware.Config) {
			c.Kit.Vendor = map[string]hardware.Vendor{"files": files{}}
			c.Defaults = map[string]string{"vendor": "files"}
		})
		s.create(t, object{"uuid": idA})
		for _, of := range []string{"/v1/nodes/" + idA, "/v1/drivers/fake-hardware"} {
			path := of + "/vendor_passthru"
			for name, want := range map[string]string{"text": "<html>", "bytes": "\x00\x01"} {
				r := s.want(t, 200, "GET", path+"/"+name, nil)
				if r.Raw != want || r.Header.Get("Content-Type") != "application/octet-stream" {
					t.Errorf("%s: %q of type %s", name, r.Raw, r.Header.Get("Content-Type"))
				}
			}
			for _, method := range []string{"POST", "DELETE"} {
				if r := s.want(t, 200, method, path+"?method=args", `{"n": 12345678901234567890}`); r.Raw != `{"n":12345678901234567890}`+"\n" {
					t.Errorf("%s: %q", method, r.Raw)
				}
			}
			if r := s.want(t, 202, "POST", path+"/later", nil); r.Raw != "" {
				t.Errorf("later: %q", r.Raw)
			}
			if r := s.want(t, 500, "POST", path+"/broken", nil); r.Body["kind"] != "machine" || r.fault() != "paper jam" {
				t.Errorf("broken: %s", r.Raw)
			}
			s.want(t, 400, "POST", path+"/text", nil)
			s.want(t, 400, "POST", path+"/none", nil)
			if all := s.want(t, 200, "GET", path+"/methods", nil).Body; len(all) != len(fileMethods) || all["text"].(object)["attach"] != true {
				t.Errorf("methods %v", all)
			}
		}
		s.want(t, 404, "POST", "/v1/drivers/gone/vendor_passthru/args", nil)
		s.want(t, 404, "GET", "/v1/drivers/gone/vendor_passthru/methods", nil)
	})
}
