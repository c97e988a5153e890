package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// BenchmarkListDetail lists a thousand nodes in detail over HTTP, in pages, beside
// the bare range of the same keys, in turns on one etcd, and reports how many
// times as long the list took, from the copy in memory and from etcd. Both must be
// less than ten times.
func BenchmarkListDetail(b *testing.B) {
	const count = 1000
	client := realEtcd(b)
	store := node.NewStore(client, "/bench/")
	session, err := lease.Open(b.Context(), client, lease.Config{Root: "/bench/", Holder: "c1.example", TTL: 30 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = session.Close(b.Context()) })
	hw := hardwaretest.Registry(&hardwaretest.BMC{})
	tasks, err := task.NewManager(task.Config{Client: client, Root: "/bench/", Sessions: session, Hardware: hw})
	if err != nil {
		b.Fatal(err)
	}
	alloc, err := allocate.New(allocate.Config{Host: "c1.example", Store: store, Tasks: tasks})
	if err != nil {
		b.Fatal(err)
	}
	cfg := Config{
		Host: "c1.example", Store: store, Locks: lease.Locks{Client: client, Root: "/bench/"}, Tasks: tasks, Hardware: hw, Sessions: session,
		Provision: provision.New(provision.Config{Tasks: tasks, Store: store}), Allocations: alloc,
	}
	direct := listening(b, cfg)
	cache := node.NewCache(store, node.CacheConfig{})
	b.Cleanup(cache.Close)
	cfg.Lists = cache
	copied := listening(b, cfg)
	for i := range count {
		if err := store.Create(b.Context(), ordinary(i)); err != nil {
			b.Fatal(err)
		}
	}
	var ranged, listed, plain []time.Duration
	var size int
	for b.Loop() {
		start := time.Now()
		r, err := client.Get(b.Context(), "/bench/nodes/", clientv3.WithPrefix())
		if err != nil || len(r.Kvs) != count {
			b.Fatalf("%d keys: %v", len(r.Kvs), err)
		}
		ranged = append(ranged, time.Since(start))
		took, n := pages(b, copied, count)
		listed, size = append(listed, took), n
		took, _ = pages(b, direct, count)
		plain = append(plain, took)
	}
	list, bare := median(listed), median(ranged) // others use the machine too
	ratio, uncached := list.Seconds()/bare.Seconds(), median(plain).Seconds()/bare.Seconds()
	b.ReportMetric(ratio, "x-range")
	b.ReportMetric(uncached, "x-range-uncached")
	b.ReportMetric(list.Seconds()*1000, "ms/list")
	b.ReportMetric(bare.Seconds()*1000, "ms/range")
	b.ReportMetric(float64(size)/500, "B/node")
	if len(listed) > 10 && max(ratio, uncached) >= 10 { // the first rounds warm up
		b.Errorf("the list took %.1f times as long as the range, and %.1f times from etcd, want less than 10 times", ratio, uncached)
	}
}

func listening(b *testing.B, cfg Config) *httptest.Server {
	b.Helper()
	handler, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(handler)
	b.Cleanup(server.Close)
	return server
}

// pages lists all nodes, and returns how long that took and the length of the last page.
func pages(b *testing.B, server *httptest.Server, count int) (took time.Duration, size int) {
	b.Helper()
	n := 0
	for url := server.URL + "/v1/nodes/detail?limit=500"; url != ""; {
		start := time.Now()
		page := read(b, url)
		took += time.Since(start)
		var body struct {
			Nodes []struct{} `json:"nodes"`
			Next  string     `json:"next"`
		}
		if err := json.Unmarshal(page, &body); err != nil {
			b.Fatal(err)
		}
		n, size, url = n+len(body.Nodes), len(page), body.Next
	}
	if n != count {
		b.Fatalf("%d nodes", n)
	}
	return took, size
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

func read(b *testing.B, url string) []byte {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set(headerVersion, "latest")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Body.Close()
	data := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, data); err != nil || r.StatusCode != 200 {
		b.Fatalf("status %d: %v", r.StatusCode, err)
	}
	return data
}

// ordinary is a node as they are after an inspection and a deployment.
func ordinary(i int) *node.Node {
	n := &node.Node{
		UUID: node.ID(uuid.NewString()), Name: fmt.Sprintf("r%02d-u%02d", i/40, i%40), Driver: "fake-hardware", ProvisionState: node.StateActive,
		PowerState: node.PowerOn, InstanceUUID: uuid.NewString(), ResourceClass: "baremetal.large", ConductorGroup: "north", Owner: "ops",
		Description: "delivered in spring", Traits: []string{"CUSTOM_GPU", "CUSTOM_NVME", "HW_CPU_X86_VMX"},
		DriverInfo: node.Object{
			"address": fmt.Sprintf("10.0.%d.%d", i/250, i%250), "username": "root", "password": "calvin", "deploy_kernel": "http://images.example/ipa.kernel",
			"deploy_ramdisk": "http://images.example/ipa.initramfs", "verify_ca": true,
		},
		DriverInternalInfo: node.Object{
			"agent_url": "https://10.1.0.7:9999", "agent_version": "9.4.0", "last_power_state_change": "2026-01-02T03:04:05Z", "is_whole_disk_image": true,
			"hardware_manager_version": map[string]any{"generic_hardware_manager": "1.2"},
		},
		InstanceInfo: node.Object{
			"image_source": "http://images.example/debian.qcow2", "image_checksum": "d41d8cd98f00b204e9800998ecf8427e", "root_gb": 10, "display_name": "web-1",
			"capabilities": map[string]any{"boot_option": "local"},
		},
		Properties: node.Object{"cpus": 64, "memory_mb": 524288, "local_gb": 960, "cpu_arch": "x86_64", "capabilities": "boot_mode:uefi,cpu_vt:true", "vendor": "x"},
		Extra:      node.Object{"rack": fmt.Sprint("r", i/40), "unit": i % 40, "asset": fmt.Sprintf("A-%06d", i)},
		BootMode:   "uefi",
	}
	for _, value := range n.Interfaces() {
		*value = "fake"
	}
	return n
}

func realEtcd(b *testing.B) *clientv3.Client {
	b.Helper()
	server, err := embedetcd.Start(b.Context(), embedetcd.Config{Dir: b.TempDir(), ClientURL: "http://127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	cfg := server.ClientConfig()
	cfg.Logger = zap.NewNop()
	client, err := clientv3.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}
