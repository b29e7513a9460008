package keys

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxPattern bounds a pattern, in bytes: no attribute that it could match is longer.
const MaxPattern = 8 << 10

// MatchSource reports whether one of the patterns allows source, byte by byte and without any
// normalisation. A pattern is exact, or ends in "/*" ("urn:" patterns: ":*") and then is a prefix that includes
// the "/" (":"), followed by at least one byte; a source with an authority matches only a pattern
// that has the whole of it. A source that could mean another place than it says (see CheckSource), and a
// pattern that CheckSourcePattern refuses for its "*", match nothing.
func MatchSource(patterns []string, source string) bool {
	if CheckSource(source) != nil {
		return false
	}
	return matchesSource(patterns, source)
}

// matchesSource is MatchSource for a source that CheckSource passes.
func matchesSource(patterns []string, source string) bool {
	for _, p := range patterns {
		if !strings.Contains(p, "*") {
			if p == source {
				return true
			}
			continue
		}
		if prefix, ok := sourcePrefix(p); ok && hasPrefixAndMore(source, prefix) &&
			(hasAuthority(prefix) || !hasAuthority(source)) {
			return true
		}
	}
	return false
}

// MatchType reports whether one of the patterns allows the event type: exact, a prefix that ends in ".*",
// or "*" for any.
func MatchType(patterns []string, typ string) bool {
	if typ == "" {
		return false
	}
	for _, p := range patterns {
		if p == "*" || p == typ {
			return true
		}
		if prefix, ok := typePrefix(p); ok && hasPrefixAndMore(typ, prefix) {
			return true
		}
	}
	return false
}

// CheckSourcePattern refuses a pattern that MatchSource would not treat as its author may think: "*" stands
// only at the end, after a "/" that follows the whole authority, or after a ":" in a "urn:" pattern that
// names its namespace; apart from it, the pattern passes CheckSource.
func CheckSourcePattern(pattern string) error {
	if len(pattern) > MaxPattern || !utf8.ValidString(pattern) {
		return fmt.Errorf("a source pattern of more than %d bytes or that is not UTF-8", MaxPattern)
	}
	prefix := pattern
	if strings.Contains(pattern, "*") {
		var ok bool
		if prefix, ok = sourcePrefix(pattern); !ok {
			return fmt.Errorf(`source pattern %q: "*" stands only at the end, as "/*" after the whole host, or as ":*" after "urn:NAMESPACE"`, clip(pattern))
		}
	}
	if err := CheckSource(prefix); err != nil {
		return fmt.Errorf("source pattern %q: %w", clip(pattern), err)
	}
	return nil
}

// CheckTypePattern refuses a type pattern with "*" anywhere but alone or at the end, after ".".
func CheckTypePattern(pattern string) error {
	switch prefix, ok := typePrefix(pattern); {
	case pattern == "":
		return errors.New("empty type pattern")
	case len(pattern) > MaxPattern || !utf8.ValidString(pattern):
		return fmt.Errorf("a type pattern of more than %d bytes or that is not UTF-8", MaxPattern)
	case pattern == "*":
		return nil
	case strings.Contains(pattern, "*") && (!ok || prefix == "."):
		return fmt.Errorf(`type pattern %q: "*" stands alone, or at the end as ".*"`, clip(pattern))
	}
	for i := range len(pattern) {
		if c := pattern[i]; c <= ' ' || c == 0x7f {
			return fmt.Errorf("type pattern %q has the character %q", clip(pattern), c)
		}
	}
	return nil
}

func hasPrefixAndMore(s, prefix string) bool {
	return len(s) > len(prefix) && s[:len(prefix)] == prefix
}

// sourcePrefix is what stands before the "*" of a valid wildcard pattern.
func sourcePrefix(pattern string) (prefix string, ok bool) {
	prefix, ok = cutStar(pattern)
	if !ok {
		return "", false
	}
	scheme, rest := splitScheme(prefix)
	switch {
	case strings.HasPrefix(rest, "//"): // the "/" of "/*" must not be part of "//"
		_, after := splitAuthority(rest[2:])
		return prefix, after != "" && prefix[len(prefix)-1] == '/'
	case strings.HasSuffix(prefix, "/"):
		return prefix, true
	}
	return prefix, strings.EqualFold(scheme, "urn") && len(rest) > 1 && strings.HasSuffix(rest, ":")
}

func typePrefix(pattern string) (prefix string, ok bool) {
	prefix, ok = cutStar(pattern)
	return prefix, ok && strings.HasSuffix(prefix, ".")
}

// cutStar cuts the only "*" off, which is the last byte.
func cutStar(pattern string) (prefix string, ok bool) {
	i := strings.IndexByte(pattern, '*')
	if i < 0 || i != len(pattern)-1 {
		return "", false
	}
	return pattern[:i], true
}

func hasAuthority(s string) bool {
	_, rest := splitScheme(s)
	return strings.HasPrefix(rest, "//")
}

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
	// Anywhere, the host included: who decodes before cutting would see another host.
	if hasEncoded(source, '/') || hasEncoded(source, '\\') {
		return errors.New("source has an encoded / or \\")
	}
	scheme, rest := splitScheme(source)
	path := rest
	if strings.HasPrefix(rest, "//") {
		authority, after := splitAuthority(rest[2:])
		if authority == "" && (scheme == "" || !strings.HasPrefix(after, "/") || strings.HasPrefix(after, "//")) {
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
