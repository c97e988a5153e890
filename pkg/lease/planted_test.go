package lease_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// planted is a bug that the tests must find: the text old of a file is replaced by text, and the
// test must fail.
type planted struct {
	name      string
	file      string
	old, text string
	test      string // the one that must fail
	seeds     int    // of TestSimulate, when that is the test
}

var plantedBugs = []planted{
	{
		name: "trust counts from the receipt", file: "renew.go", test: "TestToldBeforeEtcdLetsGo",
		old:  "\t\tsent := now()\n\t\tttl, err := s.leases(ctx, sh.id)\n",
		text: "\t\tttl, err := s.leases(ctx, sh.id)\n\t\tsent := now()\n",
	},
	{
		name: "no local deadline", file: "trust.go", test: "TestToldBeforeEtcdLetsGo",
		old:  "if age >= w.lost {",
		text: "if age < 0 {",
	},
	{
		name: "the wall clock is ignored", file: "trust.go", test: "TestAgeIsThatOfTheClockThatSawMore",
		old:  "return max(at.mono.Sub(a.mono), at.wall.Sub(a.wall))",
		text: "return at.mono.Sub(a.mono)",
	},
	{
		name: "rivals share a batch", file: "claims.go", test: "TestBatchKeepsRivalsApart",
		old:  "if c.at[m.at()]&clashes[m.is()] != 0 {",
		text: "if c.at[m.at()]&clashes[m.is()] == 255 {",
	},
	{
		name: "one refused member fails its batch", file: "batch.go", test: "TestBatchRefusedAsAWhole",
		old:  "if a.err != nil && len(ps) > 1 &&",
		text: "if a.err != nil && len(ps) > 1000 &&",
	},
	{
		name: "who leaves a batch under way forgets it", file: "batch.go", test: "TestBatchGoesOnWithoutOne",
		old:  "doubt: !b.withdraw(p)",
		text: "doubt: b.withdraw(p) && false",
	},
	{
		name: "a lock that seems free is taken unseen", file: "enter.go", test: "TestSimulate", seeds: 100,
		old:  "\tifs = append(ifs, keys.free(l.name, Exclusive)...)\n",
		text: "",
	},
	{
		name: "a lock that seems free had no intent", file: "enter.go", test: "TestProofOfDeathEndsTheOldLocksAtOnce",
		old:  "\t\tifs = append(ifs, created(keys.intent(l.name), 0))\n",
		text: "",
	},
	{
		name: "a write without a lock does not mind holders", file: "free.go", test: "TestSimulate", seeds: 100,
		old:  "\t\tifs = append(ifs, keys.free(f.name, Exclusive)...)\n",
		text: "",
	},
	{
		name: "a write without a lock does not mind readers", file: "free.go", test: "TestFreeWriteIsRefused",
		old:  "keys.free(f.name, Exclusive)...",
		text: "keys.free(f.name, Shared)...",
	},
	{
		name: "a write without a lock does not mind intents", file: "free.go", test: "TestFreeWriteIsRefused",
		old:  "ifs = append(append(ifs, created(keys.intent(f.name), 0)), w.If...)",
		text: "ifs = append(ifs, w.If...)",
	},
	{
		name: "a write without a lock outlives its session", file: "free.go", test: "TestFreeWriteOfALostSession",
		old:  "mod, ifs := s.unbumped()",
		text: "mod, ifs := s.mod, []clientv3.Cmp{}",
	},
	{
		name: "a write without a lock that landed is refused", file: "free.go", test: "TestFreeWriteSentAgain",
		old:  "\tcase ours: //",
		text: "\tcase ours && rev == 0: //",
	},
	{
		name: "a refused write without a lock may land later", file: "free.go", test: "TestFreeWriteRefusedBeforeALateCopy",
		old:  "then := []clientv3.Op{s.bump()}",
		text: "then := []clientv3.Op{clientv3.OpGet(s.key)}",
	},
	{
		name: "an heir trusts what its session has heard", file: "inherit.go", test: "TestInheritFromAStaleView",
		old:  "l.awaited() && !st.tie && l.grantedIn(&st.queue)",
		text: "l.awaited()",
	},
	{
		name: "whose turn it is, does not depend on readers", file: "acquire.go", test: "TestInheritFromAStaleView",
		old:  "clientv3.OpGet(to, append(opts, clientv3.WithRange(end))...)",
		text: "clientv3.OpGet(to, append(opts, clientv3.WithRange(to+\"\\x00\"+end[:0]))...)",
	},
	{
		name: "who comes last behind a slot of nobody, waits", file: "replay.go", test: "TestOrphanedSlot",
		old:  "if r.find(name, []byte(r.keys.upgrade(name))) >= 0 {",
		text: "if r.find(name, []byte(r.keys.upgrade(name))) >= 0 && false {",
	},
	{
		name: "a seat is given back whatever has become of its entry", file: "lock.go", test: "TestSeatOfARequestGivenUp",
		old:  "\tdelete(l.s.locks, l.ticket)\n",
		text: "\tdelete(l.s.locks, l.ticket)\n\tl.s.seats.leave(l.s.id, l.name, l.seat)\n",
	},
	{
		name: "no fence in Commit", file: "fence.go", test: "TestH3LateWriteOfADeadHolder",
		old:  "\tifs := append(l.fence(), w.If...)\n\tl.mu.Unlock()\n\tctx, stop",
		text: "\tifs := w.If\n\tl.mu.Unlock()\n\tctx, stop",
	},
	{
		name: "no fence in Release", file: "fence.go", test: "TestH3LateReleaseOfADeadHolder",
		old:  "\tifs := append(l.fence(), w.If...)\n\tops := l.deletes",
		text: "\tifs := w.If\n\tops := l.deletes",
	},
	{
		name: "no fence on the slot", file: "lock.go", test: "TestSimulate", seeds: 400,
		old:  "if l.slot != 0 && l.mode == Exclusive {",
		text: "if l.slot != 0 && l.mode == \"\" {",
	},
	{
		name: "an upgrade does not mind newcomers", file: "upgrade.go", test: "TestSimulate", seeds: 400,
		old:  "\t\tclientv3.Compare(clientv3.ModRevision(keys.queue(l.name)), \"<\", view.Revision+1).WithPrefix(),\n",
		text: "",
	},
	{
		name: "an upgrade does not mind its first waiter", file: "upgrade.go", test: "TestH14UpgradeFromAStaleView",
		old:  "\t\t\tcreated(f.Key, f.Create),\n\t\t\tclientv3.Compare(clientv3.ModRevision(f.Key), \"=\", f.Mod),\n",
		text: "",
	},
	{
		name: "the barrier is not before the first waiter", file: "upgrade.go", test: "TestUpgradeGoesBeforeWaitersAndReadsAnew",
		old:  "\t\tv.Barrier = f.Rank\n",
		text: "",
	},
	{
		name: "a new purpose forgets the barrier", file: "upgrade.go", test: "TestRenameKeepsTheBarrier",
		old:  "v.Mode, v.Barrier = Exclusive, l.barrier",
		text: "v.Mode = Exclusive",
	},
	{
		name: "an earlier slot of the lock proves the present one", file: "wait.go", test: "TestH14WakeUpOfAnEarlierUpgrade",
		old:  "if l.slot != 0 && (q.Upgrade == nil || q.Upgrade.Create != l.slot) {",
		text: "if l.slot < 0 {",
	},
	{
		name: "an abandoned request does not bump the session", file: "reap.go", test: "TestH13RequestArrivesAfterItsCallerLeft",
		old:  "ops := []clientv3.Op{s.bump()}",
		text: "ops := []clientv3.Op{}",
	},
	{
		name: "a refusal makes an unknown outcome known", file: "reap.go", test: "TestH13RefusedAfterAnUnknownOutcome",
		old:  "return nil, doubt, a.err\n",
		text: "return nil, false, a.err\n",
	},
	{
		name: "a release does not mind late copies of the acquire", file: "intent.go", test: "TestH13AcquiredBySecondCopy",
		old:  "\tif l.doubt {",
		text: "\tif l.doubt && l.name == \"\" {",
	},
	{
		name: "an upgrade given up does not mind late copies", file: "upgrade.go", test: "TestH13LateSlot",
		old:  "\t\tops := l.unslot(true, l.touch())\n\t\tl.mu.Unlock()\n\t\tl.s.finish(",
		text: "\t\tops := l.unslot(true)\n\t\tl.mu.Unlock()\n\t\tl.s.finish(",
	},
	{
		name: "an upgrade does not wait for the old slot to go", file: "upgrade.go", test: "TestUpgradeWhileTheOldSlotIsBeingDropped",
		old:  "\tdropping := l.dropping\n",
		text: "\tvar dropping chan struct{}\n",
	},
	{
		name: "a release that was sent twice is taken for a loss", file: "fence.go", test: "TestH6ReleaseSentAgain",
		old:  "if rev, ok := l.landed(op, &q, puts, rs[1:3+len(puts)]); ok {",
		text: "if rev, ok := l.landed(op, &q, puts, rs[1:3+len(puts)]); ok && op == \"\" {",
	},
	{
		name: "the mirror grants without a proof", file: "wait.go", test: "TestRecordsComeWithTheLock",
		old:  "st, err := l.look(ctx, rev, l.turnReads())\n",
		text: "st, err := standing{queue: l.s.mirror.view(l.name)}, error(nil)\n",
	},
	{
		name: "the mirror believes that nothing is ever lost", file: "mirror.go", test: "TestOwnEntryNeverSeen",
		old:  "m.settle(name, func(key string, created int64) bool { return deleted[key] > created })",
		text: "m.settle(name, func(key string, created int64) bool { return true || deleted[key] > created })",
	},
	{
		name: "no safety timer", file: "wait.go", test: "TestH11EventsLateAndLost",
		old:  "const recheck = 30 * time.Second",
		text: "const recheck = 30 * time.Hour",
	},
	{
		name: "a waiter does not mind its own loss", file: "wait.go", test: "TestH8LossWhileWaiting",
		old:  "\t\tcase <-l.ctx.Done():\n\t\t\treturn context.Cause(l.ctx)\n",
		text: "",
	},
	{
		name: "a waiter that never held deletes the intent", file: "intent.go", test: "TestIntentOutlivesALeavingWaiter",
		old:  "case l.intent != nil, l.left != nil && l.settled && l.mode == Exclusive:",
		text: "case !open:",
	},
	{
		name: "a try enters whatever stands there", file: "enter.go", test: "TestTryAgainstAStaleView",
		old:  "\tif try {\n\t\tifs =",
		text: "\tif try && l.name == \"\" {\n\t\tifs =",
	},
	{
		name: "a lost lease is only logged", file: "renew.go", test: "TestH18OneShardLost",
		old:  "\t\t\ts.lose(leaseGone)\n\t\t\treturn\n\t\tcase err == nil:",
		text: "\t\t\treturn\n\t\tcase err == nil:",
	},
	{
		name: "a downgrade does not mind foreign lockers", file: "downgrade.go", test: "TestForeignLockers",
		old:  "if _, foreign := newcomers(view, seen); foreign {",
		text: "if _, foreign := newcomers(view, seen); foreign && l.name == \"\" {",
	},
	{
		name: "the token is the create revision", file: "enter.go", test: "TestH5TokensFollowTheGrants",
		old:  "l.token = Token(st.queue.Revision)",
		text: "l.token = Token(l.create)",
	},
	{
		name: "one lock of many is lost without a word", file: "acquire.go", test: "TestH16OneOfManyLostWhileWaiting",
		old:  "defer context.AfterFunc(l.ctx, func() { drop(context.Cause(l.ctx)) })()",
		text: "_, _ = l, drop",
	},
}

// TestPlantedBugs plants each bug in a copy of its file, which an overlay puts in place for one run
// of go test, and wants that run to fail. It takes minutes and therefore runs only with
// CONDUCTOR_PLANTED=1.
func TestPlantedBugs(t *testing.T) {
	if os.Getenv("CONDUCTOR_PLANTED") == "" {
		t.Skip("CONDUCTOR_PLANTED is not set")
	}
	for _, p := range plantedBugs {
		t.Run(strings.ReplaceAll(p.name, " ", "_"), func(t *testing.T) { p.mustBeFound(t) })
	}
}

func (p planted) mustBeFound(t *testing.T) {
	overlay := p.plant(t)
	patience := "20s" // some bugs show as a wait without end
	if p.seeds > 0 {
		patience = "2m"
	}
	start := time.Now()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-vet=off", "-count=1", "-timeout="+patience,
		"-run", "^"+p.test+"$", ".", fmt.Sprint("-sim.seeds=", max(p.seeds, 1)))
	cmd.Env = append(os.Environ(), "CONDUCTOR_PLANTED=")
	out, err := cmd.CombinedOutput()
	took := time.Since(start).Round(100 * time.Millisecond)
	red := regexp.MustCompile(`(?m)^\s*--- FAIL: `+p.test+`\b`).Match(out) || strings.Contains(string(out), "panic: test timed out")
	switch {
	case err == nil:
		t.Fatalf("%s stays green (%s)", p.test, took)
	case !red:
		t.Fatalf("%s did not run: %v\n%s", p.test, err, out)
	}
	found := p.test
	if p.seeds > 0 {
		found += fmt.Sprintf(", %d of %d seeds", strings.Count(string(out), "--- FAIL: "+p.test+"/"), p.seeds)
	}
	t.Logf("found by %s in %s", found, took)
}

// plant writes the file with the bug, and the overlay that puts it in place. The text to replace
// must stand there exactly once: if the code has moved on, the bug must move with it.
func (p planted) plant(t *testing.T) (overlay string) {
	t.Helper()
	src, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), p.old); n != 1 {
		t.Fatalf("%s has the text %d times, want once:\n%s", p.file, n, p.old)
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, p.file)
	if err := os.WriteFile(copied, []byte(strings.Replace(string(src), p.old, p.text, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(p.file)
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: copied}})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// TestPlantedBugsFit keeps the list in step with the code in every run of the tests.
func TestPlantedBugsFit(t *testing.T) {
	for _, p := range plantedBugs {
		p.plant(t)
	}
}
