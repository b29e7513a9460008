package emf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// The limits of the specification, its sections "MetricDirective object", "DimensionSet array", "Target
// members" and its JSON schema, of API_Dimension and of API_PutMetricData (where the schema allows more than
// the API):
//
//	https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
//	https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html
//	https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
const (
	maxLine       = 16 << 10 // as appendLine says; CloudWatch Logs had 256 KiB for long, and has 1 MiB
	maxMetrics    = 100
	maxDimensions = 30
	maxKey        = 250
	maxValue      = 1024
	maxName       = 255
	maxValues     = 100
)

var units = strings.Fields(`Seconds Microseconds Milliseconds Bytes Kilobytes Megabytes Gigabytes Terabytes Bits Kilobits
	Megabits Gigabits Terabits Percent Count Bytes/Second Kilobytes/Second Megabytes/Second Gigabytes/Second Terabytes/Second
	Bits/Second Kilobits/Second Megabits/Second Gigabits/Second Terabits/Second Count/Second None`)

// table is that of the package comment: unit and dimension sets of each metric.
var table = map[string]string{
	"Deliveries":        "Count Consumer+Outcome | Consumer+Outcome+Reason | Consumer+Producer",
	"Rejections":        "Count Consumer | Consumer+Reason",
	"TaintedKeys":       "Count Consumer | Consumer+Producer",
	"ReplayHits":        "Count Consumer",
	"Latency":           "Milliseconds Consumer",
	"HandlerLatency":    "Milliseconds Consumer",
	"ClaimHeld":         "Seconds Consumer",
	"EventAge":          "Seconds Consumer",
	"BundleSecondsLeft": "Seconds Consumer",
	"SamplesDropped":    "Count Consumer",
}

// document is one line.
type document struct {
	labels  map[string]string
	values  map[string][]float64
	sets    map[string][]string // dimension sets of each metric, joined by "+"
	defined map[string]string   // unit of each metric
	used    map[string]bool     // root members that are referred to
}

// parse reads what was written, and checks each line against the specification and the table.
func parse(written []byte) ([]*document, error) {
	var docs []*document
	for line := range bytes.Lines(written) {
		doc, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

func parseLine(line []byte) (*document, error) {
	if len(line) > maxLine || !bytes.HasSuffix(line, []byte("}\n")) || !bytes.HasPrefix(line, []byte("{")) {
		return nil, fmt.Errorf("not one line of at most %d bytes", maxLine)
	}
	if _, err := jsontext.AppendCanonical(nil, line); err != nil { // encoding/json lets a repeated member pass
		return nil, err
	}
	var root map[string]json.RawMessage
	var meta struct {
		Timestamp         *int64
		CloudWatchMetrics []json.RawMessage
	}
	if err := json.Unmarshal(line, &root); err != nil {
		return nil, err
	}
	if err := strictly(root["_aws"], &meta); err != nil || meta.Timestamp == nil || *meta.Timestamp <= 0 ||
		len(meta.CloudWatchMetrics) == 0 {
		return nil, fmt.Errorf("_aws is wrong: %v", err)
	}
	d := &document{
		labels: map[string]string{}, values: map[string][]float64{}, sets: map[string][]string{},
		defined: map[string]string{}, used: map[string]bool{"_aws": true},
	}
	for _, directive := range meta.CloudWatchMetrics {
		if err := d.directive(directive, root); err != nil {
			return nil, err
		}
	}
	for name := range root {
		if !d.used[name] { // the specification allows it; here it would be a place for what no one verified
			return nil, fmt.Errorf("%s is neither a metric nor a dimension", name)
		}
	}
	return d, d.inTable()
}

func (d *document) directive(text []byte, root map[string]json.RawMessage) error {
	var dir struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []struct {
			Name, Unit        string
			StorageResolution *int
		}
	}
	if err := strictly(text, &dir); err != nil {
		return err
	}
	if n := dir.Namespace; !printable(n, maxName) || n[0] == ':' || strings.HasPrefix(n, "AWS/") {
		return fmt.Errorf("namespace %q", n)
	}
	if len(dir.Dimensions) == 0 || len(dir.Metrics) == 0 || len(dir.Metrics) > maxMetrics {
		return fmt.Errorf("%d dimension sets, %d metrics", len(dir.Dimensions), len(dir.Metrics))
	}
	var sets []string
	for _, set := range dir.Dimensions {
		if err := d.dimensions(set, root); err != nil {
			return err
		}
		sets = append(sets, strings.Join(set, "+"))
	}
	for _, m := range dir.Metrics {
		if d.sets[m.Name] != nil || !printable(m.Name, maxName) || !slices.Contains(units, m.Unit) ||
			m.StorageResolution != nil {
			return fmt.Errorf("metric %+v", m)
		}
		d.sets[m.Name], d.defined[m.Name] = sets, m.Unit
		if err := d.target(m.Name, root); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) dimensions(set []string, root map[string]json.RawMessage) error {
	if len(set) > maxDimensions {
		return fmt.Errorf("%d dimensions", len(set))
	}
	for _, name := range set {
		var value string
		if !printable(name, maxKey) || name[0] == ':' {
			return fmt.Errorf("dimension %q", name)
		}
		if err := strictly(root[name], &value); err != nil || !printable(value, maxValue) {
			return fmt.Errorf("dimension %s is %s", name, root[name])
		}
		d.labels[name], d.used[name] = value, true
	}
	return nil
}

// target is a number or an array of numbers.
func (d *document) target(name string, root map[string]json.RawMessage) error {
	d.used[name] = true
	var number *float64
	var numbers []float64
	if err := strictly(root[name], &number); err == nil && number != nil {
		d.values[name] = []float64{*number}
		return nil
	}
	if err := strictly(root[name], &numbers); err != nil || len(numbers) == 0 || len(numbers) > maxValues {
		return fmt.Errorf("metric %s is %s", name, root[name])
	}
	d.values[name] = numbers
	return nil
}

// inTable holds the line against the table, and its labels against their bounds.
func (d *document) inTable() error {
	for name, unit := range d.defined {
		want, ok := strings.CutPrefix(table[name], unit+" ")
		for _, set := range d.sets[name] {
			if !ok || !slices.Contains(strings.Split(want, " | "), set) {
				return fmt.Errorf("%s in %s by %s is not in the table", name, unit, set)
			}
		}
	}
	reasons := []string{"none", "other"}
	for _, r := range envelope.Reasons() {
		reasons = append(reasons, string(r))
	}
	outcomes := []string{"other"}
	for _, o := range []consumer.Outcome{consumer.Handled, consumer.Duplicate, consumer.Quarantined,
		consumer.Migrating, consumer.Retry} {
		outcomes = append(outcomes, string(o))
	}
	if !slices.Contains(outcomes, d.labels["Outcome"]) || !slices.Contains(reasons, d.labels["Reason"]) {
		return fmt.Errorf("labels %v", d.labels)
	}
	return nil
}

func strictly(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

func printable(s string, most int) bool {
	return strings.TrimSpace(s) != "" && len(s) <= most &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// total is the sum of a metric over all lines, count how many values it has, sets how many sets of labels
// there are.
func total(docs []*document, metric string) (sum float64) {
	for _, d := range docs {
		for _, v := range d.values[metric] {
			sum += v
		}
	}
	return sum
}

func count(docs []*document, metric string) (n int) {
	for _, d := range docs {
		n += len(d.values[metric])
	}
	return n
}

func labelSets(docs []*document) int {
	seen := map[string]bool{}
	for _, d := range docs {
		seen[fmt.Sprint(d.labels)] = true
	}
	return len(seen)
}

func mustParse(t *testing.T, written []byte) []*document {
	t.Helper()
	docs, err := parse(written)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// TestCheckerSees shows that each rule of the checker can fail.
func TestCheckerSees(t *testing.T) {
	good := `{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"N","Dimensions":[["Consumer","Outcome","Reason"]],"Metrics":[{"Name":"Deliveries","Unit":"Count"}]}]},` +
		`"Consumer":"c","Outcome":"handled","Reason":"none","Deliveries":1}` + "\n"
	if _, err := parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("1,", maxValues) + "1"
	for name, edit := range map[string][2]string{
		"no end":               {"\n", ""},
		"two objects":          {"}\n", "}{}\n"},
		"a member twice":       {`"Deliveries":1`, `"Deliveries":1,"Deliveries":1`},
		"too long":             {`"none"`, `"none","x":"` + strings.Repeat("x", maxLine) + `"`},
		"no timestamp":         {`"Timestamp":1,`, ``},
		"a fraction of a time": {`"Timestamp":1`, `"Timestamp":1.5`},
		"unknown in _aws":      {`"Timestamp":1`, `"Timestamp":1,"X":1`},
		"no directives":        {`[{"Namespace":"N","Dimensions":[["Consumer","Outcome","Reason"]],"Metrics":[{"Name":"Deliveries","Unit":"Count"}]}]`, `[]`},
		"no namespace":         {`"N"`, `""`},
		"AWS's namespace":      {`"N"`, `"AWS/Lambda"`},
		"no dimension sets":    {`[["Consumer","Outcome","Reason"]]`, `[]`},
		"too many dimensions": {`["Consumer",`, `["Consumer",` +
			strings.Repeat(`"Consumer",`, maxDimensions)},
		"a dimension is missing":  {`"Consumer":"c",`, ``},
		"a dimension is blank":    {`"c"`, `" "`},
		"a dimension is no text":  {`"c"`, `1`},
		"a dimension is too long": {`"c"`, `"` + strings.Repeat("x", maxValue+1) + `"`},
		"a dimension is no ASCII": {`"c"`, `"é"`},
		"no such unit":            {`"Count"`, `"Counts"`},
		"a metric is missing":     {`,"Deliveries":1`, ``},
		"a metric is text":        {`"Deliveries":1`, `"Deliveries":"1"`},
		"a metric is null":        {`"Deliveries":1`, `"Deliveries":null`},
		"a metric is nothing":     {`"Deliveries":1`, `"Deliveries":[]`},
		"too many values":         {`"Deliveries":1`, `"Deliveries":[` + long + `]`},
		"a stranger":              {`"Reason":"none"`, `"Reason":"none","source":"x"`},
		"not in the table":        {`"Name":"Deliveries"`, `"Name":"Consumer"`},
		"another unit":            {`"Count"`, `"Seconds"`},
		"another dimension set":   {`["Consumer","Outcome","Reason"]`, `["Consumer","Reason"],["Outcome"]`},
		"another outcome":         {`"handled"`, `"evil"`},
		"another reason":          {`"none"`, `"evil"`},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if _, err := parse([]byte(bad)); err == nil || bad == good {
			t.Errorf("%s passed: %s", name, bad)
		}
	}
}

// TestTableIsDocumented: who writes an alarm reads the package comment.
func TestTableIsDocumented(t *testing.T) {
	text, err := os.ReadFile("emf.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	whole := regexp.MustCompile(`\|\n//\t +`).ReplaceAll(text, []byte("| ")) // a row goes on after a "|"
	for line := range strings.Lines(string(whole)) {
		f := strings.Fields(strings.TrimPrefix(line, "//"))
		if len(f) < 4 || !strings.HasPrefix(line, "//\t") || !strings.Contains(line, "Consumer") ||
			!slices.Contains(units, f[1]) {
			continue
		}
		first := slices.IndexFunc(f, func(s string) bool { return strings.HasPrefix(s, "Consumer") })
		documented[f[0]] = f[1] + " " + strings.Join(f[first:], " ")
	}
	if !maps.Equal(documented, table) {
		t.Errorf("documented %v\nthe checker has %v", documented, table)
	}
}
