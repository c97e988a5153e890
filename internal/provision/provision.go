package provision

import (
	"context"
	"log/slog"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Config describes a Provisioner.
type Config struct {
	Tasks   *task.Manager // required
	Store   *node.Store   // required; for what needs no lock: who is busy, and who waits for too long
	Host    string        // of this conductor, for conductor_affinity; empty: that is not kept
	Metrics *Metrics      // nil: none
	Logger  *slog.Logger  // nil: discarded

	// PowerTimeout bounds a command that changes the power state when the
	// request says nothing; 0: 60 s (Ironic: power_state_change_timeout).
	PowerTimeout time.Duration
	// SoftPowerTimeout is the same for soft power off and soft rebooting;
	// 0: 600 s (Ironic: soft_power_off_timeout).
	SoftPowerTimeout time.Duration

	// MaxConcurrentDeploy and MaxConcurrentClean limit how many nodes of the whole
	// cluster may be deployed, and cleaned or torn down, at the same time; 0: 250
	// and 50; negative: no limit (Ironic: max_concurrent_deploy, max_concurrent_clean).
	MaxConcurrentDeploy, MaxConcurrentClean int
	// NoAutomatedClean leaves nodes as they are that do not say otherwise in
	// automated_clean (Ironic: automated_clean=false).
	NoAutomatedClean bool
	// RefuseInMaintenance refuses provide, and heartbeats, of nodes in maintenance
	// (Ironic: allow_provisioning_in_maintenance=false).
	RefuseInMaintenance bool
	// FastTrack hears of agents on nodes that are not being worked on (Ironic: fast_track).
	FastTrack bool
	// MaxConductorWaitStep bounds the reserved step wait; 0: 30 s (Ironic:
	// max_conductor_wait_step_seconds).
	MaxConductorWaitStep time.Duration
	// How long a machine is waited for in each of the waiting states; 0: 1800 s;
	// negative: for ever (Ironic: deploy_callback_timeout, clean_callback_timeout,
	// rescue_callback_timeout, service_callback_timeout, inspect_wait_timeout).
	DeployCallbackTimeout, CleanCallbackTimeout, RescueCallbackTimeout time.Duration
	ServiceCallbackTimeout, InspectWaitTimeout                         time.Duration
	// SweepInterval is about how often Run looks for those that were waited for too
	// long; 0: a minute (Ironic: check_provision_state_interval).
	SweepInterval time.Duration
	// Templates answers further deploy steps for a node whose instance asks for
	// these traits; nil: none (Ironic: deploy templates).
	Templates func(ctx context.Context, traits []string) ([]hardware.Step, error)
}

// Provisioner turns what users ask for into tasks. Its methods are safe for
// concurrent use.
type Provisioner struct {
	cfg   Config
	flows flows
	verbs map[Verb]verb

	waiting waiting
}

// New returns a Provisioner.
func New(c Config) *Provisioner {
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&c.PowerTimeout, 60*time.Second)
	setDefault(&c.SoftPowerTimeout, 600*time.Second)
	setDefault(&c.MaxConcurrentDeploy, 250)
	setDefault(&c.MaxConcurrentClean, 50)
	setDefault(&c.MaxConductorWaitStep, 30*time.Second)
	setDefault(&c.SweepInterval, time.Minute)
	for _, t := range []*time.Duration{
		&c.DeployCallbackTimeout, &c.CleanCallbackTimeout, &c.RescueCallbackTimeout, &c.ServiceCallbackTimeout, &c.InspectWaitTimeout,
	} {
		setDefault(t, 30*time.Minute)
	}
	p := &Provisioner{cfg: c}
	p.flows = p.allFlows()
	p.verbs = p.allVerbs()
	return p
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
