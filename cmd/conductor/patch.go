package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"
	"github.com/spf13/pflag"
)

// operation is one part of a JSON Patch.
type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

// ToNodeUpdateMap makes it one of gophercloud's, whose own leaves out false.
func (o operation) ToNodeUpdateMap() (map[string]any, error) { return o.ToPortUpdateMap(), nil }

// ToPortUpdateMap makes it one of gophercloud's, whose own removes with a value.
func (o operation) ToPortUpdateMap() map[string]any {
	m := map[string]any{"op": o.Op, "path": o.Path}
	if o.Value != nil {
		m["value"] = o.Value
	}
	return m
}

// patch is a JSON Patch.
type patch []operation

func (p patch) ofNode() nodes.UpdateOpts {
	var opts nodes.UpdateOpts
	for _, o := range p {
		opts = append(opts, o)
	}
	return opts
}

func (p patch) ofPort() ports.UpdateOpts {
	var opts ports.UpdateOpts
	for _, o := range p {
		opts = append(opts, o)
	}
	return opts
}

// patch sets what was given. "add" puts a value in the place of what may be there.
func (g *given) patch() patch {
	var p patch
	for _, f := range g.fields {
		v := g.values[f.name]
		if v.value != nil {
			p = append(p, operation{"add", "/" + f.name, v.value})
		}
		for _, e := range v.entries {
			p = append(p, operation{"add", "/" + f.name + "/" + e.key, e.value})
		}
	}
	return p
}

// taken are flags that name fields to unset: --owner, or --extra KEY.
type taken struct {
	fields []field
	bare   map[string]*bool
	keys   map[string]*[]string
}

// take adds a flag for each field that unsets it.
func take(f *pflag.FlagSet, fields []field) *taken {
	t := &taken{fields: fields, bare: map[string]*bool{}, keys: map[string]*[]string{}}
	for _, one := range fields {
		if one.kind == objectField {
			t.keys[one.name] = f.StringArray(one.flagName(), nil, "unset this key; a/b is b within a")
		} else {
			t.bare[one.name] = f.Bool(one.flagName(), false, "unset it")
		}
		annotate(f, one.flagName(), fromCommandLineOnly)
	}
	return t
}

// patch removes what was named.
func (t *taken) patch() (patch, error) {
	var p patch
	for _, f := range t.fields {
		if on := t.bare[f.name]; on != nil && *on {
			p = append(p, operation{Op: "remove", Path: "/" + f.name})
		}
		if keys := t.keys[f.name]; keys != nil {
			for _, key := range *keys {
				if key == "" || strings.Contains(key, "=") {
					return nil, usage(fmt.Errorf("--%s %q: want only the key", f.flagName(), key))
				}
				p = append(p, operation{Op: "remove", Path: "/" + f.name + "/" + key})
			}
		}
	}
	return p, nil
}
