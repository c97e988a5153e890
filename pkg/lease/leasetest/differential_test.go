package leasetest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
)

var (
	seedFlag  = flag.Uint64("leasetest.seed", 0, "first seed of the differential test; 0 draws one")
	stepsFlag = flag.Int("leasetest.steps", 3000, "requests of the differential test")
)

// The fake and a real etcd get the same random requests, in step from the
// first revision on. Every answer, every refusal, the history of all events
// and the number of raft entries must be the same.
func TestDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real etcd")
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("repeat with -leasetest.seed=%d", seed)
	for _, compacts := range []bool{true, false} {
		t.Run(fmt.Sprintf("compacts=%t", compacts), func(t *testing.T) {
			differ(t, &generator{rand: rand.New(rand.NewPCG(seed, 0)), rev: 1, compacts: compacts})
		})
	}
}

func differ(t *testing.T, g *generator) {
	fake := New()
	defer fake.Close()
	fakeClient := fake.Client("a")
	fakeConn := &conn{etcd: fake, link: fake.link("a"), closed: fakeClient.Ctx().Done()}
	realClient := startEtcd(t)
	realConn := realClient.ActiveConnection()

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	events := newHistory(ctx, t, fakeClient, realClient)
	fakeEntries, realEntries := fake.RaftEntries(), raftIndex(ctx, t, realClient)
	for step := range *stepsFlag {
		method, req, fresh := g.next()
		if method == pb.KV_Compact_FullMethodName {
			events.compare(g.rev) // before the previous values go
		}
		got, want := fresh(), fresh()
		gotErr := fakeConn.Invoke(ctx, method, req, got)
		wantErr := realConn.Invoke(ctx, method, req, want)
		same := cmp.Diff(want, got, protocmp.Transform(),
			protocmp.IgnoreFields(&pb.ResponseHeader{}, "cluster_id", "member_id", "raft_term"),
			protocmp.IgnoreFields(&pb.LeaseTimeToLiveResponse{}, "TTL"),
			protocmp.SortRepeatedFields(&pb.LeaseTimeToLiveResponse{}, "keys"))
		if same != "" || !sameError(gotErr, wantErr) {
			t.Fatalf("step %d: %s %v\nfake: error %v\nreal: error %v\n-real +fake:\n%s", step, method, req, gotErr, wantErr, same)
		}
		g.learn(want)
	}
	events.compare(g.rev)
	fakeEntries, realEntries = fake.RaftEntries()-fakeEntries, raftIndex(ctx, t, realClient)-realEntries
	if own := realEntries - fakeEntries; own < 0 || own > 4 { // a new cluster sets its version, and the like
		t.Errorf("got %d raft entries, want %d", fakeEntries, realEntries)
	}
	t.Logf("%d revisions, %d raft entries", g.rev, fakeEntries)
}

func raftIndex(ctx context.Context, t *testing.T, c *clientv3.Client) int64 {
	t.Helper()
	resp, err := c.Status(ctx, c.Endpoints()[0])
	if err != nil {
		t.Fatal(err)
	}
	return int64(resp.RaftIndex)
}

func sameError(a, b error) bool {
	return status.Code(a) == status.Code(b) && status.Convert(a).Message() == status.Convert(b).Message()
}

// history follows all events on both sides.
type history struct {
	*testing.T
	fake, real clientv3.WatchChan
	rev        int64 // compared up to here
}

func newHistory(ctx context.Context, t *testing.T, fake, real *clientv3.Client) *history {
	watch := func(c *clientv3.Client) clientv3.WatchChan {
		return c.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithPrevKV())
	}
	return &history{T: t, fake: watch(fake), real: watch(real), rev: 1}
}

// compare waits until both sides have shown all events up to rev, and fails
// if they are not the same.
func (h *history) compare(rev int64) {
	h.Helper()
	if rev == h.rev {
		return
	}
	var fake, real []*clientv3.Event
	for ; h.rev < rev; h.rev++ { // a response is a revision
		fake = append(fake, h.next("fake", h.fake)...)
	}
	for len(real) < len(fake) {
		real = append(real, h.next("real", h.real)...)
	}
	if diff := cmp.Diff(real, fake, protocmp.Transform()); diff != "" {
		h.Fatalf("other events up to revision %d: -real +fake:\n%s", rev, diff)
	}
}

func (h *history) next(name string, w clientv3.WatchChan) []*clientv3.Event {
	h.Helper()
	resp, ok := <-w
	if !ok || resp.Err() != nil {
		h.Fatalf("the watch of the %s etcd ended: %v", name, resp.Err())
	}
	return resp.Events
}
