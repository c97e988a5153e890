package node

import (
	"encoding/json"
	"reflect"
	"sync"
)

// scanned are the fields of a type of record by their JSON names.
var scanned sync.Map // reflect.Type to map[string][]int

func scanFields(t reflect.Type) map[string][]int {
	if fields, ok := scanned.Load(t); ok {
		return fields.(map[string][]int)
	}
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" {
			fields[name] = f.Index
		}
	}
	scanned.Store(t, fields)
	return fields
}

// scanRecord reads a stored record into an empty struct. False means that this is
// up to encoding/json, from the start: there is a field that is not known by
// exactly that name, or a value that is not what it should be.
func scanRecord(data []byte, into any) bool {
	r := reflect.ValueOf(into).Elem()
	fields := scanFields(r.Type())
	i := skip(data, 0)
	if i == len(data) || data[i] != '{' {
		return false
	}
	end := scanEach(data, i, func(key string, at int) int {
		index, ok := fields[key]
		if !ok {
			return -1
		}
		return scanField(data, at, r.FieldByIndex(index))
	})
	return end >= 0 && skip(data, end) == len(data)
}

// scanField reads the value at i into a field.
func scanField(data []byte, i int, f reflect.Value) int {
	v, end := scanValue(data, i, 0)
	if end < 0 {
		return -1
	}
	switch v := v.(type) {
	case string:
		if f.Kind() == reflect.String {
			f.SetString(v)
			return end
		}
	case bool:
		if f.Kind() == reflect.Bool {
			f.SetBool(v)
			return end
		}
	case map[string]any:
		if f.Type() == reflect.TypeFor[Object]() {
			f.Set(reflect.ValueOf(Object(v)))
			return end
		}
	}
	if json.Unmarshal(data[i:end], f.Addr().Interface()) != nil {
		return -1
	}
	return end
}
