package api

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// resource is one kind of record as the interface shows it.
type resource[R node.Record] struct {
	kind    node.Kind
	path    string // below /v1
	plural  string // the key of lists
	since   minor  // of the routes
	columns columns
	brief   []string // what a list without detail shows
	names   minor    // since when a path may have a name in place of the uuid; 0: never
	clone   func(R) R
	masked  func(R) R
	// required are fields that a patch may change but not remove, beyond those
	// that the record itself requires.
	required []string
	derived  map[string]func(v *view, r R) any // columns that the record does not have
	filters  map[string]filter[R]

	list   func(context.Context, node.ListRequest[R]) (*node.Page[R], error)
	find   func(ctx context.Context, ref string) (R, error)
	fields map[string][]int // of the struct, by JSON name
}

// view is what an answer needs to know besides the record.
type view struct {
	*call
	holders map[string]string // who has the exclusive lock of which node
}

// fieldsOf finds the fields of a record by their JSON names.
func fieldsOf[R node.Record]() map[string][]int {
	t := reflect.TypeFor[R]().Elem()
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" && !f.Anonymous {
			fields[name] = f.Index
		}
	}
	return fields
}

// visible are the columns that a version knows, in order.
func (s *resource[R]) visible(v minor) []string {
	names := slices.Sorted(maps.Keys(s.columns))
	return slices.DeleteFunc(names, func(n string) bool { return s.columns[n].since > v })
}

// chosen are the columns that the request wants: those of ?fields=, all, or
// those of a list.
func (s *resource[R]) chosen(c *call, all bool) ([]string, error) {
	asked := c.r.URL.Query()["fields"]
	if len(asked) == 0 {
		if all {
			return s.visible(c.v), nil
		}
		return slices.DeleteFunc(slices.Clone(s.brief), func(n string) bool { return s.columns[n].since > c.v }), nil
	}
	if c.v < 8 {
		return nil, tooNew("The parameter fields", 8, c.v)
	}
	names := strings.FieldsFunc(strings.Join(asked, ","), func(r rune) bool { return r == ',' })
	for _, n := range names {
		col, ok := s.columns[n]
		if !ok || col.since == beyond {
			return nil, invalid("fields", "%q is not valid; choose from %s", cut(n, 64), strings.Join(s.visible(c.v), ", "))
		}
		if col.since > c.v {
			return nil, tooNew("The field "+n, col.since, c.v)
		}
	}
	return names, nil
}

// render makes an answer of a record, with its secrets masked.
func (s *resource[R]) render(v *view, r R, names []string) json.RawMessage {
	return s.append(nil, v, r, names)
}

func (s *resource[R]) value(r R, name string) any {
	return reflect.ValueOf(r).Elem().FieldByIndex(s.fields[name]).Interface()
}

// shape gives a value its form: what is not set is null, but for objects and lists.
func shape(name string, value any) any {
	switch v := value.(type) {
	case time.Time:
		return stampOf(v)
	case node.Object:
		return v // a nil one is {}
	case []string:
		if v == nil {
			return []string{}
		}
	case *bool:
		if v == nil {
			return nil
		}
	}
	if f := reflect.ValueOf(value); f.Kind() == reflect.String && f.Len() == 0 && name != "conductor_group" {
		return nil
	}
	return value
}

// stampOf is a time as Ironic writes it, null if there is none.
func stampOf(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05-07:00")
}

// sortable says whether records can be put in order of a column.
func (s *resource[R]) sortable(name string) bool {
	index, ok := s.fields[name]
	if !ok || s.columns[name].since == 0 {
		return false
	}
	f := reflect.TypeFor[R]().Elem().FieldByIndex(index)
	switch f.Type {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[*bool](), reflect.TypeFor[*int64]():
		return true
	}
	return f.Type.Kind() == reflect.String || f.Type.Kind() == reflect.Bool
}

// before compares two records by a column; what is not set comes first.
func (s *resource[R]) before(name string, a, b R) int {
	if n := compare(s.value(a, name), s.value(b, name)); n != 0 {
		return n
	}
	return strings.Compare(a.ID(), b.ID())
}

func compare(a, b any) int {
	switch x := a.(type) {
	case time.Time:
		return x.Compare(b.(time.Time))
	case bool:
		return number(&x) - number(new(b.(bool)))
	case *bool:
		return number(x) - number(b.(*bool))
	case *int64:
		y := b.(*int64)
		switch {
		case x == nil || y == nil:
			return order(x != nil, y != nil)
		case *x != *y:
			return order(*x > *y, *y > *x)
		}
		return 0
	}
	return strings.Compare(reflect.ValueOf(a).String(), reflect.ValueOf(b).String())
}

func order(a, b bool) int { return number(&a) - number(&b) }

func number(b *bool) int {
	switch {
	case b == nil:
		return 0
	case *b:
		return 2
	}
	return 1
}
