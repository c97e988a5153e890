package provision

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// adopt takes over a machine that runs an instance already, without touching
// that. Ironic: ConductorManager._do_adoption.
func (p *Provisioner) adopt(ctx context.Context, x *task.Exclusive) (way, error) {
	n, d := x.Node(), x.Driver()
	if boot := capability(n, "boot_option"); boot != "" && boot != "local" {
		if err := d.Boot.Validate(ctx); err != nil {
			return way{}, err
		}
	}
	if err := d.Deploy.Prepare(ctx); err != nil {
		return way{}, err
	}
	if err := d.Deploy.TakeOver(ctx); err != nil {
		return way{}, err
	}
	if p.cfg.Host != "" {
		n.ConductorAffinity = p.cfg.Host
	}
	return way{event: node.EventDone}, nil
}

// capability reads one of instance_info's capabilities, which are an object, or
// text with an object in it, or text such as "a:b,c:d".
func capability(n *node.Node, name string) string {
	switch v := n.InstanceInfo["capabilities"].(type) {
	case map[string]any:
		return node.Object(v).Text(name)
	case node.Object:
		return v.Text(name)
	case string:
		var o node.Object
		if json.Unmarshal([]byte(v), &o) == nil {
			return o.Text(name)
		}
		for pair := range strings.SplitSeq(v, ",") {
			if key, value, _ := strings.Cut(pair, ":"); strings.TrimSpace(key) == name {
				return strings.TrimSpace(value)
			}
		}
	}
	return ""
}
