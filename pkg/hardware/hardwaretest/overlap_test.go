package hardwaretest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// planted is one command of a planted history; times are in seconds.
type planted struct {
	node                node.ID
	token               int64
	at                  int
	request, work, away int // away: when the caller gives up; 0 never
	reads               bool
	unplugged           bool
}

func TestOverlaps(t *testing.T) {
	for _, tt := range []struct {
		name string
		play []planted
		want []string // kind, first token, second token
	}{
		{name: "nothing"},
		{name: "one after the other", play: []planted{
			{token: 1, at: 0, work: 2}, {token: 2, at: 3, work: 2}, {token: 3, at: 6, work: 2},
		}},
		{name: "the very end is free", play: []planted{{token: 1, at: 0, work: 2}, {token: 2, at: 2, work: 2}}},
		{name: "no time at all", play: []planted{{token: 1, at: 0}, {token: 2, at: 0, work: 1}}},
		{
			name: "two at once", play: []planted{{token: 1, at: 0, work: 2}, {token: 2, at: 1, work: 2}},
			want: []string{"concurrent 1 2"},
		},
		{
			name: "the same moment", play: []planted{{token: 1, at: 0, work: 2}, {token: 2, at: 0, work: 2}},
			want: []string{"concurrent 1 2"},
		},
		{
			name: "one within another", play: []planted{{token: 1, at: 0, work: 9}, {token: 2, at: 1, work: 1}},
			want: []string{"concurrent 1 2"},
		},
		{
			name: "three at once", play: []planted{
				{token: 1, at: 0, work: 9}, {token: 2, at: 1, work: 9}, {token: 3, at: 2, work: 9},
			},
			want: []string{"concurrent 1 2", "concurrent 1 3", "concurrent 2 3"},
		},
		{
			name: "far apart, with a long one over both",
			play: []planted{{token: 1, at: 0, work: 9}, {token: 1, at: 1, work: 1}, {token: 2, at: 4, work: 1}},
			want: []string{"concurrent 1 2"},
		},
		{
			name: "the caller is gone, the machine is not",
			play: []planted{{token: 1, at: 0, work: 9, away: 1}, {token: 2, at: 4, work: 1}},
			want: []string{"concurrent 1 2"},
		},
		{
			name: "late", play: []planted{{token: 2, at: 0, work: 1}, {token: 1, at: 5, work: 1}},
			want: []string{"late 2 1"},
		},
		{
			name: "late twice", play: []planted{
				{token: 1, at: 0, work: 1}, {token: 3, at: 2, work: 1}, {token: 2, at: 4, work: 1}, {token: 1, at: 6, work: 1},
			},
			want: []string{"late 3 2", "late 3 1"},
		},
		{
			name: "sent first, arrived last",
			play: []planted{{token: 1, at: 0, request: 5, away: 1}, {token: 2, at: 2}},
			want: []string{"concurrent 1 2", "late 2 1"},
		},
		{name: "without a lock after one with", play: []planted{{token: 1, at: 0}, {token: 0, at: 1}}, want: []string{"late 1 0"}},
		{name: "one holder twice at once", play: []planted{{token: 1, at: 0, work: 5}, {token: 1, at: 1, work: 5}}},
		{name: "readers", play: []planted{{token: 1, at: 0, work: 5, reads: true}, {token: 2, at: 1, work: 5, reads: true}}},
		{name: "a reader and a writer", play: []planted{{token: 2, at: 0, work: 5}, {token: 1, at: 1, work: 5, reads: true}}},
		{name: "two machines", play: []planted{{token: 2, at: 0, work: 5}, {node: "n2", token: 1, at: 1, work: 5}}},
		{name: "refused", play: []planted{{token: 2, at: 0, work: 5}, {token: 1, at: 1, work: 5, unplugged: true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := play(t, tt.play)
				var got []string
				for _, o := range b.Overlaps() {
					got = append(got, fmt.Sprintf("%s %d %d", o.Kind, o.First.Actor.Token, o.Second.Actor.Token))
				}
				slices.Sort(got)
				slices.Sort(tt.want)
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q of %v", got, tt.want, b.AllCommands())
				}
			})
		})
	}
}

// play sends the commands at their times and waits until all callers are
// gone.
func play(t *testing.T, commands []planted) *hardwaretest.BMC {
	t.Helper()
	b := new(hardwaretest.BMC)
	start := time.Now()
	var wg sync.WaitGroup
	for _, p := range commands {
		time.Sleep(time.Until(start.Add(time.Duration(p.at) * time.Second)))
		id := node.ID("n1")
		if p.node != "" {
			id = p.node
		}
		b.SetLatencyOf(id, hardwaretest.Latency{
			Request: time.Duration(p.request) * time.Second, Work: time.Duration(p.work) * time.Second,
		})
		if p.unplugged {
			b.Unplug(id)
		}
		c := hardware.Call{Node: id, Interface: "power", Method: "Set", Writes: !p.reads}
		ctx := hardware.WithActor(t.Context(), hardware.Actor{Conductor: "c", Token: p.token})
		wg.Go(func() {
			if p.away > 0 {
				gone, cancel := context.WithTimeout(ctx, time.Duration(p.away)*time.Second)
				defer cancel()
				ctx = gone
			}
			_ = b.SetPower(ctx, c, node.PowerOn) // what the caller hears is not the question
		})
		synctest.Wait()
	}
	wg.Wait()
	return b
}

func TestTokensOfTwoSessionsDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(hardwaretest.BMC)
		b.SetLatency(hardwaretest.Latency{Work: time.Second})
		var wg sync.WaitGroup
		for _, session := range []string{"before", "after"} {
			ctx := hardware.WithActor(t.Context(), hardware.Actor{Conductor: "c", Token: 1, Session: session})
			wg.Go(func() {
				if err := b.Command(ctx, hardware.Call{Node: "n1", Interface: "deploy", Method: "Prepare", Writes: true}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := b.Overlaps(); len(got) != 1 || got[0].Kind != hardwaretest.Concurrent {
			t.Errorf("got %v, want one concurrent pair", got)
		}
	})
}
