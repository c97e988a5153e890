package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/pkg/node"
)

// metrics counts requests. Labels are bounded: routes are patterns, methods and
// codes are those of HTTP.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	watches  prometheus.Gauge
	breaks   prometheus.Counter

	forwarded *prometheus.CounterVec
	lists     *prometheus.CounterVec
}

// What came of a request that was handed on.
const (
	answered    = "answered"
	unreachable = "unreachable"
	unanswered  = "unanswered" // the other may have done it
)

func newMetrics(reg prometheus.Registerer, lists Lists) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "conductor_http_requests_total", Help: "Requests answered, by route pattern, method and status code.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "conductor_http_request_duration_seconds", Help: "Time to answer a request, waiting for locks included.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "conductor_http_requests_in_flight", Help: "Requests being answered now, watches included.",
		}),
		watches: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "conductor_http_lock_watches", Help: "Clients that watch locks or follow events now.",
		}),
		breaks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "conductor_lock_breaks_total", Help: "Locks that an operator ended by force through this conductor.",
		}),
		forwarded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "conductor_http_forwarded_total", Help: "Requests handed to the conductor that the node prefers, by what came of it.",
		}, []string{"result"}),
		lists: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "conductor_http_lists_total", Help: "Lists of nodes and of what belongs to them, by where they were read: cache or etcd.",
		}, []string{"source"}),
	}
	for _, r := range []string{answered, unreachable, unanswered} {
		m.forwarded.WithLabelValues(r)
	}
	for _, source := range []string{"cache", "etcd"} {
		m.lists.WithLabelValues(source)
	}
	all := []prometheus.Collector{m.requests, m.duration, m.inFlight, m.watches, m.breaks, m.forwarded, m.lists}
	if cache, ok := lists.(*node.Cache); ok {
		all = append(all, cacheMetrics(cache)...)
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the API: %w", err)
		}
	}
	return m, nil
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

func (m *metrics) served(route, method string, code int, took time.Duration) {
	if !slices.Contains(methods, method) {
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
	m.duration.WithLabelValues(route, method).Observe(took.Seconds())
}
