package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/conductor-metal/conductor/pkg/node"
)

// amend answers the record that the patch makes of old, and which fields differ.
// Old stays as it is.
//
// The patch is applied to the fields that a patch may change, as a client sees
// them, but with the secrets that it does not see: what is not set is null, and a
// field that is removed is unset. A mask that the client sends back stands for
// the secret behind it; one with nothing behind it is refused.
func (s *resource[R]) amend(old R, e edit) (R, map[string]bool, error) {
	var none R
	doc, err := s.document(old)
	if err != nil {
		return none, nil, err
	}
	doc, err = e.ops.ApplyWithOptions(doc, &jsonpatch.ApplyOptions{})
	if err != nil {
		return none, nil, refuse(node.ErrInvalid, "Couldn't apply patch. Reason: %s", cut(err.Error(), 1024))
	}
	patched, err := s.read(doc)
	if err != nil {
		return none, nil, err
	}
	amended := s.clone(old)
	changed := map[string]bool{}
	for name, col := range s.columns {
		if col.patch && !equal(s.value(old, name), s.value(patched, name)) {
			reflect.ValueOf(amended).Elem().FieldByIndex(s.fields[name]).Set(reflect.ValueOf(patched).Elem().FieldByIndex(s.fields[name]))
			changed[name] = true
		}
	}
	if err := unmask(amended, old); err != nil {
		return none, nil, err
	}
	amended.Normalize()
	for name := range changed {
		if equal(s.value(old, name), s.value(amended, name)) {
			delete(changed, name)
		}
	}
	return amended, changed, nil
}

// document is what a patch is applied to.
func (s *resource[R]) document(r R) ([]byte, error) {
	doc := map[string]any{}
	for name, col := range s.columns {
		if col.patch {
			doc[name] = shape(name, s.value(r, name))
		}
	}
	return json.Marshal(doc)
}

// read makes a record of a document that was patched. What is null or missing is
// not set, but for what a record must have.
func (s *resource[R]) read(doc []byte) (R, error) {
	r := fresh[R]()
	raw, err := node.InputFields(doc)
	if err != nil {
		return r, err
	}
	for _, name := range s.required {
		if v, ok := raw[name]; !ok || string(v) == "null" {
			return r, refuse(node.ErrInvalid, "'%s' is a mandatory attribute and can not be removed", name)
		}
	}
	s.looseBools(raw)
	if doc, err = json.Marshal(raw); err != nil {
		return r, err
	}
	return r, node.DecodeInput(bytes.NewReader(doc), 2*maxBody, r) // the record is limited when it is written
}

// looseBools takes texts for true and false, as Ironic does.
func (s *resource[R]) looseBools(raw map[string]json.RawMessage) {
	for name, v := range raw {
		index, ok := s.fields[name]
		if !ok || !strings.HasPrefix(string(v), `"`) {
			continue
		}
		t := reflect.TypeFor[R]().Elem().FieldByIndex(index).Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		var text string
		if t.Kind() != reflect.Bool || json.Unmarshal(v, &text) != nil {
			continue
		}
		if b, err := parseBool(name, strings.TrimSpace(text)); err == nil {
			raw[name] = json.RawMessage("false")
			if b {
				raw[name] = json.RawMessage("true")
			}
		}
	}
}

// isObject says whether a field is a JSON object, or a list of them.
func (s *resource[R]) isObject(name string) bool {
	t := reflect.TypeFor[R]().Elem().FieldByIndex(s.fields[name]).Type
	return t == reflect.TypeFor[node.Object]() || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// equal compares two values of a field; an empty object or list is one that is
// not set.
func equal(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if k := x.Kind(); (k == reflect.Map || k == reflect.Slice) && x.Len() == 0 && y.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}

// unmask puts back the secrets for which the client sent masks.
func unmask(amended, old node.Record) error {
	switch r := amended.(type) {
	case *node.Node:
		return r.Unmask(old.(*node.Node))
	case *node.VolumeTarget:
		return r.Unmask(old.(*node.VolumeTarget))
	case *node.DeployTemplate:
		return r.Unmask(old.(*node.DeployTemplate))
	case *node.Runbook:
		return r.Unmask(old.(*node.Runbook))
	}
	return nil
}
