package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/conductor-metal/conductor/pkg/node"
)

// append writes a record as JSON. Lists have many records: this is several times
// as fast as encoding/json, which would have to look at types and to put names in
// order.
func (s *resource[R]) append(b []byte, v *view, r R, names []string) []byte {
	if s.masked != nil {
		r = s.masked(r)
	}
	fields := reflect.ValueOf(r).Elem()
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(node.AppendString(b, name), ':')
		if derive := s.derived[name]; derive != nil {
			b = appendAny(b, derive(v, r))
		} else {
			b = appendField(b, name, fields.FieldByIndex(s.fields[name]))
		}
	}
	return append(b, '}')
}

// appendField writes a field in the form that shape gives it.
func appendField(b []byte, name string, f reflect.Value) []byte {
	switch f.Kind() {
	case reflect.String:
		if f.Len() == 0 && name != "conductor_group" {
			return append(b, "null"...)
		}
		return node.AppendString(b, f.String())
	case reflect.Bool:
		return strconv.AppendBool(b, f.Bool())
	}
	return appendAny(b, shape(name, f.Interface()))
}

// writeList answers with a list of records, and what belongs beside it.
func (s *resource[R]) writeList(v *view, records []R, names []string, beside map[string]any) error {
	b := append(node.AppendString([]byte{'{'}, s.plural), ":["...)
	for i, r := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.append(b, v, r, names)
		if i == 0 { // the others will be about as long
			b = slices.Grow(b, (len(b)+len(b)/8)*len(records))
		}
	}
	b = append(b, ']')
	for _, name := range slices.Sorted(maps.Keys(beside)) {
		b = append(node.AppendString(append(b, ','), name), ':')
		b = appendAny(b, beside[name])
	}
	b = append(b, "}\n"...)
	v.w.Header().Set("Content-Type", "application/json")
	v.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	v.w.WriteHeader(http.StatusOK)
	_, _ = v.w.Write(b) // a client that is gone needs no answer
	return nil
}

func appendAny(b []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return node.AppendString(b, v)
	case node.Object:
		if data, err := v.AppendJSON(b); err == nil {
			return data
		}
	case []link:
		return appendLinks(b, v)
	}
	data, err := json.Marshal(value)
	if err != nil { // values that JSON gave us
		panic(fmt.Sprintf("encode answer: %v", err))
	}
	return append(b, data...)
}

func appendLinks(b []byte, links []link) []byte {
	b = append(b, '[')
	for i, l := range links {
		if i > 0 {
			b = append(b, ',')
		}
		b = node.AppendString(append(b, `{"href":`...), l.Href)
		b = node.AppendString(append(b, `,"rel":`...), l.Rel)
		if l.Type != "" {
			b = node.AppendString(append(b, `,"type":`...), l.Type)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}
