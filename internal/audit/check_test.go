package audit

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// tape writes a history by hand. A step is one transaction, its operations separated by " | ":
//
//	+exclusive/a {json}    puts an entry of the name n
//	-exclusive/a           deletes it
//	=nodes/n {json}        puts a record
//	!nodes/n               deletes it
//
// @2 in a value is the revision of the second step; by(a,2) names a as the writer, with that token.
func tape(t *testing.T, c *clientv3.Client, root string, steps ...string) (revs []int64) {
	t.Helper()
	for _, s := range steps {
		s = regexp.MustCompile(`by\(([\w.-]+),(\d+)\)`).ReplaceAllString(s, `{"written_by":{"ticket":"$1","token":@$2}}`)
		s = regexp.MustCompile(`@\d+`).ReplaceAllStringFunc(s, func(at string) string {
			n, err := strconv.Atoi(at[1:])
			if err != nil || n > len(revs) {
				t.Fatalf("%s in %q", at, s)
			}
			return fmt.Sprint(revs[n-1])
		})
		var ops []clientv3.Op
		for op := range strings.SplitSeq(s, " | ") {
			key, val, _ := strings.Cut(op[1:], " ")
			switch op[0] {
			case '+':
				ops = append(ops, clientv3.OpPut(root+"locks/n/"+key, val))
			case '-':
				ops = append(ops, clientv3.OpDelete(root+"locks/n/"+key))
			case '=':
				ops = append(ops, clientv3.OpPut(root+key, val))
			case '!':
				ops = append(ops, clientv3.OpDelete(root+key))
			}
		}
		r, err := c.Txn(t.Context()).Then(ops...).Commit()
		if err != nil {
			t.Fatal(err)
		}
		revs = append(revs, r.Header.Revision)
	}
	return revs
}

// Each promise broken by hand, and what comes near it and is clean.
var histories = []struct {
	name  string
	steps []string
	want  string // "kind@step ..."
}{
	{"nothing", nil, ""},
	{"cycle with a final write", []string{"=nodes/n {}", "+exclusive/a", "=nodes/n by(a,2)", "-exclusive/a | =nodes/n by(a,2)"}, ""},
	{"readers and a writer in turn", []string{"+shared/a", "+shared/b", "+exclusive/c", "-shared/a", "-shared/b", "=nodes/n by(c,5)"}, ""},
	{"downgrade with final writes", []string{
		"+exclusive/a", "+shared/b", `-exclusive/a | +shared/a {"rank":@1} | =nodes/n by(a,1)`, "+exclusive/c", "-shared/a", "-shared/b",
	}, ""},
	{"upgrade and downgrade from it", []string{
		"+shared/a", `+upgrade {"ticket":"a"}`, "=nodes/n by(a,2)", "-upgrade | =nodes/n by(a,2)", `+upgrade {"ticket":"a"}`, "=nodes/n by(a,5)",
	}, ""},
	{"upgrade waits", []string{"+shared/a", "+shared/b", `+upgrade {"ticket":"a"}`, "-shared/b", "=nodes/n by(a,4)"}, ""},
	{"elided write", []string{"=nodes/n {}", "=nodes/n {}"}, ""},
	{"writes without a lock between owners", []string{
		"=nodes/n {}", "=nodes/n by(s-1.free,1)", "+exclusive/a", "-exclusive/a | =nodes/n by(a,3)", "=nodes/n by(s-2.free,4)", "=nodes/n by(s-3.free,5)",
	}, ""},
	{"create needs no lock", []string{"+exclusive/a", "=ports/n/p {}", "=nodes/n {}"}, ""},
	{"delete by the owner with the lock's last transaction", []string{"=nodes/n {}", "=ports/n/p {}", "+exclusive/a", "-exclusive/a | !nodes/n | !ports/n/p"}, ""},
	{"a port moves to another node", []string{"=ports/n/p {}", "+exclusive/a", "!ports/n/p | =ports/m/p by(a,2)"}, ""},
	{"a foreign locker deletes", []string{"=nodes/n {}", "+694d", "!nodes/n"}, ""},
	{"a slot without its owner means nothing", []string{"+shared/a", `+upgrade {"ticket":"a"}`, "-shared/a", "+exclusive/b", "=nodes/n by(b,4)"}, ""},
	{"what is no record", []string{"=nodes/n/x by(a,1)", "=index/node-name/x n", "!index/node-name/x", "=intents/n {}", "=ports/n {}", "!ports/n"}[1:], ""},

	{"an entry before the holder", []string{"+exclusive/a", `+shared/b {"rank":1}`}, "lost grant@2 exclusion@2"},
	{"a barrier before a reader", []string{"+shared/a", "+shared/b", `+upgrade {"ticket":"a","barrier":@2}`}, "lost grant@3 exclusion@3"},
	{"a slot before a reader that has come", []string{"+shared/a", `+upgrade {"ticket":"z"}`, "+shared/b", `+upgrade {"ticket":"a"}`}, "lost grant@4 exclusion@4"},
	{"the upgrade is taken away", []string{
		"+shared/a", `+upgrade {"ticket":"a"}`, `+shared/b {"rank":1}`,
	}, "lost grant@3 exclusion@3"},
	{"downgrade loses its place", []string{"+exclusive/a", "+exclusive/b", "-exclusive/a | +shared/a"}, "lost grant@3 exclusion@3"},
	{"downgrade beside a foreign entry", []string{"+exclusive/a", "+694d", `-exclusive/a | +shared/a {"rank":@1}`}, "exclusion@3"},
	{"nobody holds it", []string{"+shared/a", "+shared/b", `+upgrade {"ticket":"b","barrier":@1}`}, "lost grant@3 lost grant@3 stalled@3"},
	{"told once", []string{"+exclusive/a", `+shared/b {"rank":1}`, "+shared/c", "=nodes/n {}"}, "lost grant@2 exclusion@2"},

	{"written by one who waits", []string{"+exclusive/a", "+exclusive/b", "=nodes/n by(b,2)"}, "unowned@3"},
	{"written by a reader", []string{"+shared/a", "=nodes/n by(a,1)"}, "unowned@2"},
	{"written by a pending upgrade", []string{"+shared/a", "+shared/b", `+upgrade {"ticket":"a"}`, "=nodes/n by(a,3)"}, "unowned@4"},
	{"written with the lock's first transaction", []string{"=nodes/x {}", "+exclusive/a | =nodes/n by(a,1)"}, "unowned@2"},
	{"written late", []string{"+exclusive/a", "-exclusive/a", "=nodes/n by(a,1)"}, "unowned@3"},
	{"written after a downgrade", []string{"+exclusive/a", `-exclusive/a | +shared/a {"rank":@1}`, "=nodes/n by(a,1)"}, "unowned@3"},
	{"written late, by another's time", []string{"+exclusive/a", "+exclusive/b", "-exclusive/a", "=volume-targets/n/v by(a,1)"}, "unowned@4"},
	{"without a lock beside a reader", []string{"=nodes/n {}", "+shared/a", "=nodes/n by(s-1.free,1)"}, "unowned@3"},
	{"without a lock beside an owner", []string{"=nodes/n {}", "+exclusive/a", "=nodes/n by(s-1.free,1)"}, "unowned@3"},
	{"without a lock beside a foreign locker", []string{"=nodes/n {}", "+694d", "=nodes/n by(s-1.free,1)"}, "unowned@3"},
	{"without a lock with the owner's last transaction", []string{"=nodes/n {}", "+exclusive/a", "-exclusive/a | =nodes/n by(s-1.free,1)"}, "unowned@3"},
	{"changed without a writer", []string{"=volume-connectors/n/v {}", "+shared/a", "=volume-connectors/n/v {}"}, "unowned@3"},
	{"changed by hand", []string{"=portgroups/n/g {}", "+exclusive/a", "=portgroups/n/g garbage"}, "unowned@3"},
	{"deleted without a lock", []string{"=nodes/n {}", "!nodes/n"}, "unowned@2"},
	{"deleted under a shared lock", []string{"=ports/n/p {}", "+shared/a", "!ports/n/p"}, "unowned@3"},
	{"under the lock of another node", []string{"+exclusive/a", "=nodes/m by(a,1)"}, "unowned@2"},
	{"taken to another node", []string{"=ports/m/p {}", "+exclusive/a", "!ports/m/p | =ports/o/p by(a,2)"}, "unowned@3 unowned@3"},

	{"a token from before the grant", []string{"+exclusive/a", "+exclusive/b", "-exclusive/a", "=nodes/n by(b,2)"}, "token@4"},
	{"a token from before the upgrade", []string{"+shared/a", `+upgrade {"ticket":"a"}`, "=nodes/n by(a,1)"}, "token@3"},
	{"a token of the future", []string{"+exclusive/a", `=nodes/n {"written_by":{"ticket":"a","token":999999999}}`}, "token@2"},
	{"a token of before the last owner, without a lock", []string{
		"=nodes/n {}", "+exclusive/a", "-exclusive/a | =nodes/n by(a,2)", "=nodes/n by(s-1.free,1)",
	}, "token@4"},
	{"a token that goes back", []string{"+exclusive/a", "+shared/b", "=nodes/n by(a,2)", "=nodes/n by(a,1)"}, "token@4"},
}

func TestCheck(t *testing.T) {
	for _, tt := range histories {
		t.Run(tt.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, dial func() *clientv3.Client, root string) {
				c := dial()
				revs := tape(t, c, root, tt.steps...)
				tape(t, c, "/elsewhere/", "=x 1")
				r, err := Check(t.Context(), c, root, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if got := kinds(r, revs); got != tt.want || r.OK() != (tt.want == "") || r.Revisions != len(revs) {
					var text strings.Builder
					r.WriteText(&text)
					t.Errorf("got  %q\nwant %q\n%s", got, tt.want, &text)
				}
				replayed, err := Replay(root, events(t, c, root, revs, r))
				if err != nil {
					t.Fatal(err)
				}
				if got := kinds(replayed, revs); got != tt.want || replayed.Revisions != r.Revisions || replayed.Grants != r.Grants {
					t.Errorf("replayed: got  %q\nwant %q\n%s\n%s", got, tt.want, replayed, r)
				}
			})
		})
	}
}

// events are those that a check saw.
func events(t *testing.T, c *clientv3.Client, root string, revs []int64, r *Report) (all []*clientv3.Event) {
	t.Helper()
	if len(revs) == 0 {
		return nil
	}
	watch := c.Watch(t.Context(), root, clientv3.WithPrefix(), clientv3.WithRev(revs[0]))
	for revisions := 0; revisions < r.Revisions; {
		w := <-watch
		if w.Err() != nil || len(w.Events) == 0 {
			t.Fatalf("the watch has ended after %d of %d revisions: %v", revisions, r.Revisions, w.Err())
		}
		for _, ev := range w.Events {
			if len(all) == 0 || all[len(all)-1].Kv.ModRevision != ev.Kv.ModRevision {
				revisions++
			}
			all = append(all, ev)
		}
	}
	return all
}

func kinds(r *Report, revs []int64) string {
	var out []string
	for _, v := range r.Violations {
		out = append(out, fmt.Sprintf("%s@%d", v.Kind, slices.Index(revs, v.Revision)+1))
	}
	return strings.Join(out, " ")
}

// A check of a part starts from the state at its first revision.
func TestCheckPart(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() *clientv3.Client, root string) {
		c := dial()
		revs := tape(
			t, c, root, "+exclusive/a", "=nodes/n by(b,1)", "=nodes/n by(a,1)", "-exclusive/a", "+exclusive/b", "=nodes/n by(a,1)", "=nodes/n by(b,5)",
		)
		for _, tt := range []struct {
			from, to int
			want     string
		}{{1, 7, "unowned@2 unowned@6"}, {2, 7, "unowned@6"}, {2, 5, ""}, {5, 6, "unowned@6"}, {6, 7, ""}, {7, 7, ""}} {
			r, err := Check(t.Context(), c, root, Options{From: revs[tt.from-1], To: revs[tt.to-1]})
			if err != nil {
				t.Fatal(err)
			}
			if got := kinds(r, revs); got != tt.want || r.From != revs[tt.from-1] || r.To != revs[tt.to-1] || len(r.Gaps) > 0 {
				t.Errorf("from %d to %d: got %q, want %q: %s", tt.from, tt.to, got, tt.want, r)
			}
		}
		if _, err := Check(t.Context(), c, root, Options{From: revs[6] + 1e6}); err == nil {
			t.Error("a check from the future: got no error")
		}
		r, err := Check(t.Context(), c, root, Options{Keep: 1})
		if err != nil || len(r.Violations) != 1 || r.Count != 2 {
			t.Errorf("keep one of two: got %v, %v", r, err)
		}
	})
}

func TestCheckStartsAtTheOldestRevision(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() *clientv3.Client, root string) {
		c := dial()
		revs := tape(t, c, root, "+exclusive/a", "=nodes/n by(b,1)", "=nodes/n by(a,1)", "-exclusive/a", "+exclusive/b", "=nodes/n by(a,1)")
		if _, err := c.Compact(t.Context(), revs[2]); err != nil {
			t.Fatal(err)
		}
		for _, from := range []int64{0, 1, revs[1]} {
			r, err := Check(t.Context(), c, root, Options{From: from})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := kinds(r, revs), "unowned@6"; got != want || r.From != revs[2] || len(r.Gaps) > 0 {
				t.Errorf("from %d: got %q, want %q: %s", from, got, want, r)
			}
		}
		if _, err := Check(t.Context(), c, root, Options{To: revs[1]}); !errors.Is(err, rpctypes.ErrCompacted) {
			t.Errorf("up to a compacted revision: got %v", err)
		}
	})
}

// What is compacted while it is read is a gap. Who held a lock before it must hold it after.
func TestCheckCompactedMeanwhile(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() *clientv3.Client, root string) {
		c := dial()
		revs := tape(t, c, root, "+exclusive/a", "=nodes/n by(x,1)", `+shared/b {"rank":1}`, "-shared/b", `+shared/c {"rank":1}`, "=nodes/n by(a,1)")
		replay, err := lease.NewReplay(root)
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{client: c, root: root, to: revs[5], a: newAuditor(root, 0, replay)}
		kvs, err := r.locks(t.Context(), revs[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := r.a.begin(kvs, revs[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compact(t.Context(), revs[4]); err != nil {
			t.Fatal(err)
		}
		if err, ok := errors.AsType[*compactedError](r.follow(t.Context(), revs[0]+1)); !ok || err.first != revs[4] {
			t.Fatalf("got %v, want compacted up to %d", err, revs[4])
		}
		if err := r.run(t.Context(), revs[0]+1); err != nil {
			t.Fatal(err)
		}
		rep := r.a.finish()
		if got, want := kinds(rep, revs), "lost grant@5 exclusion@5 unowned@6"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if want := []Gap{{revs[1], revs[4]}}; !slices.Equal(rep.Gaps, want) || rep.From != revs[0] || rep.To != revs[5] {
			t.Errorf("got %v, want gaps %v", rep, want)
		}
	})
}

// The places of records are those of package node.
func TestRecordsAreWhereNodeKeepsThem(t *testing.T) {
	a := newAuditor("/r/", 0, nil)
	keys := node.Keys{Root: "/r/"}.Read("n")
	if len(keys) != len(directories) {
		t.Fatalf("got %q, want one for each of %q", keys, directories)
	}
	for _, k := range keys {
		if strings.HasSuffix(k, "/") {
			k += "uuid"
		}
		if name, _, ok := a.record(k); !ok || name != "n" {
			t.Errorf("%s: got %q, %v", k, name, ok)
		}
	}
}
