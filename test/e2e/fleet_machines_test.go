package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
)

// machines are what all conductors of a fleet command. They record in the tests'
// process who commanded which machine from when to when, and they go on with a
// command when its caller is frozen, cut off or dead.
type machines struct {
	hardwaretest.BMC
	url    string
	frozen map[string][]span // when a host was stopped
}

type span struct{ from, to time.Time }

// work is how long a machine needs for a change, in milliseconds: less than the
// lock-delay. What a busy test machine adds to that counts for the time-out only.
var work = map[string][2]int{
	hardware.InterfaceDeploy: {800, 1600}, hardware.InterfacePower: {300, 900},
	hardware.InterfaceManagement: {100, 100}, hardware.InterfaceVendor: {300, 300},
}

// startMachines has them answer until all conductors are gone.
func (f *fleet) startMachines() {
	m := &machines{frozen: map[string][]span{}}
	m.VaryLatency(func(c hardware.Call) hardwaretest.Latency {
		w := work[c.Interface]
		if !c.Writes {
			w = [2]int{50, 150}
		}
		return hardwaretest.Latency{Work: time.Duration(w[0]+rand.IntN(w[1]-w[0]+1)) * time.Millisecond}
	})
	s := httptest.NewServer(m)
	f.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	m.url, f.machines = s.URL, m
}

// freeze stops a conductor, until thaw.
func (f *fleet) freeze(host string) {
	f.t.Helper()
	f.conductor(host).pause()
	f.machines.frozen[host] = append(f.machines.frozen[host], span{from: time.Now()})
}

func (f *fleet) thaw(host string) {
	f.t.Helper()
	all := f.machines.frozen[host]
	all[len(all)-1].to = time.Now()
	f.conductor(host).resume()
}

// onTheWire says whether a command was sent before its sender was frozen and arrived
// after that. Nobody can call such a one back, and no machine knows tokens.
func (m *machines) onTheWire(c hardwaretest.Command) bool {
	for _, s := range m.frozen[c.Actor.Conductor] {
		if c.Sent.Before(s.from.Round(0)) && c.Start.After(s.to) {
			return true
		}
	}
	return false
}

// apart checks that no machine was ever commanded under two tokens at once, or under
// an older token after a newer one, and that the records say how the machines are.
func (f *fleet) apart() {
	f.t.Helper()
	for _, o := range f.machines.Overlaps() {
		if f.machines.onTheWire(o.First) || f.machines.onTheWire(o.Second) {
			f.t.Logf("on the wire while its sender was frozen: %s", o)
			continue
		}
		f.t.Errorf("two holders commanded a machine: %s", o)
	}
	commands, tokens := 0, map[string]bool{}
	for _, c := range f.machines.AllCommands() {
		if c.Writes {
			commands++
			tokens[fmt.Sprint(c.Node, c.Actor.Token)] = true
		}
	}
	f.t.Logf("machines: %d commands under %d tokens, one at a time", commands, len(tokens))
	if commands == 0 {
		f.t.Error("no machine was commanded")
	}
}
