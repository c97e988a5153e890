package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/bench"
)

// aMoment makes a run as short as it can be.
var aMoment = []string{"bench", "--only", "convert", "--rounds", "1", "--slice", "10ms", "--workers", "1"}

// bench starts an etcd in a process of its own, whatever etcd the environment names, and removes it.
func TestBench(t *testing.T) {
	t.Setenv(asProgram, "1")
	dir := t.TempDir()
	doc, plot := filepath.Join(dir, "doc.md"), filepath.Join(dir, "plot.svg")
	if err := os.WriteFile(doc, []byte("# Speed\n<!-- bench -->\nold\n<!-- end of bench -->\nthe end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	args := append(aMoment, "--dir", data, "-o", "json", "--markdown", doc, "--plot", plot, "--profile", dir)
	code, out, errs := runAs(t, map[string]string{"CONDUCTOR_ETCD_ENDPOINTS": "127.0.0.1:1"}, args...)
	if code != exitOK {
		t.Fatalf("got code %d: %s", code, errs)
	}
	var r bench.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Rows) != 4 || r.Members != 1 || r.Rows[1].ServerCPU < 0 {
		t.Errorf("got %v, %s", err, out)
	}
	text, _ := os.ReadFile(doc)
	if s := string(text); !strings.Contains(s, "| upgrade + downgrade |") || strings.Contains(s, "old") || !strings.HasSuffix(s, "the end\n") {
		t.Errorf("document: got %s", s)
	}
	for _, file := range []string{plot, filepath.Join(dir, "client.pprof"), filepath.Join(dir, "server.pprof")} {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s: got %v, %v", file, info, err)
		}
	}
	if left, err := os.ReadDir(data); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v: want no data", left, err)
	}
}

func TestBenchOnOthers(t *testing.T) {
	l := newLab(t)
	code, out, errs := runAs(t, nil, append(aMoment, "--etcd-endpoints", l.endpoint)...)
	if code != exitOK || !strings.Contains(out, "upgrade + downgrade") || strings.Contains(errs, "of our own") {
		t.Errorf("got code %d, %s%s", code, out, errs)
	}
	if r, err := l.client.Get(t.Context(), bench.Root, clientv3.WithPrefix()); err != nil || len(r.Kvs) != 0 {
		t.Errorf("got %v, %v: want nothing left", r, err)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{{"--quick", "--full"}, {"--only", "x"}, {"--rounds", "-1"}} {
		if code, _, errs := runAs(t, nil, append([]string{"bench"}, args...)...); code != exitUsage {
			t.Errorf("%v: got code %d, %s", args, code, errs)
		}
	}
}
