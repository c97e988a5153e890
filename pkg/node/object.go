package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Object is a JSON object of a record, such as driver_info. Numbers read from
// JSON are json.Number, so that no digit is lost when a record is written
// back. A nil object is written as {}. Printing and logging an Object mask
// its secrets; encoding it as JSON does not.
type Object map[string]any

// MarshalJSON writes the object in one line with sorted keys, nil as {}.
func (o Object) MarshalJSON() ([]byte, error) { return o.AppendJSON(nil) }

// UnmarshalJSON reads a JSON object; null becomes nil.
func (o *Object) UnmarshalJSON(data []byte) error {
	if m, ok := scanObject(data); ok {
		*o = m
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	switch v := v.(type) {
	case nil:
		*o = nil
	case map[string]any:
		*o = v
	default:
		return errNotObject
	}
	return nil
}

var errNotObject = errors.New("must be a JSON object")

// Clone answers a deep copy. A nil object clones to nil.
func (o Object) Clone() Object {
	if o == nil {
		return nil
	}
	return cloneValue(map[string]any(o)).(map[string]any)
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for k, e := range v {
			c[k] = cloneValue(e)
		}
		return c
	case Object:
		return v.Clone()
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = cloneValue(e)
		}
		return c
	case []string:
		return append([]string(nil), v...)
	}
	return v
}

// Text answers the value of the key as text: a string as it is, a number or a
// bool as JSON writes it, and "" for everything else.
func (o Object) Text(key string) string {
	switch v := o[key].(type) {
	case string:
		return v
	case json.Number, bool, int, int64, float64:
		return fmt.Sprint(v)
	}
	return ""
}
