package api

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Config describes the handler.
type Config struct {
	Host      string                 // hostname of this conductor; required
	Version   string                 // of the program, for /version
	Store     *node.Store            // required
	Locks     lease.Locks            // the lock queues of all nodes
	Tasks     *task.Manager          // required
	Provision *provision.Provisioner // required
	Hardware  *hardware.Registry     // required
	Sessions  task.Sessions          // for readiness; required
	Registry  *prometheus.Registry   // served on /metrics; nil: one of its own
	Logger    *slog.Logger           // nil: discarded
	MaxWait   time.Duration          // the longest ?wait= that is granted; 0: 5 minutes
}

// New returns the handler of the whole interface.
func New(c Config) (http.Handler, error) {
	return http.NewServeMux(), nil
}
