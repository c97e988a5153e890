package api

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// gathered is one metric that the server has registered, as a collector.
func gathered(t *testing.T, s *server, name string) prometheus.Collector {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: name})
			g.Set(f.GetMetric()[0].GetCounter().GetValue())
			return g
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		for _, tt := range []struct {
			method, path string
			status       int
		}{
			{"GET", "/", 200},
			{"GET", "/v1", 200},
			{"GET", "/v1/", 200},
			{"GET", "/v1/nodes/", 200},
			{"HEAD", "/v1/nodes", 200},
			{"GET", "/livez", 200},
			{"GET", "/readyz", 200},
			{"GET", "/healthz?verbose", 200},
			{"GET", "/metrics", 200},
			{"GET", "/version", 200},
			{"GET", "/v1/nowhere", 404},
			{"PATCH", "/v1/nodes", 405},
			{"GET", "/nodes/nobody", 404},
			{"GET", "/v1/nodes/x/y/z", 404},
		} {
			r := s.want(t, tt.status, tt.method, tt.path, nil, "X-Request-Id: abc-1")
			h := r.Header
			if h.Get(headerMin) != "1.1" || h.Get(headerMax) != "1.98" {
				t.Errorf("%s %s: versions %q to %q", tt.method, tt.path, h.Get(headerMin), h.Get(headerMax))
			}
			if h.Get(headerVersion) != "1.98" && tt.path != "/metrics" {
				t.Errorf("%s %s: version %q", tt.method, tt.path, h.Get(headerVersion))
			}
			if h.Get("X-Request-Id") != "abc-1" || h.Get("Openstack-Request-Id") != "abc-1" {
				t.Errorf("%s %s: request ids %v", tt.method, tt.path, h)
			}
			if tt.status >= 400 && r.fault() == "" {
				t.Errorf("%s %s: %s", tt.method, tt.path, r.Raw)
			}
		}
		if r := s.want(t, 405, "POST", "/v1/nodes/detail", nil); !strings.Contains(r.Header.Get("Allow"), "GET") {
			t.Errorf("Allow is %q", r.Header.Get("Allow"))
		}
		if r := s.want(t, 200, "GET", "/", nil, "X-Request-Id: evil\tid\x01"); !strings.HasPrefix(r.Header.Get("X-Request-Id"), "req-") {
			t.Errorf("took over %q", r.Header.Get("X-Request-Id"))
		}
		if !strings.Contains(s.log.String(), `"request_id":"abc-1"`) {
			t.Error("the request id is not logged")
		}
	})
}

func TestDocuments(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		v := s.want(t, 200, "GET", "/v1/", nil).Body
		version := v["version"].(object)
		if v["id"] != "v1" || version["id"] != "v1" || version["status"] != "CURRENT" || version["min_version"] != "1.1" || version["version"] != "1.98" {
			t.Errorf("GET /v1/: %v", v)
		}
		if v["nodes"] == nil || v["conductors"] == nil {
			t.Errorf("GET /v1/ has no links: %v", v)
		}
		s.version = "1.22"
		if v := s.want(t, 200, "GET", "/v1", nil).Body; v["portgroups"] != nil {
			t.Error("1.22 knows portgroups")
		}
		root := s.want(t, 200, "GET", "/", nil).Body
		if got := root["versions"].([]any)[0].(object)["version"]; got != "1.98" {
			t.Errorf("GET /: %v", root)
		}
		if r := s.want(t, 200, "GET", "/version", nil); r.Body["version"] != "1.2.3" {
			t.Errorf("%s", r.Raw)
		}
	})
}

func TestAPanicIsAnAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		c := s.config(s.session)
		c.Store, c.Registry = nil, nil
		if _, err := New(c); err == nil {
			t.Error("New takes a nil Store")
		}
		if _, err := New(s.config(s.session)); err == nil {
			t.Error("New registers its metrics twice")
		}
		a := &api{cfg: s.config(s.session), metrics: mustMetrics(t)}
		h := a.door() // whose mux is nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, s.request(t, "GET", "/v1/nodes", nil))
		if w.Code != 500 || strings.Contains(w.Body.String(), "nil pointer") || !strings.Contains(s.log.String(), "nil pointer") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func mustMetrics(t *testing.T) *metrics {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMetrics(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		s.want(t, 200, "GET", "/v1/nodes/"+idA, nil)
		s.want(t, 404, "GET", "/v1/nodes/"+idB, nil)
		s.want(t, 404, "GET", "/some/where", nil)
		s.want(t, 405, "BREW", "/v1/nodes", nil)
		problems, err := testutil.GatherAndLint(s.reg)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
		r := s.want(t, 200, "GET", "/metrics", nil, "Accept: application/openmetrics-text; version=1.0.0")
		for _, want := range []string{
			`conductor_http_requests_total{code="200",method="GET",route="/v1/nodes/{node}"} 1.0`,
			`conductor_http_requests_total{code="404",method="GET",route="/v1/nodes/{node}"} 1.0`,
			`conductor_http_requests_total{code="404",method="GET",route="none"} 1.0`,
			`conductor_http_requests_total{code="405",method="other",route="none"} 1.0`,
			"conductor_lock_breaks_total 0.0", "# EOF",
		} {
			if !strings.Contains(r.Raw, want) {
				t.Errorf("no %s in\n%s", want, r.Raw)
			}
		}
		if strings.Contains(r.Raw, idA) || strings.Contains(r.Raw, "somewhere") {
			t.Error("a label is not bounded")
		}
	})
}

type noSession struct{ err error }

func (n noSession) Current() (*lease.Session, error) { return nil, n.err }

func TestReadiness(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		if r := s.want(t, 200, "GET", "/readyz?verbose", nil); r.Raw != "[+]etcd ok\n[+]session ok\n[+]work ok\nok\n" {
			t.Errorf("%q", r.Raw)
		}
		if r := s.want(t, 200, "GET", "/readyz", nil); r.Raw != "ok\n" {
			t.Errorf("%q", r.Raw)
		}
		c := s.config(noSession{errors.New("draining")})
		c.Registry = nil
		h, err := judged(t, c)
		if err != nil {
			t.Fatal(err)
		}
		s.Handler = h
		if r := s.want(t, 503, "GET", "/readyz", nil); r.Raw != "[+]etcd ok\n[-]session failed: draining\n[+]work ok\nnot ready\n" {
			t.Errorf("%q", r.Raw)
		}
		s.want(t, 200, "GET", "/livez", nil)
	})
}

// Who asks every few seconds does not fill the log: it tells what has changed.
func TestReadinessInTheLog(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		probe := func(code int) {
			for range 2 { // for 8 s at most, which the session survives
				s.want(t, code, "GET", "/readyz", nil)
				s.want(t, code, "GET", "/healthz", nil)
			}
		}
		probe(200)
		s.etcd.CutAll()
		probe(503)
		s.etcd.Heal("c1")
		probe(200)
		log := s.log.String()
		for line, want := range map[string]int{`"msg":"not ready"`: 1, `"msg":"ready again"`: 1, `"level":"ERROR"`: 0, `"route":"/readyz"`: 0} {
			if n := strings.Count(log, line); n != want {
				t.Errorf("%d times %s in the log, want %d:\n%s", n, line, want, log)
			}
		}
	})
}

func TestEtcdAway(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		s.etcd.CutAll()
		s.want(t, 200, "GET", "/livez", nil)
		for _, tt := range []struct{ method, path, body string }{
			{"GET", "/v1/nodes", ""},
			{"GET", "/v1/nodes/" + idA, ""},
			{"GET", "/v1/locks", ""},
			{"GET", "/v1/conductors", ""},
			{"POST", "/v1/nodes", `{"driver": "fake-hardware"}`},
			{"PUT", "/v1/nodes/" + idA + "/states/power", `{"target": "power on"}`},
			{"GET", "/readyz", ""},
		} {
			start := time.Now()
			r := s.want(t, 503, tt.method, tt.path, tt.body)
			if took := time.Since(start); took > changeTimeout+time.Minute {
				t.Errorf("%s %s took %s", tt.method, tt.path, took)
			}
			if tt.path != "/readyz" && (r.Body["kind"] != "unavailable" || r.fault() == "" || r.Header.Get("Retry-After") == "") {
				t.Errorf("%s %s: %s", tt.method, tt.path, r.Raw)
			}
		}
		s.etcd.HealAll()
	})
}

func TestConductorsAndDrivers(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		second, err := lease.Open(t.Context(), s.client, lease.Config{
			Holder: "c2.example", Info: object{"conductor_group": "north", "drivers": []string{"redfish"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := s.want(t, 200, "GET", "/v1/conductors/", nil); r.names("conductors", "hostname") != "c1.example c2.example" {
			t.Errorf("%s", r.Raw)
		}
		r := s.want(t, 200, "GET", "/v1/conductors/c2.example", nil)
		if r.Body["conductor_group"] != "north" || r.Body["alive"] != true || r.Body["drivers"].([]any)[0] != "redfish" {
			t.Errorf("%s", r.Raw)
		}
		d := s.want(t, 200, "GET", "/v1/drivers", nil)
		if d.names("drivers", "name") != "fake-hardware" || d.names("drivers", "hosts") != "[c1.example]" || d.names("drivers", "type") != "dynamic" {
			t.Errorf("%s", d.Raw)
		}
		one := s.want(t, 200, "GET", "/v1/drivers/fake-hardware", nil)
		if one.Body["default_power_interface"] != "fake" || one.Body["enabled_power_interfaces"] == nil {
			t.Errorf("%s", one.Raw)
		}
		s.want(t, 200, "GET", "/v1/drivers/fake-hardware/properties", nil)
		s.want(t, 404, "GET", "/v1/drivers/redfish", nil)
		if err := second.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.want(t, 404, "GET", "/v1/conductors/c2.example", nil)
		s.version = "1.48"
		s.want(t, 404, "GET", "/v1/conductors", nil)
	})
}

func TestInWords(t *testing.T) {
	n := &node.Node{UUID: idA}
	for _, tt := range []struct{ ref, text, want string }{
		{"r1", "node " + idA + " (" + idA + ") is gone; so is " + idB, "node r1 (r1) is gone; so is " + idB},
		{"r1", idA, "r1"},
		{"r1", "/c/nodes/" + idA + " and " + idA + "x", "/c/nodes/" + idA + " and r1x"},
		{idA, "node " + idA, "node " + idA},
		{strings.ToUpper(idA), "node " + idA, "node " + idA},
	} {
		told := &told{}
		told.called(n, tt.ref)
		if got := told.inWords(tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.ref, got, tt.want)
		}
	}
	if got := (&told{}).inWords("node " + idA); got != "node "+idA {
		t.Errorf("got %q", got)
	}
}

// slowReader remembers until when its client may read.
type slowReader struct {
	*httptest.ResponseRecorder
	until []time.Time
}

func (w *slowReader) SetWriteDeadline(until time.Time) error {
	w.until = append(w.until, until)
	return nil
}

// A client that does not read its answer does not keep it in memory for ever; the
// time that a request waits for a lock does not count.
func TestAnswersHaveATimeLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		for _, tt := range []struct {
			method, path string
			code         int
		}{{"GET", "/v1/nodes", 200}, {"GET", "/metrics", 200}, {"GET", "/v1/nothing", 404}, {"DELETE", "/v1/nodes/" + idA + "?wait=4m", 409}} {
			w := &slowReader{ResponseRecorder: httptest.NewRecorder()}
			s.ServeHTTP(w, s.request(t, tt.method, tt.path, nil))
			if w.Code != tt.code || len(w.until) != 1 || !w.until[0].Equal(time.Now().Add(answerTimeout)) {
				t.Errorf("%s %s: %d, deadlines %v, want one in %s", tt.method, tt.path, w.Code, w.until, answerTimeout)
			}
		}
	})
}
