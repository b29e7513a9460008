package keys

import (
	"errors"
	"fmt"
	"strings"
)

// CheckSource refuses a source that could mean another place than it says to somebody who normalises it:
// userinfo, "." and ".." segments (also percent-encoded), an encoded "/" or "\", a "\", a leading "//" without
// a host, and control characters or white space.
func CheckSource(source string) error {
	if source == "" {
		return errors.New("empty source")
	}
	for i := range len(source) {
		if c := source[i]; c <= ' ' || c == 0x7f || c == '\\' {
			return fmt.Errorf("source has the character %q", c)
		}
	}
	scheme, rest := splitScheme(source)
	path := rest
	if strings.HasPrefix(rest, "//") {
		authority, after := splitAuthority(rest[2:])
		if authority == "" && (scheme == "" || after == "" || strings.HasPrefix(after, "//")) {
			return errors.New(`source begins with "//" but names no host`)
		}
		if strings.Contains(authority, "@") || hasEncoded(authority, '@') {
			return errors.New("source has userinfo in its authority")
		}
		path = after
	}
	return checkPath(path)
}

// splitScheme cuts "scheme:" off (RFC 3986 section 3.1).
func splitScheme(s string) (scheme, rest string) {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return s[:i], s[i+1:]
		default:
			return "", s
		}
	}
	return "", s
}

func splitAuthority(s string) (authority, rest string) {
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// checkPath looks at every segment up to the end of the string: what stands after "?" and "#" too, since
// somebody who cuts there differently would take it for a path.
func checkPath(path string) error {
	if hasEncoded(path, '/') || hasEncoded(path, '\\') {
		return errors.New("source has an encoded / or \\")
	}
	for len(path) > 0 {
		segment := path
		if i := strings.IndexAny(path, "/?#"); i >= 0 {
			segment, path = path[:i], path[i+1:]
		} else {
			path = ""
		}
		if isDots(segment) {
			return errors.New(`source has a "." or ".." segment`)
		}
	}
	return nil
}

// isDots reports whether segment is "." or "..", each dot plain or as %2e.
func isDots(segment string) bool {
	dots := 0
	for len(segment) > 0 {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case len(segment) >= 3 && segment[0] == '%' && segment[1] == '2' && segment[2]|0x20 == 'e':
			segment = segment[3:]
		default:
			return false
		}
		dots++
	}
	return dots == 1 || dots == 2
}

// hasEncoded reports whether s has c percent-encoded.
func hasEncoded(s string, c byte) bool {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == '%' && unhex(s[i+1])<<4|unhex(s[i+2]) == int(c) {
			return true
		}
	}
	return false
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return 1 << 12
}
