// Holder is the lock side of a conductor and nothing else: one session of
// pkg/lease that takes its orders as lines on standard input and answers with
// lines of JSON on standard output. The end-to-end tests run it as a process, so
// that they can stop, kill and starve it like any other.
//
// The orders, each of which runs beside those before it unless said otherwise:
//
//	lock NAME MODE WAIT PURPOSE    take a lock; WAIT is a duration or -1
//	release NAME                   give it back
//	upgrade NAME WAIT              make it exclusive
//	downgrade NAME                 make it shared
//	settle NAME                    the abandoned section has been dealt with
//	write NAME VALUE               one fenced write of the record nodes/NAME
//	loop NAME                      such writes without pause, until one is refused
//	contend NAME N                 N requests at once, each released when granted
//	many PREFIX N                  take N locks and keep them
//	cycles NAME N                  N times: lock with the records read, release with a write
//	handoffs NAME N                N requests in a queue, handed from one to the next
//	conversions NAME N             N times: upgrade, downgrade
//	churn PREFIX N                 anything at all on N names, until "stop"
//	stop                           end the churn
//	metrics                        the counters that tests look at
//	close                          end the session in order, and the process with it
//
// The end of the input ends the process without a word to etcd, as a crash would.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/conductor-metal/conductor/pkg/lease"
)

type holder struct {
	session  *lease.Session
	client   *clientv3.Client
	root     string
	registry *prometheus.Registry
	ttl      time.Duration
	stop     chan struct{} // closed by "stop"

	mu    sync.Mutex
	locks map[string]*lease.Lock // by name
	out   *json.Encoder
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "holder:", err)
		os.Exit(1)
	}
}

func run() error {
	endpoints := flag.String("endpoints", "", "where etcd is, with commas between")
	root := flag.String("root", lease.DefaultRoot, "prefix of all keys")
	host := flag.String("host", "", "who this is")
	ttl := flag.Duration("ttl", 0, "of the leases; 0: the default")
	margin := flag.Duration("margin", 0, "before the end of a lease; 0: the default")
	flag.Parse()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: strings.Split(*endpoints, ","), DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		return err
	}
	h := &holder{
		client: client, root: *root, registry: prometheus.NewRegistry(), ttl: *ttl, stop: make(chan struct{}),
		locks: map[string]*lease.Lock{}, out: json.NewEncoder(os.Stdout),
	}
	ctx := context.Background()
	h.session, err = lease.Open(ctx, client, lease.Config{
		Root: *root, Holder: *host, TTL: *ttl, Margin: *margin,
		Metrics: lease.NewMetrics(h.registry), Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	context.AfterFunc(h.session.Context(), func() {
		h.tell(event{Event: "session ended", Err: context.Cause(h.session.Context()).Error()})
	})
	h.tell(event{Event: "open", Session: h.session.ID()})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if words[0] == "close" {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			err := h.session.Close(ctx)
			h.tell(event{Event: "closed", Err: text(err)})
			return err
		}
		go func() {
			if err := h.obey(ctx, words[0], words[1:]); err != nil {
				h.tell(event{Event: "error", Name: words[0], Err: err.Error(), Lost: errors.Is(err, lease.ErrLost)})
			}
		}()
	}
	return nil
}

// event is a line of the output. At is taken when the thing happened.
type event struct {
	Event     string             `json:"event"`
	At        time.Time          `json:"at"`
	Name      string             `json:"name,omitempty"`
	Session   string             `json:"session,omitempty"`
	Ticket    string             `json:"ticket,omitempty"`
	Key       string             `json:"key,omitempty"`
	Mode      lease.Mode         `json:"mode,omitempty"`
	Token     lease.Token        `json:"token,omitempty"`
	Abandoned string             `json:"abandoned,omitempty"` // by whom
	N         int                `json:"n,omitempty"`
	Seconds   float64            `json:"seconds,omitempty"`
	Bytes     int64              `json:"bytes,omitempty"`
	Err       string             `json:"err,omitempty"`
	Lost      bool               `json:"lost,omitempty"`
	Values    map[string]float64 `json:"values,omitempty"`
}

func (h *holder) tell(e event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.out.Encode(e) // without a reader there is nobody to tell
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// obey carries one order out.
func (h *holder) obey(ctx context.Context, order string, args []string) error {
	switch order {
	case "metrics":
		return h.metrics()
	case "stop":
		close(h.stop)
		return nil
	}
	if len(args) == 0 {
		return errors.New("which name?")
	}
	name, args := args[0], args[1:]
	switch order {
	case "lock":
		return h.lock(ctx, name, args)
	case "contend", "many", "cycles", "handoffs", "conversions", "churn":
		n, err := strconv.Atoi(strings.Join(args, " "))
		if err != nil {
			return err
		}
		return map[string]func(context.Context, string, int) error{
			"contend": h.contend, "many": h.many, "cycles": h.cycles, "handoffs": h.handoffs, "conversions": h.conversions,
			"churn": h.churn,
		}[order](ctx, name, n)
	}
	h.mu.Lock()
	l := h.locks[name]
	h.mu.Unlock()
	if l == nil {
		return fmt.Errorf("%s is not locked by me", name)
	}
	return h.with(ctx, l, order, strings.Join(args, " "))
}

// with carries out an order that is about a held lock.
func (h *holder) with(ctx context.Context, l *lease.Lock, order, arg string) error {
	switch order {
	case "release":
		err := l.Release(ctx, lease.Write{})
		h.tell(event{Event: "released", Name: l.Name(), Err: text(err), Lost: errors.Is(err, lease.ErrLost)})
	case "upgrade":
		wait, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		err = l.Upgrade(ctx, "", wait)
		h.tell(event{Event: "upgraded", Name: l.Name(), Mode: l.Mode(), Err: text(err)})
	case "downgrade":
		err := l.Downgrade(ctx, lease.Write{})
		h.tell(event{Event: "downgraded", Name: l.Name(), Mode: l.Mode(), Err: text(err)})
	case "settle":
		l.Settle()
	case "write":
		rev, err := l.Commit(ctx, h.record(l, arg))
		h.tell(event{Event: "wrote", Name: l.Name(), N: int(rev), Err: text(err), Lost: errors.Is(err, lease.ErrLost)})
	case "loop":
		h.loop(ctx, l)
	default:
		return errors.New("no such order")
	}
	return nil
}

// lock takes a lock, and tells of its end when that comes.
func (h *holder) lock(ctx context.Context, name string, args []string) error {
	if len(args) < 2 {
		return errors.New("want NAME MODE WAIT [PURPOSE]")
	}
	r := lease.Request{Name: name, Mode: lease.Mode(args[0]), Purpose: strings.Join(args[2:], " "), Wait: lease.Patient}
	if args[1] != "-1" {
		var err error
		if r.Wait, err = time.ParseDuration(args[1]); err != nil {
			return err
		}
	}
	start := time.Now()
	l, err := h.session.Acquire(ctx, r)
	if err != nil {
		h.tell(event{Event: "refused", Name: name, Err: err.Error(), Seconds: time.Since(start).Seconds(), Lost: errors.Is(err, lease.ErrLost)})
		return nil
	}
	e := event{
		Event: "acquired", At: time.Now(), Name: name, Ticket: l.Ticket(), Key: l.Key(), Mode: l.Mode(), Token: l.Token(),
		Seconds: time.Since(start).Seconds(),
	}
	if left := l.Abandoned(); left != nil {
		e.Abandoned = left.Holder
	}
	h.mu.Lock()
	h.locks[name] = l
	h.mu.Unlock()
	h.tell(e)
	context.AfterFunc(l.Context(), func() {
		at, cause := time.Now(), context.Cause(l.Context())
		h.tell(event{Event: "ended", At: at, Name: name, Ticket: l.Ticket(), Err: cause.Error(), Lost: errors.Is(cause, lease.ErrLost)})
	})
	return nil
}

// record is a write of the record of the lock's node, signed as the conductor's are.
func (h *holder) record(l *lease.Lock, value string) lease.Write {
	type writer struct {
		Ticket string      `json:"ticket"`
		Token  lease.Token `json:"token"`
	}
	v, err := json.Marshal(struct {
		Value string `json:"value"`
		By    writer `json:"written_by"`
	}{value, writer{l.Ticket(), l.Token()}})
	if err != nil {
		panic(err) // strings and a number
	}
	return lease.Write{Then: []clientv3.Op{clientv3.OpPut(h.root+"nodes/"+l.Name(), string(v))}}
}

// loop writes until it may not. Like a driver that forgets to look whether it still
// may, it does not ask Check before a write.
func (h *holder) loop(ctx context.Context, l *lease.Lock) {
	for n := 0; ; n++ {
		if _, err := l.Commit(ctx, h.record(l, strconv.Itoa(n))); err != nil {
			h.tell(event{Event: "stopped", Name: l.Name(), N: n, Err: err.Error(), Lost: errors.Is(err, lease.ErrLost)})
			return
		}
		if n == 0 {
			h.tell(event{Event: "looping", Name: l.Name()})
		}
	}
}

// metrics tells the sums of all counters and gauges.
func (h *holder) metrics() error {
	families, err := h.registry.Gather()
	if err != nil {
		return err
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	h.tell(event{Event: "metrics", Values: values})
	return nil
}
