package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// about says what a scenario's rows are.
var about = map[string]string{
	"cycles":  "Locks that nobody else wants: taken and given back, alone, or with the node's 8 records read and one written, or with a note for a successor besides",
	"handoff": "One lock that many want: from the release until the next owner has it; put is a put and a local read",
	"readers": "One node with a writer and 16 readers",
	"convert": "A shared lock made exclusive and shared again",
	"held":    "Cycles while the session holds other locks",
	"nodes":   "Cycles while nodes are stored, 8 kB each",
}

// peers are those that a row may be compared with, in the order of the columns.
var peers = []string{"put", "bare", "mutex", "unbatched", "smallest"}

// table is a scenario's rows as texts.
type table struct {
	name   string
	header []string
	rows   [][]string
}

// tables makes a table of each scenario. A column that says nothing is left out.
func (r *Report) tables() []table {
	var ts []table
	for _, name := range Scenarios() {
		var rows []*Row
		for _, row := range r.Rows {
			if row.Scenario == name {
				rows = append(rows, row)
			}
		}
		if len(rows) > 0 {
			ts = append(ts, tableOf(name, rows))
		}
	}
	return ts
}

type column struct {
	head string
	cell func(*Row) string
}

func tableOf(name string, rows []*Row) table {
	t := table{name: name, rows: make([][]string, len(rows))}
	for _, c := range columns(name) {
		cells := make([]string, len(rows))
		for i, row := range rows {
			cells[i] = c.cell(row)
		}
		if slices.IndexFunc(cells, func(s string) bool { return s != "" }) < 0 {
			continue
		}
		t.header = append(t.header, c.head)
		for i, cell := range cells {
			if cell == "" {
				cell = "-"
			}
			t.rows[i] = append(t.rows[i], cell)
		}
	}
	return t
}

func columns(name string) []column {
	size := map[string]string{"held": "held", "nodes": "nodes"}[name]
	cs := []column{
		{size, func(r *Row) string {
			return map[bool]string{true: "", false: fmt.Sprint(r.Size)}[size == "" || r.Size == 0]
		}},
		{"workers", func(r *Row) string { return fmt.Sprint(r.Workers) }},
		{"what", func(r *Row) string { return r.What }},
		{"doing", func(r *Row) string { return r.Doing }},
		{"per second", func(r *Row) string { return fmt.Sprintf("%.0f", r.Rate) }},
	}
	for _, p := range peers {
		cs = append(cs, column{"x " + p, func(r *Row) string { return some("%.2f", r.Times[p]) }})
	}
	return append(
		cs,
		column{"p50 ms", func(r *Row) string { return some("%.2f", r.P50) }},
		column{"p99 ms", func(r *Row) string { return some("%.2f", r.P99) }},
		column{"p50 x put", handoff(func(h *Handoff) string { return fmt.Sprintf("%.2f", h.P50Puts) })},
		column{"50-100 ms", handoff(func(h *Handoff) string { return fmt.Sprint(h.Late) })},
		column{"out of order", handoff(func(h *Handoff) string { return fmt.Sprintf("%d of %d", h.OutOfOrder, h.Of) })},
		column{"log entries", func(r *Row) string { return some("%.2f", r.Entries) }},
		column{"client us", func(r *Row) string { return some("%.0f", r.ClientCPU) }},
		column{"server us", func(r *Row) string { return some("%.0f", r.ServerCPU) }},
	)
}

func handoff(f func(*Handoff) string) func(*Row) string {
	return func(r *Row) string {
		if r.Handoff == nil {
			return ""
		}
		return f(r.Handoff)
	}
}

func some(format string, v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, v)
}

// Header says in one line what was measured, and how.
func (r *Report) Header() string {
	server := fmt.Sprintf("etcd %s of %d members", r.Etcd, r.Members)
	if r.Members == 1 {
		server = "etcd " + r.Etcd + " of one member"
	}
	return fmt.Sprintf("%s; client with %d CPUs, %s; medians of %d rounds of %s each; %s, %s",
		server, r.CPUs, r.Go, r.Rounds, r.Slice, r.Started.Format("2006-01-02 15:04"), r.Took)
}

// WriteText writes tables for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, r.Header())
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n%s: %s\n", t.name, about[t.name])
		tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.header}, t.rows...) {
			fmt.Fprintln(tw, strings.Join(row, "\t"))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the same tables for a document.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n", r.Header())
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n", t.name, about[t.name])
		line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
		line(t.header)
		line(slices.Repeat([]string{"---"}, len(t.header)))
		for _, row := range t.rows {
			line(row)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Splice puts text between the lines <!-- NAME --> and <!-- end of NAME --> of a document.
func Splice(document, name, text string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
	before, rest, ok := strings.Cut(document, begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return "", fmt.Errorf("the document has no lines %q and %q", strings.TrimSpace(begin), end)
	}
	return before + begin + "\n" + strings.TrimSpace(text) + "\n\n" + end + after, nil
}
