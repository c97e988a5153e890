package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// DecodeInput reads one JSON object from a client into the struct that into
// points to, which may be a record. It is strict: unknown fields (names are
// compared with their case), values of a wrong type, a name that occurs twice in
// one object, more than 64 levels of nesting and trailing data are refused in
// one *ValidationError that lists every bad field. An input of more
// than limit bytes answers ErrTooLarge; limit 0 or less means 1 MiB. A null
// leaves the field as it was.
func DecodeInput(r io.Reader, limit int64, into any) error {
	if limit <= 0 {
		limit = maxRecord
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("read input: %w", err)
	}
	if int64(len(data)) > limit {
		return fmt.Errorf("input is longer than %d bytes: %w", limit, ErrTooLarge)
	}
	return decodeFields(data, into, true)
}

// unmarshal reads a stored value. It passes over fields that it does not know,
// so that an older conductor can read what a newer one wrote.
func unmarshal(data []byte, into any) error {
	if scanRecord(data, into) {
		return nil
	}
	reflect.ValueOf(into).Elem().SetZero()
	if json.Unmarshal(data, into) == nil && startsObject(data) {
		return nil
	}
	if err := decodeFields(data, into, false); err != nil {
		return err
	}
	return nil
}

// startsObject keeps a stored null from passing as an empty record.
func startsObject(data []byte) bool {
	return strings.HasPrefix(strings.TrimLeft(string(data), " \t\r\n"), "{")
}

// maxDepth is how deep objects and lists of an input may be nested.
const maxDepth = 64

// InputFields reads one JSON object from a client into its fields, which it does
// not look at, but for what DecodeInput says about names and nesting.
func InputFields(data []byte) (map[string]json.RawMessage, error) {
	var p problems
	raw := rawFields(data, &p)
	if raw != nil {
		checkShape(data, &p)
	}
	return raw, p.err()
}

// InputList is InputFields for a JSON list, whose elements it answers.
func InputList(data []byte) ([]json.RawMessage, error) {
	var raw []json.RawMessage
	var p problems
	if len(strings.TrimSpace(string(data))) == 0 {
		p.add("", "the value is empty; it must be a JSON list")
	} else if err := json.Unmarshal(data, &raw); err != nil {
		p.add("", "%s", strings.Replace(syntaxReason(err), "JSON object", "JSON list", 1))
	} else if raw == nil {
		p.add("", "must be a JSON list")
	} else {
		checkShape(data, &p)
	}
	return raw, p.err()
}

func rawFields(data []byte, p *problems) (raw map[string]json.RawMessage) {
	if len(strings.TrimSpace(string(data))) == 0 {
		p.add("", "the value is empty; it must be a JSON object")
	} else if err := json.Unmarshal(data, &raw); err != nil {
		p.add("", "%s", syntaxReason(err))
		return nil
	} else if raw == nil {
		p.add("", "must be a JSON object")
	}
	return raw
}

// checkShape looks for names that occur twice in one object, of which JSON would
// keep the last without a word, and for too deep nesting. The data are valid.
func checkShape(data []byte, p *problems) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	type level struct {
		names map[string]bool // nil: a list
		value bool            // a name has been read, its value is next
	}
	var stack []level
	field := "" // the one of the outermost object that we are in
	for {
		token, err := d.Token()
		if err != nil {
			return // the end: valid data have no other error
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if top := len(stack) - 1; top >= 0 && stack[top].names != nil {
			l := &stack[top]
			l.value = !l.value
			if name, ok := token.(string); ok && l.value {
				if top == 0 {
					field = cut(name, 64)
				}
				if l.names[name] {
					p.add(field, "the name %q occurs twice in one object", cut(name, 64))
					if len(*p) == 10 { // enough to see what is wrong
						return
					}
				}
				l.names[name] = true
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		}
		if len(stack) > maxDepth {
			p.add(field, "nested too deep; use at most %d levels", maxDepth)
			return
		}
	}
}

// decodeFields reads each field by itself, so that all errors can be told.
func decodeFields(data []byte, into any, strict bool) error {
	var p problems
	raw := rawFields(data, &p)
	if strict && raw != nil {
		if checkShape(data, &p); len(p) > 0 {
			return p.err()
		}
	}
	fields := jsonFields(reflect.ValueOf(into).Elem())
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		f, ok := fields[name]
		if !ok {
			if strict {
				p.add("", "unknown field %q", name)
			}
			continue
		}
		if f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct {
			decodeItems(name, raw[name], f, strict, &p)
		} else if err := json.Unmarshal(raw[name], f.Addr().Interface()); err != nil {
			p.add(name, "%s", typeReason(f.Type()))
		}
	}
	return p.err()
}

// decodeItems reads a list of objects, each as decodeFields reads one.
func decodeItems(field string, data []byte, list reflect.Value, strict bool, p *problems) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		p.add(field, "must be a list")
		return
	}
	if items == nil {
		return // null leaves it as it was
	}
	made := reflect.MakeSlice(list.Type(), len(items), len(items))
	for i, item := range items {
		err := decodeFields(item, made.Index(i).Addr().Interface(), strict)
		if bad, ok := errors.AsType[*ValidationError](err); ok {
			for _, f := range bad.Fields {
				at := fmt.Sprintf("%s/%d", field, i)
				if f.Field != "" {
					at += "/" + f.Field
				}
				p.add(at, "%s", f.Reason)
			}
		}
	}
	list.Set(made)
}

// syntaxReason says what is wrong with a text that is no JSON object, without
// repeating the text.
func syntaxReason(err error) string {
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not valid JSON at byte %d: %v", s.Offset, s)
	}
	return "must be a JSON object"
}

// jsonFields answers the fields of a struct by their JSON names, those of
// embedded structs included.
func jsonFields(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if name := jsonName(f); name != "" {
			fields[name] = v.FieldByIndex(f.Index)
		}
	}
	return fields
}

// jsonName is the name of a field in JSON, "" if it has none.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case f.Anonymous || !f.IsExported() || name == "-":
		return ""
	case name == "":
		return f.Name
	}
	return name
}

// typeReason says what a field must look like.
func typeReason(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Time]():
		return "must be a time such as 2026-01-02T15:04:05Z"
	case reflect.TypeFor[Object]():
		return "must be a JSON object"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeReason(t.Elem())
	case reflect.String:
		return "must be text"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Int, reflect.Int64:
		return "must be a whole number"
	case reflect.Slice:
		return "must be a list"
	}
	return "must be a JSON object"
}
