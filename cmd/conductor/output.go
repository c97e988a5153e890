package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// output writes what a verb has found, as the user wants it. Only data goes
// there; what is said about it goes to the standard error.
type output struct {
	w        io.Writer
	format   choice
	noHeader bool
}

func (o *output) flags(f *pflag.FlagSet, w io.Writer) {
	o.w = w
	o.format = choice{value: "table", of: []string{"table", "json", "yaml", "name"}}
	f.VarP(&o.format, "output", "o", "table, json, yaml or name")
	f.BoolVar(&o.noHeader, "no-headers", false, "tables without their first line")
}

// view is one answer in all its forms.
type view struct {
	data   any      // for json and yaml
	names  []string // for name
	header []string // for table; nil: the rows are fields with their values
	rows   [][]string
}

func (o *output) show(v view) error {
	switch o.format.value {
	case "json":
		text, err := asJSON(v.data, "  ")
		if err != nil {
			return err
		}
		_, err = o.w.Write(text)
		return err
	case "yaml":
		text, err := asYAML(v.data)
		if err != nil {
			return err
		}
		_, err = o.w.Write(text)
		return err
	case "name":
		for _, n := range v.names {
			if _, err := fmt.Fprintln(o.w, n); err != nil {
				return err
			}
		}
		return nil
	}
	return o.table(v)
}

func (o *output) table(v view) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if v.header != nil && !o.noHeader {
		fmt.Fprintln(t, strings.Join(v.header, "\t"))
	}
	for _, row := range v.rows {
		for i, cell := range row {
			row[i] = printable(cell, v.header != nil)
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(o.w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// printable keeps a cell in its place: what others wrote into etcd must neither
// break the table nor command the terminal.
func printable(cell string, dash bool) string {
	cell = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, cell)
	if dash && strings.TrimSpace(cell) == "" {
		return "-"
	}
	return cell
}

// asJSON writes a line of JSON, or several with an indent. Terminals are no HTML:
// ">=" stays as it is.
func asJSON(data any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(data)
	return b.Bytes(), err
}

// plain is a JSON value of others without the escapes that only HTML needs.
func plain(raw json.RawMessage) json.RawMessage {
	if !bytes.Contains(raw, []byte(`\u00`)) {
		return raw
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // each digit stays
	var value any
	if err := d.Decode(&value); err != nil {
		return raw
	}
	text, err := asJSON(value, "")
	if err != nil {
		return raw
	}
	return bytes.TrimSuffix(text, []byte("\n"))
}

// asYAML writes what JSON would say in YAML, with the same names.
func asYAML(data any) ([]byte, error) {
	text, err := asJSON(data, "")
	if err != nil {
		return nil, err
	}
	var plain yaml.Node
	if err := yaml.Unmarshal(text, &plain); err != nil { // JSON is YAML
		return nil, err
	}
	block(&plain)
	return yaml.Marshal(&plain)
}

// block turns the flow style of JSON into lines.
func block(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle
	// A text that could be taken for something else keeps its quotes.
	if text, err := yaml.Marshal(n.Value); err == nil && n.Kind == yaml.ScalarNode && !bytes.ContainsAny(text[:1], "\"'|>") {
		n.Style &^= yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		block(child)
	}
}

// ago is how long something is past, in a few letters.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return short(time.Since(t))
}

// short rounds a duration to what matters.
func short(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
