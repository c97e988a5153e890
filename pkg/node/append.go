package node

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// The objects of a node are most of its record, and lists have many records.
// What follows writes and reads the plain values that they consist of several
// times as fast as encoding/json does by reflection, with the same outcome; what
// is not plain, it leaves to that.

// AppendJSON appends what MarshalJSON writes.
func (o Object) AppendJSON(b []byte) ([]byte, error) { return appendMap(b, o) }

func appendMap(b []byte, m map[string]any) ([]byte, error) {
	var few [16]string
	keys := few[:0]
	for k := range maps.Keys(m) {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	var err error
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(AppendString(b, k), ':')
		if b, err = appendValue(b, m[k]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return AppendString(b, v), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case json.Number:
		if n := number([]byte(v), 0); n > 0 && n == len(v) {
			return append(b, v...), nil
		}
	case Object:
		return appendMap(b, v)
	case map[string]any:
		if v != nil {
			return appendMap(b, v)
		}
	case []any:
		if v != nil {
			return appendList(b, v)
		}
	}
	return appendOther(b, v)
}

func appendList(b []byte, list []any) (_ []byte, err error) {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, v); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendOther leaves a value to encoding/json.
func appendOther(b []byte, v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // an operator reads & and not \u0026
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...), nil
}

// AppendString appends a text as JSON.
func AppendString(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			b, _ = appendOther(b, text) // a text always can be written
			return b
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}
