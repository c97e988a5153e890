package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// bars is a chart: for each group a bar of each series.
type bars struct {
	title  string
	groups []string
	series []string
	values [][]float64 // by series, by group; 0 draws nothing
}

// Sizes of a chart, in pixels.
const (
	plotWidth, plotHeight = 760, 250
	plotLeft, plotTop     = 50, 55
	plotRight, plotBottom = 750, 215
	legend                = 175 // of each series
)

// colours of the series, told apart by those who see no colours, too.
var colours = []string{"#b8c4ce", "#7f9bb3", "#2f6690", "#16324f"}

// WritePlot draws the cycles beside raw puts, and the handoffs, as SVG.
func (r *Report) WritePlot(w io.Writer) error {
	var charts []bars
	for _, doing := range []string{withRecords, alone} {
		charts = append(charts, chart("cycles per raw put, "+doing+", by workers", r.Rows, func(row *Row) (string, float64) {
			if row.Scenario != "cycles" || row.Doing != doing {
				return "", 0
			}
			return row.What, row.Times["put"]
		}))
	}
	charts = append(charts, chart("handoffs per second of one lock, by waiters", r.Rows, func(row *Row) (string, float64) {
		if row.Scenario != "handoff" || row.What == "put" {
			return "", 0
		}
		if row.Doing == "" {
			return row.What, row.Rate
		}
		return row.What + ", " + row.Doing, row.Rate
	}))
	var b strings.Builder
	for i := range charts {
		if len(charts[i].groups) == 0 {
			continue
		}
		charts[i].draw(&b, strings.Count(b.String(), "<g ")*plotHeight)
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, plotWidth, max(strings.Count(b.String(), "<g "), 1)*plotHeight, b.String())
	return err
}

// chart groups rows by workers, and by the series that of answers; "" leaves a row out.
func chart(title string, rows []*Row, of func(*Row) (series string, value float64)) bars {
	c := bars{title: title}
	at := func(names *[]string, name string) int {
		for i, n := range *names {
			if n == name {
				return i
			}
		}
		*names = append(*names, name)
		return len(*names) - 1
	}
	for _, row := range rows {
		name, value := of(row)
		if name == "" {
			continue
		}
		g, s := at(&c.groups, fmt.Sprint(row.Workers)), at(&c.series, name)
		for len(c.values) <= s {
			c.values = append(c.values, nil)
		}
		for len(c.values[s]) <= g {
			c.values[s] = append(c.values[s], 0)
		}
		c.values[s][g] = value
	}
	return c
}

// draw draws the chart with its top at y.
func (c *bars) draw(b *strings.Builder, y int) {
	top := 0.0
	for _, vs := range c.values {
		for _, v := range vs {
			top = math.Max(top, v)
		}
	}
	top = nice(top)
	height := func(v float64) float64 { return v / top * (plotBottom - plotTop) }
	fmt.Fprintf(b, "<g transform=\"translate(0 %d)\">\n<text x=\"%d\" y=\"20\" font-weight=\"bold\">%s</text>\n", y, plotLeft, html.EscapeString(c.title))
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(b, "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
			plotLeft, plotBottom-height(v), plotRight, plotLeft-6, plotBottom-height(v)+4, v)
	}
	group := float64(plotRight-plotLeft) / float64(len(c.groups))
	bar := group * .8 / float64(len(c.series))
	for s, name := range c.series {
		colour, x := colours[s%len(colours)], plotLeft+s*legend
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"30\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%d\" y=\"41\">%s</text>\n", x, colour, x+17, html.EscapeString(name))
		for g, v := range c.values[s] {
			fmt.Fprintf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"><title>%s, %s: %.3g</title></rect>\n",
				plotLeft+group*(float64(g)+.1)+bar*float64(s), plotBottom-height(v), bar*.95, height(v), colour, html.EscapeString(name), c.groups[g], v)
		}
	}
	for g, name := range c.groups {
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", plotLeft+group*(float64(g)+.5), plotBottom+16, html.EscapeString(name))
	}
	b.WriteString("</g>\n")
}

// nice is the smallest of 1, 1.2, 1.6, 2, 4, 6, 8 times a power of ten that is not below v.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 1.2, 1.6, 2, 4, 6, 8} {
		if v <= m*ten {
			return m * ten
		}
	}
	return 10 * ten
}
