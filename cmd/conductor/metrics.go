package main

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/internal/provision"
)

// purposes are the values of the label of that name; others count as "other".
var purposes = []string{
	"power on", "power off", "rebooting", "soft power off", "soft rebooting", "power sync", "power recovery",
	"manage", "provide", "inspect", "clean", "deploy", "rebuild", "undeploy", "adopt", "rescue", "unrescue", "service", "abort", "unhold",
	"continue clean", "continue deploy", "continue service", "heartbeat", "agent token", "timeout", "recover",
	"set boot mode", "set secure boot", "start console", "stop console", "attach virtual media", "detach virtual media",
	"attach vif", "detach vif", "vendor passthru", provision.PurposeRAID,
	"node update", "node delete", "maintenance", "port update", "portgroup update", "volume connector update", "volume target update",
	allocate.Purpose, allocate.PurposeBackfill, allocate.PurposeDelete,
}

// newRegistry returns a registry of this program, with its build and process.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "conductor_build_info", Help: "The build of this conductor; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision(), "goversion": runtime.Version()},
	})
	info.Set(1)
	r.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// revision is the commit that this program was built from, as far as the build knows.
func revision() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "unknown", ""
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return rev + dirty
}
