package keys

import (
	"errors"
	"fmt"
)

// maxName bounds the name of a producer or consumer, in bytes.
const maxName = 128

// CheckProducer refuses a text that is not the name of a producer or consumer. A name has 1 to maxName ASCII
// letters, digits and . _ - / : @, and begins with a letter or digit. Names go into logs, file names and
// space-separated lists.
func CheckProducer(name string) error {
	if name == "" {
		return errors.New("keys: no producer name: give the name that the trust policy has for it, such as \"orders\"")
	}
	if len(name) > maxName {
		return fmt.Errorf("keys: a producer name of more than %d bytes", maxName)
	}
	for i := range len(name) {
		if c := name[i]; !nameByte(c, i == 0) {
			return fmt.Errorf("keys: the producer name %q has the character %q: use letters, digits and . _ - / : @ (not first)", name, c)
		}
	}
	return nil
}

func nameByte(c byte, first bool) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	case c == '.', c == '_', c == '-', c == '/', c == ':', c == '@':
		return !first
	}
	return false
}
