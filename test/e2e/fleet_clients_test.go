package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// look reads a node through any conductor, and has that recorded.
func (f *fleet) look(id string) (look, bool) {
	from := f.history.now()
	a := f.ask(http.MethodGet, "/v1/nodes/"+id, "")
	var n struct {
		Prov  node.ProvisionState `json:"provision_state"`
		Power node.PowerState     `json:"power_state"`
	}
	if a.err != nil || a.status != http.StatusOK || json.Unmarshal([]byte(a.text), &n) != nil {
		return look{}, false
	}
	l := look{prov: n.Prov, power: n.Power}
	f.history.add(act{node: id, did: saw}, from, f.history.now(), l)
	return l, true
}

// asked records a request that may have been accepted, or not: within a minute, for
// nobody waits longer for a lock here, and it comes to an end within two more.
func (f *fleet) asked(id string, w wish, from int64) {
	a := act{node: id, id: fmt.Sprint("?", from), did: maybe, wish: w}
	f.history.add(a, from, from+int64(time.Minute), look{})
	for _, d := range []did{alone, over} {
		a.did = d
		f.history.add(a, from, from+int64(3*time.Minute), look{})
	}
}

// request records one that was accepted, until it ends.
func (f *fleet) request(id string, w wish, from int64) (end func(n *node.Node)) {
	a := act{node: id, id: fmt.Sprint("r", from), did: took, wish: w}
	f.history.add(a, from, f.history.now(), look{})
	return func(n *node.Node) {
		l := look{prov: n.ProvisionState, power: n.PowerState, failed: !w.met(n)} // a last error may be of before
		a.did = ended
		now := f.history.now()
		f.history.add(a, from, now, l) // it may have ended before its request was answered
		if f.hurt() {                  // its conductor may have been gone before that
			a.did = alone
			f.history.add(a, from, now, look{})
		}
		f.look(id)
	}
}

// hurt says whether there are casualties.
func (f *fleet) hurt() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.casualties) > 0
}

// watchers are clients that only read, through all conductors.
func (f *fleet) watchers() {
	f.drivers.Go(func() {
		for {
			select {
			case <-f.stop:
				return
			case <-time.After(rand.N(100 * time.Millisecond)):
				f.look(f.ids[rand.IntN(len(f.ids))])
			}
		}
	})
}

// strangers are processes that take the locks of nodes, beside the conductors.
func (f *fleet) strangers() {
	f.drivers.Go(func() {
		for {
			select {
			case <-f.stop:
				return
			case <-time.After(rand.N(time.Second)):
				f.stranger(f.ids[rand.IntN(len(f.ids))])
			}
		}
	})
}

// stranger holds a lock for a moment, if it gets it.
func (f *fleet) stranger(id string) {
	from := f.history.now()
	a := act{node: id, id: fmt.Sprint("x", from), did: held}
	p := f.startRun([]string{"--wait", "2s"}, id, "sh", "-c", "echo mine; read end")
	_, _, err := p.out.next(f.t.Context(), 0, func(line string) bool { return line == "mine" })
	got := f.history.now()
	if err == nil {
		f.history.add(a, from, got, look{})
		<-time.After(rand.N(300 * time.Millisecond))
	}
	let := f.history.now()
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		f.t.Errorf("%s does not end", p.name)
		return
	}
	a.did = freed
	switch code := p.cmd.ProcessState.ExitCode(); {
	case err != nil:
	case code == 7: // it was lost at some time
		f.history.add(a, got, never, look{})
	default:
		f.history.add(a, let, f.history.now(), look{})
	}
}
