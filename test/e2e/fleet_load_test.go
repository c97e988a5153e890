package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/node"
)

// wish is what is asked of a node, and what it is to become.
type wish struct {
	verb  string // of provisioning, or a power target
	body  string // more of the request
	state node.ProvisionState
	power node.PowerState
}

func (w wish) path(id string) string {
	if w.power != "" {
		return "/v1/nodes/" + id + "/states/power"
	}
	return "/v1/nodes/" + id + "/states/provision"
}

func (w wish) request() string { return fmt.Sprintf(`{"target":%q%s}`, w.verb, w.body) }

// met says whether a node is as it was wished for.
func (w wish) met(n *node.Node) bool {
	if w.power != "" {
		return n.PowerState == w.power
	}
	return n.ProvisionState == w.state
}

// choose is what a driver asks of a node in some state.
func choose(n *node.Node) wish {
	power := []wish{{verb: "power off", power: node.PowerOff}, {verb: "rebooting", power: node.PowerOn}}
	if n.PowerState != node.PowerOn {
		power[0] = wish{verb: "power on", power: node.PowerOn}
	}
	var ways []wish
	switch n.ProvisionState {
	case node.StateAvailable:
		ways = []wish{{verb: "active", state: node.StateActive}, {verb: "active", state: node.StateActive}, {verb: "manage", state: node.StateManageable}}
	case node.StateActive:
		ways = append(power, wish{verb: "deleted", state: node.StateAvailable}, wish{verb: "rebuild", state: node.StateActive})
	case node.StateManageable:
		ways = append(power, wish{verb: "provide", state: node.StateAvailable},
			wish{verb: "clean", body: `,"clean_steps":[{"interface":"vendor","step":"log_passthrough"}]`, state: node.StateManageable})
	case node.StateCleanFailed:
		ways = []wish{{verb: "manage", state: node.StateManageable}}
	case node.StateDeployFailed:
		ways = []wish{{verb: "deleted", state: node.StateAvailable}, {verb: "rebuild", state: node.StateActive}}
	case node.StateEnroll:
		ways = []wish{{verb: "manage", state: node.StateManageable}}
	default:
		ways = []wish{{verb: "deleted", state: node.StateAvailable}}
	}
	return ways[rand.IntN(len(ways))]
}

// load drives every node through its life until halt.
func (f *fleet) load() {
	f.watchers()
	f.strangers()
	for _, id := range f.ids {
		f.drivers.Go(func() {
			for {
				select {
				case <-f.stop:
					return
				case <-time.After(rand.N(200 * time.Millisecond)):
				}
				n := f.latest(id)
				if n.Maintenance {
					f.count(fmt.Sprint("out of maintenance: ", f.ask(http.MethodDelete, "/v1/nodes/"+id+"/maintenance", "").status))
					continue
				}
				if !node.Unstable.Has(n.ProvisionState) && n.TargetPowerState == "" {
					f.want(id, choose(n))
				}
			}
		})
	}
}

func (f *fleet) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[what]++
}

// rest leaves a node alone until a request without an answer has probably ended: its
// end must not be taken for that of the next.
func (f *fleet) rest() {
	select {
	case <-f.stop:
	case <-time.After(8 * time.Second):
	}
}

// want asks for something. What is accepted must end: in what was asked for, or in
// an error that names who is at fault.
func (f *fleet) want(id string, w wish) {
	before, from := f.latest(id), f.history.now()
	a := f.ask(http.MethodPut, w.path(id), w.request())
	switch {
	case a.err != nil || a.status == http.StatusGatewayTimeout:
		f.asked(id, w, from)
		f.count("unanswered: " + a.reason())
		f.rest()
		return
	case a.status != http.StatusAccepted:
		if a.status >= 500 {
			f.asked(id, w, from)
			f.rest()
		}
		f.count("refused: " + a.reason())
		return
	}
	f.count("accepted")
	end := f.request(id, w, from)
	limit := time.After(2 * time.Minute) // a busy machine is no fault
	begun := !w.met(before)              // what was so before is no end
	for seen := before.Revision; ; {
		versions, more := f.chronicle.since(id, seen)
		for _, n := range versions {
			seen = n.Revision // what came before it had begun, is no end either
			busy := node.Unstable.Has(n.ProvisionState)
			if w.power != "" {
				busy = n.TargetPowerState != ""
			}
			begun = begun || busy
			switch {
			case !begun || node.Unstable.Has(n.ProvisionState) || n.TargetPowerState != "":
			case n.LastError == "" && w.met(n):
				end(n)
				f.count("done")
				return
			case n.LastError != "" && f.atFault(n.LastError):
				end(n)
				f.count("failed")
				return
			}
		}
		select {
		case <-more:
		case <-limit:
			var text strings.Builder
			versions, _ = f.chronicle.since(id, before.Revision)
			for _, n := range versions {
				fmt.Fprintf(&text, "\n    revision %d: %s", n.Revision, told(n))
			}
			f.t.Errorf("%q of node %s was accepted by %s at revision %d (%s) and came to no good end:%s", w.verb, id, a.host, before.Revision, a.id, text.String())
			f.count("lost")
			return
		}
	}
}

func told(n *node.Node) string {
	return fmt.Sprintf("%s (target %q), power %q (target %q), last error %q", n.ProvisionState, n.TargetProvisionState, n.PowerState, n.TargetPowerState, n.LastError)
}

// answer is what became of a request.
type answer struct {
	host, id string // who was asked, and the request's id
	status   int
	text     string
	err      error
}

func (a answer) String() string { return fmt.Sprintf("%s: %d %s %v", a.host, a.status, a.text, a.err) }

// reason is short, so that answers can be counted.
func (a answer) reason() string {
	var op *net.OpError
	switch {
	case errors.As(a.err, &op) && op.Op == "dial":
		return "no connection"
	case a.err != nil && strings.Contains(a.err.Error(), "Timeout"):
		return "no answer"
	case a.err != nil:
		return "connection lost"
	}
	return fmt.Sprint(a.status)
}

// field is one of the answer's.
func (a answer) field(name string) string {
	var o map[string]any
	_ = json.Unmarshal([]byte(a.text), &o)
	text, _ := o[name].(string)
	return text
}

// patient waits as long as a client does that means to ask another one then. It
// makes a connection for each request: one that ends at the wrong moment is no fault.
var patient = &http.Client{Timeout: 8 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// ask sends a request to some conductor.
func (f *fleet) ask(method, path, body string) answer {
	c := f.anyone()
	if c == nil {
		return answer{err: errors.New("nobody is there")}
	}
	r, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		return answer{host: c.host, err: err}
	}
	id := "req-" + uuid.NewString()
	r.Header.Set("X-Request-Id", id)
	r.Header.Set("X-OpenStack-Ironic-API-Version", "1.87")
	r.Header.Set("Content-Type", "application/json")
	resp, err := patient.Do(r)
	if err != nil {
		a := answer{host: c.host, id: id, err: err}
		if a.reason() == "connection lost" {
			f.mu.Lock()
			f.cutOff[id] = c
			f.mu.Unlock()
		}
		return a
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{host: c.host, id: id, status: resp.StatusCode, text: string(text), err: err}
}
