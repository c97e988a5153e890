package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/conductor-metal/conductor/pkg/node"
)

// entry is one record of an inventory, with those that hang on it.
type entry struct {
	where    string // file, line and place, for errors
	kind     node.Kind
	label    string // name or address, as far as it has one
	fields   map[string]any
	children []entry
}

// count is how many records there are, itself included.
func (e entry) count() int {
	n := 1
	for _, child := range e.children {
		n += child.count()
	}
	return n
}

// readInventory reads a file in the format of "baremetal create", which is JSON
// or YAML: nodes, each with ports and portgroups, and these with their ports.
// Everything that can be wrong without asking the conductor is wrong here,
// before anything is created; the errors are all there are.
func readInventory(file string) ([]entry, []error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, []error{err}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil { // JSON is YAML
		return nil, []error{fmt.Errorf("%s: %w", file, err)}
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, []error{fmt.Errorf("%s: want an object with the key \"nodes\"", file)}
	}
	r := inventoryReader{file: file, seen: map[string]string{}}
	var nodes []entry
	for i := 0; i < len(doc.Content[0].Content); i += 2 {
		key, value := doc.Content[0].Content[i], doc.Content[0].Content[i+1]
		if key.Value != "nodes" {
			r.fail(key, key.Value, "only \"nodes\" is known here")
			continue
		}
		nodes = r.list(value, "nodes", node.KindNode)
	}
	if len(nodes) == 0 && len(r.errs) == 0 {
		r.fail(&doc, "nodes", "there are none")
	}
	return nodes, r.errs
}

type inventoryReader struct {
	file string
	seen map[string]string // what must be unique: where it was first
	errs []error
}

func (r *inventoryReader) fail(at *yaml.Node, place, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %s: %s", r.file, at.Line, place, fmt.Sprintf(format, args...)))
}

// nested are the lists of records that a record may hold.
var nested = map[node.Kind]map[string]node.Kind{
	node.KindNode:      {"ports": node.KindPort, "portgroups": node.KindPortgroup},
	node.KindPortgroup: {"ports": node.KindPort},
}

func (r *inventoryReader) list(value *yaml.Node, place string, kind node.Kind) []entry {
	if value.Kind != yaml.SequenceNode {
		r.fail(value, place, "want a list")
		return nil
	}
	var all []entry
	for i, one := range value.Content {
		all = append(all, r.entry(one, fmt.Sprintf("%s[%d]", place, i), kind))
	}
	return all
}

func (r *inventoryReader) entry(value *yaml.Node, place string, kind node.Kind) entry {
	e := entry{kind: kind, fields: map[string]any{}}
	if value.Kind != yaml.MappingNode {
		r.fail(value, place, "want an object")
		return e
	}
	for i := 0; i < len(value.Content); i += 2 {
		if key, v := value.Content[i].Value, value.Content[i+1]; (key == "name" || key == "address" && e.label == "") && v.Value != "" {
			e.label = v.Value
		}
	}
	if e.label != "" {
		place += " (" + e.label + ")"
	}
	e.where = fmt.Sprintf("%s:%d: %s", r.file, value.Line, place)
	var ports, groups []entry // portgroups come first: ports may be in them
	for i := 0; i < len(value.Content); i += 2 {
		key, v := value.Content[i].Value, value.Content[i+1]
		if child, ok := nested[kind][key]; ok {
			if list := r.list(v, place+"."+key, child); child == node.KindPortgroup {
				groups = list
			} else {
				ports = list
			}
			continue
		}
		var field any
		if err := v.Decode(&field); err != nil {
			r.fail(v, place+": "+key, "%v", err)
		}
		e.fields[key] = field
	}
	e.children = append(groups, ports...)
	r.check(e, value, place)
	return e
}

// check holds an entry to the rules of its record.
func (r *inventoryReader) check(e entry, at *yaml.Node, place string) {
	record := blank(e.kind)
	text, err := json.Marshal(e.fields)
	if err == nil {
		err = node.DecodeInput(bytes.NewReader(text), 0, record)
	}
	if err == nil {
		record.Normalize()
		err = record.Validate()
	}
	if err != nil {
		r.fail(at, place, "%v", err)
	}
	for _, field := range []string{"name", "address", "uuid"} {
		value, _ := e.fields[field].(string)
		if value == "" {
			continue
		}
		key := string(e.kind) + " " + field + " " + strings.ToLower(value)
		if first, ok := r.seen[key]; ok {
			r.fail(at, place, "%s %s is that of %s too", field, value, first)
		}
		r.seen[key] = place
	}
}

// blank is a record that lacks nothing but what an inventory gives.
func blank(kind node.Kind) node.Record {
	id := uuid.NewString()
	switch kind {
	case node.KindPort:
		return &node.Port{UUID: id, NodeUUID: node.ID(id)}
	case node.KindPortgroup:
		return &node.Portgroup{UUID: id, NodeUUID: node.ID(id)}
	}
	return &node.Node{UUID: node.ID(id), ProvisionState: node.StateEnroll}
}
