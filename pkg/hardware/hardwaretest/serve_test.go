package hardwaretest_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// remote returns a registry whose fakes command the machines of b over HTTP.
func remote(t *testing.T, b *hardwaretest.BMC) *hardware.Registry {
	t.Helper()
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	r, err := hardware.NewRegistry(hardware.Config{Fake: hardware.FakeConfig{Machines: hardware.RemoteMachines{URL: s.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRemoteCommandsAreRecorded(t *testing.T) {
	var b hardwaretest.BMC
	d := driverOf(t, remote(t, &b), "n1", as("c1", 7))
	before := time.Now()
	if err := d.Power.Set(t.Context(), node.PowerOn); err != nil {
		t.Fatal(err)
	}
	if err := d.Deploy.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := b.Commands("n1")
	if len(got) != 2 || got[0].Method != "power.Set" || got[0].To != node.PowerOn || !got[0].Writes ||
		got[0].Actor != (hardware.Actor{Conductor: "c1", Token: 7}) || got[1].Method != "deploy.Prepare" {
		t.Fatalf("got %v", got)
	}
	if at := got[0].Sent; at.Before(before.Round(0)) || at.After(time.Now().Round(0)) {
		t.Errorf("sent at %v, want it between %v and now", at, before)
	}
	b.Unplug("n1")
	if err := d.Power.Set(t.Context(), node.PowerOn); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("unplugged: got %v", err)
	}
}

func TestRemoteCommandGoesOnWithoutItsCaller(t *testing.T) {
	var b hardwaretest.BMC
	b.VaryLatency(func(c hardware.Call) hardwaretest.Latency {
		return map[bool]hardwaretest.Latency{true: {Work: 300 * time.Millisecond}}[c.Writes]
	})
	d := driverOf(t, remote(t, &b), "n1", as("c1", 7))
	why := errors.New("lock lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- d.Power.Set(ctx, node.PowerOn) }()
	for len(b.Commands("n1")) == 0 {
		<-time.After(time.Millisecond)
	}
	cancel(why)
	if err := <-gone; !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
	c := b.Commands("n1")[0]
	if took := c.End.Sub(c.Start); took != 300*time.Millisecond {
		t.Errorf("the command takes %s", took)
	}
	<-time.After(time.Until(c.End))
	if got := b.State("n1"); got != node.PowerOn {
		t.Errorf("in the end the machine is %q", got)
	}
}
