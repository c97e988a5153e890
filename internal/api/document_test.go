package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/node"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openapi().yaml)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentIsValid(t *testing.T) {
	doc := document(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	if got := "1." + fmt.Sprint(int(newest)); doc.Info.Version != got {
		t.Errorf("the document is of version %s, the newest is %s", doc.Info.Version, got)
	}
	tags := map[string]bool{}
	for _, tag := range doc.Tags {
		tags[tag.Name] = false
	}
	ids := map[string]string{}
	for pattern, op := range operations(doc) {
		if other, twice := ids[op.OperationID]; twice || op.OperationID == "" || op.Summary == "" {
			t.Errorf("%s: operationId %q (also of %q), summary %q", pattern, op.OperationID, other, op.Summary)
		}
		ids[op.OperationID] = pattern
		for _, tag := range op.Tags {
			if _, ok := tags[tag]; !ok {
				t.Errorf("%s: the tag %s is not explained", pattern, tag)
			}
			tags[tag] = true
		}
	}
	for tag, used := range tags {
		if !used {
			t.Errorf("nothing has the tag %s", tag)
		}
	}
	used := string(openapi().json)
	for kind, names := range map[string][]string{
		"schemas": slices.Collect(maps.Keys(doc.Components.Schemas)), "parameters": slices.Collect(maps.Keys(doc.Components.Parameters)),
		"responses": slices.Collect(maps.Keys(doc.Components.Responses)), "headers": slices.Collect(maps.Keys(doc.Components.Headers)),
	} {
		for _, name := range names {
			if !strings.Contains(used, `"#/components/`+kind+"/"+name+`"`) {
				t.Errorf("nothing uses %s/%s", kind, name)
			}
		}
	}
}

// TestEveryRouteIsInTheDocument compares the map of the interface with the
// document, versions too.
func TestEveryRouteIsInTheDocument(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		ops := operations(document(t))
		for _, pattern := range slices.Sorted(maps.Keys(s.api.since)) {
			op, ok := ops[pattern]
			if !ok {
				t.Errorf("%s is not in the document", pattern)
				continue
			}
			if got, want := sinceOf(op.Extensions), max(s.api.since[pattern], oldest); got != want {
				t.Errorf("%s is there since %s, the document says %s", pattern, want, got)
			}
		}
		for pattern, op := range ops {
			if open := op.Security != nil && len(*op.Security) == 0; open != public(op.path) {
				t.Errorf("%s: the document says that all may ask: %v, which is not so", pattern, open)
			}
			if _, ok := s.api.since[pattern]; !ok {
				t.Errorf("%s is in the document and is no route", pattern)
			}
		}
	})
}

// sinceOf is what the document says of when something came.
func sinceOf(extensions map[string]any) minor {
	text, ok := extensions["x-since"].(string)
	if !ok {
		return oldest
	}
	var v minor
	if _, err := fmt.Sscanf(text, "1.%d", &v); err != nil || v.String() != text || v < 2 || v > newest {
		return -1
	}
	return v
}

func TestEveryColumnIsInTheDocument(t *testing.T) {
	schemas := document(t).Components.Schemas
	for name, c := range map[string]columns{
		"Node": nodeColumns, "Port": portColumns, "Portgroup": portgroupColumns, "VolumeConnector": connectorColumns, "VolumeTarget": targetColumns,
		"Allocation": allocationColumns, "DeployTemplate": templateColumns, "Runbook": runbookColumns, "Chassis": chassisColumns,
	} {
		properties := schemas[name].Value.Properties
		born := c["uuid"].since // of the record; of its columns only those that are younger say when they came
		for column, facts := range c {
			p, ok := properties[column]
			switch {
			case facts.since == beyond:
				if ok {
					t.Errorf("%s.%s is in the document and newer than what is served", name, column)
				}
				continue
			case !ok:
				t.Errorf("%s.%s is not in the document", name, column)
				continue
			}
			if p.Value.ReadOnly != (!facts.create && !facts.patch) {
				t.Errorf("%s.%s: the document says read-only: %v, which is not so", name, column, p.Value.ReadOnly)
			}
			if got := max(sinceOf(p.Value.Extensions), born); got != facts.since {
				t.Errorf("%s.%s is there since %s, the document says %s", name, column, facts.since, got)
			}
		}
		for property, p := range properties {
			if _, ok := c[property]; !ok && !p.Value.WriteOnly {
				t.Errorf("%s.%s is in the document and is no column", name, property)
			}
		}
	}
	states := schemas["NodeStates"].Value.Properties
	if got, want := slices.Sorted(maps.Keys(states)), slices.Sorted(slices.Values(stateColumns)); !slices.Equal(got, want) {
		t.Errorf("NodeStates has %v, want %v", got, want)
	}
}

func TestEveryFilterIsInTheDocument(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		doc := document(t)
		compareFilters(t, doc, "/v1/nodes", s.api.nodes().filters)
		compareFilters(t, doc, "/v1/ports", s.api.ports().filters)
		compareFilters(t, doc, "/v1/portgroups", s.api.portgroups().filters)
		compareFilters(t, doc, "/v1/volume/connectors", s.api.connectors().filters)
		compareFilters(t, doc, "/v1/volume/targets", s.api.targets().filters)
		compareFilters(t, doc, "/v1/allocations", s.api.allocations().filters)
		compareFilters(t, doc, "/v1/deploy_templates", s.api.templates().filters)
		compareFilters(t, doc, "/v1/runbooks", s.api.runbooks().filters)
		compareFilters(t, doc, "/v1/chassis", s.api.chassis().filters)
	})
}

func compareFilters[R node.Record](t *testing.T, doc *openapi3.T, path string, filters map[string]filter[R]) {
	t.Helper()
	list := doc.Paths.Value(path).Get
	born := sinceOf(list.Extensions)
	want := map[string]minor{}
	for name, f := range filters {
		if name != "" && f.since <= newest {
			want[name] = max(f.since, born)
		}
	}
	got := map[string]minor{}
	for _, p := range list.Parameters {
		if !slices.Contains(paging, p.Value.Name) {
			got[p.Value.Name] = max(sinceOf(p.Value.Extensions), born)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the filters of %s and the document: %s", path, d)
	}
}

func TestEveryKindOfFaultIsInTheDocument(t *testing.T) {
	kinds := map[string]bool{"internal": true} // what the table does not have
	for _, r := range faults {
		if r.status != statusClientGone {
			kinds[r.kind] = true
		}
	}
	var got []string
	for _, k := range document(t).Components.Schemas["Fault"].Value.Properties["kind"].Value.Enum {
		got = append(got, k.(string))
	}
	slices.Sort(got)
	if want := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
		t.Errorf("the document has the kinds %v, want %v", got, want)
	}
}
