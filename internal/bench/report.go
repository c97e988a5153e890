package bench

import (
	"slices"
	"time"
)

// Report is what a run has found.
type Report struct {
	Etcd      string        `json:"etcd"` // its version
	Members   int           `json:"members"`
	Conductor string        `json:"conductor,omitempty"`
	Go        string        `json:"go"`
	CPUs      int           `json:"cpus"` // of this machine
	Started   time.Time     `json:"started"`
	Took      time.Duration `json:"took_ns"`
	Rounds    int           `json:"rounds"`
	Slice     time.Duration `json:"slice_ns"`
	Rows      []*Row        `json:"rows"`
}

// Row is one work of a scenario, as medians over the rounds.
type Row struct {
	Scenario string `json:"scenario"`
	Size     int    `json:"size,omitempty"` // nodes stored, or locks held
	Workers  int    `json:"workers"`
	What     string `json:"what"`            // put, mutex, locks or unbatched
	Doing    string `json:"doing,omitempty"` // what they do
	Ops      int    `json:"ops"`             // measured, in all rounds

	Rate      float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Entries   float64 `json:"log_entries"`             // in etcd's log, per operation
	ClientCPU float64 `json:"client_cpu_us"`           // per operation
	ServerCPU float64 `json:"server_cpu_us,omitempty"` // per operation; 0: the servers do not tell

	// Times says how many times as fast it is as another, by what that is: put, mutex, unbatched;
	// or smallest, the same work at the smallest size.
	Times   map[string]float64 `json:"times,omitempty"`
	Handoff *Handoff           `json:"handoff,omitempty"`

	parts []part // of each round
	costs []*slice
}

// Handoff is how waiters of one lock were served.
type Handoff struct {
	Late       int     `json:"late"`         // handoffs that took 50 to 100 ms
	OutOfOrder int     `json:"out_of_order"` // of all, by etcd's history
	Of         int     `json:"of"`
	P50Puts    float64 `json:"p50_puts"` // the median handoff, in medians of a raw put with a local read
}

// add takes note of a round.
func (r *Row) add(s *slice, part int) {
	r.parts = append(r.parts, s.parts[part])
	r.costs = append(r.costs, s)
	r.Ops += s.parts[part].ops
}

// sum makes medians of the rounds.
func (r *Row) sum() {
	over := func(f func(i int) float64) float64 {
		vs := make([]float64, len(r.parts))
		for i := range vs {
			vs[i] = f(i)
		}
		return median(vs)
	}
	r.Rate = over(func(i int) float64 { return r.parts[i].rate })
	r.P50 = over(func(i int) float64 { return quantile(r.parts[i].times, .5) })
	r.P99 = over(func(i int) float64 { return quantile(r.parts[i].times, .99) })
	r.Entries = over(func(i int) float64 { return r.costs[i].entries })
	r.ClientCPU = over(func(i int) float64 { return float64(r.costs[i].spent.client.Nanoseconds()) / 1e3 })
	r.ServerCPU = over(func(i int) float64 { return float64(r.costs[i].spent.server.Nanoseconds()) / 1e3 })
}

// beside notes how many times as fast the row is as another of the same rounds.
func (r *Row) beside(name string, other *Row) {
	if r.Times == nil {
		r.Times = map[string]float64{}
	}
	vs := make([]float64, min(len(r.parts), len(other.parts)))
	for i := range vs {
		vs[i] = r.parts[i].rate / max(other.parts[i].rate, 1e-9)
	}
	r.Times[name] = median(vs)
}

func median(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	if n := len(vs); n%2 == 0 {
		return (vs[n/2-1] + vs[n/2]) / 2
	}
	return vs[len(vs)/2]
}
