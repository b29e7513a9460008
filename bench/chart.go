package main

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// chart is drawn as SVG: panels side by side, with the same scales, both logarithmic.
type chart struct {
	title  string
	x, y   string // what the axes show
	ticks  []tick // of the axis of x
	panels []panel
}

type tick struct {
	at    float64
	label string
}

type panel struct {
	title string
	lines []line
}

// line is one way of doing things. style is one of those of the sheet: it says how the line is drawn.
type line struct {
	name, style string
	points      []point
}

type point struct{ x, y float64 }

// Sizes in pixels.
const (
	panelWidth  = 460
	chartHeight = 400
	left        = 72  // of the plot, in its panel: room for the labels of y
	right       = 128 // room for the names of the lines
	top         = 62
	bottom      = 52
	lineHeight  = 15
)

// sheet has the colours for a light page and for a dark one.
const sheet = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .panel { font-weight: 600; }
  .page { fill: #ffffff; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .line { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
  .sealbus { stroke-width: 3.5; }
  .raw { stroke-dasharray: 5 4; }
  text.sealbus { font-weight: 700; }
  .line.raw, .dot.raw, .lead.raw { stroke: #59636e; }
  .line.sealbus, .dot.sealbus, .lead.sealbus { stroke: #0969da; }
  .line.a, .dot.a, .lead.a { stroke: #bc4c00; }
  .line.b, .dot.b, .lead.b { stroke: #8250df; }
  .line.c, .dot.c, .lead.c { stroke: #1a7f37; }
  .line.d, .dot.d, .lead.d { stroke: #bf3989; }
  .line.e, .dot.e, .lead.e { stroke: #9a6700; }
  text.raw { fill: #59636e; } text.sealbus { fill: #0969da; } text.a { fill: #bc4c00; }
  text.b { fill: #8250df; } text.c { fill: #1a7f37; } text.d { fill: #bf3989; } text.e { fill: #9a6700; }
  .dot { stroke-width: 5; stroke-linecap: round; stroke-dasharray: none; }
  .lead { stroke-width: 0.75; stroke-dasharray: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .page { fill: #0d1117; }
    .grid { stroke: #30363d; }
    .line.raw, .dot.raw, .lead.raw { stroke: #9198a1; }
    .line.sealbus, .dot.sealbus, .lead.sealbus { stroke: #58a6ff; }
    .line.a, .dot.a, .lead.a { stroke: #f0883e; }
    .line.b, .dot.b, .lead.b { stroke: #bc8cff; }
    .line.c, .dot.c, .lead.c { stroke: #3fb950; }
    .line.d, .dot.d, .lead.d { stroke: #f778ba; }
    .line.e, .dot.e, .lead.e { stroke: #d29922; }
    text.raw { fill: #9198a1; } text.sealbus { fill: #58a6ff; } text.a { fill: #f0883e; }
    text.b { fill: #bc8cff; } text.c { fill: #3fb950; } text.d { fill: #f778ba; } text.e { fill: #d29922; }
  }
`

// scale maps values to pixels, by their logarithms.
type scale struct {
	low, high float64 // values
	from, to  float64 // pixels
}

func (s scale) at(value float64) float64 {
	return s.from + (s.to-s.from)*math.Log(value/s.low)/math.Log(s.high/s.low)
}

// steps are the values 1, 2 and 5 times a power of ten, from the last one that is not above low to the first
// one that is not below high.
func steps(low, high float64) []float64 {
	var list []float64
	for power := math.Floor(math.Log10(low)); ; power++ {
		for _, digit := range []float64{1, 2, 5} {
			value := digit * math.Pow(10, power)
			if value <= low {
				list = list[:0]
			}
			list = append(list, value)
			if value >= high {
				return list
			}
		}
	}
}

// duration is microseconds as an axis has them.
func duration(us float64) string {
	if us >= 1000 {
		return fmt.Sprintf("%g ms", us/1000)
	}
	return fmt.Sprintf("%g us", us)
}

func (c chart) svg() string {
	var b strings.Builder
	width := panelWidth * len(c.panels)
	fmt.Fprintf(&b, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d' "+
		"role='img'>\n<title>%s</title>\n<style>%s</style>\n", width, chartHeight, width, chartHeight,
		html.EscapeString(c.title), html.EscapeString(sheet))
	fmt.Fprintf(&b, "<rect class='page' width='%d' height='%d'/>\n", width, chartHeight)
	text(&b, "title", "start", 12, 22, c.title)
	low, high := math.Inf(1), 0.0
	for _, p := range c.panels {
		for _, l := range p.lines {
			for _, at := range l.points {
				low, high = min(low, at.y), max(high, at.y)
			}
		}
	}
	levels := steps(low, high)
	y := scale{levels[0], levels[len(levels)-1], chartHeight - bottom, top}
	for i, p := range c.panels {
		x := scale{c.ticks[0].at, c.ticks[len(c.ticks)-1].at, float64(i*panelWidth + left),
			float64((i+1)*panelWidth - right)}
		c.axes(&b, x, y, levels, p.title)
		p.draw(&b, x, y)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// axes draws the grid and its labels.
func (c chart) axes(b *strings.Builder, x, y scale, levels []float64, title string) {
	text(b, "panel", "start", x.from, top-14, title)
	for _, level := range levels {
		straight(b, "grid", x.from, y.at(level), x.to, y.at(level))
		text(b, "", "end", x.from-7, y.at(level)+4, duration(level))
	}
	for _, t := range c.ticks {
		straight(b, "grid", x.at(t.at), y.from, x.at(t.at), y.to)
		text(b, "", "middle", x.at(t.at), y.from+18, t.label)
	}
	text(b, "", "middle", (x.from+x.to)/2, y.from+38, c.x)
	fmt.Fprintf(b, "<text text-anchor='middle' transform='translate(%.1f %.1f) rotate(-90)'>%s</text>\n",
		x.from-left+12, (y.from+y.to)/2, html.EscapeString(c.y))
}

// draw draws the lines, and their names at their ends, as far apart as the names need.
func (p panel) draw(b *strings.Builder, x, y scale) {
	type name struct {
		line
		end, at float64 // where the line ends, and where its name is
	}
	var names []name
	for _, l := range p.lines {
		var path []string
		for _, at := range l.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x.at(at.x), y.at(at.y)))
		}
		fmt.Fprintf(b, "<polyline class='line %s' points='%s'/>\n", l.style, strings.Join(path, " "))
		for _, at := range l.points {
			straight(b, "dot "+l.style, x.at(at.x), y.at(at.y), x.at(at.x), y.at(at.y))
		}
		end := y.at(l.points[len(l.points)-1].y)
		names = append(names, name{l, end, end})
	}
	slices.SortFunc(names, func(a, b name) int { return cmp.Compare(a.end, b.end) })
	for range 100 { // neighbours that are too close push each other away
		for i := range len(names) - 1 {
			if lack := lineHeight - (names[i+1].at - names[i].at); lack > 0 {
				names[i].at -= lack / 2
				names[i+1].at += lack / 2
			}
		}
	}
	for _, n := range names {
		straight(b, "lead "+n.style, x.to+4, n.end, x.to+14, n.at)
		text(b, n.style, "start", x.to+17, n.at+4, n.name)
	}
}

func text(b *strings.Builder, class, anchor string, x, y float64, s string) {
	fmt.Fprintf(b, "<text class='%s' text-anchor='%s' x='%.1f' y='%.1f'>%s</text>\n", class, anchor, x, y,
		html.EscapeString(s))
}

func straight(b *strings.Builder, class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(b, "<line class='%s' x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f'/>\n", class, x1, y1, x2, y2)
}
