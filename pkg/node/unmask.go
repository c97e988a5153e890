package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Unmask puts the secrets of old back where n, which a client made from the view
// that old.Masked gives, has masks in driver_info and instance_info. A mask stands
// for the secret under the same names, and in a list for that of an element that
// looks the same. One for which there is no secret is a *ValidationError, since
// to store it would destroy what the client meant to keep.
func (n *Node) Unmask(old *Node) error {
	var p problems
	n.DriverInfo = p.unmaskObject("driver_info", n.DriverInfo, old.DriverInfo)
	image := n.InstanceInfo["image_url"]
	n.InstanceInfo = p.unmaskObject("instance_info", n.InstanceInfo, old.InstanceInfo)
	if image == mask {
		was, ok := old.InstanceInfo["image_url"]
		if !ok || was == nil || was == "" {
			p.masked("instance_info/image_url")
		} else {
			n.InstanceInfo["image_url"] = cloneValue(was)
		}
	}
	return p.err()
}

// Unmask puts the secrets of old back where t has the masks that old.Masked
// shows for them, as Node.Unmask does.
func (t *VolumeTarget) Unmask(old *VolumeTarget) error {
	var p problems
	t.Properties = p.unmaskObject("properties", t.Properties, old.Properties)
	return p.err()
}

// Unmask puts the secrets of old back where d has the masks that old.Masked
// shows for them, as Node.Unmask does. A step finds its secrets in the old step
// of the same interface and name, wherever that stood.
func (d *DeployTemplate) Unmask(old *DeployTemplate) error {
	var p problems
	for i, s := range d.Steps {
		was := slices.IndexFunc(old.Steps, func(o TemplateStep) bool { return o.Interface == s.Interface && o.Step == s.Step })
		var args Object
		if was >= 0 {
			args = old.Steps[was].Args
		}
		d.Steps[i].Args = p.unmaskObject(stepField(i, "args"), s.Args, args)
	}
	return p.err()
}

// Unmask puts the secrets of old back where b has the masks that old.Masked
// shows for them, as DeployTemplate.Unmask does.
func (b *Runbook) Unmask(old *Runbook) error {
	var p problems
	for i, s := range b.Steps {
		was := slices.IndexFunc(old.Steps, func(o RunbookStep) bool { return o.Interface == s.Interface && o.Step == s.Step })
		var args Object
		if was >= 0 {
			args = old.Steps[was].Args
		}
		b.Steps[i].Args = p.unmaskObject(stepField(i, "args"), s.Args, args)
	}
	return p.err()
}

func (p *problems) unmaskObject(field string, o, old Object) Object {
	if o == nil {
		return nil
	}
	return p.unmaskMap(field, o, old)
}

func (p *problems) unmaskMap(path string, m, old map[string]any) map[string]any {
	c := make(map[string]any, len(m))
	for _, k := range keysOf(m) {
		v, was := m[k], old[k]
		at := path + "/" + cut(k, 64)
		switch {
		case secret(k) && v == mask && was != nil && was != "":
			c[k] = cloneValue(was)
		case secret(k) && v == mask:
			p.masked(at)
		default:
			c[k] = p.unmaskValue(at, v, was)
		}
	}
	return c
}

func (p *problems) unmaskValue(path string, v, old any) any {
	switch v := v.(type) {
	case string:
		if !maskedURL(v) {
			return v
		}
		if was, ok := old.(string); ok && maskValue(was) == v {
			return was
		}
		p.masked(path)
	case map[string]any:
		return p.unmaskMap(path, v, mapOf(old))
	case []any:
		was, _ := old.([]any)
		return p.unmaskList(path, v, was)
	}
	return v
}

// unmaskList finds for each element the one of old that it was, by what the
// client could see of it. Two that look alike and are not are told apart by
// their place.
func (p *problems) unmaskList(path string, list, old []any) []any {
	alike := map[string][]int{} // places in old, by what is seen of the element
	for i, e := range old {
		view := seen(maskValue(e))
		alike[view] = append(alike[view], i)
	}
	c := make([]any, len(list))
	for i, e := range list {
		var was any
		places := alike[seen(e)]
		_, here := slices.BinarySearch(places, i)
		switch {
		case here:
			was = old[i]
		case len(places) == 1:
			was = old[places[0]]
		}
		c[i] = p.unmaskValue(fmt.Sprintf("%s/%d", path, i), e, was)
	}
	return c
}

// seen is what tells one value from another.
func seen(v any) string {
	data, err := json.Marshal(v)
	if err != nil { // it came from JSON, or will not get there
		return ""
	}
	return string(data)
}

func (p *problems) masked(path string) {
	p.add(path, "%s stands for a secret, and there is none that it can stand for here: give the secret itself", mask)
}

// maskedURL says whether a text holds a URL whose password is masked.
func maskedURL(text string) bool { return strings.Contains(text, ":"+mask+"@") }

func keysOf(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func mapOf(v any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		return v
	case Object:
		return v
	}
	return nil
}
