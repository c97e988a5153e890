package api

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Lists is where lists of nodes and of what belongs to them are read: etcd, which
// is a *node.Store, or a copy of it in memory, a *node.Cache. What decides
// something is not read there.
type Lists interface {
	Nodes(context.Context, node.ListRequest[*node.Node]) (*node.Page[*node.Node], error)
	Ports(context.Context, node.ListRequest[*node.Port]) (*node.Page[*node.Port], error)
	Portgroups(context.Context, node.ListRequest[*node.Portgroup]) (*node.Page[*node.Portgroup], error)
	VolumeConnectors(context.Context, node.ListRequest[*node.VolumeConnector]) (*node.Page[*node.VolumeConnector], error)
	VolumeTargets(context.Context, node.ListRequest[*node.VolumeTarget]) (*node.Page[*node.VolumeTarget], error)
}

// Headers that say of which revision of etcd a list is, and how many seconds ago,
// at most, that was the present one.
const (
	headerRevision = "X-Conductor-Revision"
	headerAge      = "X-Conductor-Age"
)

// maxAge is how old an answer the client takes: Cache-Control: max-age, in seconds.
// 0, which is also for everything else, is one as of now. RFC 9111, 5.2.1.
func (c *call) maxAge() time.Duration {
	for _, d := range strings.Split(strings.Join(c.r.Header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
			return time.Duration(n) * time.Second
		}
	}
	return 0
}

// aged tells how old a list is, and counts where it came from.
func aged[R node.Record](c *call, p *node.Page[R]) {
	source := "etcd"
	if p.Cached {
		source = "cache"
	}
	c.metrics.lists.WithLabelValues(source).Inc()
	ms := math.Ceil(time.Since(p.AsOf).Seconds() * 1000)
	c.w.Header().Set(headerAge, strconv.FormatFloat(ms/1000, 'f', 3, 64))
	c.w.Header().Set(headerRevision, strconv.FormatInt(p.Revision, 10))
}

// queues are all locks as of a revision or later; 0: as of now. The session has
// them at hand.
func (c *call) queues(ctx context.Context, from int64) ([]lease.Queue, error) {
	if s, err := c.cfg.Sessions.Current(); err == nil {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if qs, err := s.Queues(short, from); err == nil {
			return qs, nil
		}
	}
	return c.cfg.Locks.List(ctx)
}

// cacheMetrics tell how the copy of the records stands.
func cacheMetrics(c *node.Cache) []prometheus.Collector {
	gauge := func(name, help string, of func(node.CacheState) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return of(c.State()) })
	}
	return []prometheus.Collector{
		gauge("conductor_cache_records", "Records in the copy from which lists are answered.", func(s node.CacheState) float64 { return float64(s.Records) }),
		gauge("conductor_cache_revision", "Revision of etcd to which that copy has come; 0: there is none.", func(s node.CacheState) float64 { return float64(s.Revision) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "conductor_cache_reads_total", Help: "How often that copy was read from etcd in full.",
		}, func() float64 { return float64(c.State().Resets) }),
	}
}
