package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func mac(i int) string {
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255)
}

// indexKeys answers the sorted keys below index/.
func indexKeys(t *testing.T, s *Store) []string {
	t.Helper()
	var keys []string
	for k := range dumpKeys(t, s) {
		if strings.HasPrefix(k, "index/") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// family creates a node with one record of each kind.
func family(t *testing.T, s *Store, i int) *Records {
	t.Helper()
	n := add(t, s, &Node{Name: fmt.Sprint("n", i), Driver: "fake-hardware", InstanceUUID: uuid.NewString()})
	g := add(t, s, &Portgroup{NodeUUID: n.UUID, Name: fmt.Sprint("g", i), Address: mac(1000 + i)})
	add(t, s, &Port{NodeUUID: n.UUID, Name: fmt.Sprint("p", i), Address: strings.ToUpper(mac(i)), PortgroupUUID: g.UUID})
	add(t, s, &VolumeConnector{NodeUUID: n.UUID, Type: "iqn", ConnectorID: fmt.Sprint("iqn/", i)})
	add(t, s, &VolumeTarget{NodeUUID: n.UUID, VolumeType: "iscsi", BootIndex: new(int64(0)), VolumeID: "v"})
	rs, err := s.Records(t.Context(), n.UUID)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestCreateLaysOutKeys(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	id := string(rs.Node.UUID)
	got := dumpKeys(t, s)
	for key := range got {
		if !strings.HasPrefix(key, "index/") {
			delete(got, key)
		}
	}
	p, g, c, v := rs.Ports[0], rs.Portgroups[0], rs.VolumeConnectors[0], rs.VolumeTargets[0]
	want := map[string]string{
		"index/node-name/n1":                     id,
		"index/instance/" + rs.Node.InstanceUUID: id,
		"index/port/" + p.UUID:                   id,
		"index/mac/" + mac(1):                    id + "/" + p.UUID,
		"index/port-name/p1":                     id + "/" + p.UUID,
		"index/portgroup/" + g.UUID:              id,
		"index/portgroup-mac/" + mac(1001):       id + "/" + g.UUID,
		"index/portgroup-name/g1":                id + "/" + g.UUID,
		"index/volume-connector/" + c.UUID:       id,
		"index/volume-connector-id/iqn/iqn%2F1":  id + "/" + c.UUID,
		"index/volume-target/" + v.UUID:          id,
		"index/volume-target-boot/" + id + "/0":  id + "/" + v.UUID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	n := rs.Node
	if n.ProvisionState != StateEnroll || n.CreatedAt.IsZero() || !n.UpdatedAt.IsZero() || n.WrittenBy != nil || n.Revision == 0 {
		t.Errorf("got %+v", n.Meta)
	}
	if p.Address != mac(1) || !*p.PXEEnabled || g.Mode != "active-backup" || !*g.StandalonePortsSupported {
		t.Errorf("not normalized: %v %v", p, g)
	}
}

func TestDuplicates(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	id := rs.Node.UUID
	p, g, c, v := rs.Ports[0], rs.Portgroups[0], rs.VolumeConnectors[0], rs.VolumeTargets[0]
	other := add(t, s, &Node{Driver: "fake-hardware"})
	owner := func(uuid string) string { return string(id) + "/" + uuid }
	before := dumpKeys(t, s)
	for _, tt := range []struct {
		r            Record
		field, value string
		owner        string
	}{
		{&Node{UUID: id, Driver: "d"}, "uuid", string(id), string(id)},
		{&Node{Name: "n1", Driver: "d"}, "name", "n1", string(id)},
		{&Node{InstanceUUID: rs.Node.InstanceUUID, Driver: "d"}, "instance_uuid", rs.Node.InstanceUUID, string(id)},
		{&Port{NodeUUID: other.UUID, UUID: p.UUID, Address: mac(9)}, "uuid", p.UUID, string(id)},
		{&Port{NodeUUID: other.UUID, Address: mac(1)}, "address", mac(1), owner(p.UUID)},
		{&Port{NodeUUID: id, Address: mac(9), Name: "p1"}, "name", "p1", owner(p.UUID)},
		{&Portgroup{NodeUUID: other.UUID, UUID: g.UUID}, "uuid", g.UUID, string(id)},
		{&Portgroup{NodeUUID: other.UUID, Address: mac(1001)}, "address", mac(1001), owner(g.UUID)},
		{&Portgroup{NodeUUID: other.UUID, Name: "g1"}, "name", "g1", owner(g.UUID)},
		{&VolumeConnector{NodeUUID: other.UUID, UUID: c.UUID, Type: "x", ConnectorID: "y"}, "uuid", c.UUID, string(id)},
		{&VolumeConnector{NodeUUID: other.UUID, Type: "iqn", ConnectorID: "iqn/1"}, "connector_id", "iqn/1", owner(c.UUID)},
		{&VolumeTarget{NodeUUID: other.UUID, UUID: v.UUID, VolumeType: "x", VolumeID: "y", BootIndex: new(int64(0))}, "uuid", v.UUID, string(id)},
		{&VolumeTarget{NodeUUID: id, VolumeType: "x", VolumeID: "y", BootIndex: new(int64(0))}, "boot_index", "0", owner(v.UUID)},
	} {
		err := s.Create(t.Context(), tt.r)
		wantDuplicate(t, err, tt.r.Kind(), tt.field, tt.value, tt.owner)
		if tt.r.meta().Revision != 0 {
			t.Errorf("%s %s: a refused record has a revision", tt.r.Kind(), tt.field)
		}
	}
	if diff := cmp.Diff(before, dumpKeys(t, s)); diff != "" {
		t.Errorf("a refused create wrote: %s", diff)
	}
	// The same boot index on another node, and the same id of another type, are free.
	add(t, s, &VolumeTarget{NodeUUID: other.UUID, VolumeType: "x", VolumeID: "y", BootIndex: new(int64(0))})
	add(t, s, &VolumeConnector{NodeUUID: other.UUID, Type: "wwnn", ConnectorID: "iqn/1"})
}

func TestChildNeedsParents(t *testing.T) {
	s := newStore(t)
	lost := ID(uuid.NewString())
	for _, r := range []Record{
		&Port{NodeUUID: lost, Address: mac(1)}, &Portgroup{NodeUUID: lost},
		&VolumeConnector{NodeUUID: lost, Type: "iqn", ConnectorID: "x"},
		&VolumeTarget{NodeUUID: lost, VolumeType: "x", VolumeID: "y", BootIndex: new(int64(0))},
	} {
		e, ok := errors.AsType[*NotFoundError](s.Create(t.Context(), r))
		if !ok || e.Kind != KindNode || e.Ref != string(lost) {
			t.Errorf("%s: got %v", r.Kind(), e)
		}
	}
	rs := family(t, s, 1)
	other := add(t, s, &Node{Driver: "d"})
	e, ok := errors.AsType[*NotFoundError](s.Create(t.Context(),
		&Port{NodeUUID: other.UUID, Address: mac(2), PortgroupUUID: rs.Portgroups[0].UUID}))
	if !ok || e.Kind != KindPortgroup {
		t.Errorf("portgroup of another node: got %v", e)
	}
}

func TestUpdateMovesIndexes(t *testing.T) {
	s := newStore(t)
	a := add(t, s, &Node{Name: "a", Driver: "d"})
	b := add(t, s, &Node{Name: "b", Driver: "d"})
	// Renaming to a name that is taken is refused and changes nothing.
	c := a.Clone()
	c.Name = "b"
	wantDuplicate(t, try(t, s)(s.keys.Update(a, c)), KindNode, "name", "b", string(b.UUID))
	// Renaming to a free one moves the index in the one transaction.
	c.Name = "c"
	Sign(c, &Writer{"t", 3})
	rev := commit(t, s)(s.keys.Update(a, c))
	got, err := s.Find(t.Context(), "c")
	if err != nil || got.UUID != a.UUID || got.Revision != rev || c.Revision != rev ||
		got.UpdatedAt.IsZero() || !got.CreatedAt.Equal(a.CreatedAt) || *got.WrittenBy != (Writer{"t", 3}) {
		t.Errorf("got %v %+v, %v", got, got.Meta, err)
	}
	if want := []string{"index/node-name/b", "index/node-name/c"}; !slices.Equal(indexKeys(t, s), want) {
		t.Errorf("got %v, want %v", indexKeys(t, s), want)
	}
	// The old view is stale now.
	d := a.Clone()
	d.Description = "late"
	stale, ok := errors.AsType[*StaleError](try(t, s)(s.keys.Update(a, d)))
	if !ok || stale.Have != rev || stale.Want != a.Revision || stale.Key != s.keys.Node(a.UUID) {
		t.Errorf("got %v", stale)
	}
	// The old name is free, and the new one goes with the removal of a name.
	e := b.Clone()
	e.Name = "a"
	commit(t, s)(s.keys.Update(b, e))
	f := c.Clone()
	f.Name = ""
	commit(t, s)(s.keys.Update(c, f))
	if want := []string{"index/node-name/a"}; !slices.Equal(indexKeys(t, s), want) {
		t.Errorf("got %v, want %v", indexKeys(t, s), want)
	}
}

func TestUpdateOfChildren(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	other := add(t, s, &Node{Driver: "d"})
	p := rs.Ports[0].Clone()
	p.Address, p.PortgroupUUID = mac(77), ""
	commit(t, s)(s.keys.Update(rs.Ports[0], p))
	if _, err := s.Port(t.Context(), mac(1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("old address: got %v", err)
	}
	// A port moves to another node, with the values of its index keys.
	q := p.Clone()
	q.NodeUUID = other.UUID
	commit(t, s)(s.keys.Update(p, q))
	for _, ref := range []string{q.UUID, strings.ToUpper(mac(77)), "p1"} {
		got, err := s.Port(t.Context(), ref)
		if err != nil || got.NodeUUID != other.UUID || got.UUID != q.UUID {
			t.Errorf("%s: got %v, %v", ref, got, err)
		}
	}
	if _, ok := dumpKeys(t, s)["ports/"+string(rs.Node.UUID)+"/"+q.UUID]; ok {
		t.Error("the port still stands below its old node")
	}
	v := rs.VolumeTargets[0].Clone()
	v.BootIndex = new(int64(3))
	commit(t, s)(s.keys.Update(rs.VolumeTargets[0], v))
	c := rs.VolumeConnectors[0].Clone()
	c.ConnectorID = "a/b%2F c"
	commit(t, s)(s.keys.Update(rs.VolumeConnectors[0], c))
	if got := dumpKeys(t, s)["index/volume-connector-id/iqn/a%2Fb%252F%20c"]; got != string(rs.Node.UUID)+"/"+c.UUID {
		t.Errorf("connector index: got %q", got)
	}
	gone := ID(uuid.NewString())
	r := q.Clone()
	r.NodeUUID = gone
	if err := try(t, s)(s.keys.Update(q, r)); !errors.Is(err, ErrNotFound) {
		t.Errorf("move to a node that is not there: got %v", err)
	}
}

func TestUpdateRefuses(t *testing.T) {
	k := Keys{Root: "/r/"}
	n := &Node{UUID: ID(uuid.NewString()), Driver: "d", ProvisionState: StateEnroll, Meta: Meta{Revision: 3}}
	if _, err := k.Update(n, n); err == nil || !strings.Contains(err.Error(), "clone it") {
		t.Errorf("same record: got %v", err)
	}
	if _, err := k.Update(n, &Port{UUID: uuid.NewString()}); err == nil || !strings.Contains(err.Error(), "cannot become port") {
		t.Errorf("other kind: got %v", err)
	}
	m := n.Clone()
	m.UUID = ID(uuid.NewString())
	if _, err := k.Update(n, m); err == nil || !strings.Contains(err.Error(), "never changes") {
		t.Errorf("other uuid: got %v", err)
	}
	if _, err := k.Update(&Node{UUID: n.UUID}, n.Clone()); !errors.Is(err, errNeverRead) {
		t.Errorf("never read: got %v", err)
	}
	// A flaw that was there already does not stop a save; a new one does.
	flawed := n.Clone()
	flawed.Traits = []string{"lower"}
	saved := flawed.Clone()
	saved.PowerState = PowerOn
	if _, err := k.Update(flawed, saved); err != nil {
		t.Errorf("old flaw: got %v", err)
	}
	saved.Name = "a/b"
	v, ok := errors.AsType[*ValidationError](func() error { _, err := k.Update(flawed, saved); return err }())
	if !ok || len(v.Fields) != 1 || v.Fields[0].Field != "name" {
		t.Errorf("new flaw: got %v", v)
	}
	big := n.Clone()
	big.Extra = Object{"x": strings.Repeat("x", maxRecord)}
	if _, err := k.Update(n, big); !errors.Is(err, ErrInvalid) {
		t.Errorf("too big: got %v", err)
	}
	big.Extra = Object{"x": make(chan int)}
	if _, err := k.Update(n, big); !errors.Is(err, ErrInvalid) {
		t.Errorf("not JSON: got %v", err)
	}
	if _, err := k.Create(&Node{Name: "-/-"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("create: got %v", err)
	}
}

func TestUpdateStampsTimes(t *testing.T) {
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	const now, was, null = "now", "was", "null"
	for _, tt := range []struct {
		from, to                   ProvisionState
		updated, started, finished string
	}{
		{StateAvailable, StateAvailable, was, was, was},
		{StateAvailable, StateDeploying, now, was, was},
		{StateManageable, StateInspecting, now, now, null},
		{StateInspectWait, StateInspecting, now, now, null},
		{StateInspecting, StateInspectWait, now, was, was},
		{StateInspecting, StateManageable, now, null, now},
		{StateInspectWait, StateManageable, now, null, now},
		{StateInspecting, StateInspectFailed, now, null, was},
		{StateVerifying, StateManageable, now, was, was},
		{StateInspectFailed, StateManageable, now, was, was},
	} {
		a := &Node{
			UUID: ID(uuid.NewString()), Driver: "d", ProvisionState: tt.from, ProvisionUpdatedAt: old,
			InspectionStartedAt: old, InspectionFinishedAt: old, Meta: Meta{Revision: 1, CreatedAt: old},
		}
		b := a.Clone()
		b.ProvisionState, b.LastError = tt.to, strings.Repeat("ü", 4096)
		if _, err := (Keys{Root: "/r/"}).Update(a, b); err != nil {
			t.Fatal(err)
		}
		for field, got := range map[string]struct {
			at   time.Time
			want string
		}{"updated": {b.ProvisionUpdatedAt, tt.updated}, "started": {b.InspectionStartedAt, tt.started}, "finished": {b.InspectionFinishedAt, tt.finished}} {
			ok := map[string]bool{now: got.at.Equal(b.UpdatedAt), was: got.at.Equal(old), null: got.at.IsZero()}[got.want]
			if !ok {
				t.Errorf("%s to %s: %s: got %v, want %s", tt.from, tt.to, field, got.at, got.want)
			}
		}
		if b.UpdatedAt.Location() != time.UTC || !b.CreatedAt.Equal(old) || len(b.LastError) != 4096 {
			t.Errorf("got %v, %v, %d bytes of error", b.UpdatedAt, b.CreatedAt, len(b.LastError))
		}
	}
}

func TestDeleteNodeLeavesNothing(t *testing.T) {
	s := newStore(t)
	keep := family(t, s, 1)
	before := dumpKeys(t, s)
	rs := family(t, s, 2)
	for i := range 260 {
		add(t, s, &Port{NodeUUID: rs.Node.UUID, Address: mac(5000 + i), Name: fmt.Sprint("many", i)})
	}
	rs, err := s.Records(t.Context(), rs.Node.UUID)
	if err != nil || len(rs.Ports) != 261 {
		t.Fatalf("got %d ports, %v", len(rs.Ports), err)
	}
	c, err := s.keys.DeleteNode(rs)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.If) > 10 || len(c.Then) > 12 {
		t.Errorf("%d compares and %d operations leave little room for a lock", len(c.If), len(c.Then))
	}
	commit(t, s)(c, nil)
	if diff := cmp.Diff(before, dumpKeys(t, s)); diff != "" {
		t.Error(diff)
	}
	if err := try(t, s)(s.keys.DeleteNode(rs)); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: got %v", err)
	}
	commit(t, s)(s.keys.DeleteNode(keep))
	if left := dumpKeys(t, s); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestDeleteNodeSeesRaces changes the records between the read and the
// deletion.
func TestDeleteNodeSeesRaces(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	add(t, s, &Port{NodeUUID: rs.Node.UUID, Address: mac(50)})
	if err := try(t, s)(s.keys.DeleteNode(rs)); !errors.Is(err, ErrStale) {
		t.Errorf("a port was added: got %v", err)
	}
	rs, err := s.Records(t.Context(), rs.Node.UUID)
	if err != nil {
		t.Fatal(err)
	}
	// A port moves away and keeps its MAC, another goes and its MAC is taken
	// by a port elsewhere: both must survive with their index keys.
	other := add(t, s, &Node{Driver: "d"})
	var moved, gone *Port
	for _, p := range rs.Ports {
		if p.Address == mac(50) {
			moved = p
		} else {
			gone = p
		}
	}
	m := moved.Clone()
	m.NodeUUID = other.UUID
	commit(t, s)(s.keys.Update(moved, m))
	commit(t, s)(s.keys.Delete(nil, gone))
	heir := add(t, s, &Port{NodeUUID: other.UUID, Address: gone.Address})
	commit(t, s)(s.keys.DeleteNode(rs))
	for _, p := range []*Port{m, heir} {
		if got, err := s.Port(t.Context(), p.Address); err != nil || got.UUID != p.UUID {
			t.Errorf("%s: got %v, %v", p.Address, got, err)
		}
	}
	want := []string{"index/mac/" + heir.Address, "index/mac/" + m.Address, "index/port/" + heir.UUID, "index/port/" + m.UUID}
	slices.Sort(want)
	if got := indexKeys(t, s); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := s.keys.DeleteNode(&Records{Node: &Node{}}); !errors.Is(err, errNeverRead) {
		t.Errorf("a node that was never read: got %v", err)
	}
}

func TestDeleteChildren(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	p, g := rs.Ports[0], rs.Portgroups[0]
	_, err := s.keys.Delete(rs, g)
	if used, ok := errors.AsType[*InUseError](err); !ok || !slices.Equal(used.By, []string{p.UUID}) || !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	commit(t, s)(s.keys.Delete(rs, p))
	if err := try(t, s)(s.keys.Delete(rs, p)); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: got %v", err)
	}
	rs, err = s.Records(t.Context(), rs.Node.UUID)
	if err != nil {
		t.Fatal(err)
	}
	late := add(t, s, &Port{NodeUUID: rs.Node.UUID, Address: mac(60), PortgroupUUID: g.UUID})
	if err := try(t, s)(s.keys.Delete(rs, g)); !errors.Is(err, ErrStale) {
		t.Errorf("a port joined meanwhile: got %v", err)
	}
	commit(t, s)(s.keys.Delete(nil, late))
	commit(t, s)(s.keys.Delete(rs, g))
	commit(t, s)(s.keys.Delete(nil, rs.VolumeConnectors[0]))
	commit(t, s)(s.keys.Delete(nil, rs.VolumeTargets[0]))
	if got := len(dumpKeys(t, s)); got != 3 {
		t.Errorf("%d keys left, want the node and its two index keys: %v", got, dumpKeys(t, s))
	}
	for name, err := range map[string]error{
		"node": second(s.keys.Delete(rs, rs.Node)), "no records": second(s.keys.Delete(nil, g)), "never read": second(s.keys.Delete(nil, &Port{})),
	} {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func second(_ Change, err error) error { return err }

// TestMergeInForeignTransaction does what a lock does: its own compares and
// reads stand before those of the change.
func TestMergeInForeignTransaction(t *testing.T) {
	s := newStore(t)
	rs := family(t, s, 1)
	n, p := rs.Node.Clone(), rs.Ports[0].Clone()
	n.PowerState, p.Description = PowerOn, "x"
	cn, err := s.keys.Update(rs.Node, n)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := s.keys.Update(rs.Ports[0], p)
	if err != nil {
		t.Fatal(err)
	}
	m := Merge("save", cn, cp)
	fence := s.keys.Root + "fence"
	run := func() *clientv3.TxnResponse {
		t.Helper()
		resp, err := client.Txn(t.Context()).
			If(append([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(fence), ">", 0)}, m.If...)...).
			Then(m.Then...).Else(append([]clientv3.Op{clientv3.OpGet(fence)}, m.Else...)...).Commit()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := run()
	if resp.Succeeded || m.Explain(resp.Responses[1:]) != nil {
		t.Errorf("without the fence: got %v, %v", resp.Succeeded, m.Explain(resp.Responses[1:]))
	}
	if err := m.Explain(resp.Responses); err == nil {
		t.Error("a wrong number of responses passed")
	}
	if _, err := client.Put(t.Context(), fence, "x"); err != nil {
		t.Fatal(err)
	}
	if resp = run(); !resp.Succeeded {
		t.Fatal("refused with the fence")
	}
	m.Committed(resp.Header.Revision)
	if n.Revision != resp.Header.Revision || p.Revision != resp.Header.Revision {
		t.Errorf("revisions: got %d, %d, want %d", n.Revision, p.Revision, resp.Header.Revision)
	}
	if resp = run(); resp.Succeeded || !errors.Is(m.Explain(resp.Responses[1:]), ErrStale) {
		t.Errorf("twice: got %v", m.Explain(resp.Responses[1:]))
	}
	var none []*etcdserverpb.ResponseOp
	if err := (Change{}).Explain(none); err != nil {
		t.Errorf("an empty change: got %v", err)
	}
}
