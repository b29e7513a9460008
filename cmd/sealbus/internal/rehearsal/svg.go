package rehearsal

import (
	"fmt"
	"html"
	"strings"

	"github.com/sealbus/sealbus/keys"
)

// The sizes of the chart, in pixels. Time is not to scale: each moment has a column.
const (
	svgLeft   = 150
	svgColumn = 64
	svgLane   = 26
	svgTop    = 64
	svgLine   = 18
)

// svgStyle has the colours for light and dark.
const svgStyle = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .dim { fill: #59636e; }
  .page { fill: #ffffff; }
  .grid { stroke: #d1d9e0; }
  .published { fill: #afb8c1; } .active { fill: #0969da; } .retired { fill: #9a6700; } .revoked { fill: #cf222e; }
  .down { fill: #cf222e; } .bundle { fill: #59636e; } .good { fill: #1a7f37; } .lost { fill: #cf222e; }
  .light { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .dim { fill: #9198a1; }
    .page { fill: #0d1117; }
    .grid { stroke: #30363d; }
    .published { fill: #656c76; } .active { fill: #58a6ff; } .retired { fill: #d29922; } .revoked { fill: #f85149; }
    .down { fill: #f85149; } .bundle { fill: #9198a1; } .good { fill: #3fb950; } .lost { fill: #f85149; }
    .light { fill: #0d1117; }
  }
`

// SVG is the chart as a picture that reads well in light and dark.
func (c *Chart) SVG(title string) []byte {
	lanes := len(c.Keys) + 2 // and the host, and the events
	width := svgLeft + svgColumn*max(len(c.Rows), 8) + 20
	bottom := svgTop + lanes*svgLane
	height := bottom + 40 + svgLine*(len(c.Rows)+1)
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d' role='img'>\n"+
		"<title>%s</title>\n<style>%s</style>\n<rect class='page' width='%d' height='%d'/>\n", width, height, width,
		height, html.EscapeString(title), html.EscapeString(svgStyle), width, height)
	svgText(&b, "title", "start", 12, 24, title)
	for i, lane := range c.Keys {
		svgText(&b, "", "end", svgLeft-10, laneAt(i)+17, lane.Label)
	}
	svgText(&b, "", "end", svgLeft-10, laneAt(lanes-2)+17, "bundle on the host")
	svgText(&b, "", "end", svgLeft-10, laneAt(lanes-1)+17, "events")
	for i, row := range c.Rows {
		c.column(&b, i, &row, lanes)
		svgText(&b, "", "start", 12, bottom+36+svgLine*(i+1),
			fmt.Sprintf("%d  %s  %s", i+1, row.At.UTC().Format("2006-01-02 15:04:05"), row.Text))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func laneAt(i int) int { return svgTop + i*svgLane }

// column draws what holds from a moment until the next.
func (c *Chart) column(b *strings.Builder, i int, row *Row, lanes int) {
	x := svgLeft + svgColumn*i
	fmt.Fprintf(b, "<line class='grid' x1='%d' y1='%d' x2='%d' y2='%d'/>\n", x, svgTop-6, x, laneAt(lanes))
	svgText(b, "dim", "start", x+2, svgTop-24, fmt.Sprint(i+1))
	svgText(b, "dim", "start", x+2, svgTop-10, row.At.UTC().Format("15:04:05"))
	class := map[keys.State]string{keys.StatePending: "published", keys.StatePublished: "published",
		keys.StateActive: "active", keys.StateRetired: "retired", keys.StateRevoked: "revoked"}
	for j, state := range row.States {
		if is := class[state]; is != "" {
			svgBar(b, is, x, laneAt(j)+5, svgColumn, svgLane-10)
		}
	}
	if row.Down {
		svgBar(b, "down", x, laneAt(lanes-2)+5, svgColumn, svgLane-10)
	} else {
		svgText(b, "bundle", "start", x+6, laneAt(lanes-2)+17, fmt.Sprint(row.Bundle))
	}
	at := x + 6
	for _, n := range []struct {
		count int
		class string
		mark  string
	}{{row.Accepted, "good", "+"}, {row.Lost, "lost", "!"}, {row.Other, "dim", "~"}} {
		if n.count > 0 {
			svgText(b, n.class, "start", at, laneAt(lanes-1)+17, fmt.Sprintf("%s%d", n.mark, n.count))
			at += 22
		}
	}
}

func svgBar(b *strings.Builder, class string, x, y, width, height int) {
	fmt.Fprintf(b, "<rect class='%s' x='%d' y='%d' width='%d' height='%d'/>\n", class, x, y, width, height)
}

func svgText(b *strings.Builder, class, anchor string, x, y int, s string) {
	fmt.Fprintf(b, "<text class='%s' text-anchor='%s' x='%d' y='%d'>%s</text>\n", class, anchor, x, y,
		html.EscapeString(s))
}
