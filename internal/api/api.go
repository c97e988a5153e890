package api

import (
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/internal/auth"
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Config describes the handler.
type Config struct {
	Host        string                 // hostname of this conductor; required
	Version     string                 // of the program, for /version
	Store       *node.Store            // required
	Lists       Lists                  // for what is only shown; nil: Store. The metrics of a *node.Cache are served
	Locks       lease.Locks            // the lock queues, and members below the same root; Client is required
	Tasks       *task.Manager          // required
	Provision   *provision.Provisioner // required
	Hardware    *hardware.Registry     // required
	Allocations *allocate.Allocator    // required
	Sessions    task.Sessions          // for readiness; required
	Registry    *prometheus.Registry   // served on /metrics, and gets the metrics of this package; nil: a new one
	Cluster     Cluster                // the other conductors; the zero value: there are none
	Users       *auth.Users            // who may call without a client certificate; nil: everybody
	Logger      *slog.Logger           // nil: discarded
	MaxWait     time.Duration          // the longest wait for a lock that a request may ask for; 0: 5 minutes
}

// api is the handler's state. It does not change after New, but for the metrics,
// the number of watches and what was last known of readiness.
type api struct {
	cfg      Config
	mux      *http.ServeMux
	metrics  *metrics
	watchers chan struct{}    // one token for each watch
	since    map[string]minor // of all routes, by pattern
	unready  atomic.Value     // the checks of readiness that failed at the last look
}

// New returns the handler of the whole interface. It registers its metrics, so
// a second call with the same Registry fails.
func New(c Config) (http.Handler, error) {
	a, err := build(c)
	if err != nil {
		return nil, err
	}
	return a.door(), nil
}

func build(c Config) (*api, error) {
	if c.Host == "" || c.Store == nil || c.Locks.Client == nil || c.Tasks == nil || c.Provision == nil || c.Hardware == nil || c.Allocations == nil || c.Sessions == nil {
		return nil, errors.New("api: Host, Store, Locks.Client, Tasks, Provision, Hardware, Allocations and Sessions are required")
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Lists == nil {
		c.Lists = c.Store
	}
	if c.MaxWait == 0 {
		c.MaxWait = 5 * time.Minute
	}
	if c.Locks.Root == "" {
		c.Locks.Root = lease.DefaultRoot
	}
	if c.Locks.Host == "" {
		c.Locks.Host = c.Host
	}
	m, err := newMetrics(c.Registry, c.Lists)
	if err != nil {
		return nil, err
	}
	a := &api{cfg: c, mux: http.NewServeMux(), metrics: m, watchers: make(chan struct{}, maxWatches), since: map[string]minor{}}
	a.routes()
	return a, nil
}

// routes is the map of the interface. The number is the API version from which
// on a route exists; before, it answers 404.
func (a *api) routes() {
	a.handle("GET /{$}", always, root)
	a.handle("GET /v1", always, v1)
	a.handle("GET /version", always, programVersion)
	a.handle("GET /livez", always, livez)
	a.handle("GET /readyz", always, readyz)
	a.handle("GET /healthz", always, readyz)
	a.handle("GET /openapi.yaml", always, openapiYAML)
	a.handle("GET /openapi.json", always, openapiJSON)
	a.plain("GET /metrics", always, promhttp.HandlerFor(a.cfg.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))

	nodes := a.nodes()
	a.handle("POST /v1/nodes", 1, createNode(nodes))
	a.handle("GET /v1/nodes", 1, nodes.index(false))
	a.handle("GET /v1/nodes/detail", 1, nodes.index(true))
	a.handle("GET /v1/nodes/validate", 1, validate)
	a.handle("GET /v1/nodes/{node}", 1, nodes.show)
	a.handle("PATCH /v1/nodes/{node}", 1, patchNode(nodes))
	a.handle("DELETE /v1/nodes/{node}", 1, deleteNode)
	a.handle("GET /v1/nodes/{node}/validate", 1, validate)
	a.handle("GET /v1/nodes/{node}/states", 1, states(nodes))
	a.handle("PUT /v1/nodes/{node}/states/power", 1, setPower)
	a.provisionRoutes()
	a.handle("PUT /v1/nodes/{node}/maintenance", 1, setMaintenance)
	a.handle("DELETE /v1/nodes/{node}/maintenance", 1, clearMaintenance)

	ports := a.ports()
	groups := a.portgroups()
	ports.routes(a)
	groups.routes(a)
	a.handle("GET /v1/nodes/{node}/ports", 1, ports.index(false))
	a.handle("GET /v1/nodes/{node}/ports/detail", 1, ports.index(true))
	a.handle("GET /v1/nodes/{node}/portgroups", 24, groups.index(false))
	a.handle("GET /v1/portgroups/{portgroup}/ports", 24, ports.index(false))
	a.handle("GET /v1/volume", 32, volume)
	connectors, targets := a.connectors(), a.targets()
	connectors.routes(a)
	targets.routes(a)
	a.handle("GET /v1/nodes/{node}/volume", 32, volume)
	a.handle("GET /v1/nodes/{node}/volume/connectors", 32, connectors.index(false))
	a.handle("GET /v1/nodes/{node}/volume/targets", 32, targets.index(false))

	a.handle("GET /v1/conductors", 49, conductors)
	a.handle("GET /v1/conductors/{host}", 49, conductor)
	a.handle("GET /v1/drivers", 1, drivers)
	a.handle("GET /v1/drivers/{driver}", 1, driver)
	a.handle("GET /v1/drivers/{driver}/properties", 1, driverProperties)

	a.managementRoutes()
	a.indicatorRoutes()
	a.bootModeRoutes()
	a.consoleRoutes()
	a.raidRoutes()
	a.biosRoutes()
	a.firmwareRoutes()
	a.inventoryRoutes()
	a.nodeChildrenRoutes(nodes)
	a.vifRoutes()
	a.mediaRoutes()
	a.vendorRoutes()
	a.agentRoutes(nodes)
	a.memberRoutes()
	a.traitRoutes()
	a.allocationRoutes()
	a.templateRoutes()
	a.runbookRoutes()
	a.chassisRoutes()
	a.shardRoutes()

	a.historyRoutes()
	a.stream("GET /v1/events", listEvents)
	a.stream("GET /v1/locks", listLocks)
	a.stream("GET /v1/locks/{node}", showLock)
	a.handle("DELETE /v1/locks/{node}", always, breakLock)
}
