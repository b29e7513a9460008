package envelope_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
)

// httpEdit edits the lines and the content of an HTTP message in binary mode.
type httpEdit func(lines []string, content string) ([]string, string)

func asHTTP(lines []string, content string) ([]string, string) { return lines, content }

// line replaces the header line that begins with the name, or adds lines where there is none.
func line(name string, with ...string) httpEdit {
	return func(lines []string, content string) ([]string, string) {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+":") })
		if i < 0 {
			return append(lines, with...), content
		}
		return slices.Replace(lines, i, i+1, with...), content
	}
}

func newContent(with string) httpEdit {
	return func(lines []string, _ string) ([]string, string) { return lines, with }
}

// httpCases are events in the binary mode of HTTP.
func httpCases(l *vectorList) {
	soundHTTPCases(l)
	try := func(name, about string, expect envelope.Reason, edit httpEdit) {
		l.add("http-"+name, about, expect, func(c *vcase) { c.http = edit })
	}
	const malformed, modified = envelope.ReasonMalformed, envelope.ReasonModified
	id := "ce-id: A234-1234"
	try("line-twice", "two lines of one attribute, of one value", malformed, line("ce-id", id, id))
	try("line-twice-other-case", "two lines of one attribute: names ignore case", malformed,
		line("ce-id", id, "CE-ID: other"))
	try("line-twice-empty", "the second line of an attribute is empty", malformed,
		line("ce-subject", "ce-subject: order/1", "ce-subject:"))
	try("content-type-twice", "two lines Content-Type", malformed,
		line("Content-Type", "Content-Type: application/json", "content-type: application/json"))
	try("percent-no-digits", "a % without two hexadecimal digits", malformed,
		line("ce-subject", "ce-subject: order/1%zz"))
	try("percent-at-end", "a % at the end of the value", malformed,
		line("ce-subject", "ce-subject: order/1%2"))
	try("percent-overlong", "an encoded sequence that is no UTF-8: U+0020 in two bytes", malformed,
		line("ce-subject", "ce-subject: order%C0%A01"))
	try("percent-control", "an encoded control character", malformed,
		line("ce-subject", "ce-subject: order/1%0A"))
	try("percent-twice", "the value is percent-decoded once only", modified,
		line("ce-subject", "ce-subject: order%252F1"))
	try("control", "a control character in a value", malformed, line("ce-subject", "ce-subject: order/\x011"))
	try("quote-open", "a value that begins with a quote and does not end with one", malformed,
		line("ce-subject", `ce-subject: "order/1`))
	try("quote-escaped-end", "the last quote is escaped", malformed,
		line("ce-subject", `ce-subject: "order/1\"`))
	try("quote-within", "text after the quoted one", malformed,
		line("ce-subject", `ce-subject: "order"/1`))
	try("line-datacontenttype", "the content type has no line ce-datacontenttype", malformed,
		line("ce-datacontenttype", "ce-datacontenttype: application/json"))
	try("line-data", "data is no attribute", malformed, line("ce-data", "ce-data: e30="))
	try("line-bad-name", "a line that begins with ce- and names no attribute", malformed,
		line("ce-order-id", "ce-order-id: 1"))
	try("line-kelvin", "a name with the sign for Kelvin, whose lower case is a k", malformed,
		line("ce-x", "ce-to\u212aen: x"))
	try("line-long-s", "a name with a long s, whose upper case is an S", malformed,
		line("ce-subject", "ce-\u017fubject: order/1"))
	try("line-space-before-colon", "white space between a name and the colon", malformed,
		line("ce-subject", "ce-subject : order/1"))
	try("line-folded", "a line that goes on in the next one", malformed,
		line("ce-subject", "ce-subject: order/1", " and more"))
	try("line-no-colon", "a line without a colon", malformed, line("x", "x"))
	l.add("http-no-end", "no empty line after the header", malformed, func(c *vcase) {
		c.http, c.text = asHTTP, func(text string) string { return text[:strings.Index(text, "\r\n\r\n")+2] }
	})
	try("structured", "a Content-Type that says structured mode", malformed,
		line("Content-Type", "Content-Type: Application/CloudEvents+JSON"))
	try("content-no-json", "content that is not JSON, as the Content-Type says", malformed, newContent("{"))
	try("no-specversion", "no ce-specversion", malformed, line("ce-specversion"))
	try("unsigned", "no ce-dssematerial", envelope.ReasonUnsigned, line("ce-dssematerial"))
	try("changed-content", "the content was changed", modified, newContent(`{"order":"o-2"}`))
	try("no-content", "the content is missing", modified, newContent(""))
	try("changed-content-type", "the Content-Type was changed", modified,
		line("Content-Type", "Content-Type: application/json; charset=utf-8"))
	try("no-content-type", "the Content-Type is missing", modified, line("Content-Type"))
	try("changed-subject", "an attribute was changed", modified, line("ce-subject", "ce-subject: order/2"))
	try("changed-tenant", "a signed extension was changed", modified, line("ce-tenant", "ce-tenant: evil"))
	httpLimitCases(l)
}

func soundHTTPCases(l *vectorList) {
	ok := func(name, about string, edit httpEdit, change func(c *vcase)) {
		l.add("ok-http-"+name, about, "", func(c *vcase) {
			if c.http = edit; edit == nil {
				c.http = asHTTP
			}
			if change != nil {
				change(c)
			}
		})
	}
	ok("binary-mode", "an ordinary event in binary mode", nil, nil)
	upper := func(lines []string, content string) ([]string, string) {
		for i, l := range lines {
			name, value, _ := strings.Cut(l, ":")
			lines[i] = strings.ToUpper(name) + ":" + value
		}
		return lines, content
	}
	ok("names-any-case", "names of header lines ignore case", upper, nil)
	ok("line-order", "nor does their order matter", func(lines []string, content string) ([]string, string) {
		slices.Reverse(lines)
		return lines, content
	}, nil)
	ok("other-lines", "lines of other headers are skipped, also if there are two of them",
		line("host", "Host: orders.example", "x-y: 1", "x-y: 2", "traceparent: other", "ce: 1"), nil)
	ok("white-space", "white space around a value is no part of it",
		line("ce-subject", "ce-subject:\t order/1 \t"), nil)
	ok("empty-line", "a line without a value is an absent attribute",
		line("ce-dataschema", "ce-dataschema:"), nil)
	ok("unicode", "text beyond ASCII is percent-encoded", nil, func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("subject", `"größe 100% \u65e5本 \ud83d\ude00"`).
			Set("tenant", `"ünï\"\\"`)
	})
	ok("unicode-as-it-is", "or is there as UTF-8, with spaces and quotes",
		line("ce-subject", `ce-subject: größe "x" 1`), func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("subject", `"größe \"x\" 1"`)
		})
	ok("percent-needless", "what needs no encoding may be encoded, by digits in lower case",
		line("ce-subject", "ce-subject: %6frder%2f1"), nil)
	ok("quoted", "a quoted value", line("ce-subject", `ce-subject: "order/1"`), nil)
	ok("quoted-escapes", "a quoted value is unescaped, then percent-decoded",
		line("ce-subject", `ce-subject: "\or\"der%2F\\1"`),
		func(c *vcase) { c.plan.Event = c.plan.Event.Set("subject", `"or\"der/\\1"`) })
	ok("no-data", "an event without data", nil, func(c *vcase) { c.plan.Event = c.plan.Event.Del("data") })
	ok("binary-data", "data that is not JSON", nil, func(c *vcase) {
		c.plan.Event = c.plan.Event.Del("data").Set("datacontenttype", `"application/octet-stream"`).
			Add("data_base64", `"AAEC/w0KDQo="`)
	})
	ok("exact-json", "JSON that was signed byte for byte", nil, func(c *vcase) {
		c.plan.Data = []byte(` {"b":1.0, "a":2}` + "\n")
		encoded := mint.Quote(base64.StdEncoding.EncodeToString(c.plan.Data))
		c.plan.Event = c.plan.Event.Del("data").Add("data_base64", encoded)
	})
	ok("json-respelled", "JSON data that was re-serialised on its way", newContent(
		`{ "order" : "o-1", "total":1.25e1, "lines":[{"sku":"\u00e9-1","n":2}]}`), nil)
	ok("no-content-type", "an event of another implementation, without a content type", nil, func(c *vcase) {
		c.plan.Foreign = true
		c.plan.Event = c.plan.Event.Del("datacontenttype").Set("vip", `"yes"`).Set("tenant", `"acme2"`)
	})
	ok("delegated", "a delegated signature", nil,
		func(c *vcase) { c.plan = delegated("es256", "session") })
	ok("mldsa", "readers take ML-DSA in binary mode", nil, func(c *vcase) {
		c.plan, c.bundle = order("mldsa"), "bundles/hybrid.json"
	})
	ok("passthrough", "mode passthrough: unsigned extensions come back beside the event",
		line("ce-forged", "ce-forged: a%20b"), func(c *vcase) {
			c.options.Mode = "passthrough"
			c.vector.Unverified = map[string]string{"forged": "a b",
				"traceparent": mint.Unquote(c.plan.Event.Get("traceparent"))}
		})
	l.secretly()("ok-http-encrypted", "the JWE of all of the data is the content", "",
		func(c *vcase, _ *mint.Secret) { c.http = asHTTP })
	l.secretly("/total")("ok-http-encrypted-fields", "recipients in ce-jwerecipients", "",
		func(c *vcase, _ *mint.Secret) { c.http = asHTTP })
}

// httpLimitCases are exact to the byte.
func httpLimitCases(l *vectorList) {
	const tooLarge = envelope.ReasonTooLarge
	try := func(name, about string, expect envelope.Reason, repeated string, edit httpEdit) {
		l.add(name, about, expect, func(c *vcase) { c.repeated, c.http = repeated, edit })
	}
	header := func(n int) httpEdit {
		return func(lines []string, content string) ([]string, string) {
			pad := n - len(mint.HTTPText(append(lines, "x-y: "), ""))
			return append(lines, "x-y: "+strings.Repeat("z", pad)), content
		}
	}
	const maxHeader = 128 << 10
	try("ok-limit-http-header", "the most bytes of header lines, the empty one included", "", "z",
		header(maxHeader))
	try("limit-http-header", "more bytes of header lines", tooLarge, "z", header(maxHeader+1))
	content := func(n int) httpEdit {
		return func(lines []string, content string) ([]string, string) {
			return lines, content + strings.Repeat(" ", n-len(content))
		}
	}
	try("ok-limit-http-content", "the most bytes of content", "", " ", content(maxEvent))
	try("limit-http-content", "more bytes of content", tooLarge, " ", content(maxEvent+1))
	extensions := func(n int) httpEdit {
		return func(lines []string, content string) ([]string, string) {
			for i := range n { // beside audience, recordedtime, sampledrate, tenant, vip, traceparent
				lines = append(lines, fmt.Sprintf("ce-x%d:", i))
			}
			return lines, content
		}
	}
	try("ok-http-extensions", "128 lines of extensions, most of them empty", "", "", extensions(122))
	try("http-extensions", "129 lines of extensions, most of them empty", tooLarge, "", extensions(123))
}
