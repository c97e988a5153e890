package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// vendorRoutes call what no other interface of a driver has. The method is the
// end of the path, or for some clients a parameter.
func (a *api) vendorRoutes() {
	const ofNode, ofDriver = "/v1/nodes/{node}/vendor_passthru", "/v1/drivers/{driver}/vendor_passthru"
	a.asks("GET "+ofNode+"/methods", 1, vendorMethods)
	a.asks("GET "+ofDriver+"/methods", 1, driverMethods)
	for _, end := range []string{"", "/{method}"} {
		a.asks("GET "+ofNode+end, 1, routed(callVendor)) // work on the machine, whatever its HTTP method
		a.asks("GET "+ofDriver+end, 1, callDriver)
		for _, m := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			a.handle(m+" "+ofNode+end, 1, callVendor)
			a.handle(m+" "+ofDriver+end, 1, callDriver)
		}
	}
}

func methodsView(all []hardware.VendorMethod) map[string]any {
	out := map[string]any{}
	for _, m := range all {
		out[m.Name] = map[string]any{
			"http_methods": m.HTTPMethods, "description": m.Description, "async": m.Async, "attach": m.Attach,
			"require_exclusive_lock": m.Exclusive,
		}
	}
	return out
}

// vendorMethods is GET /v1/nodes/{node}/vendor_passthru/methods.
func vendorMethods(ctx context.Context, c *call) error {
	var all []hardware.VendorMethod
	err := c.look(ctx, "list vendor methods", func(ctx context.Context, s *task.Snapshot) (err error) {
		all, err = s.Driver().Vendor.Methods(ctx)
		return provision.FromMachine(err)
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, methodsView(all))
}

// driverMethods is GET /v1/drivers/{driver}/vendor_passthru/methods.
func driverMethods(_ context.Context, c *call) error {
	info, err := c.describe()
	if err != nil {
		return err
	}
	all, err := c.cfg.Hardware.TypeMethods(info.Name)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, methodsView(all))
}

// vendorCall reads which method is called, and with what.
func (c *call) vendorCall() (hardware.VendorCall, error) {
	v := hardware.VendorCall{Method: c.r.PathValue("method"), HTTPMethod: c.r.Method}
	if v.Method == "" {
		v.Method = c.r.URL.Query().Get("method")
	}
	if v.Method == "" {
		return v, invalid("method", "Method not specified")
	}
	args, err := c.object()
	if args == nil {
		args = node.Object{}
	}
	v.Args = args
	return v, err
}

// object reads a body that is an object of the client's own design; nil if there
// is none.
func (c *call) object() (node.Object, error) {
	data, err := c.body()
	if text := strings.TrimSpace(string(data)); err != nil || text == "" || text == "null" {
		return nil, err
	}
	if _, err := node.InputFields(data); err != nil {
		return nil, err
	}
	var o node.Object
	return o, o.UnmarshalJSON(data)
}

// callVendor is any method on /v1/nodes/{node}/vendor_passthru/{method}.
func callVendor(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	v, err := c.vendorCall()
	if err != nil {
		return err
	}
	result, m, err := c.cfg.Provision.CallVendor(ctx, n.UUID, v, c.wait, c.user())
	if err != nil {
		return err
	}
	return c.vendorResult(result, m)
}

// callDriver is any method on /v1/drivers/{driver}/vendor_passthru/{method}. It
// is about no node, so it takes no lock.
func callDriver(ctx context.Context, c *call) error {
	info, err := c.describe()
	if err != nil {
		return err
	}
	v, err := c.vendorCall()
	if err != nil {
		return err
	}
	result, m, err := c.cfg.Hardware.CallType(ctx, info.Name, v)
	if err != nil {
		return provision.FromMachine(err)
	}
	return c.vendorResult(result, m)
}

func (c *call) vendorResult(result any, m hardware.VendorMethod) error {
	if m.Async {
		return c.accepted("")
	}
	if m.Attach {
		c.w.Header().Set("Content-Type", "application/octet-stream")
		var data []byte
		switch file := result.(type) {
		case string:
			data = []byte(file)
		case []byte:
			data = file
		}
		_, _ = c.w.Write(data) // a client that is gone needs no answer
		return nil
	}
	return c.json(http.StatusOK, result)
}
