package emf

import (
	"slices"
	"strings"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

// The labels that stand for something else.
const (
	other = "other" // a value beyond the bound
	none  = "none"  // there is no Reason; CloudWatch has no empty dimension values
)

// labels are the values of one dimension: the first few names, each with the label that stands for it.
type labels struct {
	most  int
	known map[string]string
}

func newLabels(most int) labels { return labels{most: most, known: map[string]string{}} }

func (l *labels) of(name string) string {
	if label, ok := l.known[name]; ok {
		return label
	}
	if len(l.known) >= l.most {
		return other
	}
	name = strings.Clone(name) // it may be a part of a large string
	label := spell(name)
	l.known[name] = label
	return label
}

// maxLabel is how long a label may get. CloudWatch takes 1,024 characters.
const maxLabel = 255

// spell writes a name in the form of a dimension value: printable ASCII that is not all white space
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html). Any other byte is
// %XX.
func spell(name string) string {
	const hex = "0123456789ABCDEF"
	blank := strings.TrimSpace(name) == ""
	var b []byte
	for i := 0; i < len(name) && len(b) < maxLabel-2; i++ {
		if c := name[i]; c < ' ' || c > '~' || blank {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	if len(b) == 0 {
		return none
	}
	return string(b)
}

var (
	outcomes = []consumer.Outcome{consumer.Handled, consumer.Duplicate, consumer.Quarantined,
		consumer.Migrating, consumer.Retry}
	reasons = envelope.Reasons()
)

func outcomeLabel(o consumer.Outcome) string {
	if !slices.Contains(outcomes, o) {
		return other
	}
	return string(o)
}

func reasonLabel(r envelope.Reason) string {
	switch {
	case r == "":
		return none
	case !slices.Contains(reasons, r):
		return other
	}
	return string(r)
}
