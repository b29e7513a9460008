package keys

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/keydoc"
)

// maxPattern bounds a pattern, in bytes: no attribute that it could match is longer.
const maxPattern = 8 << 10

// MatchSource reports whether one of the patterns allows source, byte by byte and without normalisation. A
// pattern is exact, or ends in "/*" (a "urn:" pattern: in ":*"). Then it stands for every source that begins
// with the text before the "*" and goes on. A source with a host matches only a pattern that has the whole
// host. Nothing matches a source that CheckSource refuses, or a pattern whose "*" CheckSourcePattern refuses.
func MatchSource(patterns []string, source string) bool {
	if CheckSource(source) != nil {
		return false
	}
	for _, pattern := range patterns {
		if !strings.Contains(pattern, "*") {
			if pattern == source {
				return true
			}
			continue
		}
		prefix, patternHasHost, ok := sourcePrefix(pattern)
		if !ok || len(source) == len(prefix) || !strings.HasPrefix(source, prefix) {
			continue
		}
		if _, _, _, hasHost := splitSource(source); patternHasHost || !hasHost {
			return true
		}
	}
	return false
}

// MatchType reports whether one of the patterns allows the event type. A pattern is exact, ends in ".*" and
// then stands for every type that begins with the text before the "*" and goes on, or is "*" for any type.
func MatchType(patterns []string, typ string) bool {
	if typ == "" {
		return false
	}
	for _, pattern := range patterns {
		if pattern == "*" || pattern == typ {
			return true
		}
		prefix, after, wildcard := strings.Cut(pattern, "*")
		if wildcard && after == "" && strings.HasSuffix(prefix, ".") &&
			len(typ) > len(prefix) && strings.HasPrefix(typ, prefix) {
			return true
		}
	}
	return false
}

// CheckSourcePattern refuses a pattern that could match other sources than its author expects. "*" stands
// only at the end: after a "/" that follows the whole host, or after a ":" in a "urn:" pattern that names its
// namespace. The text before it must pass CheckSource.
func CheckSourcePattern(pattern string) error {
	if len(pattern) > maxPattern || !utf8.ValidString(pattern) {
		return fmt.Errorf("a source pattern of more than %d bytes or that is not UTF-8", maxPattern)
	}
	prefix := pattern
	if strings.Contains(pattern, "*") {
		var ok bool
		if prefix, _, ok = sourcePrefix(pattern); !ok {
			return fmt.Errorf(`source pattern %q: "*" stands only at the end, as "/*" after the whole host, or as `+
				`":*" after "urn:NAMESPACE"`, keydoc.Clip(pattern))
		}
	}
	if err := CheckSource(prefix); err != nil {
		return fmt.Errorf("source pattern %q: %w", keydoc.Clip(pattern), err)
	}
	return nil
}

// CheckTypePattern refuses a type pattern with "*" anywhere but alone or at the end, after ".".
func CheckTypePattern(pattern string) error {
	switch prefix, after, wildcard := strings.Cut(pattern, "*"); {
	case pattern == "":
		return errors.New("empty type pattern")
	case len(pattern) > maxPattern || !utf8.ValidString(pattern):
		return fmt.Errorf("a type pattern of more than %d bytes or that is not UTF-8", maxPattern)
	case pattern == "*":
		return nil
	case wildcard && (after != "" || prefix == "." || !strings.HasSuffix(prefix, ".")):
		return fmt.Errorf(`type pattern %q: "*" stands alone, or at the end as ".*"`, keydoc.Clip(pattern))
	}
	for i := range len(pattern) {
		if c := pattern[i]; c <= ' ' || c == 0x7f {
			return fmt.Errorf("type pattern %q has the character %q", keydoc.Clip(pattern), c)
		}
	}
	return nil
}

// sourcePrefix is the text before the only "*" of a source pattern, if "*" may stand there, and whether that
// text has a host.
func sourcePrefix(pattern string) (prefix string, hasHost, ok bool) {
	prefix, after, ok := strings.Cut(pattern, "*")
	if !ok || after != "" {
		return "", false, false
	}
	scheme, _, path, hasHost := splitSource(prefix)
	if strings.HasSuffix(prefix, "/") {
		return prefix, hasHost, !hasHost || path != "" // else the "/" is one of the "//" before the host
	}
	isURN := strings.EqualFold(scheme, "urn") && len(path) > 1 && strings.HasSuffix(path, ":")
	return prefix, hasHost, isURN && !hasHost
}

// maxDecodings is how often a source may be percent-encoded over itself: "%2520" is once over. Each further
// layer hides another place from a reader who decodes less often.
const maxDecodings = 3

// CheckSource refuses a source that a program could normalise to another one. SPEC section 10 has the rules.
// Refused are userinfo, a "//" without a host, white space, control characters and "\". Also refused, in the
// source as it is and after each of up to maxDecodings percent-decodings, are:
//
//   - an encoded "/", "\" or control character, and "%uXXXX";
//   - the segments "." and "..". A segment also ends at ";", because servers cut path parameters off, and may
//     have more dots and spaces behind it, because Windows cuts those off;
//   - overlong UTF-8, and characters that Unicode normalisation turns into one of . / \ ; ? # % @.
func CheckSource(source string) error {
	if source == "" {
		return errors.New("empty source")
	}
	for i := range len(source) {
		if c := source[i]; c <= ' ' || c == 0x7f || c == '\\' {
			return fmt.Errorf("source has the character %q", c)
		}
	}
	scheme, host, path, hasHost := splitSource(source)
	isFile := scheme != "" && strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") // file:///x
	if hasHost && host == "" && !isFile {
		return errors.New(`source begins with "//" but names no host`)
	}
	for range maxDecodings + 1 {
		if strings.Contains(host, "@") {
			return errors.New("source has userinfo in its authority")
		}
		if err := checkSegments(path); err != nil {
			return err
		}
		// A program may decode before it looks for the host, so the host is decoded, too.
		nextHost, err := unescape(host)
		if err != nil {
			return err
		}
		nextPath, err := unescape(path)
		if err != nil {
			return err
		}
		if len(nextHost) == len(host) && len(nextPath) == len(path) { // nothing is encoded any more
			return cmp.Or(checkCharacters(host), checkCharacters(path))
		}
		host, path = nextHost, nextPath
	}
	return fmt.Errorf("source is percent-encoded more than %d times over", maxDecodings)
}

// splitSource cuts a source into its scheme and its host (RFC 3986 sections 3.1 and 3.2), without ":" and
// "//", and the rest: path, query and fragment. A host that is there may be empty.
func splitSource(s string) (scheme, host, path string, hasHost bool) {
	path = s
	for i := range len(s) {
		c := s[i]
		if isLetter := 'a' <= c|0x20 && c|0x20 <= 'z'; isLetter || i > 0 &&
			strings.IndexByte("0123456789+-.", c) >= 0 {
			continue
		}
		if i > 0 && c == ':' {
			scheme, path = s[:i], s[i+1:]
		}
		break
	}
	host, hasHost = strings.CutPrefix(path, "//")
	if !hasHost {
		return scheme, "", path, false
	}
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		return scheme, host[:i], host[i:], true
	}
	return scheme, host, "", true
}

// checkSegments refuses "." and ".." segments up to the end of path. It also looks behind "?" and "#": a
// program that does not cut there would take the text behind them for a path.
func checkSegments(path string) error {
	for more := true; more; {
		segment := path
		i := strings.IndexAny(path, "/?#")
		if more = i >= 0; more {
			segment, path = path[:i], path[i+1:]
		}
		name, _, _ := strings.Cut(segment, ";") // some programs cut path parameters off
		name = strings.TrimLeft(name, " ")
		if i := strings.IndexByte(name, ' '); i >= 0 && strings.Trim(name[i:], ". ") == "" {
			name = name[:i] // and some cut trailing spaces and dots off
		}
		if name == "." || name == ".." {
			return fmt.Errorf(`source has a "." or ".." segment (%q)`, keydoc.Clip(segment))
		}
	}
	return nil
}

// unescape decodes the percent-encoded bytes of s, once. It refuses bytes that must stand in a source as they
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
		if s[i+1]|0x20 == 'u' && i+6 <= len(s) {
			if _, err := strconv.ParseUint(s[i+2:i+6], 16, 16); err == nil {
				return "", fmt.Errorf("source has %q, an escape that only some programs decode", s[i:i+6])
			}
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			out = append(out, s[i])
			continue
		}
		switch c := byte(n); {
		case c == '/' || c == '\\':
			return "", fmt.Errorf("source has %s, an encoded %c: a program that decodes it sees another path",
				strings.ToUpper(s[i:i+3]), c)
		case c < ' ' || c == 0x7f:
			return "", fmt.Errorf("source has %s, an encoded control character", strings.ToUpper(s[i:i+3]))
		default:
			out = append(out, c)
		}
		i += 2
	}
	return string(out), nil
}

// lookalikes are the characters that Unicode normalisation (NFKC) turns into one of . / \ ; ? # % @, or into
// a text with one of them.
const lookalikes = "\u2024\u2025\u2026\ufe19\ufe30\ufe52\uff0e" + "\u2100\u2101\u2105\u2106\uff0f" +
	"\ufe68\uff3c" +
	"\u037e\ufe14\ufe54\uff1b" + "\u2047\u2048\u2049\ufe16\ufe56\uff1f" + "\ufe5f\uff03" + "\ufe6a\uff05" +
	"\ufe6b\uff20" +
	"\u2488\u2489\u248a\u248b\u248c\u248d\u248e\u248f\u2490\u2491\u2492\u2493\u2494\u2495\u2496\u2497\u2498\u2499\u249a\u249b" +
	"\u33c2\u33c7\u33d8\U0001f100"

// checkCharacters looks at a part of a source that is decoded: each character stands for itself, in UTF-8 of
// the shortest form.
func checkCharacters(part string) error {
	for i := range len(part) {
		c, next := part[i], byte(0)
		if c < utf8.RuneSelf {
			continue
		}
		if i+1 < len(part) {
			next = part[i+1]
		}
		if r, _ := utf8.DecodeRuneInString(part[i:]); strings.ContainsRune(lookalikes, r) &&
			r != utf8.RuneError {
			return fmt.Errorf("source has the character %U, which normalisation turns into another", r)
		}
		// An ASCII character in two, three or four bytes.
		if c == 0xc0 || c == 0xc1 || c == 0xe0 && (next == 0x80 || next == 0x81) || c == 0xf0 &&
			next == 0x80 {
			return errors.New("source has an overlong UTF-8 encoding")
		}
	}
	return nil
}

// CheckScope refuses source patterns that CheckSourcePattern and type patterns that CheckTypePattern refuses,
// repetitions, and more than 1,000 of either.
func CheckScope(sources, types []string) error {
	if len(sources) > keydoc.MaxPatterns || len(types) > keydoc.MaxPatterns {
		return fmt.Errorf("more than %d patterns", keydoc.MaxPatterns)
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
	return errors.Join(keydoc.NoRepetition("source pattern", sources),
		keydoc.NoRepetition("type pattern", types))
}
