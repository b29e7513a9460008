package envelope

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// MaxIgnoreMembers bounds Policy.IgnoreMembers: each is compared with every member of a detail.
const MaxIgnoreMembers = 16

// maxReported is how many names of ignored members an Opened reports: they are an attacker's text.
const maxReported = 8

// DefaultIgnoreMembers is what Policy.IgnoreMembers is where it is nil: the member that Datadog's
// instrumentation of the AWS SDKs adds to the detail of every PutEvents entry.
func DefaultIgnoreMembers() []string { return slices.Clone(defaultIgnoreMembers) }

var defaultIgnoreMembers = []string{"_datadog"}

// CheckIgnoreMembers is an error if a list of Policy.IgnoreMembers is too long, or has a name that no hop can
// add to a detail.
func CheckIgnoreMembers(names []string) error {
	if len(names) > MaxIgnoreMembers {
		return fmt.Errorf("there are %d names: give at most %d", len(names), MaxIgnoreMembers)
	}
	for _, name := range names {
		switch {
		case name == "" || len(name) > wire.MaxName || !utf8.ValidString(name):
			return fmt.Errorf("%.80q is no name of a member: it is a text of 1 to %d bytes", name, wire.MaxName)
		case strings.EqualFold(name, embeddedMember), strings.EqualFold(name, "specversion"):
			return fmt.Errorf("%q cannot be ignored: a detail without it is not an event", name)
		}
	}
	return nil
}

// ReportedMembers is names of members as Opened.Ignored has them, harmless to show: at most 8, cut, and with
// everything escaped that is not printable ASCII.
func ReportedMembers(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	list := make([]string, 0, maxReported)
	for _, name := range names[:min(len(names), maxReported)] {
		quoted := strconv.QuoteToASCII(name[:min(len(name), wire.MaxName)])
		list = append(list, quoted[1:len(quoted)-1])
	}
	return list
}

// modified is the verdict on data or core attributes that are not what was signed. Its cause says what is
// likely to have changed them, as far as the event shows it.
func (o *opening) modified(p *wire.Payload) *Error {
	e := reject(ReasonModified, "the data or a core attribute is not what was signed")
	if hint := o.timeHint(p); hint != "" {
		e.Cause += "; " + hint
	}
	if hint := o.numberHint(p); hint != "" {
		e.Cause += "; " + hint
	}
	if o.detail == nil {
		return e
	}
	if names := lookAdded(o.detail.Detail, o.policy.IgnoreMembers); len(names) > 0 {
		e.Cause += "; members that look added on the way: " + strings.Join(ReportedMembers(names), " ")
		e.Advice = addedFix
	}
	return e
}

const addedFix = "switch off what adds them to the detail, such as a tracer's instrumentation of PutEvents, " +
	"or name them in IgnoreMembers (`open --ignore-member`)"

// lookAdded are the members of the detail that tracers are known to add, or that are named as if a tracer had
// added them.
func lookAdded(detail []byte, ignore []string) (names []string) {
	r := jsontext.NewDecoder(detail)
	for obj := r.Object(); r.Member(&obj); r.ReadSpan() {
		name := string(obj.Name)
		if len(names) < maxReported && (slices.Contains(ignore, name) || isTracers(name)) {
			names = append(names, name)
		}
	}
	return names
}

// isTracers guesses, for the text of a verdict only.
func isTracers(name string) bool {
	lower := strings.ToLower(name)
	switch lower {
	case "traceparent", "tracestate", "baggage", "newrelic", "awstraceheader", "dtdtracetaginfo":
		return true
	}
	return strings.HasPrefix(lower, "_") || strings.HasPrefix(lower, "x-") || strings.HasPrefix(lower, "x_")
}

// timeHint is not empty if the time is nearly the signed one.
func (o *opening) timeHint(p *wire.Payload) string {
	if p.Profile == nil || p.Profile.Time == "" || o.in.Time == "" {
		return ""
	}
	was, _ := wire.ParseTime(p.Profile.Time) // parsePayload read it
	is, err := wire.ParseTime(o.in.Time)
	had, has := fractionDigits(p.Profile.Time), fractionDigits(wire.FormatTime(is))
	if err != nil || is.Equal(was) || is.Sub(was).Abs().Seconds() > 1 || has >= had {
		return ""
	}
	return fmt.Sprintf("digits of a fraction of a second are what changed: "+
		"time was signed with %d, and came with %d", had, has)
}

// fractionDigits is how many digits a canonical time has behind its seconds.
func fractionDigits(text string) int {
	_, fraction, _ := strings.Cut(strings.TrimSuffix(text, "Z"), ".")
	return len(fraction)
}

// numberHint is not empty if numbers in the data may have been printed anew. That a number has no canonical
// form proves it, as a producer signs none in data that is not base64; that one is long is a possibility.
func (o *opening) numberHint(p *wire.Payload) string {
	if o.in.Form != wire.JSONData || o.in.Base64 {
		return ""
	}
	_, err := jsontext.AppendCanonical(nil, o.in.Data)
	e, _ := errors.AsType[*jsontext.Error](err)
	switch {
	case e != nil && e.Fault == jsontext.Number && p.Profile != nil:
		return "digits of a number are what changed: something on the way prints numbers anew"
	case err == nil && anyNumber(o.in.Data, func(text string) bool { return significantDigits(text) >= 15 }):
		return "digits of a number may be what changed: " +
			"there are numbers of 15 digits and more, and some relays print those anew"
	}
	return ""
}

// Warnings are what a relay might do to this event, so that consumers would refuse it as modified: one
// sentence each. They are about attributes and data as they stand on the wire, and no error: where nothing
// prints numbers or times anew, the event arrives as it is.
func (s *Sealed) Warnings() (list []string) {
	if n := fractionDigits(s.ev.Time); n > 3 {
		list = append(list, fmt.Sprintf("time has %d digits of a fraction of a second: "+
			"a relay that keeps 3, as JavaScript does, makes the event `modified`; cut them before sealing", n))
	}
	if s.ev.Form == wire.JSONData && !s.ev.Base64 && anyNumber(s.ev.Data, isFragile) {
		list = append(list, "the data has numbers of 17 digits, or integers beyond 2^53: "+
			"a relay that prints numbers anew makes the event `modified`; send them as strings, or seal with Exact")
	}
	return list
}

// isFragile reports whether a canonical number may not survive a reader that holds numbers in an IEEE 754
// double, and prints at most 16 digits of them.
func isFragile(number string) bool {
	const exact = "9007199254740992" // 2^53
	digits := strings.TrimPrefix(number, "-")
	if strings.Trim(digits, "0123456789") == "" {
		return len(digits) > len(exact) || len(digits) == len(exact) && digits > exact
	}
	return significantDigits(number) >= 17
}

// significantDigits is how many digits a JSON number has between its first and its last that are not 0.
func significantDigits(number string) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return len(strings.Trim(strings.ReplaceAll(strings.TrimPrefix(mantissa, "-"), ".", ""), "0"))
}
