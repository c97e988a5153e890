package e2e

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/apiversions"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/utils"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// gopher is gophercloud's client of one conductor, in one part of the test.
type gopher struct {
	t   *testing.T
	ctx context.Context
	*gophercloud.ServiceClient
	aborted bool // last_error tells of it, as in Ironic, until work begins anew
}

// TestGophercloud calls what programs in Go call, metal3 and Terraform among
// them, on a conductor instead of Ironic.
func TestGophercloud(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t, 1)
	c := serve(t, "g1", "--etcd-endpoints", etcd.endpoints(), "--lock-delay", "1s")
	var wg sync.WaitGroup // the parts wait most of their time
	for name, part := range map[string]func(*gopher){
		"versions": gopherVersions, "records": gopherRecords, "network": gopherNetwork, "cluster": gopherCluster,
		"hardware": gopherHardware, "refusals": gopherRefusals, "life": gopherLife, "clean": gopherClean, "service": gopherService,
		"locked": func(g *gopher) { e := *etcd; e.t = g.t; gopherLocked(g, &e) },
	} {
		wg.Go(func() { t.Run(name, func(t *testing.T) { part(newGopher(t, c.url)) }) })
	}
	wg.Wait()
	etcd.audit()
}

func newGopher(t *testing.T, url string) *gopher {
	t.Helper()
	client, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: url + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	client.Microversion = "1.95"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return &gopher{t: t, ctx: ctx, ServiceClient: client}
}

// ask returns the answer to a call, which must succeed.
func ask[T any](g *gopher, call func() (T, error)) T {
	g.t.Helper()
	answer, err := call()
	g.ok(err)
	return answer
}

// pagesOf returns all that a list has.
func pagesOf[T any](g *gopher, pages pagination.Pager, extract func(pagination.Page) ([]T, error)) []T {
	g.t.Helper()
	all, err := pages.AllPages(g.ctx)
	g.ok(err)
	list, err := extract(all)
	g.ok(err)
	return list
}

func (g *gopher) ok(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// refused checks how a call failed, and returns the body of the answer.
func (g *gopher) refused(err error, code int, text string) string {
	g.t.Helper()
	if !gophercloud.ResponseCodeIs(err, code) || !strings.Contains(err.Error(), text) {
		g.t.Errorf("%v, want the status %d and %q", err, code, text)
	}
	return err.Error()
}

func (g *gopher) get(id string) *nodes.Node {
	g.t.Helper()
	return ask(g, nodes.Get(g.ctx, g.ServiceClient, id).Extract)
}

// create makes a node.
func (g *gopher) create(opts nodes.CreateOpts) *nodes.Node {
	g.t.Helper()
	opts.Driver = "fake-hardware"
	n := ask(g, nodes.Create(g.ctx, g.ServiceClient, opts).Extract)
	if n.UUID == "" || n.Name != opts.Name || n.ProvisionState != string(nodes.Enroll) {
		g.t.Fatalf("created %+v", n)
	}
	return n
}

// to asks for a provision state and waits until the node is there, at rest.
func (g *gopher) to(id string, opts nodes.ProvisionStateOpts, state nodes.ProvisionState) *nodes.Node {
	g.t.Helper()
	g.ok(nodes.ChangeProvisionState(g.ctx, g.ServiceClient, id, opts).ExtractErr())
	ctx, cancel := context.WithTimeout(g.ctx, 20*time.Second)
	defer cancel()
	if err := nodes.WaitForProvisionState(ctx, g.ServiceClient, id, state); err != nil {
		g.t.Fatalf("%s to %s: %v; %+v", opts.Target, state, err, g.get(id))
	}
	n := g.get(id)
	g.aborted = g.aborted || opts.Target == nodes.TargetAbort
	stable := []nodes.ProvisionState{nodes.Manageable, nodes.Available, nodes.Active, nodes.Rescue}
	if slices.Contains(stable, state) && (n.TargetProvisionState != "" || n.LastError != "" && !g.aborted || n.Reservation != "") {
		g.t.Errorf("%s: %+v", opts.Target, n)
	}
	return n
}

func gopherVersions(g *gopher) {
	v := ask(g, func() (utils.SupportedMicroversions, error) {
		return utils.GetSupportedMicroversions(g.ctx, g.ServiceClient)
	})
	if v.MinMajor != 1 || v.MinMinor > 78 || v.MaxMajor != 1 || v.MaxMinor < 98 {
		g.t.Errorf("versions %+v, want at least 1.78 to 1.98", v)
	}
	if _, err := utils.RequireMicroversion(g.ctx, *g.ServiceClient, "1.89"); err != nil { // as metal3 does
		g.t.Error(err)
	}
	if _, err := utils.RequireMicroversion(g.ctx, *g.ServiceClient, "1.200"); err == nil {
		g.t.Error("1.200 is supported")
	}
	all := ask(g, apiversions.List(g.ctx, &gophercloud.ServiceClient{
		ProviderClient: g.ProviderClient, Endpoint: strings.TrimSuffix(g.Endpoint, "v1/"),
	}).Extract)
	if len(all.Versions) != 1 || all.DefaultVersion.ID != "v1" || all.Versions[0].Status != "CURRENT" {
		g.t.Errorf("versions %+v", all)
	}
	old := *g.ServiceClient
	old.Microversion = "1.200"
	g.refused(nodes.Get(g.ctx, &old, "nobody").Err, http.StatusNotAcceptable, "The supported version range is")
}

func gopherRefusals(g *gopher) {
	n := g.create(nodes.CreateOpts{Name: "refusals"})
	g.refused(nodes.Create(g.ctx, g.ServiceClient, nodes.CreateOpts{Name: "refusals", Driver: "fake-hardware"}).Err, http.StatusConflict, "already exists")
	g.refused(nodes.Create(g.ctx, g.ServiceClient, nodes.CreateOpts{Driver: "nonsense"}).Err, http.StatusBadRequest, "No valid host")
	g.refused(nodes.Get(g.ctx, g.ServiceClient, "nobody").Err, http.StatusNotFound, "could not be found")
	g.refused(nodes.Delete(g.ctx, g.ServiceClient, "nobody").Err, http.StatusNotFound, "could not be found")
	for _, verb := range []nodes.TargetProvisionState{nodes.TargetActive, nodes.TargetProvide, nodes.TargetRescue, "nonsense"} {
		opts := nodes.ProvisionStateOpts{Target: verb}
		g.refused(nodes.ChangeProvisionState(g.ctx, g.ServiceClient, n.UUID, opts).Err, http.StatusBadRequest, "can not be performed")
	}
	for _, op := range []nodes.UpdateOperation{
		{Op: nodes.ReplaceOp, Path: "/provision_state", Value: "active"}, {Op: nodes.AddOp, Path: "/nonsense", Value: 1}, {Op: nodes.RemoveOp, Path: "/driver"},
	} {
		g.refused(nodes.Update(g.ctx, g.ServiceClient, n.UUID, nodes.UpdateOpts{op}).Err, http.StatusBadRequest, "faultstring")
	}
	if n := g.get("refusals"); n.ProvisionState != string(nodes.Enroll) || n.LastError != "" || n.Reservation != "" {
		g.t.Errorf("after all refusals: %+v", n)
	}
}

func gopherLocked(g *gopher, etcd *etcd) {
	n := g.create(nodes.CreateOpts{Name: "locked"})
	holder := etcd.startRun([]string{"--holder", "workshop", "--purpose", "new memory"}, n.UUID, "sh", "-c", "echo locked; read line")
	holder.line(holder.out, "locked", 10*time.Second)
	text := g.refused(nodes.SetMaintenance(g.ctx, g.ServiceClient, n.UUID, nodes.MaintenanceOpts{Reason: "x"}).Err, http.StatusConflict, "is locked by host workshop")
	for _, fact := range []string{`"kind":"locked"`, `"holder":"workshop"`, `"purpose":"new memory"`, `"queue":[]`, `"since":"`} {
		if !strings.Contains(text, fact) {
			g.t.Errorf("the answer has no %s: %s", fact, text)
		}
	}
	if n := g.get("locked"); n.Reservation != "workshop" || n.Maintenance {
		g.t.Errorf("the locked node: %+v", n)
	}
	_, _ = holder.stdin.Write([]byte("done\n"))
	holder.exit(10 * time.Second)
	g.ok(nodes.SetMaintenance(g.ctx, g.ServiceClient, n.UUID, nodes.MaintenanceOpts{Reason: "x"}).ExtractErr())
}
