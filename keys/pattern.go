package keys

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/keydoc"
)

// maxPattern bounds a pattern, in bytes: no attribute that it could match is longer.
const maxPattern = 8 << 10

// MaxPatterns bounds a list of patterns: each is looked at for each event.
const MaxPatterns = 1_000

// MatchSource reports whether one of the patterns allows source, byte by byte and without any normalisation.
// A pattern is exact, or ends in "/*" ("urn:" patterns: ":*") and then is a prefix that includes the "/"
// (":"), followed by at least one byte; a source with an authority matches only a pattern that has the whole
// of it. A source that could mean another place than it says (see CheckSource), and a pattern that
// CheckSourcePattern refuses for its "*", match nothing.
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
	if len(pattern) > maxPattern || !utf8.ValidString(pattern) {
		return fmt.Errorf("a source pattern of more than %d bytes or that is not UTF-8", maxPattern)
	}
	prefix := pattern
	if strings.Contains(pattern, "*") {
		var ok bool
		if prefix, ok = sourcePrefix(pattern); !ok {
			return fmt.Errorf(`source pattern %q: "*" stands only at the end, as "/*" after the whole host, or as ":*" after "urn:NAMESPACE"`, keydoc.Clip(pattern))
		}
	}
	if err := CheckSource(prefix); err != nil {
		return fmt.Errorf("source pattern %q: %w", keydoc.Clip(pattern), err)
	}
	return nil
}

// CheckTypePattern refuses a type pattern with "*" anywhere but alone or at the end, after ".".
func CheckTypePattern(pattern string) error {
	switch prefix, ok := typePrefix(pattern); {
	case pattern == "":
		return errors.New("empty type pattern")
	case len(pattern) > maxPattern || !utf8.ValidString(pattern):
		return fmt.Errorf("a type pattern of more than %d bytes or that is not UTF-8", maxPattern)
	case pattern == "*":
		return nil
	case strings.Contains(pattern, "*") && (!ok || prefix == "."):
		return fmt.Errorf(`type pattern %q: "*" stands alone, or at the end as ".*"`, keydoc.Clip(pattern))
	}
	for i := range len(pattern) {
		if c := pattern[i]; c <= ' ' || c == 0x7f {
			return fmt.Errorf("type pattern %q has the character %q", keydoc.Clip(pattern), c)
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

// maxDecodings is how often a source may be percent-encoded over itself: "%2520" is once over. Each further
// layer hides another place from a reader who decodes less often.
const maxDecodings = 3

// CheckSource refuses a source that could mean another place than it says to a program that normalises it.
// Refused are userinfo; a "//" without a host; white space, control characters and "\"; and, as they stand
// and percent-decoded up to maxDecodings times: an encoded "/", "\" or control character, "." and ".."
// segments, which also end at a ";" (servers cut path parameters off) and may be followed by more dots and
// spaces (Windows cuts those off), overlong UTF-8, "%uXXXX", and characters that Unicode normalisation turns
// into one of . / \ ; ? # % @. See SPEC section 10.
func CheckSource(source string) error {
	if source == "" {
		return errors.New("empty source")
	}
	for i := range len(source) {
		if c := source[i]; c <= ' ' || c == 0x7f || c == '\\' {
			return fmt.Errorf("source has the character %q", c)
		}
	}
	scheme, path := splitScheme(source)
	authority := ""
	if strings.HasPrefix(path, "//") {
		authority, path = splitAuthority(path[2:])
		if authority == "" && (scheme == "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//")) {
			return errors.New(`source begins with "//" but names no host`)
		}
	}
	for range maxDecodings + 1 {
		if strings.Contains(authority, "@") {
			return errors.New("source has userinfo in its authority")
		}
		if err := checkPath(path); err != nil {
			return err
		}
		// The host is decoded, too: a program that decodes before it cuts would see another one.
		host, err := unescape(authority)
		if err != nil {
			return err
		}
		below, err := unescape(path)
		if err != nil {
			return err
		}
		if len(host) == len(authority) && len(below) == len(path) {
			return checkLookalikes(authority, path)
		}
		authority, path = host, below
	}
	return fmt.Errorf("source is percent-encoded more than %d times over", maxDecodings)
}

// unescape decodes the percent-encoded bytes of s, once. It refuses those that must stand in a source as they
// are, or not at all.
func unescape(s string) (string, error) {
	first := strings.IndexByte(s, '%')
	if first < 0 {
		return s, nil
	}
	out := append(make([]byte, 0, len(s)), s[:first]...)
	for i := first; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			out = append(out, s[i])
			continue
		}
		if s[i+1]|0x20 == 'u' && isHex(s[i+2:min(i+6, len(s))], 4) {
			return "", fmt.Errorf("source has %q, an escape that only some programs decode", s[i:i+6])
		}
		if !isHex(s[i+1:i+3], 2) {
			out = append(out, s[i])
			continue
		}
		c := byte(unhex(s[i+1])<<4 | unhex(s[i+2]))
		switch {
		case c == '/' || c == '\\':
			return "", fmt.Errorf("source has %s, an encoded %c: refused, since a program that decodes it sees another path",
				strings.ToUpper(s[i:i+3]), c)
		case c < ' ' || c == 0x7f:
			return "", fmt.Errorf("source has %s, an encoded control character", strings.ToUpper(s[i:i+3]))
		}
		out = append(out, c)
		i += 2
	}
	return string(out), nil
}

func isHex(s string, n int) bool {
	for i := range len(s) {
		if unhex(s[i]) > 15 {
			return false
		}
	}
	return len(s) == n
}

// lookalikes are the characters that Unicode normalisation (NFKC) turns into one of . / \ ; ? # % @, or into
// a text with one of them.
const lookalikes = "\u2024\u2025\u2026\ufe19\ufe30\ufe52\uff0e" + "\u2100\u2101\u2105\u2106\uff0f" + "\ufe68\uff3c" +
	"\u037e\ufe14\ufe54\uff1b" + "\u2047\u2048\u2049\ufe16\ufe56\uff1f" + "\ufe5f\uff03" + "\ufe6a\uff05" + "\ufe6b\uff20" +
	"\u2488\u2489\u248a\u248b\u248c\u248d\u248e\u248f\u2490\u2491\u2492\u2493\u2494\u2495\u2496\u2497\u2498\u2499\u249a\u249b" +
	"\u33c2\u33c7\u33d8\U0001f100"

// checkLookalikes looks at what is left when all is decoded.
func checkLookalikes(parts ...string) error {
	for _, s := range parts {
		for i := range len(s) {
			if s[i] < utf8.RuneSelf {
				continue
			}
			if r, _ := utf8.DecodeRuneInString(s[i:]); strings.ContainsRune(lookalikes, r) && r != utf8.RuneError {
				return fmt.Errorf("source has the character %U, which normalisation turns into another", r)
			}
			if isOverlong(s[i:]) {
				return errors.New("source has an overlong UTF-8 encoding")
			}
		}
	}
	return nil
}

// isOverlong reports whether s begins with an ASCII character in more bytes than UTF-8 allows for it.
func isOverlong(s string) bool {
	switch s[0] {
	case 0xc0, 0xc1:
		return true
	case 0xe0:
		return len(s) > 1 && (s[1] == 0x80 || s[1] == 0x81)
	case 0xf0:
		return len(s) > 1 && s[1] == 0x80
	}
	return false
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

// checkPath looks at every segment up to the end of the string: what stands after "?" and "#" too, since a
// program that cuts there differently would take it for a path.
func checkPath(path string) error {
	for len(path) > 0 {
		segment := path
		if i := strings.IndexAny(path, "/?#"); i >= 0 {
			segment, path = path[:i], path[i+1:]
		} else {
			path = ""
		}
		if isDots(segment) {
			return fmt.Errorf(`source has a "." or ".." segment (%q)`, keydoc.Clip(segment))
		}
	}
	return nil
}

// isDots reports whether segment is "." or "..", for a program that cuts path parameters, or spaces and then
// dots, off.
func isDots(segment string) bool {
	name, _, _ := strings.Cut(segment, ";")
	name = strings.TrimLeft(name, " ")
	if i := strings.IndexByte(name, ' '); i >= 0 && strings.Trim(name[i:], ". ") == "" {
		name = name[:i]
	}
	return name == "." || name == ".."
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

// CheckScope refuses source patterns that CheckSourcePattern and type patterns that CheckTypePattern refuses,
// repetitions, and more than MaxPatterns of either.
func CheckScope(sources, types []string) error {
	if len(sources) > MaxPatterns || len(types) > MaxPatterns {
		return fmt.Errorf("more than %d patterns", MaxPatterns)
	}
	for _, p := range sources {
		if err := CheckSourcePattern(p); err != nil {
			return err
		}
	}
	for _, p := range types {
		if err := CheckTypePattern(p); err != nil {
			return err
		}
	}
	return errors.Join(keydoc.NoRepetition("source pattern", sources), keydoc.NoRepetition("type pattern", types))
}
