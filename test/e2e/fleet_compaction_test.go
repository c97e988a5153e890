package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stream reads GET /v1/events from the first event on, until ctx ends, and counts
// them. No event may come twice, and the stream must not end before.
func (c *conductor) stream(ctx context.Context, events *atomic.Int64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/v1/events?since=0", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	seen := map[string]bool{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct{ ID string }
		if err := json.Unmarshal([]byte(data), &event); err != nil || event.ID == "" || seen[event.ID] {
			return fmt.Errorf("no event, or one that came twice: %s: %w", data, err)
		}
		seen[event.ID] = true
		events.Add(1)
	}
	if ctx.Err() == nil {
		return fmt.Errorf("it ended after %d events: %w", events.Load(), lines.Err())
	}
	return nil
}

// told counts the events that etcd was given.
func (ch *chronicle) told() (n int64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, d := range ch.events {
		if strings.HasPrefix(d.key, "events/") && d.put != "" {
			n++
		}
	}
	return n
}

// Etcd forgets all but the newest revision, each second, while nodes are provisioned,
// their power is compared and events are streamed: nobody notices.
func TestFleetCompaction(t *testing.T) {
	need(t)
	t.Parallel()
	f := startFleetOn(startEtcd(t, 3), 40, 15*time.Second, "--power-sync-interval", "2s")
	ctx, cancel := context.WithCancel(t.Context())
	var streams sync.WaitGroup
	defer streams.Wait()
	defer cancel()
	var events [3]atomic.Int64
	for i, host := range []string{"c1", "c2", "c3"} {
		streams.Go(func() {
			if err := f.conductor(host).stream(ctx, &events[i]); err != nil {
				t.Errorf("events of %s: %v", host, err)
			}
		})
	}
	f.load()
	compactions := 0
	for before := f.done("done"); compactions < 10 || f.done("done") < before+100; compactions++ {
		if err := f.compact(); err != nil {
			t.Fatal(err)
		}
		if compactions == 180 {
			t.Fatalf("%d requests done in three minutes", f.done("done")-before)
		}
		<-time.After(time.Second)
	}
	f.settled()
	f.unfailed()
	f.kept()
	f.whole()
	told := f.chronicle.told()
	for i := range events {
		eventually(t, time.Minute, fmt.Sprintf("c%d has streamed all events", i+1), func() error {
			if n := events[i].Load(); n != told {
				return fmt.Errorf("%d of %d", n, told)
			}
			return nil
		})
	}
	faultRow(t, "etcd is compacted to the newest revision each second, 40 nodes; power sync every 2 s, `GET /v1/events` of each conductor",
		"nothing fails, no lock is lost; each stream goes on and has each event once",
		fmt.Sprintf("%d compactions; %s; %d events at each of 3 streams", compactions, f.ends(), told))
}
