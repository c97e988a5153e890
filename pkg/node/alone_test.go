package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func steps(names ...string) (all []TemplateStep) {
	for i, n := range names {
		all = append(all, TemplateStep{Interface: "deploy", Step: n, Args: Object{}, Priority: new(Rank(i))})
	}
	return all
}

func order(names ...string) (all []RunbookStep) {
	for i, n := range names {
		all = append(all, RunbookStep{Interface: "raid", Step: n, Order: new(Rank(i))})
	}
	return all
}

// alone is one record of each kind that belongs to no node.
func alone() []Record {
	return []Record{
		&Allocation{Name: "a1", ResourceClass: "baremetal", CandidateNodes: []string{uuid.NewString()}, Traits: []string{"CUSTOM_A"}},
		&DeployTemplate{Name: "CUSTOM_T", Steps: steps("write", "boot")},
		&Runbook{Name: "CUSTOM_R", Steps: order("delete", "create")},
		&Chassis{Description: "rack 7"},
	}
}

// byRef reads a record of any of these kinds.
func byRef(t *testing.T, s *Store, kind Kind, ref string) (Record, error) {
	t.Helper()
	switch kind {
	case KindAllocation:
		return s.Allocation(t.Context(), ref)
	case KindDeployTemplate:
		return s.DeployTemplate(t.Context(), ref)
	case KindRunbook:
		return s.Runbook(t.Context(), ref)
	}
	return s.Chassis(t.Context(), ref)
}

func TestAlone(t *testing.T) {
	s := newStore(t)
	for _, r := range alone() {
		add(t, s, r)
		names := map[Kind]string{KindAllocation: "a1", KindDeployTemplate: "CUSTOM_T", KindRunbook: "CUSTOM_R"}
		for _, ref := range []string{r.ID(), strings.ToUpper(r.ID()), names[r.Kind()]} {
			got, err := byRef(t, s, r.Kind(), ref)
			if ref == "" {
				if !errors.Is(err, ErrNotFound) { // a chassis has no name
					t.Errorf("%s without a ref: got %v, %v", r.Kind(), got, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s %s: %v", r.Kind(), ref, err)
			}
			same := cmp.Transformer("empty", func(o Object) string { return o.String() })
			if diff := cmp.Diff(r, got, same); diff != "" {
				t.Errorf("%s %s: %s", r.Kind(), ref, diff)
			}
		}
		for _, ref := range []string{uuid.NewString(), "nobody", "a/b"} {
			_, err := byRef(t, s, r.Kind(), ref)
			if e, ok := errors.AsType[*NotFoundError](err); !ok || e.Kind != r.Kind() || e.Ref != ref {
				t.Errorf("%s %s: got %v", r.Kind(), ref, err)
			}
		}
	}
}

// TestAloneChanges takes each kind through its life and looks at every key.
func TestAloneChanges(t *testing.T) {
	for _, r := range alone() {
		t.Run(string(r.Kind()), func(t *testing.T) {
			s := newStore(t)
			add(t, s, r)
			dir := strings.TrimPrefix(s.keys.of(r), s.keys.Root)
			keys := dumpKeys(t, s)
			if _, ok := keys[dir]; !ok || len(keys) != 1+len(r.indexes(s.keys)) {
				t.Fatalf("got keys %v", keys)
			}
			twin := r.copy()
			wantDuplicate(t, s.Create(t.Context(), twin), r.Kind(), "uuid", r.ID(), r.ID())

			updated := r.copy()
			name := rename(updated)
			commit(t, s)(s.keys.Update(r, updated))
			if name != "" {
				if got, err := byRef(t, s, r.Kind(), name); err != nil || got.ID() != r.ID() || got.meta().UpdatedAt.IsZero() {
					t.Errorf("renamed: got %v, %v", got, err)
				}
			}
			if got := dumpKeys(t, s); len(got) != len(keys) {
				t.Errorf("after the update: keys %v", got)
			}
			if err := try(t, s)(s.keys.Update(r, r.copy())); !errors.Is(err, ErrStale) {
				t.Errorf("an update of what was read before: got %v", err)
			}
			if err := try(t, s)(s.keys.Delete(nil, r)); !errors.Is(err, ErrStale) {
				t.Errorf("a deletion of what was read before: got %v", err)
			}
			commit(t, s)(s.keys.Delete(nil, updated))
			if got := dumpKeys(t, s); len(got) != 0 {
				t.Errorf("left: %v", got)
			}
			if err := try(t, s)(s.keys.Delete(nil, updated)); !errors.Is(err, ErrNotFound) {
				t.Errorf("deleted twice: got %v", err)
			}
		})
	}
}

// rename changes a record, by its name if it has one, which is then answered.
func rename(r Record) string {
	switch r := r.(type) {
	case *Allocation:
		r.Name = "a2"
		return r.Name
	case *DeployTemplate:
		r.Name = "HW_CPU_X86_VMX"
		return r.Name
	case *Runbook:
		r.Name = "CUSTOM_OTHER"
		return r.Name
	case *Chassis:
		r.Description = "rack 8"
	}
	return ""
}

// TestAloneNames lets many create one name; exactly one of each kind may have it.
func TestAloneNames(t *testing.T) {
	for i, r := range alone()[:3] {
		s := newStore(t)
		var wg sync.WaitGroup
		results := make(chan error, 10)
		for range cap(results) {
			wg.Go(func() { results <- s.Create(t.Context(), alone()[i]) })
		}
		wg.Wait()
		close(results)
		made := 0
		for err := range results {
			if d, ok := errors.AsType[*DuplicateError](err); err == nil {
				made++
			} else if !ok || d.Field != "name" || d.Kind != r.Kind() {
				t.Error(err)
			}
		}
		if made != 1 || len(dumpKeys(t, s)) != 2 {
			t.Errorf("%d of %s made, keys %v", made, r.Kind(), dumpKeys(t, s))
		}
	}
}

func TestAloneListAndCorrupt(t *testing.T) {
	s := newStore(t)
	var ids []string
	for i := range 5 {
		ids = append(ids, add(t, s, &Allocation{Name: fmt.Sprint("a", i), ResourceClass: "x"}).UUID)
	}
	slices.Sort(ids)
	lost := "00000000-0000-4000-8000-000000000000"
	if _, err := client.Put(t.Context(), s.keys.Root+"allocations/"+lost, `{"state": 5}`); err != nil {
		t.Fatal(err)
	}
	var got []string
	q := ListRequest[*Allocation]{Limit: 2}
	for corrupt := 0; ; {
		page, err := s.Allocations(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		corrupt += len(page.Corrupt)
		for _, a := range page.Items {
			got = append(got, a.UUID)
		}
		if q.Marker = page.Next; q.Marker == "" {
			if corrupt != 1 {
				t.Errorf("%d corrupt records named", corrupt)
			}
			break
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("got %v, want %v", got, ids)
	}
	if _, err := s.Allocation(t.Context(), lost); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "state: must be text") {
		t.Errorf("got %v", err)
	}
	page, err := s.Allocations(t.Context(), ListRequest[*Allocation]{Match: func(a *Allocation) bool { return a.Name == "a3" }})
	if err != nil || len(page.Items) != 1 {
		t.Errorf("match: got %v, %v", page, err)
	}
	for kind, n := range map[string]int{
		"templates": len(must(s.DeployTemplates(t.Context(), ListRequest[*DeployTemplate]{})).Items),
		"runbooks":  len(must(s.Runbooks(t.Context(), ListRequest[*Runbook]{})).Items),
		"chassis":   len(must(s.AllChassis(t.Context(), ListRequest[*Chassis]{})).Items),
	} {
		if n != 0 {
			t.Errorf("%d %s", n, kind)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestChassisOfNodes(t *testing.T) {
	s := newStore(t)
	missing := uuid.NewString()
	n := &Node{Driver: "d", ChassisUUID: missing}
	if e, ok := errors.AsType[*NotFoundError](s.Create(t.Context(), n)); !ok || e.Kind != KindChassis || e.Ref != missing {
		t.Fatalf("a node in a chassis that does not exist: got %v", e)
	}
	one, two := add(t, s, &Chassis{}), add(t, s, &Chassis{})
	n.ChassisUUID = strings.ToUpper(one.UUID)
	add(t, s, n)
	for _, c := range []struct {
		to   string
		want error
	}{{missing, ErrNotFound}, {two.UUID, nil}, {"", nil}, {one.UUID, nil}} {
		moved := n.Clone()
		moved.ChassisUUID = c.to
		if err := try(t, s)(s.keys.Update(n, moved)); !errors.Is(err, c.want) {
			t.Fatalf("move to %q: got %v", c.to, err)
		}
		if c.want == nil {
			n = moved
		}
	}
	err := try(t, s)(s.keys.Delete(nil, one))
	if e, ok := errors.AsType[*InUseError](err); !ok || e.Kind != KindChassis || !slices.Equal(e.By, []string{string(n.UUID)}) {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), "by nodes "+string(n.UUID)) {
		t.Errorf("got %v", err)
	}
	commit(t, s)(s.keys.Delete(nil, two))
	rs, err := s.Records(t.Context(), n.UUID)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s)(s.keys.DeleteNode(rs))
	commit(t, s)(s.keys.Delete(nil, one))
	if left := dumpKeys(t, s); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestChassisRace lets a node enter a chassis while that is deleted: one of the
// two fails, whichever comes second.
func TestChassisRace(t *testing.T) {
	for range 20 {
		s := newStore(t)
		c := add(t, s, &Chassis{})
		var wg sync.WaitGroup
		var enter, gone error
		wg.Go(func() { enter = s.Create(t.Context(), &Node{Driver: "d", ChassisUUID: c.UUID}) })
		wg.Go(func() { gone = try(t, s)(s.keys.Delete(nil, c)) })
		wg.Wait()
		switch {
		case enter == nil && errors.Is(gone, ErrInUse):
		case gone == nil && errors.Is(enter, ErrNotFound):
		default:
			t.Fatalf("enter: %v, delete: %v", enter, gone)
		}
	}
}
