package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/spf13/cobra"
)

func (n *nodeVerbs) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NODE", Short: "Show a node: what it is, what it is at, and who has its lock", Args: exactly(1), ValidArgsFunction: n.completeNodes,
		RunE: func(c *cobra.Command, args []string) error { return n.show(c.Context(), args[0]) },
	}
}

func (n *nodeVerbs) show(ctx context.Context, ref string) error {
	r := nodes.Get(ctx, n.client.api(), url.PathEscape(ref))
	record, err := r.Extract()
	if err != nil {
		return err
	}
	v := view{data: r.Body, names: []string{record.UUID}}
	if n.output.format.value == "table" {
		v.rows = nodePage(record, r.Body, n.client.lock(ctx, record), time.Now())
	}
	return n.output.show(v)
}

// lockQueue is the queue for a node's lock, as a conductor tells it.
type lockQueue struct {
	Holders []struct {
		Holder, Mode, Purpose, User string
		Since                       time.Time
	}
	Waiters []struct{}
}

// lock answers who has a node's lock. An Ironic only knows the host.
func (c *apiClient) lock(ctx context.Context, n *nodes.Node) string {
	var q lockQueue
	if err := c.do(ctx, http.MethodGet, "/v1/locks/"+n.UUID, nil, &q); err != nil {
		return n.Reservation
	}
	return q.at(time.Now())
}

// at is the queue in words.
func (q lockQueue) at(now time.Time) string {
	var texts []string
	for _, h := range q.Holders {
		text := fmt.Sprintf("%s by %s for %q", h.Mode, h.Holder, h.Purpose)
		if h.User != "" {
			text += ", asked for by " + h.User
		}
		if !h.Since.IsZero() {
			text += fmt.Sprintf(", since %s, %s", stamp(h.Since), short(now.Sub(h.Since)))
		}
		texts = append(texts, text)
	}
	if len(q.Waiters) > 0 {
		texts = append(texts, fmt.Sprintf("%d waiting", len(q.Waiters)))
	}
	if len(texts) == 0 {
		return "free"
	}
	return strings.Join(texts, "; ")
}

// item is a field with its lines; without lines it is not shown.
type item struct {
	name  string
	lines []string
}

func line(name, text string) item {
	if text == "" {
		return item{name: name}
	}
	return item{name, []string{text}}
}

// lines are those of an object, one for each KEY=VALUE, as the flags take them.
func lines(name string, object map[string]any) item {
	it := item{name: name}
	for _, key := range sortedKeys(object) {
		it.lines = append(it.lines, key+"="+asText(object[key]))
	}
	return it
}

// page is items in sections.
type page struct{ rows [][]string }

// section adds a title and the items below it.
func (p *page) section(title string, items ...item) {
	first := true
	for _, it := range items {
		for i, text := range it.lines {
			if first && len(p.rows) > 0 {
				p.rows = append(p.rows, []string{"", ""})
			}
			if first && title != "" {
				p.rows = append(p.rows, []string{title, ""})
			}
			first = false
			name := it.name
			if title != "" {
				name = "  " + name
			}
			if i > 0 {
				name = ""
			}
			p.rows = append(p.rows, []string{name, text})
		}
	}
}

// nodePage is a node for people to read. What it leaves out is in -o yaml.
func nodePage(n *nodes.Node, body any, lock string, now time.Time) [][]string {
	raw, _ := body.(map[string]any)
	var p page
	p.section("", line("name", n.Name), line("uuid", n.UUID), line("description", n.Description))
	p.section("State",
		line("provision", since(towards(n.ProvisionState, n.TargetProvisionState), n.ProvisionUpdatedAt, now)),
		line("step", stepOf(n)), line("power", powerText(n)), line("lock", lock),
		line("maintenance", noted(n.Maintenance, n.MaintenanceReason)), line("fault", n.Fault), line("last error", n.LastError),
		line("protected", noted(n.Protected, n.ProtectedReason)), line("retired", noted(n.Retired, n.RetiredReason)))
	p.section("Place", line("conductor", n.Conductor), line("group", n.ConductorGroup), line("shard", n.Shard),
		line("parent", n.ParentNode), line("owner", n.Owner), line("lessee", n.Lessee))
	p.section("Workload",
		line("instance", n.InstanceUUID), line("allocation", n.AllocationUUID), lines("info", n.InstanceInfo))
	p.section("Machine",
		line("driver", n.Driver), line("interfaces", interfaces(raw)), lines("driver info", n.DriverInfo),
		line("resource class", n.ResourceClass), line("traits", strings.Join(n.Traits, " ")),
		lines("properties", n.Properties), lines("extra", n.Extra), lines("raid", n.RAIDConfig), lines("raid wanted", n.TargetRAIDConfig),
		line("boot mode", asText(raw["boot_mode"])), line("secure boot", asText(raw["secure_boot"])),
		line("automated clean", asText(raw["automated_clean"])), line("no power off", noted(n.DisablePowerOff, "")))
	p.section("Times", line("created", stamp(n.CreatedAt)), line("updated", stamp(n.UpdatedAt)), line("inspection", inspection(n)))
	return p.rows
}

func since(text string, at, now time.Time) string {
	if at.IsZero() {
		return text
	}
	return text + ", for " + short(now.Sub(at))
}

// noted is a switch that is on, and why.
func noted(on bool, why string) string {
	switch {
	case !on:
		return ""
	case why == "":
		return "yes"
	}
	return "yes: " + why
}

func inspection(n *nodes.Node) string {
	switch {
	case n.InspectionFinishedAt != nil:
		return "finished " + stamp(*n.InspectionFinishedAt)
	case n.InspectionStartedAt != nil:
		return "started " + stamp(*n.InspectionStartedAt)
	}
	return ""
}

// interfaces are those of a node that do more than nothing, as power=fake.
func interfaces(raw map[string]any) string {
	var texts []string
	for name, value := range raw {
		kind, ok := strings.CutSuffix(name, "_interface")
		text, _ := value.(string)
		if ok && text != "" && !strings.HasPrefix(text, "no-") && text != "noop" {
			texts = append(texts, kind+"="+text)
		}
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

// asText is a decoded JSON value for people: a text as it is, nothing for null.
func asText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	text, err := asJSON(value, "")
	if err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSpace(string(text))
}
