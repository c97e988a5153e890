package bench

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/embedetcd"
)

// small is a run of some milliseconds, in which each work is done at least once by each worker.
func small(only ...string) Options {
	return Options{
		Only: only, Rounds: 2, Slice: 40 * time.Millisecond, Warm: time.Millisecond,
		Workers: []int{1, 4}, Waiters: []int{2, 5}, Nodes: []int{32, 64}, Held: []int{1, 50},
	}
}

func startEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	server, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: t.TempDir(), ClientURL: "http://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	client, err := clientv3.New(server.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// left is how many keys a run has left, in all of etcd.
func left(t *testing.T, c *clientv3.Client) int64 {
	t.Helper()
	r, err := c.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return r.Count
}

// Every scenario has the rows that it should, does something in each, and costs etcd's log what the
// locks promise.
func TestRun(t *testing.T) {
	c := startEtcd(t)
	tests := []struct {
		scenario string
		rows     int
		entries  map[string]float64 // of a row's what and doing; locks may share entries, and cost less
	}{
		{"cycles", 20, map[string]float64{
			"put": 1, "bare lock alone": 2, "bare with records": 2, "mutex lock alone": 2, "mutex with records": 3, "unbatched lock alone": 2, "unbatched with records": 2,
			"locks lock alone": 2, "locks with records": 2, "locks with records and intent": 2,
		}},
		// Where many are at one lock, it may only seem free, and be asked for once more.
		{"handoff", 10, map[string]float64{"put": 1, "mutex": 2, "locks": 3}},
		{"readers", 5, map[string]float64{"put": 1, "mutex a writer": 2, "locks 16 readers": 3}},
		{"convert", 4, map[string]float64{"put": 1, "locks upgrade + downgrade": 2}},
		{"held", 3, map[string]float64{"put": 1, "locks with records": 2}},
		{"nodes", 4, map[string]float64{"put": 1, "locks with records": 2}},
	}
	for _, tt := range tests {
		t.Run(tt.scenario, func(t *testing.T) {
			r, err := Run(t.Context(), c, small(tt.scenario))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Rows) != tt.rows {
				t.Errorf("got %d rows, want %d", len(r.Rows), tt.rows)
			}
			for _, row := range r.Rows {
				name := strings.TrimSpace(row.What + " " + row.Doing)
				if row.Scenario != tt.scenario || row.Ops == 0 || row.Rate <= 0 || row.ClientCPU <= 0 {
					t.Errorf("%s: got %+v", name, row)
				}
				want, ok := tt.entries[name]
				less := (row.What == "locks" || row.What == "bare") && row.Workers > 1 && row.Entries > 0
				few := .02 + 3/float64(row.Ops) // on a slow machine, a session's own entry shows
				if ok && math.Abs(row.Entries-want) > few && (!less || row.Entries > want) {
					t.Errorf("%s, %d workers: got %.3f log entries, want %.2f", name, row.Workers, row.Entries, want)
				}
				if h := row.Handoff; h != nil && (h.OutOfOrder != 0 || h.Of < row.Ops) {
					t.Errorf("%s: got %d of %d handoffs out of order, %d of them measured", name, h.OutOfOrder, h.Of, row.Ops)
				}
			}
			if n := left(t, c); n != 0 {
				t.Errorf("got %d keys in the end, want none", n)
			}
		})
	}
}

// The report has its columns in each of its forms.
func TestReport(t *testing.T) {
	r, err := Run(t.Context(), startEtcd(t), small("cycles", "handoff", "nodes"))
	if err != nil {
		t.Fatal(err)
	}
	var text, markdown, plot strings.Builder
	for _, write := range []error{r.WriteText(&text), r.WriteMarkdown(&markdown), r.WritePlot(&plot)} {
		if write != nil {
			t.Fatal(write)
		}
	}
	for _, column := range []string{"workers", "per second", "x put", "x bare", "x mutex", "x unbatched", "x smallest", "p50 ms", "p99 ms", "out of order", "50-100 ms", "log entries", "client us", "server us"} {
		if !strings.Contains(text.String(), column) || !strings.Contains(markdown.String(), column+" |") {
			t.Errorf("no column %q in:\n%s\n%s", column, &text, &markdown)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(plot.String())); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v\n%s", err, &plot)
		}
	}
	var again Report
	data, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(data, &again)
	}
	if err != nil || len(again.Rows) != len(r.Rows) || again.Rows[1].Times["put"] != r.Rows[1].Times["put"] {
		t.Errorf("JSON: got %s, %v", data, err)
	}
}

// A run that is interrupted leaves nothing either.
func TestInterrupted(t *testing.T) {
	c := startEtcd(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	o := small("cycles", "handoff")
	o.Slice = 2 * time.Second
	o.Say = func(format string, args ...any) {
		if strings.HasPrefix(format, "%s") { // a scenario begins, with all that it needs stored
			if left(t, c) == 0 {
				t.Error("nothing is stored")
			}
			time.AfterFunc(50*time.Millisecond, func() { cancel(io.ErrUnexpectedEOF) })
		}
	}
	if _, err := Run(ctx, c, o); err == nil || !strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()) {
		t.Errorf("got %v", err)
	}
	if n := left(t, c); n != 0 {
		t.Errorf("got %d keys in the end, want none", n)
	}
}

// A run that could fill the etcd is refused before it writes.
func TestRoom(t *testing.T) {
	server, err := embedetcd.Start(t.Context(), embedetcd.Config{Dir: t.TempDir(), ClientURL: "http://127.0.0.1:0", QuotaBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	c, err := clientv3.New(server.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := Run(t.Context(), c, Options{Size: Full}); err == nil || !strings.Contains(err.Error(), "--quota-backend-bytes") {
		t.Errorf("got %v", err)
	}
	if r, err := c.Get(t.Context(), "x"); err != nil || r.Header.Revision != 1 {
		t.Errorf("got %v, %v: want an etcd in which nothing was written", r, err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]Options{
		`no scenario "x"`:  {Only: []string{"x"}},
		"at most 100":      {Rounds: 101},
		"1 to 1024":        {Workers: []int{0}},
		"1 to 100,000":     {Held: []int{1_000_000}},
		"16 to 100,000":    {Nodes: []int{8}},
		"the smallest fir": {Held: []int{5, 2}},
	} {
		if err := o.fill(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %q", err, want)
		}
	}
}

func TestSplice(t *testing.T) {
	got, err := Splice("a\n<!-- x -->\nold\n<!-- end of x -->\nb\n", "x", "new\n")
	if want := "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := Splice("a\n<!-- x -->\n", "x", ""); err == nil {
		t.Error("a document without an end: got no error")
	}
}

// Who is served before one that came earlier is found in the history.
func TestOrder(t *testing.T) {
	c := startEtcd(t)
	for _, step := range []string{"+a", "+b", "+c", "-b", "-a", "-c"} {
		op := clientv3.OpPut("/q/"+step[1:], "")
		if step[0] == '-' {
			op = clientv3.OpDelete("/q/" + step[1:])
		}
		if _, err := c.Do(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	served, wrong, err := (&run{client: c}).order(t.Context(), "/q/", 1, 3)
	if err != nil || served != 3 || wrong != 1 {
		t.Errorf("got %d out of order of %d, %v: want 1 of 3", wrong, served, err)
	}
}
