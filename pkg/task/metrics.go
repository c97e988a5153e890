package task

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Metrics counts tasks, workers, transitions and commands to machines. Labels are bounded: no
// node and no purpose is among them.
type Metrics struct {
	running    *prometheus.GaugeVec
	tasks      *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	background *prometheus.CounterVec
	workers    *prometheus.GaugeVec
	busy       *prometheus.GaugeVec
	rejections *prometheus.CounterVec
	events     *prometheus.CounterVec
	stored     *prometheus.CounterVec
	commands   *prometheus.CounterVec
	commandDur *prometheus.HistogramVec

	operations map[string]bool // "power.Set": all that drivers can be asked for, but for their steps
	kinds      []string        // types of events
}

// NewMetrics registers the metrics of tasks. A nil reg counts for nobody.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	buckets := []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 60, 300, 1800, 7200}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return f.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		running:    gauge("conductor_tasks_running", "Tasks whose function runs now.", "operation"),
		tasks:      counter("conductor_tasks_total", "Tasks by how their function ended.", "operation", "result"),
		duration:   histogram("conductor_task_duration_seconds", "Time of tasks, from asking for the lock to the end of their function.", "operation", "result"),
		background: counter("conductor_background_tasks_total", "Background work that tasks left to workers, by how it ended.", "result"),
		workers:    gauge("conductor_workers", "Workers for background tasks.", "pool"),
		busy:       gauge("conductor_workers_busy", "Workers that run a background task.", "pool"),
		rejections: counter("conductor_worker_rejections_total", "Background tasks that found no free worker.", "pool"),
		events:     counter("conductor_provision_events_total", "Events given to the provision state machine.", "event", "result"),
		stored:     counter("conductor_events_total", "Events stored for GET /v1/events and the history of nodes.", "type"),
		commands:   counter("conductor_bmc_requests_total", "Calls of driver methods.", "driver", "operation", "result"),
		commandDur: histogram("conductor_bmc_request_duration_seconds", "Time of calls of driver methods.", "driver", "operation", "result"),
		operations: operations(),
		kinds:      Types(),
	}
	for _, right := range []string{"exclusive", "shared", "snapshot", "edit"} {
		m.running.WithLabelValues(right)
		for _, r := range results {
			m.tasks.WithLabelValues(right, r)
		}
	}
	for _, r := range results {
		m.background.WithLabelValues(r)
	}
	for _, pool := range []string{"normal", "reserved"} {
		m.busy.WithLabelValues(pool)
		m.rejections.WithLabelValues(pool)
	}
	for _, kind := range m.kinds {
		m.stored.WithLabelValues(kind)
	}
	for _, e := range node.Events() {
		m.events.WithLabelValues(string(e), "ok")
	}
	return m
}

// operations are the methods of the bound interfaces, by the names that the gate sees.
func operations() map[string]bool {
	all := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[hardware.Driver]()) {
		if !f.IsExported() {
			continue
		}
		iface := strings.ToLower(f.Name)
		all[iface+".Steps"] = true
		for m := range f.Type.NumMethod() {
			all[iface+"."+f.Type.Method(m).Name] = true
		}
	}
	return all
}

// operation names a call in the metrics. The names of steps, and even the interface that a step is
// asked of, may be a user's: all steps of an interface are one operation, and what is of no
// interface is "other".
func (m *Metrics) operation(c hardware.Call) string {
	switch {
	case m.operations[c.String()]:
		return c.String()
	case slices.Contains(hardware.Interfaces(), c.Interface):
		return c.Interface + ".step"
	}
	return "other"
}

// results are all that result answers.
var results = []string{"ok", "locked", "lost", "not_found", "invalid_state", "no_worker", "canceled", "error"}

// result sorts an error into one of few words.
func result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, lease.ErrHeld), errors.Is(err, lease.ErrUpgradeConflict), errors.Is(err, errWantsLock):
		return "locked"
	case errors.Is(err, lease.ErrLost), errors.Is(err, lease.ErrSuspect):
		return "lost"
	case errors.Is(err, node.ErrNotFound):
		return "not_found"
	case errors.Is(err, node.ErrInvalidState):
		return "invalid_state"
	case errors.Is(err, ErrNoWorker):
		return "no_worker"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	return "error"
}

// begin counts a task in; the function it returns counts it out.
func (m *Metrics) begin(right string) func(*error) {
	start := time.Now()
	m.running.WithLabelValues(right).Inc()
	return func(err *error) {
		m.running.WithLabelValues(right).Dec()
		m.tasks.WithLabelValues(right, result(*err)).Inc()
		m.duration.WithLabelValues(right, result(*err)).Observe(time.Since(start).Seconds())
	}
}

// told counts a stored event. What no list knows is one type.
func (m *Metrics) told(kind string) {
	if !slices.Contains(m.kinds, kind) {
		kind = "other"
	}
	m.stored.WithLabelValues(kind).Inc()
}

func (m *Metrics) worked(err error) { m.background.WithLabelValues(result(err)).Inc() }

func (m *Metrics) event(e node.Event, err error) {
	if !slices.Contains(node.Events(), e) {
		e = "other"
	}
	m.events.WithLabelValues(string(e), result(err)).Inc()
}

// command counts a call. The driver is one of the registry's hardware types.
func (m *Metrics) command(driver string, c hardware.Call, took time.Duration, err error) {
	op, r := m.operation(c), result(err)
	m.commands.WithLabelValues(driver, op, r).Inc()
	m.commandDur.WithLabelValues(driver, op, r).Observe(took.Seconds())
}
