package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/sealbus/sealbus/keys"
)

// The measured part of resultsFile is between these lines.
const (
	resultsFile = "RESULTS.md"
	measured    = "<!-- measured: go run . -write -->"
	measuredEnd = "<!-- end of what was measured -->"
	sizeFile    = "size.svg"
	batchFile   = "batch.svg"
)

// writeResults writes what was measured between the lines of resultsFile, and the charts beside it.
func writeResults(p *plan, text string) error {
	old, err := os.ReadFile(resultsFile)
	if err != nil {
		return fmt.Errorf("run it in the folder bench: %w", err)
	}
	whole, err := replaced(old, text)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(resultsFile, whole, 0o644),
		os.WriteFile(sizeFile, []byte(p.sizeChart().svg()), 0o644),
		os.WriteFile(batchFile, []byte(p.batchChart().svg()), 0o644))
}

// replaced is the document with text between the lines measured and measuredEnd.
func replaced(document []byte, text string) ([]byte, error) {
	before, rest, ok := bytes.Cut(document, []byte(measured+"\n"))
	_, after, ended := bytes.Cut(rest, []byte(measuredEnd+"\n"))
	if !ok || !ended {
		return nil, fmt.Errorf("%s has not the lines %q and %q", resultsFile, measured, measuredEnd)
	}
	between := measured + "\n\n" + text + "\n" + measuredEnd + "\n"
	return bytes.Join([][]byte{before, []byte(between), after}, nil), nil
}

// results is what was measured, as Markdown.
func (p *plan) results(rounds int, wall bool) string {
	var b strings.Builder
	what := "Processor time of all threads"
	if wall {
		what = "Time on the wall"
	}
	b.WriteString(filled(fmt.Sprintf("%s, %s/%s, %s, %d processors. %s. A figure is the minimum of %d turns "+
		"of %d ms. All operations of a table have their turns one after the other, in one process. A ratio "+
		"is one of minima. A minimum leaves out most collections of garbage. The column of means has them.",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, machine(), runtime.GOMAXPROCS(0), what, rounds,
		aTurn.Milliseconds())))
	b.WriteString("\n" + p.targets())
	b.WriteString("\n" + p.partsTable())
	b.WriteString("\n" + p.wholeEvents())
	fmt.Fprintf(&b, "\n![Time for one event over the size of its data](%s)\n", sizeFile)
	b.WriteString("\n" + p.batchTable())
	fmt.Fprintf(&b, "\n![Time for one message over the size of the batch](%s)\n", batchFile)
	b.WriteString("\n" + p.keyTable())
	b.WriteString("\n" + p.encryptionTable())
	b.WriteString("\n" + p.webhookTable())
	return b.String()
}

// targets are the rows that have one.
func (p *plan) targets() string {
	var b strings.Builder
	b.WriteString("### Targets\n\n| what | measured | by means | target | |\n|---|---:|---:|---:|---|\n")
	for _, g := range p.groups() {
		for _, r := range g.rows {
			if r.target == 0 {
				continue
			}
			verdict := r.verdict()
			if verdict != "met" {
				verdict = "**" + verdict + "**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.wanted, r.kind.shown(r.value()),
				r.kind.shown(r.valueOf((*operation).mean)), r.kind.shown(r.target), verdict)
		}
	}
	return b.String()
}

// partsTable says how much of the time is the primitive's, and how much is sealbus's own.
func (p *plan) partsTable() string {
	var b strings.Builder
	b.WriteString("### Parts of it\n\n| Ed25519, us | all | signature | SHA-256 of the data | the rest |\n" +
		"|---|---:|---:|---:|---:|\n")
	for _, size := range []int{1 << 10, 16 << 10} {
		for _, r := range p.whole[keys.Ed25519][size].rows[:2] {
			signature := p.parts[size].sign.least()
			if strings.HasPrefix(r.name, "Open") {
				signature = p.parts[size].verify.least()
			}
			hash := p.parts[size].hash.least()
			fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.1f | %.1f |\n", r.name, r.least(), signature, hash,
				r.least()-signature-hash)
		}
	}
	return b.String()
}

// wholeEvents has a table for each algorithm and direction: the ways as rows, the sizes as columns.
func (p *plan) wholeEvents() string {
	var b strings.Builder
	b.WriteString("### Whole events\n\n")
	b.WriteString(filled("Microseconds for one event, and in brackets how many times raw: one signature or " +
		"verification of the same bytes, and one SHA-256 of the data. By hand means the CloudEvents SDK " +
		"and a library (" + peers() + "). Each checks the key, its sources and the time of the event."))
	for _, alg := range []keys.Algorithm{keys.Ed25519, keys.ES256} {
		for _, verb := range []string{"Open", "Seal"} {
			b.WriteString("\n" + p.wholeTable(alg, verb))
		}
	}
	return b.String()
}

func (p *plan) wholeTable(alg keys.Algorithm, verb string) string {
	var head, rule, primitive strings.Builder
	fmt.Fprintf(&head, "| %s, %s |", verb, alg)
	rule.WriteString("|---|")
	primitive.WriteString("| raw |")
	lines := map[string]*strings.Builder{}
	var order []string
	for _, size := range sizes {
		g, ok := p.whole[alg][size]
		if !ok {
			continue
		}
		fmt.Fprintf(&head, " %s |", sizeName(size))
		rule.WriteString("---:|")
		for _, r := range g.rows {
			way, ok := r.way(verb)
			if !ok {
				continue
			}
			if lines[way] == nil {
				lines[way] = new(strings.Builder)
				order = append(order, way)
			}
			if way == "sealbus" {
				fmt.Fprintf(&primitive, " %.1f |", r.beside.least())
			}
			fmt.Fprintf(lines[way], " %.1f (%.2f) |", r.least(), r.value())
		}
	}
	allocations := map[string]float64{}
	for _, r := range p.whole[alg][sizes[0]].rows {
		if way, ok := r.way(verb); ok {
			allocations[way] = r.allocations
		}
	}
	text := head.String() + " allocations |\n" + rule.String() + "---:|\n" + primitive.String() + " |\n"
	for _, way := range order {
		text += fmt.Sprintf("| %s |%s %.0f |\n", way, lines[way], allocations[way])
	}
	return text
}

// way is the name of the way that a row of whole events is about. It is false if the row is about another
// verb.
func (r row) way(verb string) (string, bool) {
	name, _, _ := strings.Cut(r.name, ", "+string(keys.Ed25519))
	name, _, _ = strings.Cut(name, ", "+string(keys.ES256))
	if name == verb {
		return "sealbus", true
	}
	return strings.CutPrefix(name, verb+" by hand: ")
}

func (p *plan) batchTable() string {
	var b strings.Builder
	b.WriteString("### Batches of a queue in a Lambda function\n\n")
	b.WriteString(filled("From the JSON of the invocation to its response, with the memory store, one " +
		"message at a time: microseconds for one message, and in brackets how many times raw. By hand it " +
		"is go-jose, and a map of the IDs."))
	b.WriteString("\n| messages | sealbus, 1 KiB | by hand, 1 KiB | sealbus, 16 KiB | by hand, 16 KiB |\n" +
		"|---:|---:|---:|---:|---:|\n")
	for i, n := range batchSizes {
		fmt.Fprintf(&b, "| %d |", n)
		for _, size := range []int{1 << 10, 16 << 10} {
			for _, r := range p.batches[size].rows[2*i : 2*i+2] {
				fmt.Fprintf(&b, " %.1f (%.2f) |", r.least(), r.value())
			}
		}
		b.WriteString("\n")
	}
	small, large := p.batches[1<<10].rows[2*len(batchSizes)], p.batches[16<<10].rows[2*len(batchSizes)]
	fmt.Fprintf(&b, "| 10, ten at a time | %.1f (%.2f) | | %.1f (%.2f) | |\n", small.least(), small.value(),
		large.least(), large.value())
	return b.String()
}

func (p *plan) keyTable() string {
	var b strings.Builder
	b.WriteString("### Cold keys and many keys\n\n")
	if _, ok := withoutTables(policy()); !ok {
		b.WriteString("This library has no tables of keys that can be switched off.\n\n")
	}
	b.WriteString("| Open, Ed25519, 1 KiB | us | without tables us | ratio |\n|---|---:|---:|---:|\n")
	for _, r := range p.keys.rows {
		name := strings.TrimSuffix(strings.TrimPrefix(r.name, "Open, "), ", 1 KiB")
		if r.beside == r.operation {
			fmt.Fprintf(&b, "| %s | %.1f | | |\n", name, r.least())
			continue
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.3f |\n", name, r.least(), r.beside.least(), r.value())
	}
	return b.String()
}

func (p *plan) encryptionTable() string {
	var b strings.Builder
	b.WriteString("### Encryption\n\n")
	b.WriteString(filled("Microseconds, with Ed25519 and one P-256 recipient, the content key at hand. The " +
		"libraries encrypt the data alone: there is no event and no signature."))
	b.WriteString("\n| operation | us | without us | adds us | allocations |\n|---|---:|---:|---:|---:|\n")
	for _, r := range p.encrypted.rows {
		name := strings.Replace(r.name, ", "+string(keys.Ed25519), "", 1)
		if r.beside == nil {
			fmt.Fprintf(&b, "| %s | %.1f | | | %.0f |\n", name, r.least(), r.allocations)
			continue
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.1f | %.0f |\n", name, r.least(), r.beside.least(), r.value(),
			r.allocations)
	}
	return b.String()
}

// styles are how the lines of the charts are drawn.
var styles = map[string]string{"sealbus": "sealbus", "raw": "raw", "go-jose": "a", "by hand": "a",
	"jwx": "b", "golang-jwt": "c", "DSSE library": "d", "go-jose, detached": "e"}

func (p *plan) sizeChart() chart {
	c := chart{title: "One event, Ed25519: time over the size of its data", x: "size of the data",
		y: "time for one event"}
	for _, size := range sizes {
		c.ticks = append(c.ticks, tick{float64(size), sizeName(size)})
	}
	for _, verb := range []string{"Open", "Seal"} {
		titles := map[string]string{"Open": "Open: wire to verified event", "Seal": "Seal: event to wire"}
		lines := newLines()
		for _, size := range sizes {
			for _, r := range p.whole[keys.Ed25519][size].rows {
				way, ok := r.way(verb)
				if !ok {
					continue
				}
				lines.add(way, float64(size), r.least())
				if way == "sealbus" {
					lines.add("raw", float64(size), r.beside.least())
				}
			}
		}
		c.panels = append(c.panels, panel{titles[verb], lines.list()})
	}
	return c
}

func (p *plan) batchChart() chart {
	c := chart{title: "One message of a batch, Ed25519, from invocation to response",
		x: "messages in the batch", y: "time for one message"}
	for _, n := range batchSizes {
		c.ticks = append(c.ticks, tick{float64(n), fmt.Sprint(n)})
	}
	for _, size := range []int{1 << 10, 16 << 10} {
		lines := newLines()
		for i, n := range batchSizes {
			sealbus, byHand := p.batches[size].rows[2*i], p.batches[size].rows[2*i+1]
			lines.add("sealbus", float64(n), sealbus.least())
			lines.add("by hand", float64(n), byHand.least())
			lines.add("raw", float64(n), sealbus.beside.least())
		}
		c.panels = append(c.panels, panel{sizeName(size) + " of data each", lines.list()})
	}
	return c
}

// lineSet collects the points of lines, by name.
type lineSet struct {
	names  []string
	points map[string][]point
}

func newLines() *lineSet { return &lineSet{points: map[string][]point{}} }

func (s *lineSet) add(name string, x, y float64) {
	if s.points[name] == nil {
		s.names = append(s.names, name)
	}
	s.points[name] = append(s.points[name], point{x, y})
}

func (s *lineSet) list() []line {
	var list []line
	for _, name := range s.names {
		list = append(list, line{name, styles[name], s.points[name]})
	}
	return list
}

// peers are the libraries of the ways by hand, with their versions.
func peers() string {
	return versions([]library{{"github.com/go-jose/go-jose/v4", "go-jose"},
		{"github.com/lestrrat-go/jwx/v3", "jwx"}, {"github.com/golang-jwt/jwt/v5", "golang-jwt"},
		{"github.com/secure-systems-lab/go-securesystemslib", "go-securesystemslib for DSSE"},
		{"github.com/cloudevents/sdk-go/v2", "CloudEvents SDK"}})
}

// library is a module, and the name that the tables have for it.
type library struct{ path, name string }

// versions are the names of the libraries with the versions of this program.
func versions(libraries []library) string {
	info, _ := debug.ReadBuildInfo()
	var list []string
	for _, n := range libraries {
		for _, d := range info.Deps {
			if d.Path == n.path {
				list = append(list, n.name+" "+d.Version)
			}
		}
	}
	return strings.Join(list, ", ")
}

// machine is the processor, and whether it has the instructions for SHA-256, on which the ratios depend.
func machine() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "another processor"
	}
	name, sha := "a processor", "without SHA extensions"
	for line := range strings.Lines(string(text)) {
		field, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(field) {
		case "model name":
			name = strings.TrimSpace(value)
		case "flags":
			if strings.Contains(value, " sha_ni") {
				sha = "with SHA extensions"
			}
		}
	}
	return name + " " + sha
}

// filled is a paragraph in lines of at most 110 columns.
func filled(paragraph string) string {
	const columns = 110
	var b strings.Builder
	at := 0
	for _, word := range strings.Fields(paragraph) {
		switch {
		case at > 0 && at+1+len(word) > columns:
			b.WriteString("\n")
			at = 0
		case at > 0:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String() + "\n"
}
