package keys

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckSource(t *testing.T) {
	for _, ok := range []string{
		"https://orders.example/eu/1", "https://orders.example", "https://orders.example:8443/x",
		"HTTPS://Orders.Example/x",
		"/orders", "orders", "example/uri", "urn:example:orders",
		"urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
		"mailto:cncf@example.com", "aws.partner/example.com/x", "file:///var/x", "https://h/a..b/...",
		"https://h/.well-known/x",
		"https://h/a?b=c#d", "https://h/%41%zz%", "https://[::1]:80/x", "//h/x", "https://h/é",
		"https://h/a//b", "https://h/a@b",
		"tag:example.com,2026:x",
		"https://h/a;v=1/b", "https://h/;x/b", "https://h/a%3Bv=1", "https://h/100%25", "https://h/a%252520b",
		"https://h/a%20b", "https://h/%20/x",
		"https://h/caf%E9", "https://h/%C3%A9", "https://h/..a;x", "https://h/.a%20", "https://h/a..;x/b",
		"https://h/x?discount%25used",
	} {
		if err := CheckSource(ok); err != nil {
			t.Errorf("%q is refused: %v", ok, err)
		}
	}
	for _, bad := range []string{
		"",
		"https://user@orders.example/x", "https://orders.example:@evil.example/x",
		"https://a%40evil.example/x", "//u@h/x", "https://u:p@h",
		"https://h/../x", "https://h/./x", "https://h/a/..", "https://h/a/.", "..", ".", "../x", "a/../b",
		"urn:x/../y",
		"https://h/%2e%2e/x", "https://h/%2E./x", "https://h/.%2e", "https://h/%2e", "%2e%2e",
		"https://h/a?x/../y", "https://h/a#/../y", "https://h?..", "https://h#.",
		"https://h/a%2fb", "https://h/a%2Fb", "https://h/a%5cb", "https://h/a%5Cb",
		"https://good.example%2f.evil.example/x", "%2f",
		"https://h/a/..;/b", "https://h/a/..;x=1/b", "https://h/a/.;/b", "https://h/a/..;", "..;/x",
		"https://h/a?x/..;/y",
		"https://h/a/%2e%2e;/b", "https://h/a/..%3b/b", "https://h/a/..%3Bx/b", "https://h/a/%2E%2e%3b/b",
		"https://h/a/%252e%252e/b", "https://h/a/%25252e./b", "https://h/a/%25%32%65./b",
		"https://h/a/%%32e./b", "https://h/a/..%253b/b",
		"https://h/a%252fb", "https://h/a%25255Cb", "https://h/%2525252520", "https://h%252f.evil.example/x",
		"https://u%2540h/x",
		"https://h/a/..%20/b", "https://h/a/%20../b", "https://h/a/..%20./b", "https://h/a/.%20/b",
		"https://h/a/..%3f/b", "https://h/a/..%23/b",
		"https://h/a/..%00/b", "https://h/a%00", "https://h/a%0d%0ab", "https://h/a%7F", "https://h/a%2500",
		"https://h/%c0%ae%c0%ae/x", "https://h/a%c0%afb", "https://h/a%C1%9Cb", "https://h/%e0%80%ae/x",
		"https://h/a%f0%80%80%afb",
		"https://h/%u002e%u002e/x", "https://h/a%U2215b", "https://h/\uff0e\uff0e/x",
		"https://h/%ef%bc%8e%ef%bc%8e/x", "https://h/\u2025/x", "https://h/a\uff0fb",
		`https://h/a\b`, `\\h\x`, `https:\\h\x`,
		"//", "///x", "////x", "https://", "https:////evil.example", "https://?x", "https://#x",
		"https://h/a b", "https://h/a\tb", "https://h/a\n", " https://h", "https://h/\x00", "https://h/\x7f",
	} {
		if CheckSource(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// All characters whose compatibility form (NFKC) has one of . / \ ; ? # % @ in it, as Unicode 16 has them. In
// a path, "%EF%B8%B0" is U+FE30, which normalisation makes "..".
func TestCheckSourceNormalised(t *testing.T) {
	for r := rune(0x80); r < 0x20000; r++ { // there are none beyond
		want := strings.ContainsRune("\u037e\u2024\u2025\u2026\u2047\u2048\u2049\u2100\u2101\u2105\u2106\u33c2\u33c7\u33d8"+
			"\ufe14\ufe16\ufe19\ufe30\ufe52\ufe54\ufe56\ufe5f\ufe68\ufe6a\ufe6b\uff03\uff05\uff0e\uff0f\uff1b\uff1f\uff20\uff3c"+
			"\U0001f100", r) || 0x2488 <= r && r <= 0x249b
		if err := CheckSource("https://h/a/" + url.PathEscape(string(r)) + "/b"); r != utf8.RuneError &&
			(err != nil) != want {
			t.Errorf("%U: %v", r, err)
		}
	}
}

// The refusal names the escape that is the reason for it.
func TestCheckSourceNamesTheEscape(t *testing.T) {
	for source, want := range map[string]string{
		"https://git.example/api/projects/a%2fb": "%2F", "https://h/a%5cb": "%5C", "https://h/a%252Fb": "%2F",
		"https://h/a%0ab":    "%0A",
		"https://h/a/..;x/b": `"..;x"`, "https://h/\uff0e/b": "U+FF0E", "https://h/%c0%ae/": "overlong",
		"https://h/%u002e/":     "%u002e",
		"https://h/%2525252520": "3 times",
	} {
		for what, err := range map[string]error{"source": CheckSource(source),
			"pattern": CheckSourcePattern(source + "/*")} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %q: %v, does not name %s", what, source, err, want)
			}
		}
	}
}

func TestMatchSource(t *testing.T) {
	for _, c := range []struct {
		pattern, source string
		want            bool
	}{
		{"https://orders.example/eu", "https://orders.example/eu", true},
		{"https://orders.example/eu", "https://orders.example/eu/", false},
		{"https://orders.example/eu", "https://orders.example/e", false},
		{"https://orders.example/*", "https://orders.example/eu", true},
		{"https://orders.example/*", "https://orders.example/eu/1?x#y", true},
		{"https://orders.example/*", "https://orders.example/", false}, // the remainder is not empty
		{"https://orders.example/*", "https://orders.example", false},
		{"https://orders.example/*", "https://orders.example.evil.example/x", false},
		{"https://orders.example/*", "https://orders.example:8443/x", false},
		{"https://orders.example/*", "https://ORDERS.example/x", false}, // nothing is normalised
		{"https://orders.example/*", "HTTPS://orders.example/x", false},
		{"https://orders.example/*", "http://orders.example/x", false},
		{"https://orders.example/*", "https://orders.example/../x", false},
		{"https://orders.example/*", "https://orders.example/%2e%2e/x", false},
		{"https://orders.example/*", "https://orders.example/a%2Fb", false},
		{"https://orders.example/*", `https://orders.example/\evil.example`, false},
		{"https://orders.example/*", "https://orders.example//evil.example/x", true}, // a path of that host
		{"https://orders.example/eu/*", "https://orders.example/eu/x", true},
		{"https://orders.example/eu/*", "https://orders.example/euro", false},
		{"https://orders.example/eu/*", "https://orders.example/eu/../us", false},
		{"https://example.com:*", "https://example.com:@evil.example/x", false},
		{"https://example.com:*", "https://example.com:80/x", false},
		{"https://example.com:*", "https://example.com:*", false},
		{"https://*", "https://evil.example", false},
		{"https://*/x", "https://evil.example/x", false},
		{"https://*.example/x", "https://a.example/x", false},
		{"https:/*", "https://evil.example/x", false},
		{"https:/*", "https:/x", true},
		{"*", "https://evil.example/x", false},
		{"*", "x", false},
		{"//*", "//evil.example/x", false},
		{"/*", "//evil.example/x", false},
		{"/*", "/orders", true},
		{"/*", "/", false},
		{"/orders/*", "/orders/1", true},
		{"/orders/*", "/orders//1", true},
		{"orders", "orders", true},
		{"orders*", "orders1", false},
		{"orders/*", "orders/1", true},
		{"//h/*", "//h/x", true},
		{"file:///var/*", "file:///var/x", true},
		{"urn:example:*", "urn:example:orders", true},
		{"urn:example:*", "urn:example:", false},
		{"urn:example:*", "urn:example2:orders", false},
		{"urn:example:*", "URN:example:orders", false},
		{"URN:example:*", "URN:example:orders", true},
		{"urn:example:orders:*", "urn:example:orders:1", true},
		{"urn:*", "urn:example:orders", false},
		{"urn:*", "urn://evil.example/x", false},
		{"urn:example*", "urn:example:orders", false},
		{"tag:example.com:*", "tag:example.com:x", false}, // ":*" is for urn: only
		{"https://h/a*/*", "https://h/a*/x", false},
		{"", "", false},
		{"", "x", false},
	} {
		if got := MatchSource([]string{"https://other.example/*", c.pattern}, c.source); got != c.want {
			t.Errorf("pattern %q, source %q: %v, want %v", c.pattern, c.source, got, c.want)
		}
	}
	if MatchSource(nil, "https://h/x") || MatchSource([]string{}, "https://h/x") {
		t.Error("no patterns allow something")
	}
}

func TestMatchType(t *testing.T) {
	for _, c := range []struct {
		pattern, typ string
		want         bool
	}{
		{"com.example.order.placed", "com.example.order.placed", true},
		{"com.example.order.placed", "com.example.order.placed2", false},
		{"com.example.order.*", "com.example.order.placed", true},
		{"com.example.order.*", "com.example.order.", false},
		{"com.example.order.*", "com.example.order", false},
		{"com.example.order.*", "com.example.orders.placed", false},
		{"com.example.order.*", "COM.example.order.placed", false},
		{"com.example.*", "com.example.order.placed", true},
		{"*", "anything", true},
		{"*", "", false},
		{".*", "anything", false},
		{"com*", "com.example", false},
		{"*.placed", "order.placed", false},
		{"com.*.placed", "com.x.placed", false},
		{"com/*", "com/x", false},
		{"com:*", "com:x", false},
		{"", "", false},
	} {
		if got := MatchType([]string{"other", c.pattern}, c.typ); got != c.want {
			t.Errorf("pattern %q, type %q: %v, want %v", c.pattern, c.typ, got, c.want)
		}
	}
	if MatchType(nil, "x") {
		t.Error("no patterns allow something")
	}
}

func TestCheckPatterns(t *testing.T) {
	for _, ok := range []string{
		"https://orders.example/*", "https://orders.example/eu", "https://orders.example", "/orders/*", "/*",
		"orders", "urn:example:*",
		"urn:example:a/*", "//h/*", "file:///*", "https://[::1]:80/*",
	} {
		if err := CheckSourcePattern(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "*", "https://*", "https://example.com:*", "https://example.com*", "https://*.example/*",
		"https://h/a*", "https://h/*/b", "https://h/**",
		"https://u@h/*", "https://h/../*", "https://h/%2e/*", "https://h/a%2fb/*", "//*", "///*", "urn:*",
		"urn::*", "urn:a*", "mailto:*", "https://h/a b/*",
		"https://h/\xff", "https://h/" + strings.Repeat("a", maxPattern),
	} {
		if CheckSourcePattern(bad) == nil {
			t.Errorf("source pattern %.40q is accepted", bad)
		}
	}
	for _, ok := range []string{"*", "com.example.*", "com.example.order", "order"} {
		if err := CheckTypePattern(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".*", "**", "a*", "*.a", "a.*.b", "a.**", "a b", "a\n", "a:*", "a\xff",
		strings.Repeat("a", maxPattern+1)} {
		if CheckTypePattern(bad) == nil {
			t.Errorf("type pattern %.40q is accepted", bad)
		}
	}
}

// A source that a valid pattern matches is on the pattern's own host, and below its path, in the eyes of
// net/url too.
func FuzzMatchSource(f *testing.F) {
	for _, p := range []string{"https://orders.example/*", "/orders/*", "/*", "urn:example:*", "//h/*",
		"https:/*", "file:///*", "https://h?/*"} {
		for _, s := range []string{"https://orders.example/x", "//evil.example/x",
			"https://orders.example/%2e%2e/x", "/orders/../x", "urn:example:x", "https:/x",
			`/\evil.example`} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, source string) {
		if CheckSourcePattern(pattern) != nil || !MatchSource([]string{pattern}, source) {
			return
		}
		prefix := strings.TrimSuffix(pattern, "*")
		if !strings.HasPrefix(source, prefix) {
			t.Fatalf("pattern %q matches %q", pattern, source)
		}
		p, errP := url.Parse(prefix)
		s, errS := url.Parse(source)
		if errP != nil || errS != nil {
			return
		}
		if p.Scheme != s.Scheme || p.Host != s.Host || s.User != nil {
			t.Errorf("pattern %q matches %q, which is on another host", pattern, source)
		}
		if below := s.JoinPath().Path; p.RawQuery == "" && !strings.Contains(pattern, "#") &&
			!strings.Contains(pattern, "?") &&
			!strings.HasPrefix(below, p.JoinPath().Path) {
			t.Errorf("pattern %q matches %q, whose path is %q", pattern, source, below)
		}
	})
}
