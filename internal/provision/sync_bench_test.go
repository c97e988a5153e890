package provision_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/conductor-metal/conductor/internal/embedetcd"
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// BenchmarkPowerSync sweeps ten thousand nodes that are as they should be, beside
// the bare range of their records, in turns on one etcd, and reports how many times
// as long the sweep took: from the copy that a conductor has of the records, which
// must be at most twice, and without one. A machine answers at once.
func BenchmarkPowerSync(b *testing.B) {
	const count = 10_000
	client := realEtcd(b)
	store := node.NewStore(client, "/bench/")
	fill(b, store, client, count)
	session, err := lease.Open(b.Context(), client, lease.Config{Root: "/bench/", Holder: "c1", TTL: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = session.Close(b.Context()) })
	machines := &obedient{}
	hw, err := hardware.NewRegistry(hardware.Config{Fake: hardware.FakeConfig{Machines: machines}})
	if err != nil {
		b.Fatal(err)
	}
	tasks, err := task.NewManager(task.Config{Client: client, Root: "/bench/", Sessions: session, Hardware: hw})
	if err != nil {
		b.Fatal(err)
	}
	p := provision.New(provision.Config{Tasks: tasks, Store: store})
	before := heap()
	cache := node.NewCache(store, node.CacheConfig{Patience: time.Minute})
	b.Cleanup(cache.Close)
	for cache.State().Revision == 0 {
		time.Sleep(time.Millisecond)
	}
	size := float64(heap()-before) / count
	cfg := provision.SyncConfig{Mine: func(*node.Node) bool { return true }, Locks: lease.Locks{Client: client, Root: "/bench/"}}
	direct := p.NewPowerSync(cfg)
	cfg.Nodes = cache.Nodes
	copied := p.NewPowerSync(cfg)
	var ranged, swept, plain []time.Duration
	for b.Loop() {
		start := time.Now()
		r, err := client.Get(b.Context(), "/bench/nodes/", clientv3.WithPrefix())
		if err != nil || len(r.Kvs) != count {
			b.Fatalf("%d keys: %v", len(r.Kvs), err)
		}
		ranged, start = append(ranged, time.Since(start)), time.Now()
		if err := copied.Sweep(b.Context()); err != nil {
			b.Fatal(err)
		}
		swept, start = append(swept, time.Since(start)), time.Now()
		if err := direct.Sweep(b.Context()); err != nil {
			b.Fatal(err)
		}
		plain = append(plain, time.Since(start))
	}
	if got, want := machines.asked.Load(), int64(2*count*len(swept)); got != want {
		b.Fatalf("%d machines were asked, want %d", got, want)
	}
	bare := median(ranged)
	b.ReportMetric(median(swept)/bare, "x-range")
	b.ReportMetric(median(plain)/bare, "x-range-uncached")
	b.ReportMetric(bare*1000, "ms/range")
	b.ReportMetric(size, "B/node")
	if len(swept) >= 5 && median(swept) > 2*bare {
		b.Errorf("the sweep took %.1f times as long as the range, want at most 2 times", median(swept)/bare)
	}
}

// obedient are machines that are switched on.
type obedient struct {
	hardware.Machines
	asked atomic.Int64
}

func median(times []time.Duration) float64 {
	slices.Sort(times)
	return times[len(times)/2].Seconds()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// fill stores nodes as they are after a deployment.
func fill(b *testing.B, store *node.Store, client *clientv3.Client, count int) {
	b.Helper()
	var ops []clientv3.Op
	for i := range count {
		n := &node.Node{
			UUID: node.ID(uuid.NewString()), Name: fmt.Sprintf("r%03d-u%02d", i/40, i%40), Driver: "fake-hardware", ProvisionState: node.StateActive,
			PowerState: node.PowerOn, InstanceUUID: uuid.NewString(), ResourceClass: "baremetal.large", Traits: []string{"CUSTOM_GPU", "CUSTOM_NVME"},
			DriverInfo: node.Object{
				"redfish_address": fmt.Sprintf("https://10.0.%d.%d", i/250, i%250), "redfish_username": "root", "redfish_password": "calvin",
				"deploy_kernel": "http://images.example/ipa.kernel", "deploy_ramdisk": "http://images.example/ipa.initramfs",
			},
			DriverInternalInfo: node.Object{"agent_url": "https://10.1.0.7:9999", "agent_version": "9.4.0", "is_whole_disk_image": true},
			InstanceInfo:       node.Object{"image_source": "http://images.example/debian.qcow2", "root_gb": 10, "capabilities": map[string]any{"boot_option": "local"}},
			Properties:         node.Object{"cpus": 64, "memory_mb": 524288, "local_gb": 960, "cpu_arch": "x86_64", "capabilities": "boot_mode:uefi,cpu_vt:true"},
			Extra:              node.Object{"rack": fmt.Sprint("r", i/40), "unit": i % 40, "asset": fmt.Sprintf("A-%06d", i)},
		}
		n.Normalize()
		for _, value := range n.Interfaces() {
			*value = "fake"
		}
		n.NetworkInterface = "noop"
		data, err := json.Marshal(n)
		if err != nil {
			b.Fatal(err)
		}
		ops = append(ops, clientv3.OpPut(store.Keys().Node(n.UUID), string(data)))
	}
	for part := range slices.Chunk(ops, 100) {
		if _, err := client.Txn(b.Context()).Then(part...).Commit(); err != nil {
			b.Fatal(err)
		}
	}
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

// Power implements hardware.Machines.
func (o *obedient) Power(context.Context, hardware.Call) (node.PowerState, error) {
	o.asked.Add(1)
	return node.PowerOn, nil
}
