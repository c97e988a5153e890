package hardware

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Whatever a composition depends on tells it apart from those that were made before.
func TestComposeAgain(t *testing.T) {
	all, err := NewRegistry(Config{})
	if err != nil {
		t.Fatal(err)
	}
	compose := func(n *node.Node) *Composition {
		t.Helper()
		got, err := all.Compose(n)
		want, wantErr := all.compose(n)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%+v: %v, want %v", n, err, wantErr)
		}
		if err == nil && (!cmp.Equal(got.Names(), want.Names()) || !cmp.Equal(got.Defaults(), want.Defaults())) {
			t.Fatalf("%+v: got %v, want %v", n, got.Names(), want.Names())
		}
		return got
	}
	first := compose(&node.Node{Driver: "fake-hardware"})
	if compose(&node.Node{Driver: "fake-hardware", UUID: "other"}) != first {
		t.Error("two nodes that are alike were composed twice")
	}
	compose(&node.Node{Driver: "unknown"})
	for name := range (&node.Node{}).Interfaces() {
		for _, value := range []string{"fake", "noop", "no-" + name, "unknown"} {
			n := &node.Node{Driver: "fake-hardware"}
			*n.Interfaces()[name] = value
			compose(n)
			compose(n)
			compose(&node.Node{Driver: "fake-hardware", InstanceInfo: node.Object{name: value}})
		}
	}
}
