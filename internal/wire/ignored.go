package wire

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxIgnoreMembers bounds envelope.Policy.IgnoreMembers: each is compared with every member of a detail.
const MaxIgnoreMembers = 16

// DefaultIgnoreMembers is what envelope.Policy.IgnoreMembers is where it is nil: the member that Datadog's
// instrumentation of the AWS SDKs adds to the detail of every PutEvents entry.
func DefaultIgnoreMembers() []string { return []string{"_datadog"} }

// CheckIgnoreMembers is an error if a list of envelope.Policy.IgnoreMembers is too long, or has a name that no hop can
// add to a detail.
func CheckIgnoreMembers(names []string) error {
	if len(names) > MaxIgnoreMembers {
		return fmt.Errorf("there are %d names: give at most %d", len(names), MaxIgnoreMembers)
	}
	for _, name := range names {
		switch {
		case name == "" || len(name) > MaxName || !utf8.ValidString(name):
			return fmt.Errorf("%.80q is no name of a member: it is a text of 1 to %d bytes", name, MaxName)
		case strings.EqualFold(name, EmbeddedMember), strings.EqualFold(name, "specversion"):
			return fmt.Errorf("%q cannot be ignored: a detail without it is not an event", name)
		}
	}
	return nil
}

// MaxReported is how many names of ignored members are reported: they are an attacker's text.
const MaxReported = 8

// ReportedMembers is names of ignored members, harmless to show: at most 8, cut, and with
// everything escaped that is not printable ASCII.
func ReportedMembers(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	list := make([]string, 0, MaxReported)
	for _, name := range names[:min(len(names), MaxReported)] {
		quoted := strconv.QuoteToASCII(name[:min(len(name), MaxName)])
		list = append(list, quoted[1:len(quoted)-1])
	}
	return list
}
