package envelope_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
)

// soundCases are verified.
func soundCases(l *vectorList) {
	l.add("ok-ed25519",
		"an ordinary event: Ed25519, JSON data, extensions of several types, traceparent unsigned", "", nil)
	l.add("ok-es256", "the same under ECDSA P-256 with SHA-256, raw r||s", "",
		func(c *vcase) { c.plan.By[0] = signedBy("es256") })
	l.add("ok-two-signatures", "two keys of one producer, as during a rotation: both count", "",
		func(c *vcase) { c.plan = order("orders", "next") })
	l.add("ok-two-algorithms", "Ed25519 and ES256 on one event", "",
		func(c *vcase) { c.plan = order("es256", "orders") })
	l.add("ok-required-attributes-only", "no optional attribute, no extension but recordedtime, no data", "",
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Del("subject", "time", "audience", "sampledrate", "tenant", "vip",
				"traceparent", "data")
		})
	l.add("ok-no-time", "the member \"sealbus\" has no time when the event has none", "",
		content(del("time")))
	l.add("ok-dataschema", "dataschema is part of the core digest", "",
		content(set("dataschema", `"https://schema.example/order#2"`)))
	l.add("ok-unicode", "attributes are hashed as UTF-8, escaped on the wire or not", "", func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("subject", `"größe/\u65e5本 \ud83d\ude00"`).Set("tenant", `"ünï\"\\"`)
	})
	l.add("ok-member-order", "the order of members on the wire does not matter", "",
		onWire(func(o mint.Object) mint.Object {
			o = slices.Clone(o)
			slices.Reverse(o)
			return o
		}))
	l.add("ok-white-space", "nor does white space around them", "", func(c *vcase) {
		c.text = func(s string) string { return " \r\n" + strings.ReplaceAll(s, `,"`, " ,\t\n\"") + "\n " }
		c.plan.Event = c.plan.Event.Set("data", `{"order":"o-1"}`)
	})
	l.add("ok-escaped-member-name", "member names are compared after unescaping", "",
		text(`"subject"`, `"\u0073ubject"`))
	l.add("ok-null-attribute", "an attribute that is JSON null is absent", "",
		onWire(set("dataschema", "null")))
	l.add("ok-empty-attribute", "an optional attribute that is empty is absent", "",
		onWire(set("dataschema", `""`)))
	l.add("ok-null-extension", "so is an extension", "", onWire(set("other", "null")))
	l.add("ok-strict-drops-unsigned", "mode strict: an unsigned extension is dropped", "",
		onWire(set("forged", `"yes"`)))
	l.add("ok-passthrough", "mode passthrough: unsigned extensions come back beside the event", "",
		func(c *vcase) {
			c.plan.Wire = set("forged", `"yes"`)
			c.options.Mode = "passthrough"
			c.vector.Unverified = map[string]string{"forged": "yes",
				"traceparent": mint.Unquote(c.plan.Event.Get("traceparent"))}
		})
	l.add("ok-core-only", "mode core-only: no extension comes back", "", func(c *vcase) {
		c.options.Mode = "core-only"
		p := c.plan
		p.CoreOnly = true
		c.vector.Event = p.Opened()
	})
	l.add("core-only-verifies-extensions", "mode core-only verifies what it does not return",
		envelope.ReasonModified, func(c *vcase) {
			c.options.Mode = "core-only"
			c.plan.Wire = set("tenant", `"evil"`)
		})
	typedCases(l)
}

// typedCases are about the types of extensions, and about what the event of the SDK can hold.
func typedCases(l *vectorList) {
	l.add("ok-boolean-as-string", "a re-typed value is read from its text under the signed type", "",
		onWire(set("vip", `"true"`)))
	l.add("ok-integer-as-string", "a re-typed value is read from its text under the signed type", "",
		onWire(set("sampledrate", `"5"`)))
	l.add("ok-string-as-integer", "a String extension whose text was turned into a number", "",
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("tenant", `"17"`)
			c.plan.Wire = set("tenant", "17")
		})
	l.add("ok-string-as-boolean", "a String extension whose text was turned into a boolean", "",
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("tenant", `"false"`)
			c.plan.Wire = set("tenant", "false")
		})
	l.add("ok-negative-integer", "the smallest Integer", "", content(set("sampledrate", "-2147483648")))
	l.add("ok-uri-types", "a URI extension, a documented URI-reference and a documented Boolean", "",
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("docs", `"https://docs.example/x?y=1"`).Set("dataref",
				`"/blobs/7"`).Set("deprecated", "true")
			c.plan.Types = map[string]string{"docs": "URI"}
		})
	l.add("ok-timestamp-extension",
		"a Timestamp extension whose zone was changed on the way: the same instant", "", func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("due", `"2026-12-01T00:00:00Z"`)
			c.plan.Types = map[string]string{"due": "Timestamp"}
			c.plan.Wire = set("due", `"2026-12-01T02:00:00+02:00"`)
		})
	l.add("ok-binary-extension", "a Binary extension that the consumer declares", "", func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("token", `"AAH/"`)
		c.plan.Types = map[string]string{"token": "Binary"}
		c.options.ExtensionTypes = c.plan.Types
	})
	l.add("binary-extension-undeclared", "a Binary extension that the consumer does not declare",
		envelope.ReasonUnsupported, func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("token", `"AAH/"`)
			c.plan.Types = map[string]string{"token": "Binary"}
		})
	l.add("binary-extension-respelled", "a Binary extension with non-zero trailing bits",
		envelope.ReasonModified, func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("token", `"AAE="`)
			c.plan.Types = map[string]string{"token": "Binary"}
			c.options.ExtensionTypes = c.plan.Types
			c.plan.Wire = set("token", `"AAF="`)
		})
	l.add("ok-longest-name", "an attribute name of 64 characters", "",
		content(set(strings.Repeat("n", 64), `"x"`)))
	l.add("ok-128-extensions", "the most extensions that are read", "", func(c *vcase) {
		c.plan.Event = c.plan.Event.Del("traceparent")
		for i := 4; i < 127; i++ {
			c.plan.Event = c.plan.Event.Add(fmt.Sprintf("x%d", i), `"v"`)
		}
	})
	l.add("ok-longest-attribute", "an attribute of 8 KiB", "",
		content(set("subject", mint.Quote(strings.Repeat("s", 8192)))))
	l.add("source-rewritten-by-url", "a source that the SDK's URL type would rewrite",
		envelope.ReasonUnsupported, content(set("source", `"https://orders.example/{eu}"`)))
	l.add("source-no-url", "a source that the SDK's URL type cannot hold", envelope.ReasonUnsupported,
		content(set("source", `"https://orders.example/%zz"`)))
	l.add("dataschema-rewritten-by-url", "a dataschema that the SDK's URL type would rewrite",
		envelope.ReasonUnsupported, content(set("dataschema", `"HTTPS://schema.example/"`)))
	l.add("extension-rewritten-by-url", "a URI-reference that the SDK's URL type would rewrite",
		envelope.ReasonUnsupported, content(set("dataref", `"HTTPS://blobs.example/"`)))
}

// content is a change of what is signed.
func content(change func(mint.Object) mint.Object) func(*vcase) {
	return func(c *vcase) { c.plan.Event = change(c.plan.Event) }
}

// onWire is a change after signing.
func onWire(change func(mint.Object) mint.Object) func(*vcase) {
	return func(c *vcase) { c.plan.Wire = change }
}

// text is a change of the input's text.
func text(old, with string) func(*vcase) { return func(c *vcase) { c.text = replace(old, with) } }

// syntaxCases are no well-formed CloudEvents.
func syntaxCases(l *vectorList) {
	malformed := func(name, about string, change func(*vcase)) {
		l.add("event-"+name, about, envelope.ReasonMalformed, change)
	}
	malformed("empty", "no bytes", func(c *vcase) { c.text = always("") })
	malformed("truncated", "the last byte is missing",
		func(c *vcase) { c.text = func(s string) string { return s[:len(s)-1] } })
	malformed("trailing-bytes", "bytes after the event",
		func(c *vcase) { c.text = func(s string) string { return s + "{}" } })
	malformed("trailing-nul", "a NUL byte after the event",
		func(c *vcase) { c.text = func(s string) string { return s + "\x00" } })
	malformed("byte-order-mark", "a byte order mark before the event",
		func(c *vcase) { c.text = func(s string) string { return "\uFEFF" + s } })
	malformed("array", "a batch is no event", func(c *vcase) { c.text = func(s string) string { return "[" + s + "]" } })
	malformed("comment", "JSON has no comments", text(`{"specversion"`, `{/**/"specversion"`))
	malformed("trailing-comma", "JSON has no trailing commas",
		func(c *vcase) { c.text = func(s string) string { return s[:len(s)-1] + ",}" } })
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype",
		"data", "dssematerial", "tenant"} {
		malformed("duplicate-"+name, "a member twice, with the same value",
			onWire(func(o mint.Object) mint.Object { return o.Add(name, o.Get(name)) }))
	}
	malformed("duplicate-other-value", "a member twice: which of the two was signed?",
		onWire(add("id", `"A234-1235"`)))
	malformed("duplicate-null", "a member twice, once null", onWire(add("subject", "null")))
	malformed("duplicate-escaped", "a member twice, once with an escaped name",
		text(`"source"`, `"\u0069d":"x","source"`))
	malformed("no-specversion", "specversion is missing", onWire(del("specversion")))
	malformed("specversion-0.3", "an older CloudEvents", onWire(set("specversion", `"0.3"`)))
	malformed("specversion-number", "specversion as a number", onWire(set("specversion", "1.0")))
	for _, name := range []string{"id", "source", "type"} {
		malformed("no-"+name, "a required attribute is missing", onWire(del(name)))
		malformed("empty-"+name, "a required attribute is empty", onWire(set(name, `""`)))
	}
	malformed("null-id", "a required attribute is null", onWire(set("id", "null")))
	malformed("number-id", "an attribute of the standard is a number", onWire(set("id", "1")))
	malformed("boolean-subject", "an attribute of the standard is a boolean", onWire(set("subject", "true")))
	attributeTextCases(malformed)
	extensionSyntaxCases(malformed)
	timeSyntaxCases(malformed)
	l.add("event-attribute-too-long", "an attribute of more than 8 KiB", envelope.ReasonTooLarge,
		onWire(set("subject", mint.Quote(strings.Repeat("s", 8193)))))
	l.add("event-extension-too-long", "an extension of more than 8 KiB", envelope.ReasonTooLarge,
		onWire(set("tenant", mint.Quote(strings.Repeat("s", 8193)))))
	l.add("event-129-extensions", "more than 128 extensions", envelope.ReasonTooLarge,
		onWire(func(o mint.Object) mint.Object {
			for i := range 129 {
				o = o.Add(fmt.Sprintf("x%d", i), `"v"`)
			}
			return o
		}))
}

func attributeTextCases(malformed func(name, about string, change func(*vcase))) {
	malformed("control-character", "a control character in an attribute",
		onWire(set("subject", `"order\u0007"`)))
	malformed("c1-control-character", "U+0085 in an attribute", onWire(set("subject", `"order\u0085"`)))
	malformed("noncharacter", "U+FFFE in an attribute", onWire(set("subject", `"order\ufffe"`)))
	malformed("raw-newline", "an unescaped newline in a string", onWire(set("subject", "\"order\n\"")))
	malformed("lone-surrogate", "an unpaired surrogate in an attribute",
		onWire(set("subject", `"order\ud800"`)))
	malformed("lone-low-surrogate", "an unpaired low surrogate in an attribute",
		onWire(set("subject", `"order\udc00"`)))
	malformed("invalid-utf8", "a byte that is not UTF-8 in an attribute", text("order/1", "order/\xff"))
	malformed("overlong-utf8", "an overlong encoding of \"/\" in an attribute",
		text("order/1", "order\xc0\xaf1"))
	malformed("surrogate-utf8", "a surrogate encoded as UTF-8 in an attribute",
		text("order/1", "order\xed\xa0\x801"))
	malformed("bad-escape", "an escape that JSON does not have", onWire(set("subject", `"order\x31"`)))
}

func extensionSyntaxCases(malformed func(name, about string, change func(*vcase))) {
	for name, value := range map[string]string{
		"object": `{"a":1}`, "array": `[1]`, "fraction": "1.0", "exponent": "1e1", "negative-zero": "-0",
		"leading-zero": "05", "too-large-integer": "2147483648", "too-small-integer": "-2147483649",
		"bare-word": "acme",
	} {
		malformed("extension-"+name, "an extension is a string, a boolean or a plain 32-bit integer",
			onWire(set("tenant", value)))
	}
	for name, attribute := range map[string]string{
		"upper-case": "Tenant",
	} {
		malformed("name-"+name, "an attribute name has 1 to 64 characters of a-z and 0-9",
			onWire(add(attribute, `"x"`)))
	}
}

func timeSyntaxCases(malformed func(name, about string, change func(*vcase))) {
	for name, value := range map[string]string{
		"date": "2026-11-21", "lower-case": "2026-11-21t11:59:00z", "space": "2026-11-21 11:59:00Z",
		"second-60": "2026-11-21T11:59:60Z",
		"hour-24":   "2026-11-21T24:00:00Z", "no-leap-year": "2026-02-29T11:59:00Z",
		"ten-digits": "2026-11-21T11:59:00.1230000000Z",
		"no-digits":  "2026-11-21T11:59:00.Z", "comma": "2026-11-21T11:59:00,123Z",
		"short-zone": "2026-11-21T11:59:00+01", "year-0": "0000-01-01T00:00:00Z",
		"zone-24": "2026-11-21T11:59:00+24:00",
	} {
		malformed("time-"+
			name, "time is RFC 3339 with at most nine digits of a second, T and Z in upper case",
			onWire(set("time", mint.Quote(value))))
	}
}

// dataCases are about the bytes of the data.
func dataCases(l *vectorList) {
	same := func(name, about, data string) { l.add("ok-data-"+name, about, "", onWire(set("data", data))) }
	same("white-space", "data re-serialised with white space",
		` { "lines" : [ { "n" : 2 , "sku" : "é-1" } ] , "order":"o-1","total":12.5 } `)
	same("member-order", "data re-serialised with members in another order",
		`{"total":12.5,"order":"o-1","lines":[{"sku":"é-1","n":2}]}`)
	same("escapes", "data re-serialised with escapes, in names too",
		`{"lines":[{"n":2,"sku":"\u00e9-1"}],"\u006frder":"o\u002d1","total":12.5}`)
	same("number-12.50", "12.5 respelled as 12.50",
		`{"lines":[{"n":2,"sku":"é-1"}],"order":"o-1","total":12.50}`)
	same("number-1.25e1", "12.5 respelled as 1.25e1",
		`{"lines":[{"n":2,"sku":"é-1"}],"order":"o-1","total":1.25e1}`)
	same("number-2.0", "2 respelled as 2.0", `{"lines":[{"n":2.0,"sku":"é-1"}],"order":"o-1","total":12.5}`)
	same("number-0.2e1", "2 respelled as 0.2e1",
		`{"lines":[{"n":0.2e1,"sku":"é-1"}],"order":"o-1","total":12.5}`)
	other := func(name, about, data string) {
		l.add("data-"+name, about, envelope.ReasonModified, onWire(set("data", data)))
	}
	other("changed", "another value", `{"lines":[{"n":2,"sku":"é-1"}],"order":"o-2","total":12.5}`)
	other("number-changed", "another number", `{"lines":[{"n":3,"sku":"é-1"}],"order":"o-1","total":12.5}`)
	other("retyped", "a number turned into a string",
		`{"lines":[{"n":2,"sku":"é-1"}],"order":"o-1","total":"12.5"}`)
	other("member-added", "another member",
		`{"lines":[{"n":2,"sku":"é-1"}],"order":"o-1","total":12.5,"x":null}`)
	other("member-removed", "a member less", `{"lines":[{"n":2,"sku":"é-1"}],"order":"o-1"}`)
	other("array-order", "the order of an array has a meaning",
		`{"lines":[{"n":2,"sku":"é-1"},1],"order":"o-1","total":12.5}`)
	other("normalised", "another Unicode normalisation is another string",
		`{"lines":[{"n":2,"sku":"e\u0301-1"}],"order":"o-1","total":12.5}`)
	other("nearly-the-number", "a number that only rounds to the signed one",
		`{"lines":[{"n":2,"sku":"é-1"}],"order":"o-1","total":12.5000000000000000001}`)
	other("uncanonical", "other data, which has no canonical form",
		`{"lines":[],"order":"o-1","total":1e400}`)
	other("null", "data null", `null`)
	other("empty-string", "a JSON string is data, an empty one too", `""`)
	l.add("data-removed", "no data", envelope.ReasonModified, onWire(del("data")))
	dataNumberCases(l)
	dataFormCases(l)
	dataSyntaxCases(l)
	base64Cases(l)
}

// dataNumberCases are pairs of the signed spelling of a number and another.
func dataNumberCases(l *vectorList) {
	for _, c := range []struct{ name, signed, sent, about string }{
		{"zero", "0", "-0.0e5", "negative zero is zero"},
		{"large-integer", "9007199254740993", "9007199254740993.0", "an integer beyond 2^53 is exact"},
		{"21-digits", "100000000000000000000", "1e20", "an integer of 21 digits is written in plain digits"},
		{"999999999999999999999", "999999999999999999999", "999999999999999999999.0",
			"the largest integer in plain digits"},
		{"22-digits", "1e+21", "1000000000000000000000",
			"an integer of 22 digits is written with an exponent"},
		{"small", "1e-7", "0.0000001", "RFC 8785 writes small numbers with an exponent"},
		{"not-so-small", "0.000001", "1E-6", "and not so small ones without"},
		{"shortest", "5e-324", "5.0e-324", "the smallest float64"},
		{"0.1", "0.1", "1e-1", "0.1 is its float64's shortest form"},
	} {
		l.add("ok-number-"+c.name, c.about, "", func(v *vcase) {
			v.plan.Event = v.plan.Event.Set("data", "["+c.signed+"]")
			v.plan.Wire = set("data", "["+c.sent+"]")
		})
	}
	for _, c := range []struct{ name, signed, sent, about string }{
		{"2-53", "9007199254740992", "9007199254740993", "two integers with one float64 are two numbers"},
		{"overflow", "1e+21", "1e400", "a number beyond float64 has no canonical form"},
		{"underflow", "0", "1e-400", "a number below float64 is not zero"},
		{"not-shortest", "0.1", "0.10000000000000001",
			"a number that is not its float64's shortest form has no canonical form"},
	} {
		l.add("data-number-"+c.name, c.about, envelope.ReasonModified, func(v *vcase) {
			v.plan.Event = v.plan.Event.Set("data", "["+c.signed+"]")
			v.plan.Wire = set("data", "["+c.sent+"]")
		})
	}
}

// dataFormCases are about which member carries the data, and as what.
func dataFormCases(l *vectorList) {
	b64 := func(s string) string { return mint.Quote(base64.StdEncoding.EncodeToString([]byte(s))) }
	l.add("ok-no-data", "an event without data", "", content(del("data")))
	for name, value := range map[string]string{"null": "null", "true": "true", "number": "0", "string": `"x"`,
		"empty-string": `""`, "empty-object": "{}", "empty-array": "[]"} {
		l.add("ok-json-"+name, "JSON data need be no object", "", content(set("data", value)))
	}
	l.add("ok-data-as-base64", "JSON data that was moved to data_base64", "",
		onWire(func(o mint.Object) mint.Object {
			return o.Del("data").Add("data_base64", b64(o.Get("data")))
		}))
	l.add("ok-data-as-base64-reserialised", "JSON data that was re-serialised and moved to data_base64", "",
		onWire(func(o mint.Object) mint.Object {
			return o.Del("data").Add("data_base64", b64(strings.ReplaceAll(o.Get("data"), ":", " : ")+"\n"))
		}))
	l.add("ok-exact", "JSON data in data_base64, signed byte for byte", "",
		content(func(o mint.Object) mint.Object {
			return o.Del("data").Add("data_base64", b64(`{ "b": 1.0, "a": 0.10000000000000001 }`))
		}))
	l.add("ok-exact-as-data", "exact JSON data that was moved to data without a change", "", func(c *vcase) {
		c.plan.Data = []byte(`{ "b": 1.0, "a": 2 }`)
		c.plan.Event = c.plan.Event.Set("data", string(c.plan.Data))
	})
	l.add("exact-reserialised", "exact JSON data does not survive being re-serialised",
		envelope.ReasonModified, func(c *vcase) {
			c.plan.Data = []byte(`{ "b": 1.0, "a": 2 }`)
			c.plan.Event = c.plan.Event.Set("data", `{"a":2,"b":1}`)
		})
	l.add("ok-binary-data", "data that is not JSON", "",
		binary("image/png", "data_base64", b64("\x89PNG\r\n\x1a\n\x00\xff")))
	l.add("ok-text-data", "text data in the member data opens as binary", "",
		binary("text/plain", "data", `"gr\u00fc\u00df\n"`))
	l.add("ok-text-data-as-base64", "text data that was moved to data_base64", "", func(c *vcase) {
		binary("text/plain", "data", `"grüß"`)(c)
		c.plan.Wire = func(o mint.Object) mint.Object { return o.Del("data").Add("data_base64", b64("grüß")) }
	})
	l.add("ok-binary-data-as-text", "binary data that is UTF-8 and was moved to data", "", func(c *vcase) {
		binary("application/octet-stream", "data_base64", b64("grüß"))(c)
		c.plan.Wire = func(o mint.Object) mint.Object { return o.Del("data_base64").Add("data", `"grüß"`) }
	})
	l.add("ok-empty-text", "empty text is no data", "", func(c *vcase) {
		binary("text/plain", "data", `""`)(c)
		c.plan.Wire = del("data")
	})
	l.add("ok-empty-base64", "empty data_base64 is no data", "", func(c *vcase) {
		c.plan.Event = c.plan.Event.Del("data")
		c.plan.Wire = add("data_base64", `""`)
	})
	l.add("ok-null-base64", "data_base64 null is no data", "", onWire(add("data_base64", "null")))
	for name, ct := range map[string]string{
		"suffix": "application/vnd.example.order+json", "case": "Application/JSON",
		"parameters": "application/json; charset=utf-8; x=\"text/plain\"",
		"text-json":  "text/json", "suffix-case": "application/cloudevents+JSON",
	} {
		l.add("ok-json-type-"+name, "JSON is the subtype json or +json, in any case, whatever the parameters",
			"", func(c *vcase) {
				c.plan.Event = c.plan.Event.Set("datacontenttype", mint.Quote(ct))
				c.plan.Wire = set("data", `{"order":"o-1","total":12.50,"lines":[{"n":2,"sku":"é-1"}]}`)
			})
	}
	for name, ct := range map[string]string{"json-seq": "application/json-seq",
		"json-in-parameter": `text/plain; a="/json"`, "jsonp": "application/jsonp"} {
		l.add("ok-no-json-type-"+name, "not a JSON content type: data is text, and not canonicalised", "",
			binary(ct, "data", `"{\"a\": 1}"`))
	}
	l.add("text-data-changed", "text is signed byte for byte", envelope.ReasonModified, func(c *vcase) {
		binary("text/plain", "data", `"{\"a\":1}"`)(c)
		c.plan.Wire = set("data", `"{\"a\": 1}"`)
	})
}

// binary gives the event data of another content type.
func binary(contentType, member, value string) func(*vcase) {
	return func(c *vcase) {
		c.plan.Event = c.plan.Event.Del("data").Set("datacontenttype", mint.Quote(contentType)).Add(member,
			value)
	}
}

// dataSyntaxCases are malformed although every digest matches.
func dataSyntaxCases(l *vectorList) {
	signed := func(name, about, data string) {
		l.add("data-"+name, about+", although the digest matches", envelope.ReasonMalformed,
			content(set("data", data)))
	}
	signed("duplicate", "a duplicate member in data", `{"a":1,"a":1}`)
	signed("duplicate-nested", "a duplicate member deep in data", `{"a":[{"b":{"c":1,"d":2,"c":3}}]}`)
	signed("duplicate-escaped", "a duplicate member in data, once escaped", `{"a":1,"\u0061":1}`)
	signed("duplicate-empty-name", "an empty member name twice", `{"":1,"":2}`)
	signed("depth-65", "data nested 65 deep", strings.Repeat("[", 65)+strings.Repeat("]", 65))
	signed("lone-surrogate", "an unpaired surrogate in data", `"\ud83d"`)
	signed("swapped-surrogates", "a low surrogate before its high one", `"\ude00\ud83d"`)
	signed("lone-surrogate-in-name", "an unpaired surrogate in a member name", `{"\ud83d":1}`)
	signed("invalid-utf8", "a byte that is not UTF-8 in data", "\"\xff\"")
	signed("leading-zero", "a number with a leading zero", `[01]`)
	signed("plus", "a number with a plus sign", `[+1]`)
	signed("nan", "no number", `[NaN]`)
	signed("bare-fraction", "a number that begins with a point", `[.5]`)
	signed("trailing-comma", "a trailing comma", `[1,]`)
	signed("control-character", "an unescaped control character", "\"a\tb\"")
	l.add("ok-data-depth-64", "data nested 64 deep", "",
		content(set("data", strings.Repeat("[", 64)+strings.Repeat("]", 64))))
	both := func(o mint.Object) mint.Object { return o.Add("data_base64", `"e30="`) }
	l.add("data-twice", "data and data_base64", envelope.ReasonMalformed, onWire(both))
	l.add("data-empty-twice", "data, and an empty data_base64", envelope.ReasonMalformed,
		onWire(add("data_base64", `""`)))
	l.add("data-not-a-string", "data that is not JSON must be a string", envelope.ReasonMalformed,
		binary("text/plain", "data", `{"a":1}`))
	l.add("data-base64-not-json", "data_base64 is not the JSON that datacontenttype says",
		envelope.ReasonMalformed, binary("application/json", "data_base64", `"/w=="`))
	l.add("data-base64-two-values", "data_base64 holds two JSON values", envelope.ReasonMalformed,
		binary("application/json", "data_base64", `"e30ge30="`))
	l.add("data-base64-duplicate", "data_base64 holds a duplicate member", envelope.ReasonMalformed,
		binary("application/json", "data_base64", `"eyJhIjoxLCJhIjoxfQ=="`))
	l.add("data-base64-only-space", "data_base64 holds no JSON value", envelope.ReasonMalformed,
		binary("application/json", "data_base64", `"IA=="`))
}

// base64Cases are one value in several spellings: all but one are refused.
func base64Cases(l *vectorList) {
	for name, text := range map[string]string{
		"unpadded": `"+/8"`, "url-alphabet": `"-_8="`, "trailing-bits": `"+/9="`, "newline": `"+/8=\n"`,
		"newline-inside":  `"+/\n8="`,
		"carriage-return": `"+/8=\r"`, "space": `"+/8= "`, "over-padded": `"+/8=="`,
		"padding-inside": `"+/8=+/8="`, "one-character": `"+"`, "number": `5`,
	} {
		l.add("data-base64-"+
			name, "data_base64 is standard, padded, with zero trailing bits, and nothing else",
			envelope.ReasonMalformed, func(c *vcase) {
				binary("image/png", "data_base64", `"+/8="`)(c)
				c.plan.Wire = set("data_base64", text)
			})
	}
}
