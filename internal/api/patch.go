package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/conductor-metal/conductor/pkg/node"
)

// maxOperations is how long a patch may be; each operation in a list costs as
// much as the list is long.
const maxOperations = 4096

// operation is one step of a JSON Patch (RFC 6902), as far as Ironic knows them:
// test, move and copy are refused, as there.
type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// edit is a patch that has been read and checked against the columns of a
// resource, but not yet applied to anything.
type edit struct {
	list []operation
	ops  jsonpatch.Patch
}

// gives says whether the patch gives a whole field a value.
func (e edit) gives(field string) bool {
	return slices.ContainsFunc(e.list, func(o operation) bool { return o.Path == "/"+field && o.Op != "remove" })
}

// only says whether the patch is one operation, on a whole field.
func (e edit) only(op, field string) bool {
	return len(e.list) == 1 && e.list[0].Op == op && e.list[0].Path == "/"+field
}

// edit reads a patch from the body. Each path must lead to a field that is
// known, may be changed, and is not newer than the request's version.
func (s *resource[R]) edit(c *call) (edit, error) {
	data, err := c.body()
	if err != nil {
		return edit{}, err
	}
	return s.parseEdit(data, c.v)
}

func (s *resource[R]) parseEdit(data []byte, v minor) (edit, error) {
	raw, err := node.InputList(data)
	if err != nil {
		return edit{}, err
	}
	if len(raw) > maxOperations {
		return edit{}, invalid("", "a patch of %d operations is too long; use at most %d in one request", len(raw), maxOperations)
	}
	e := edit{list: make([]operation, len(raw))}
	for i, r := range raw {
		if err := node.DecodeInput(bytes.NewReader(r), maxBody, &e.list[i]); err != nil {
			return edit{}, invalid("", "operation %d of the patch: %v", i, err)
		}
		if err := s.checkOperation(e.list[i], v); err != nil {
			return edit{}, err
		}
	}
	if e.ops, err = jsonpatch.DecodePatch(data); err != nil {
		return edit{}, invalid("", "not a JSON Patch: %v", err)
	}
	return e, nil
}

// checkOperation holds what Ironic's schema of patches says, and its list of
// fields. Ironic: common/args.py, patch; patch_validate_allowed_fields.
func (s *resource[R]) checkOperation(o operation, v minor) error {
	switch {
	case o.Op != "add" && o.Op != "replace" && o.Op != "remove":
		return invalid("op", "%q is not one of add, replace, remove", cut(o.Op, 32))
	case o.Value == nil && o.Op != "remove":
		return invalid("value", "is required to %s %s", o.Op, cut(o.Path, 255))
	}
	rest, ok := strings.CutPrefix(o.Path, "/")
	parts := strings.Split(rest, "/")
	if !ok || slices.Contains(parts, "") {
		return invalid("path", "%q is not a path such as /driver_info/address", cut(o.Path, 255))
	}
	if strings.Contains(o.Path, "~") {
		if v < 98 {
			return tooNew("A ~ in the path of a patch", 98, v)
		}
		if plain := strings.NewReplacer("~0", "", "~1", "").Replace(o.Path); strings.Contains(plain, "~") {
			return invalid("path", "in %q, write ~0 for ~ and ~1 for / in a name", cut(o.Path, 255))
		}
	}
	col, known := s.columns[parts[0]]
	switch {
	case !known || !col.patch || col.since == beyond:
		return refuse(node.ErrInvalid, "Cannot patch %s. Only the following can be updated: %s", cut(o.Path, 255), strings.Join(s.patchable(v), ", "))
	case col.since > v:
		return tooNew("The field "+parts[0], col.since, v)
	case len(parts) > 1 && !s.isObject(parts[0]):
		return refuse(node.ErrInvalid, "Cannot patch %s: %s is not an object, so there is nothing in it.", cut(o.Path, 255), parts[0])
	}
	return nil
}

// patchable are the fields that a version may change, in order.
func (s *resource[R]) patchable(v minor) []string {
	return slices.DeleteFunc(s.visible(v), func(n string) bool { return !s.columns[n].patch })
}
