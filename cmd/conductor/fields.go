package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// fieldKind is how a field of a record is given on the command line.
type fieldKind int

const (
	textField   fieldKind = iota
	numberField           // a whole number
	switchField           // --flag or --flag=false
	objectField           // --flag KEY=VALUE, as often as wanted
)

// field is a field of a record that a flag sets.
type field struct {
	name string // as the API calls it; the flag has - in place of _
	flag string // "": from the name
	kind fieldKind
	help string
}

func (f field) flagName() string {
	if f.flag != "" {
		return f.flag
	}
	return strings.ReplaceAll(f.name, "_", "-")
}

// given are values from the command line. A flag that names one is never taken
// from the environment or a file.
type given struct {
	fields []field
	flags  *pflag.FlagSet
	values map[string]*fieldValue
}

// fieldValue is the value of one flag.
type fieldValue struct {
	kind    fieldKind
	value   json.RawMessage
	entries []keyValue
}

// keyValue is one KEY=VALUE of an object. The value is JSON if it can be, and a
// text if not: 5 is a number, "5" and five are texts.
type keyValue struct {
	key   string
	value json.RawMessage
}

// give adds a flag for each field that sets it.
func give(f *pflag.FlagSet, fields []field) *given {
	g := &given{fields: fields, flags: f, values: map[string]*fieldValue{}}
	for _, one := range fields {
		v := &fieldValue{kind: one.kind}
		g.values[one.name] = v
		flag := f.VarPF(v, one.flagName(), "", one.help)
		if one.kind == switchField {
			flag.NoOptDefVal = "true"
		}
		annotate(f, one.flagName(), fromCommandLineOnly)
	}
	return g
}

// Type is shown in the help.
func (v *fieldValue) Type() string {
	return map[fieldKind]string{textField: "text", numberField: "number", switchField: "bool", objectField: "key=value"}[v.kind]
}

func (v *fieldValue) String() string { return "" }

// Set takes a value, one more for an object.
func (v *fieldValue) Set(text string) error {
	switch v.kind {
	case switchField:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q: want true or false", text)
		}
		v.value = json.RawMessage(text)
	case numberField:
		var n int64
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			return fmt.Errorf("%q: want a whole number", text)
		}
		v.value = json.RawMessage(text)
	case objectField:
		key, value, ok := strings.Cut(text, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return fmt.Errorf("%q: want KEY=VALUE", text)
		}
		v.entries = append(v.entries, keyValue{key, jsonOrText(value)})
	default:
		v.value = quoted(text)
	}
	return nil
}

// jsonOrText takes a value for JSON if it is, and else for a text.
func jsonOrText(value string) json.RawMessage {
	if json.Valid([]byte(value)) {
		return json.RawMessage(bytes.TrimSpace([]byte(value)))
	}
	return quoted(value)
}

func quoted(text string) json.RawMessage {
	raw, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return raw
}

// any says whether a flag of a field was given.
func (g *given) any() bool {
	return slices.ContainsFunc(g.fields, func(f field) bool { return g.flags.Changed(f.flagName()) })
}

// record is what was given as the body of a request that creates something.
func (g *given) record() map[string]any {
	body := map[string]any{}
	for _, f := range g.fields {
		v := g.values[f.name]
		if v.value != nil {
			body[f.name] = v.value
		}
		if len(v.entries) > 0 {
			body[f.name] = tree(v.entries)
		}
	}
	return body
}

// tree makes an object of KEY=VALUE: a/b is b within a, as in a patch.
func tree(entries []keyValue) map[string]any {
	root := map[string]any{}
	for _, e := range entries {
		at := root
		parts := strings.Split(e.key, "/")
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[unescaped(part)].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[unescaped(part)] = next
			}
			at = next
		}
		at[unescaped(parts[len(parts)-1])] = e.value
	}
	return root
}

var pointer = strings.NewReplacer("~1", "/", "~0", "~")

// unescaped reads a part of a JSON pointer.
func unescaped(part string) string { return pointer.Replace(part) }
