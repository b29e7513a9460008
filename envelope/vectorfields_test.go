package envelope_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
)

// fieldCases are events of which some members are encrypted.
func fieldCases(l *vectorList) {
	try := l.secretly("/total")
	openedFieldCases(l)
	try("ok-field-p256", "opened under P-256", "",
		func(c *vcase, _ *mint.Secret) { c.opener, c.options.Identities = "p256", openingWith("p256") })
	try("ok-field-required", "a field is required to be encrypted, and is; another is not there", "",
		func(c *vcase, _ *mint.Secret) {
			c.options.RequireEncryptedFields = []string{"/total", "/card"}
		})
	try("field-required-other", "another field is required to be encrypted", envelope.ReasonNotEncrypted,
		func(c *vcase, _ *mint.Secret) {
			c.options.RequireEncryptedFields = []string{"/order"}
		})
	try("field-required-whole", "all of the data is required to be encrypted, and only a field is",
		envelope.ReasonNotEncrypted, func(c *vcase, _ *mint.Secret) { c.options.RequireEncrypted = true })
	l.secretly("/lines/0")("field-required-outer",
		"a field is required to be encrypted of which only a part is", envelope.ReasonNotEncrypted,
		func(c *vcase, _ *mint.Secret) {
			c.options.RequireEncryptedFields = []string{"/lines"}
		})
	l.secretly("/lines")("ok-field-required-inner",
		"a field is required to be encrypted that lies within one that is", "",
		func(c *vcase, _ *mint.Secret) {
			c.options.RequireEncryptedFields = []string{"/lines/0/sku", "/lines/7"}
		})
	try("field-no-identity", "encrypted fields, and no identity", envelope.ReasonNotARecipient,
		func(c *vcase, _ *mint.Secret) { c.options.Identities = nil })
	try("field-stranger", "the identity is no recipient", envelope.ReasonNotARecipient,
		func(c *vcase, _ *mint.Secret) { c.options.Identities = openingWith("stranger") })
	recipientListCases(try)
	boundFieldCases(l, try)
	compactCases(try)
	paddingCases(try)
	pointerCases(l)
}

func openedFieldCases(l *vectorList) {
	for name, fields := range map[string][]string{
		"number": {"/total"}, "array": {"/lines"}, "element": {"/lines/0"}, "nested": {"/lines/0/sku"},
		"several": {"/total", "/lines/0/n", "/order"}, "root": {""},
	} {
		l.secretly(fields...)("ok-field-"+name, "the document is restored", "", nil)
	}
	odd := func(name, data string, fields ...string) {
		l.secretly(fields...)("ok-field-"+name, "the document is restored", "",
			func(c *vcase, _ *mint.Secret) { c.plan.Event = c.plan.Event.Set("data", data) })
	}
	odd("escaped-pointer", `{"":1,"a/b":2,"m~n":3,"~1":4}`, "/", "/a~1b", "/m~0n", "/~01")
	odd("32-bytes", `{"a":"`+strings.Repeat("x", 30)+`","b":"`+strings.Repeat("x", 31)+`"}`, "/a", "/b")
	odd("null", `{"a":null,"b":""}`, "/a", "/b")
	odd("number-name", `{"0":[1,2,3],"01":4}`, "/0/2", "/01")
	l.secretly("/total")("ok-field-embedded", "embedded in an EventBridge detail", "",
		func(c *vcase, _ *mint.Secret) { c.embed = true })
	l.secretly("/total")("ok-field-respelled", "the data was re-serialised on its way", "",
		func(c *vcase, _ *mint.Secret) {
			c.plan.Wire = func(o mint.Object) mint.Object {
				return o.Set("data", strings.NewReplacer(`"total"`, `"tot\u0061l" `, `,"order"`,
					" ,\n\"order\"", `:"eyJ`, `: "\u0065yJ`).Replace(o.Get("data")))
			}
		})
	l.secretly("/total")("ok-field-passthrough", "jwerecipients does not come back in any mode", "",
		func(c *vcase, _ *mint.Secret) {
			c.options.Mode = "passthrough"
			c.vector.Unverified = map[string]string{"traceparent": mint.Unquote(c.plan.Event.Get("traceparent"))}
		})
}

// recipientListCases are about the attribute jwerecipients.
func recipientListCases(try secretCase) {
	const malformed = envelope.ReasonMalformed
	event := func(name, about string, expect envelope.Reason, change func(mint.Object) mint.Object) {
		try("field-recipients-"+name, about, expect, func(_ *vcase, s *mint.Secret) { s.Event = change })
	}
	event("missing", "no attribute jwerecipients", malformed, del("jwerecipients"))
	event("empty", "jwerecipients is empty", malformed, set("jwerecipients", `"[]"`))
	event("not-json", "jwerecipients is not JSON", malformed, set("jwerecipients", `"hello"`))
	event("object", "jwerecipients is no list", malformed, set("jwerecipients", `"{}"`))
	event("trailing-bytes", "bytes after the list", malformed, func(o mint.Object) mint.Object {
		return o.Set("jwerecipients", mint.Quote(mint.Unquote(o.Get("jwerecipients"))+"x"))
	})
	try("field-recipients-unsigned", "jwerecipients is not signed", malformed,
		func(c *vcase, _ *mint.Secret) { c.plan.Unsigned = []string{"jwerecipients"} })
	try("field-recipients-changed", "jwerecipients was changed", envelope.ReasonModified,
		func(c *vcase, _ *mint.Secret) {
			c.plan.Wire = func(o mint.Object) mint.Object { return o.Set("jwerecipients", mint.Quote("["+kmsEntry+"]")) }
		})
	try("field-recipients-removed", "jwerecipients was removed", envelope.ReasonModified,
		func(c *vcase, _ *mint.Secret) { c.plan.Wire = del("jwerecipients") })
	try("field-recipients-17", "more than 16 recipients", envelope.ReasonTooLarge,
		func(_ *vcase, s *mint.Secret) { s.Recipients = beside(16, kmsEntry) })
	try("field-recipients-unknown", "no recipient of a known algorithm", envelope.ReasonUnsupported,
		func(_ *vcase, s *mint.Secret) {
			s.Recipients = always(`[{"encrypted_key":"AAAA","header":{"alg":"dir","kid":"k"}}]`)
		})
	try("field-recipients-other-key", "the recipients get another content key than that of the field",
		envelope.ReasonDecryptFailed, func(_ *vcase, s *mint.Secret) {
			s.Event = func(o mint.Object) mint.Object {
				other := order("orders")
				return o.Set("jwerecipients", other.Encrypt(&mint.Secret{Name: "another", To: s.To,
					Fields: s.Fields}).Event.Get("jwerecipients"))
			}
		})
}

// boundFieldCases are about what a field belongs to.
func boundFieldCases(l *vectorList, try secretCase) {
	const failed = envelope.ReasonDecryptFailed
	for name, value := range map[string]string{
		"id": "A234-9999", "source": "https://orders.example/us", "type": "com.example.order.paid",
		"producer": "partner", "pointer": "/order",
	} {
		try("field-moved-"+name, "the field of an event with another "+
			name, failed, func(_ *vcase, s *mint.Secret) { s.Binding = set(name, mint.Quote(value)) })
	}
	try("field-unbound", "no ctx", failed, func(_ *vcase, s *mint.Secret) { s.Protected = del("ctx") })
	try("field-unbound-allowed", "unsafe_allow_uncommitted is not about fields", failed,
		func(c *vcase, s *mint.Secret) {
			s.Protected, c.options.UnsafeAllowUncommitted = del("ctx"), true
		})
	try("field-other-commitment", "kid is the commitment to another content key", failed,
		func(_ *vcase, s *mint.Secret) {
			s.Protected = set("kid", mint.Quote((&mint.Secret{Name: "another"}).Commitment()))
		})
	try("field-changed", "the tag of another ciphertext", failed, func(_ *vcase, s *mint.Secret) {
		s.Field = func(_, text string) string { return text[:strings.LastIndex(text, ".")+1] + strings.Repeat("A", 22) }
	})
	l.secretly("/order", "/total")("field-swapped", "two fields were exchanged before signing", failed,
		func(_ *vcase, s *mint.Secret) {
			texts := map[string]string{}
			s.Field = func(pointer, text string) string {
				texts[pointer] = text
				return pointer
			}
			s.Event = func(o mint.Object) mint.Object {
				return o.Set("data", strings.NewReplacer(`"/order"`, mint.Quote(texts["/total"]), `"/total"`,
					mint.Quote(texts["/order"])).Replace(o.Get("data")))
			}
		})
	l.secretly("/order", "/total")("field-other-key", "one of two fields is under another key", failed,
		func(_ *vcase, s *mint.Secret) {
			s.Field = func(pointer, text string) string {
				if pointer == "/order" {
					return text
				}
				other := order("orders")
				data := other.Encrypt(&mint.Secret{Name: "another", To: s.To,
					Fields: []string{pointer}}).Event.Get("data")
				return strings.Split(data[strings.Index(data, `"total":"`):], `"`)[3]
			}
		})
}

// compactCases are no compact JWE of this profile.
func compactCases(try secretCase) {
	const malformed, unsupported = envelope.ReasonMalformed, envelope.ReasonUnsupported
	part := func(name, about string, expect envelope.Reason, i int, change func(string) string) {
		try("field-"+name, about, expect, func(_ *vcase, s *mint.Secret) {
			s.Field = func(_, text string) string {
				parts := strings.Split(text, ".")
				parts[i] = change(parts[i])
				return strings.Join(parts, ".")
			}
		})
	}
	protected := func(name, about string, expect envelope.Reason, change func(mint.Object) mint.Object) {
		try("field-"+name, about, expect, func(_ *vcase, s *mint.Secret) { s.Protected = change })
	}
	for name, value := range map[string]string{"number": "12.5", "null": "null",
		"object": `{"ciphertext":"AAAA"}`, "array": "[]"} {
		try("field-plain-"+name, "said to be encrypted, and is no string", malformed,
			func(_ *vcase, s *mint.Secret) {
				s.Event = func(o mint.Object) mint.Object {
					data := o.Get("data")
					return o.Set("data", data[:strings.Index(data, `"total":`)]+`"total":`+value+"}")
				}
			})
	}
	try("field-plain-string", "said to be encrypted, and is a string", malformed,
		func(_ *vcase, s *mint.Secret) { s.Field = func(string, string) string { return "12.5" } })
	part("four-parts", "a compact JWE has five parts", malformed, 4, func(string) string { return "" })
	part("six-parts", "a compact JWE has five parts", malformed, 4,
		func(text string) string { return text + ".AAAA" })
	part("encrypted-key", "an encrypted key beside alg dir", malformed, 1, always("AAAA"))
	part("short-iv", "an iv of 9 bytes", malformed, 2, func(text string) string { return text[4:] })
	part("short-tag", "a tag of 13 bytes", malformed, 4, func(text string) string { return text[4:] })
	part("padded-tag", "base64url has no padding", malformed, 4,
		func(text string) string { return text + "==" })
	part("ciphertext-31", "a ciphertext whose length is no multiple of 32", malformed, 3,
		func(text string) string { return text[:len(text)-1] })
	part("ciphertext-empty", "no ciphertext", malformed, 3, always(""))
	protected("alg", "another alg than dir", unsupported, set("alg", `"A256KW"`))
	protected("no-alg", "no alg", unsupported, del("alg"))
	protected("enc", "another content encryption", unsupported, set("enc", `"A128GCM"`))
	protected("crit", "crit: no extension is understood", unsupported, add("crit", `["ctx"]`))
	protected("zip", "compression before encryption leaks", unsupported, add("zip", `"DEF"`))
	protected("no-kid", "no commitment to the content key", malformed, del("kid"))
	protected("kid-short", "a commitment of 3 bytes", malformed, set("kid", `"AAAA"`))
	protected("ctx-not-base64", "ctx is base64url", malformed, set("ctx", `"{}"`))
	protected("duplicate-ctx", "a parameter twice", malformed,
		func(o mint.Object) mint.Object { return o.Add("ctx", o.Get("ctx")) })
}

// paddingCases decrypt, to what is no padded JSON value.
func paddingCases(try secretCase) {
	padded := func(name, about string, expect envelope.Reason, text string) {
		try("field-"+name, about, expect, func(_ *vcase, s *mint.Secret) {
			s.Padded = func(string, string) string { return text + strings.Repeat(" ", (32-len(text)%32)%32) }
		})
	}
	padded("padded-twice", "padded beyond the next multiple of 32", envelope.ReasonDecryptFailed, "12.5"+
		strings.Repeat(" ", 32))
	padded("padded-before", "padding before the value", envelope.ReasonDecryptFailed, " 12.5")
	padded("padded-tab", "padding is of spaces", envelope.ReasonDecryptFailed, "12.5\t")
	padded("all-padding", "no value", envelope.ReasonDecryptFailed, strings.Repeat(" ", 32))
	padded("value-not-json", "what was encrypted is not JSON", envelope.ReasonMalformed, "hello")
	padded("value-truncated", "what was encrypted is not JSON", envelope.ReasonMalformed, `{"a":1`)
	padded("value-duplicate", "a member twice", envelope.ReasonMalformed, `{"a":1,"a":1}`)
	padded("value-two-members", "what was encrypted is a value and a member more", envelope.ReasonMalformed,
		`12.5,"paid":true`)
	padded("value-deep", "within the document it is nested too deep", envelope.ReasonMalformed,
		strings.Repeat("[", 64)+strings.Repeat("]", 64))
}

// pointerCases are about the member enc.
func pointerCases(l *vectorList) {
	enc := func(name, about string, expect envelope.Reason, list ...string) {
		l.secretly("/total")("field-"+name, about, expect,
			func(_ *vcase, s *mint.Secret) { s.Enc = always(mint.Array(list...)) })
	}
	const malformed = envelope.ReasonMalformed
	enc("pointer-missing", "enc names a member that is not there", malformed, "/total", "/card")
	enc("pointer-index", "enc names an element that is not there", malformed, "/total", "/lines/1")
	enc("pointer-dash", `"-" is no element`, malformed, "/total", "/lines/-")
	enc("pointer-leading-zero", "an index has no leading zeros", malformed, "/total", "/lines/00")
	enc("pointer-into-scalar", "a scalar has no members", malformed, "/total", "/order/0")
	enc("pointer-case", "names are compared exactly", malformed, "/Total")
	enc("pointer-twice", "one pointer twice", malformed, "/total", "/total")
	enc("pointer-within", "one pointer within another", malformed, "/lines/0", "/total", "/lines")
	enc("pointer-root-and", "the whole document and a member of it", malformed, "", "/total")
	enc("pointer-escape", `"~" is followed by 0 or 1`, malformed, "/total", "/a~2b")
	enc("pointer-escape-end", `"~" is followed by 0 or 1`, malformed, "/total", "/a~")
	enc("pointer-no-slash", `a pointer begins with "/"`, malformed, "total")
	enc("pointer-fragment", "a pointer is no URI fragment", malformed, "#/total")
	l.secretly("/total")("field-no-data", "fields of no data", malformed,
		func(_ *vcase, s *mint.Secret) { s.Event = del("data") })
	l.secretly("/total")("field-text", "fields of data that is not JSON", malformed,
		func(_ *vcase, s *mint.Secret) {
			s.Event = func(o mint.Object) mint.Object {
				return o.Set("datacontenttype", `"text/plain"`).Set("data", mint.Quote(o.Get("data")))
			}
		})
	many := func(n int) (fields []string, data string) {
		var o mint.Object
		for i := range n {
			name := fmt.Sprintf("f%d", i)
			o, fields = o.Add(name, "1"), append(fields, "/"+name)
		}
		return slices.Clone(fields), o.String()
	}
	fields, data := many(64)
	l.secretly(fields...)("ok-field-64", "the most encrypted fields", "",
		func(c *vcase, _ *mint.Secret) { c.plan.Event = c.plan.Event.Set("data", data) })
	fields, data = many(65)
	l.secretly(fields...)("field-65", "more than 64 encrypted fields", envelope.ReasonTooLarge,
		func(c *vcase, _ *mint.Secret) { c.plan.Event = c.plan.Event.Set("data", data) })
}
