package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
)

// mask stands where a secret stood.
//
// Ironic: oslo_utils.strutils.mask_dict_password, with secret="******".
const mask = "******"

// secretWords are parts of the names of keys that hold secrets. They rather
// hide too much than too little.
var secretWords = []string{
	"password", "passwd", "passphrase", "pswd", "secret", "token", "credential", "community",
	"key", "cookie", "configdrive",
}

// secretKG finds the names of IPMI's key K_g that do not say "key", and neither
// disk_group nor weight_kg.
var secretKG = regexp.MustCompile(`(^|[^a-z])k[_-]g([^a-z]|$)|(^|_)(ipmi|hex|bmc)_?kg(_|$)`)

// userinfo finds the password of a URL.
var userinfo = regexp.MustCompile(`(://[^/@\s:]*):[^/\s]+@`)

func secret(key string) bool {
	key = strings.ToLower(key)
	for _, w := range secretWords {
		if strings.Contains(key, w) {
			return true
		}
	}
	// The expression takes long, and few keys come into question.
	maybeKG := strings.Contains(key, "k_g") || strings.Contains(key, "k-g") || strings.Contains(key, "kg")
	return strings.HasSuffix(key, "_pass") || key == "pass" || maybeKG && secretKG.MatchString(key)
}

// Masked answers a deep copy for output: the value of each key whose name
// says that it holds a secret is "******", at any depth, and so is the
// password in a URL.
func (o Object) Masked() Object {
	if o == nil {
		return nil
	}
	return maskMap(o)
}

func maskMap(m map[string]any) map[string]any {
	c := make(map[string]any, len(m))
	for k, v := range m {
		if secret(k) && v != nil && v != "" {
			c[k] = mask
		} else {
			c[k] = maskValue(v)
		}
	}
	return c
}

func maskValue(v any) any {
	switch v := v.(type) {
	case nil, bool, json.Number, int, int64, float64:
		return v
	case string:
		if !strings.Contains(v, "://") || !strings.Contains(v, "@") {
			return v
		}
		return userinfo.ReplaceAllString(v, "$1:"+mask+"@")
	case map[string]any:
		return maskMap(v)
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = maskValue(e)
		}
		return c
	}
	// Any other Go type is masked in the form that it has in JSON.
	data, err := json.Marshal(v)
	if err != nil {
		return mask
	}
	var o Object
	if json.Unmarshal([]byte(`{"v":`+string(data)+`}`), &o) != nil {
		return mask
	}
	return maskMap(o)["v"]
}

// String answers the object as JSON with its secrets masked.
func (o Object) String() string {
	data, err := json.Marshal(o.Masked())
	if err != nil {
		return mask
	}
	return string(data)
}

// GoString is String.
func (o Object) GoString() string { return o.String() }

// LogValue answers the object as JSON with its secrets masked.
func (o Object) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Masked answers a deep copy for output, in which every secret is "******":
// those of driver_info, driver_internal_info, instance_info (its image_url
// and configdrive as well) and of the steps.
//
// Ironic: api/controllers/v1/node.py, node_sanitize.
func (n *Node) Masked() *Node {
	if n == nil {
		return nil
	}
	c := *n
	secrets := []*Object{
		&c.DriverInfo, &c.DriverInternalInfo, &c.InstanceInfo,
		&c.CleanStep, &c.DeployStep, &c.ServiceStep,
	}
	for _, o := range c.objects() {
		if slices.Contains(secrets, o) {
			*o = o.Masked()
		} else {
			*o = o.Clone()
		}
	}
	c.detach()
	if u := c.InstanceInfo["image_url"]; u != nil && u != "" {
		c.InstanceInfo["image_url"] = mask
	}
	return &c
}

// Masked answers a deep copy for output, in which every secret of properties
// is "******".
//
// Ironic: api/controllers/v1/volume_target.py, mask_dict_password.
func (t *VolumeTarget) Masked() *VolumeTarget {
	c := t.Clone()
	if c != nil {
		c.Properties = c.Properties.Masked()
	}
	return c
}

// String answers the uuid and the name.
func (n Node) String() string {
	if n.Name == "" {
		return "node " + string(n.UUID)
	}
	return fmt.Sprintf("node %s (%s)", n.UUID, n.Name)
}

// GoString is String: the fields hold secrets.
func (n Node) GoString() string { return n.String() }

// LogValue answers what identifies the node and where it stands, and no
// secret. It works for a node that is an attribute of its own; a slice of
// nodes given to a JSON handler is written whole, so give it Masked nodes.
func (n Node) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("uuid", string(n.UUID)),
		slog.String("name", n.Name),
		slog.String("driver", n.Driver),
		slog.String("provision_state", string(n.ProvisionState)),
		slog.String("power_state", string(n.PowerState)))
}

// String answers the uuid.
func (t VolumeTarget) String() string { return "volume target " + t.UUID }

// GoString is String: the fields hold secrets.
func (t VolumeTarget) GoString() string { return t.String() }

// LogValue answers what identifies the target, and no secret.
func (t VolumeTarget) LogValue() slog.Value {
	return slog.GroupValue(slog.String("uuid", t.UUID), slog.String("node", string(t.NodeUUID)))
}

// LogValue answers the node and how much belongs to it, and no secret.
func (rs *Records) LogValue() slog.Value {
	if rs == nil {
		return slog.Value{}
	}
	return slog.GroupValue(slog.Any("node", rs.Node), slog.Int("ports", len(rs.Ports)),
		slog.Int("portgroups", len(rs.Portgroups)), slog.Int("volume_connectors", len(rs.VolumeConnectors)),
		slog.Int("volume_targets", len(rs.VolumeTargets)), slog.Int64("revision", rs.Revision))
}
