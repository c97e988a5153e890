package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/node"
)

// provisionOptions are the settings of the service that say how nodes are provisioned.
type provisionOptions struct {
	powerTimeout, softPowerTimeout time.Duration
	maxDeploy, maxClean            int
	automatedClean                 bool
	inMaintenance, fastTrack       bool
	maxWaitStep                    time.Duration

	deployCallback, cleanCallback, rescueCallback, serviceCallback, inspectWait time.Duration

	sweep time.Duration
}

func (o *provisionOptions) flags(f *pflag.FlagSet) {
	f.DurationVar(&o.powerTimeout, "power-timeout", time.Minute, "how long a machine may take to change its power state, if the request says nothing")
	f.DurationVar(&o.softPowerTimeout, "soft-power-timeout", 10*time.Minute, "the same when its system is asked to shut down")
	f.IntVar(&o.maxDeploy, "max-concurrent-deploy", 250, "nodes of the whole cluster that may be in deployment at once (-1: no limit)")
	f.IntVar(&o.maxClean, "max-concurrent-clean", 50, "nodes of the whole cluster that may be cleaned or torn down at once (-1: no limit)")
	f.BoolVar(&o.automatedClean, "automated-clean", true, "clean nodes before they become available, unless they say otherwise")
	f.BoolVar(&o.inMaintenance, "provision-in-maintenance", true, "make nodes available, and hear their agents, in maintenance too")
	f.BoolVar(&o.fastTrack, "fast-track", false, "hear agents on machines that nobody works on, and use them as they are")
	f.DurationVar(&o.deployCallback, "deploy-callback-timeout", 30*time.Minute, "how long a machine in deployment is waited for (0: for ever)")
	f.DurationVar(&o.cleanCallback, "clean-callback-timeout", 30*time.Minute, "how long a machine in cleaning is waited for (0: for ever)")
	f.DurationVar(&o.rescueCallback, "rescue-callback-timeout", 30*time.Minute, "how long the rescue system is waited for (0: for ever)")
	f.DurationVar(&o.serviceCallback, "service-callback-timeout", 30*time.Minute, "how long a machine in service is waited for (0: for ever)")
	f.DurationVar(&o.inspectWait, "inspect-wait-timeout", 30*time.Minute, "how long a machine in inspection is waited for (0: for ever)")
	f.DurationVar(&o.sweep, "check-provision-interval", time.Minute, "about how often to look for machines that were waited for too long")
	f.DurationVar(&o.maxWaitStep, "max-wait-step", 30*time.Second, "the longest that a wait step may hold a worker")
}

func (o *provisionOptions) check() error {
	for flag, n := range map[string]int{"max-concurrent-deploy": o.maxDeploy, "max-concurrent-clean": o.maxClean} {
		if n == 0 || n < -1 {
			return usage(fmt.Errorf("--%s is %d: want at least 1, or -1 for no limit", flag, n))
		}
	}
	for flag, d := range map[string]time.Duration{"power-timeout": o.powerTimeout, "soft-power-timeout": o.softPowerTimeout, "max-wait-step": o.maxWaitStep, "check-provision-interval": o.sweep} {
		if d <= 0 {
			return usage(fmt.Errorf("--%s is %s: want more than nothing", flag, d))
		}
	}
	for flag, d := range map[string]time.Duration{
		"deploy-callback-timeout": o.deployCallback, "clean-callback-timeout": o.cleanCallback, "rescue-callback-timeout": o.rescueCallback,
		"service-callback-timeout": o.serviceCallback, "inspect-wait-timeout": o.inspectWait,
	} {
		if d < 0 {
			return usage(fmt.Errorf("--%s is %s: want a time, or 0 for ever", flag, d))
		}
	}
	return nil
}

// config fills in what these settings say.
func (o *provisionOptions) config(c provision.Config) provision.Config {
	c.PowerTimeout, c.SoftPowerTimeout = o.powerTimeout, o.softPowerTimeout
	c.MaxConcurrentDeploy, c.MaxConcurrentClean = o.maxDeploy, o.maxClean
	c.NoAutomatedClean, c.RefuseInMaintenance = !o.automatedClean, !o.inMaintenance
	c.FastTrack, c.MaxConductorWaitStep = o.fastTrack, o.maxWaitStep
	c.DeployCallbackTimeout, c.CleanCallbackTimeout = orForEver(o.deployCallback), orForEver(o.cleanCallback)
	c.RescueCallbackTimeout, c.ServiceCallbackTimeout = orForEver(o.rescueCallback), orForEver(o.serviceCallback)
	c.InspectWaitTimeout, c.SweepInterval = orForEver(o.inspectWait), o.sweep
	return c
}

// orForEver says "for ever" as provision does.
func orForEver(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// startProvision makes what provisions nodes, and begins its duties.
func (s *service) startProvision(store *node.Store, lists *node.Cache) *provision.Provisioner {
	p := provision.New(s.o.provision.config(provision.Config{Tasks: s.tasks, Store: store, Host: s.o.host, Metrics: provision.NewMetrics(s.metrics), Logger: s.log, Templates: templatesOf(store)}))
	s.startDuties(p, store, lists)
	return p
}
