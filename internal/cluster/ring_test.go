package cluster

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/node"
)

func viewOf(n int) *View {
	v := &View{}
	for i := range n {
		v.Members = append(v.Members, Member{Host: fmt.Sprintf("c%d.example", i), State: Active})
	}
	return v
}

func nodes(n int) []*node.Node {
	out := make([]*node.Node, n)
	for i := range out {
		out[i] = &node.Node{UUID: node.ID(uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, i)).String()), Driver: "fake-hardware"}
	}
	return out
}

func owners(v *View, ns []*node.Node) []string {
	out := make([]string, len(ns))
	for i, n := range ns {
		if m, ok := v.Preferred(n); ok {
			out[i] = m.Host
		}
	}
	return out
}

// Only the nodes of a member that goes move, or those that a new one gets, and
// all members get their share.
func TestFewNodesMove(t *testing.T) {
	const count = 20000
	ns := nodes(count)
	for members := 2; members <= 12; members++ {
		before := owners(viewOf(members), ns)
		grown := owners(viewOf(members+1), ns)
		newcomer := fmt.Sprintf("c%d.example", members)
		share := map[string]int{}
		moved := 0
		for i := range ns {
			share[before[i]]++
			if before[i] != grown[i] {
				moved++
				if grown[i] != newcomer { // seen the other way: nodes move only when their member goes
					t.Fatalf("node %s moved from %s to %s when %s came", ns[i].UUID, before[i], grown[i], newcomer)
				}
			}
		}
		if want := float64(count) / float64(members+1); math.Abs(float64(moved)-want) > want/10 {
			t.Errorf("%d nodes of %d moved to member %d, want about %.0f", moved, count, members+1, want)
		}
		for host, n := range share {
			if want := float64(count) / float64(members); math.Abs(float64(n)-want) > want/10 {
				t.Errorf("of %d members %s has %d nodes, want about %.0f", members, host, n, want)
			}
		}
	}
}

func TestPreferred(t *testing.T) {
	n := nodes(1)[0]
	v := viewOf(3)
	first, _ := v.Preferred(n)
	ranked := v.Ranked(n)
	if len(ranked) != 3 || ranked[0].Host != first.Host {
		t.Fatalf("ranked %v, preferred %s", ranked, first.Host)
	}
	for i := range v.Members {
		if v.Members[i].Host == first.Host {
			v.Members[i].State = Draining
		}
	}
	if got, ok := v.Preferred(n); !ok || got.Host != ranked[1].Host {
		t.Errorf("with %s draining: %s, want the next, %s", first.Host, got.Host, ranked[1].Host)
	}
	tests := []struct {
		name  string
		m     Member
		group string
		want  bool
	}{
		{"says nothing", Member{Host: "a"}, "", true},
		{"has the type", Member{Host: "a", Drivers: []string{"ipmi", "fake-hardware"}}, "", true},
		{"has it not", Member{Host: "a", Drivers: []string{"ipmi"}}, "", false},
		{"other group", Member{Host: "a", Group: "rack1"}, "", false},
		{"node of a group", Member{Host: "a"}, "rack1", false},
		{"the group", Member{Host: "a", Group: "rack1"}, "Rack1", true},
		{"draining", Member{Host: "a", State: Draining}, "", false},
		{"unknown state", Member{Host: "a", State: "dancing"}, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := &node.Node{UUID: n.UUID, Driver: "fake-hardware", ConductorGroup: tt.group}
			if _, ok := (&View{Members: []Member{tt.m}}).Preferred(n); ok != tt.want {
				t.Errorf("preferred: %v", ok)
			}
		})
	}
}

// Processes of other versions must agree.
func TestWeightIsFixed(t *testing.T) {
	if got := weight("c1.example", "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"); got != 15159679071553176402 {
		t.Errorf("weight %d is not what it ever was", got)
	}
}
