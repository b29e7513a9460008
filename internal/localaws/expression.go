package localaws

import (
	"regexp"
	"sync"
)

// expression is a regular expression that is compiled on first use. A program that links the local AWS would
// otherwise compile all of them at its start: 2 ms.
func expression(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
