package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestFind(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	n := rs.Node
	for _, ref := range []string{string(n.UUID), strings.ToUpper(string(n.UUID)), "n1"} {
		got, err := s.Find(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(n, got); diff != "" {
			t.Errorf("%s: %s", ref, diff)
		}
	}
	if got, err := s.ByInstance(t.Context(), strings.ToUpper(n.InstanceUUID)); err != nil || got.UUID != n.UUID {
		t.Errorf("by instance: got %v, %v", got, err)
	}
	if got, err := s.VolumeConnector(t.Context(), rs.VolumeConnectors[0].UUID); err != nil || got.ConnectorID != "iqn/1" {
		t.Errorf("connector: got %v, %v", got, err)
	}
	if got, err := s.VolumeTarget(t.Context(), rs.VolumeTargets[0].UUID); err != nil || *got.BootIndex != 0 {
		t.Errorf("target: got %v, %v", got, err)
	}
	for _, ref := range []string{rs.Portgroups[0].UUID, "g1", mac(1001)} {
		if got, err := s.Portgroup(t.Context(), ref); err != nil || got.UUID != rs.Portgroups[0].UUID {
			t.Errorf("portgroup %s: got %v, %v", ref, got, err)
		}
	}
	missing := uuid.NewString()
	for name, err := range map[string]error{
		"uuid":      third(s.Find(t.Context(), missing)),
		"name":      third(s.Find(t.Context(), "a/../b")),
		"instance":  third(s.ByInstance(t.Context(), missing)),
		"records":   third(s.Records(t.Context(), ID(missing))),
		"port":      third(s.Port(t.Context(), missing)),
		"mac":       third(s.Port(t.Context(), mac(99))),
		"portgroup": third(s.Portgroup(t.Context(), "x")),
		"connector": third(s.VolumeConnector(t.Context(), missing)),
		"target":    third(s.VolumeTarget(t.Context(), missing)),
	} {
		if e, ok := errors.AsType[*NotFoundError](err); !ok || e.Ref == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func third[T any](_ T, err error) error { return err }

// TestReadIsOneTransaction acquires as a lock does: with what Read names.
func TestReadIsOneTransaction(t *testing.T) {
	s := newStore(t)
	family(t, s, 1)
	rs := family(t, s, 2)
	want := []string{"nodes/" + string(rs.Node.UUID)}
	for _, dir := range []string{"ports/", "portgroups/", "volume-connectors/", "volume-targets/"} {
		want = append(want, dir+string(rs.Node.UUID)+"/")
	}
	for i, key := range s.keys.Read(rs.Node.UUID) {
		if key != s.keys.Root+want[i] {
			t.Errorf("got %s, want %s", key, want[i])
		}
	}
	if len(rs.Ports) != 1 || len(rs.Portgroups) != 1 || len(rs.VolumeConnectors) != 1 || len(rs.VolumeTargets) != 1 || rs.Revision == 0 {
		t.Errorf("got %+v", rs)
	}
	if diff := cmp.Diff(rs, rs.Clone()); diff != "" {
		t.Error(diff)
	}
}

// TestOneNameOneNode lets many create one name; exactly one may have it.
func TestOneNameOneNode(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for range cap(results) {
		wg.Go(func() { results <- s.Create(t.Context(), &Node{Name: "same", Driver: "d"}) })
	}
	wg.Wait()
	close(results)
	made := 0
	for err := range results {
		if err == nil {
			made++
		} else if !errors.Is(err, ErrDuplicate) {
			t.Error(err)
		}
	}
	if made != 1 || len(dumpKeys(t, s)) != 2 {
		t.Errorf("%d nodes made, keys %v", made, dumpKeys(t, s))
	}
}

func TestListPages(t *testing.T) {
	s := newStore(t)
	var ids []string
	for i := range 7 {
		n := add(t, s, &Node{Name: fmt.Sprint("n", i), Driver: "d", Maintenance: i%2 == 0})
		ids = append(ids, string(n.UUID))
	}
	slices.Sort(ids)
	for limit := range 9 {
		var got []string
		q := ListRequest[*Node]{Limit: limit}
		for pages := 1; ; pages++ {
			page, err := s.Nodes(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if limit > 0 && len(page.Items) > limit || page.Revision == 0 {
				t.Fatalf("limit %d: got %d items at %d", limit, len(page.Items), page.Revision)
			}
			for _, n := range page.Items {
				got = append(got, string(n.UUID))
			}
			if q.Marker = page.Next; q.Marker == "" {
				if want := (7 + limit - 1) / max(limit, 1); limit > 0 && pages != want {
					t.Errorf("limit %d: %d pages, want %d", limit, pages, want)
				}
				break
			}
		}
		if !slices.Equal(got, ids) {
			t.Errorf("limit %d: got %v, want %v", limit, got, ids)
		}
	}
	page, err := s.Nodes(t.Context(), ListRequest[*Node]{Limit: 2, Match: func(n *Node) bool { return n.Maintenance }})
	if err != nil || len(page.Items) != 2 || page.Next == "" || !page.Items[0].Maintenance {
		t.Errorf("match: got %v, %v", page, err)
	}
	empty, err := newStore(t).Nodes(t.Context(), ListRequest[*Node]{})
	if err != nil || empty.Items == nil || len(empty.Items) != 0 || empty.Next != "" {
		t.Errorf("empty: got %v, %v", empty, err)
	}
}

func TestListChildren(t *testing.T) {
	s := newStore(t)
	one, two := family(t, s, 1), family(t, s, 2)
	add(t, s, &Port{NodeUUID: one.Node.UUID, Address: mac(10)})
	all, err := s.Ports(t.Context(), ListRequest[*Port]{})
	if err != nil || len(all.Items) != 3 {
		t.Fatalf("got %v, %v", all, err)
	}
	var got []*Port
	q := ListRequest[*Port]{Limit: 1}
	for {
		page, err := s.Ports(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Items...)
		if q.Marker = page.Next; q.Marker == "" {
			break
		}
	}
	if diff := cmp.Diff(all.Items, got); diff != "" {
		t.Error(diff)
	}
	of, err := s.Ports(t.Context(), ListRequest[*Port]{Node: one.Node.UUID, Limit: 1})
	if err != nil || len(of.Items) != 1 || of.Next == "" {
		t.Fatalf("got %v, %v", of, err)
	}
	of, err = s.Ports(t.Context(), ListRequest[*Port]{Node: one.Node.UUID, Limit: 1, Marker: of.Next})
	if err != nil || len(of.Items) != 1 || of.Next != "" || of.Items[0].NodeUUID != one.Node.UUID {
		t.Errorf("got %v, %v", of, err)
	}
	if _, err := s.Ports(t.Context(), ListRequest[*Port]{Marker: uuid.NewString()}); !errors.Is(err, ErrNotFound) {
		t.Errorf("lost marker: got %v", err)
	}
	g, err := s.Portgroups(t.Context(), ListRequest[*Portgroup]{Node: two.Node.UUID})
	if err != nil || len(g.Items) != 1 || g.Items[0].UUID != two.Portgroups[0].UUID {
		t.Errorf("got %v, %v", g, err)
	}
	c, err := s.VolumeConnectors(t.Context(), ListRequest[*VolumeConnector]{})
	if err != nil || len(c.Items) != 2 {
		t.Errorf("got %v, %v", c, err)
	}
	v, err := s.VolumeTargets(t.Context(), ListRequest[*VolumeTarget]{})
	if err != nil || len(v.Items) != 2 {
		t.Errorf("got %v, %v", v, err)
	}
}

// TestListManyBatches reads more than one request brings, at one revision.
func TestListManyBatches(t *testing.T) {
	s := newStore(t)
	var ops []clientv3.Op
	for i := range batch*2 + 3 {
		ops = append(ops, clientv3.OpPut(s.keys.Node(ID(fmt.Sprintf("%08d", i))), `{}`))
	}
	if _, err := client.Txn(t.Context()).Then(clientv3.OpTxn(nil, nest(ops), nil)).Commit(); err != nil {
		t.Fatal(err)
	}
	page, err := s.Nodes(t.Context(), ListRequest[*Node]{})
	if err != nil || len(page.Items) != len(ops) || page.Next != "" {
		t.Fatalf("got %d, %v", len(page.Items), err)
	}
	// A node that appears while the list is read is not on the page.
	wrote := false
	page, err = s.Nodes(t.Context(), ListRequest[*Node]{Match: func(*Node) bool {
		if !wrote {
			wrote = true
			add(t, s, &Node{UUID: "ffffffff-ffff-4fff-bfff-ffffffffffff", Driver: "d"})
		}
		return true
	}})
	if err != nil || len(page.Items) != len(ops) {
		t.Fatalf("got %d, %v", len(page.Items), err)
	}
	page, err = s.Nodes(t.Context(), ListRequest[*Node]{Limit: batch + 1})
	if err != nil || len(page.Items) != batch+1 || page.Next != fmt.Sprintf("%08d", batch) {
		t.Fatalf("got %d, %v", len(page.Items), err)
	}
}

// TestCorruptRecord: one record written by hand must not hide the others.
func TestCorruptRecord(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	id := rs.Node.UUID
	put := func(key, value string) {
		t.Helper()
		if _, err := client.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	lost := ID(uuid.NewString())
	put(s.keys.Node(lost), `{"name": 5}`)
	page, err := s.Nodes(t.Context(), ListRequest[*Node]{})
	if err != nil || len(page.Items) != 1 || len(page.Corrupt) != 1 || page.Corrupt[0].Key != s.keys.Node(lost) {
		t.Fatalf("got %+v, %v", page, err)
	}
	_, err = s.Find(t.Context(), string(lost))
	if c, ok := errors.AsType[*CorruptError](err); !ok || c.Key != s.keys.Node(lost) || !strings.Contains(err.Error(), "name: must be text") ||
		!strings.Contains(err.Error(), fmt.Sprintf("etcdctl get --rev=%d %s", page.Revision-1, c.Key)) {
		t.Errorf("got %v", err)
	}
	// A node with a broken port can be read, and deleted for good.
	p := rs.Ports[0]
	put(s.keys.of(p), `{"address":`)
	rs, err = s.Records(t.Context(), id)
	if err != nil || len(rs.Ports) != 0 || len(rs.Corrupt) != 1 {
		t.Fatalf("got %+v, %v", rs, err)
	}
	commit(t, s)(s.keys.DeleteNode(rs))
	if _, ok := dumpKeys(t, s)["index/port/"+p.UUID]; ok {
		t.Error("the index by uuid of the broken port is left")
	}
	// An index that points nowhere is a record that is not found.
	put(s.keys.index("node-name", "ghost"), uuid.NewString())
	if _, err := s.Find(t.Context(), "ghost"); !errors.Is(err, ErrNotFound) {
		t.Errorf("ghost: got %v", err)
	}
	// So is one that points to a record with another name or instance, as a
	// rename between the two reads leaves it.
	n := add(t, s, &Node{Name: "renamed", Driver: "d"})
	instance := uuid.NewString()
	put(s.keys.index("node-name", "before"), string(n.UUID))
	put(s.keys.index("instance", instance), string(n.UUID))
	if _, err := s.Find(t.Context(), "before"); !errors.Is(err, ErrNotFound) {
		t.Errorf("renamed: got %v", err)
	}
	if _, err := s.ByInstance(t.Context(), instance); !errors.Is(err, ErrNotFound) {
		t.Errorf("instance moved: got %v", err)
	}
}

func TestEndedContext(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	id := ID(uuid.NewString())
	for name, err := range map[string]error{
		"node": third(s.Node(ctx, id)), "find": third(s.Find(ctx, "n")), "records": third(s.Records(ctx, id)),
		"list": third(s.Nodes(ctx, ListRequest[*Node]{})), "create": s.Create(ctx, &Node{UUID: id, Driver: "d"}),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
