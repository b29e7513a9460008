package envelope_test

import (
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
)

// material is a change of the envelope's text; base64Text, of the text of dssematerial.
func material(old, with string) func(*vcase) {
	return func(c *vcase) { c.plan.Material = replace(old, with) }
}

func materialEdit(change func(mint.Object) mint.Object) func(*vcase) {
	return func(c *vcase) { c.plan.Envelope = change }
}

func signature(change func(mint.Object) mint.Object) func(*vcase) {
	return func(c *vcase) { c.plan.By[0].Edit = change }
}

// materialCases are about dssematerial and the DSSE envelope in it.
func materialCases(l *vectorList) {
	l.add("unsigned", "no dssematerial", envelope.ReasonUnsigned, onWire(del("dssematerial")))
	l.add("unsigned-empty", "an empty dssematerial", envelope.ReasonUnsigned,
		onWire(set("dssematerial", `""`)))
	l.add("unsigned-null", "dssematerial null", envelope.ReasonUnsigned, onWire(set("dssematerial", "null")))
	materialBase64Cases(l)
	malformed := func(name, about string, change func(*vcase)) {
		l.add("envelope-"+name, about, envelope.ReasonMalformed, change)
	}
	malformed("number", "dssematerial is a number", onWire(set("dssematerial", "1")))
	malformed("not-json", "the envelope is not JSON", func(c *vcase) { c.plan.Material = always("hello") })
	malformed("array", "the envelope is no object",
		func(c *vcase) { c.plan.Material = func(s string) string { return "[" + s + "]" } })
	malformed("empty-object", "the envelope is empty", func(c *vcase) { c.plan.Material = always("{}") })
	malformed("truncated", "the envelope's last byte is missing",
		func(c *vcase) { c.plan.Material = func(s string) string { return s[:len(s)-1] } })
	malformed("trailing-bytes", "bytes after the envelope",
		func(c *vcase) { c.plan.Material = func(s string) string { return s + " 1" } })
	malformed("invalid-utf8", "a byte that is not UTF-8",
		material(`{"payloadType"`, "{\"\xff\":1,\"payloadType\""))
	for _, name := range []string{"payloadType", "payload", "signatures"} {
		malformed("no-"+strings.ToLower(name), "a member is missing", materialEdit(del(name)))
		malformed("duplicate-"+strings.ToLower(name), "a member twice, with the same value",
			materialEdit(func(o mint.Object) mint.Object { return o.Add(name, o.Get(name)) }))
		malformed("null-"+strings.ToLower(name), "a member is null", materialEdit(set(name, "null")))
	}
	malformed("duplicate-unknown", "a member that is ignored, twice",
		materialEdit(func(o mint.Object) mint.Object { return o.Add("x", "1").Add("x", "1") }))
	malformed("duplicate-in-unknown", "a member that is ignored holds a duplicate member",
		materialEdit(add("x", `{"a":1,"a":1}`)))
	malformed("deep-unknown", "a member that is ignored is nested too deep",
		materialEdit(add("x", strings.Repeat("[", 64)+strings.Repeat("]", 64))))
	malformed("no-signature", "an empty list of signatures", materialEdit(set("signatures", "[]")))
	malformed("signatures-object", "signatures is no list", materialEdit(set("signatures", "{}")))
	malformed("signature-string", "a signature is no object", materialEdit(set("signatures", `["AAAA"]`)))
	malformed("no-sig", "a signature without sig", signature(del("sig")))
	malformed("sig-null", "sig is null", signature(set("sig", "null")))
	malformed("duplicate-sig", "sig twice", signature(func(o mint.Object) mint.Object { return o.Add("sig", o.Get("sig")) }))
	malformed("duplicate-keyid", "keyid twice",
		signature(func(o mint.Object) mint.Object { return o.Add("keyid", o.Get("keyid")) }))
	malformed("keyid-number", "keyid is a number", signature(set("keyid", "7")))
	malformed("payload-not-base64", "payload is not base64", materialEdit(set("payload", `"{}"`)))
	malformed("payload-unpadded", "payload without padding", func(c *vcase) {
		c.plan.PayloadText = padTo(1)
		c.plan.Material = replace(`=",`, `",`)
	})
	malformed("payload-trailing-bits", "payload with non-zero trailing bits", func(c *vcase) {
		c.plan.PayloadText = padTo(2)
		c.plan.Envelope = func(o mint.Object) mint.Object {
			return o.Set("payload", strings.TrimSuffix(o.Get("payload"), `A=="`)+`B=="`)
		}
	})
	malformed("payload-line-break", "payload with a line break", material(`"payload":"`, `"payload":"\n`))
	malformed("payload-mixed-alphabets", "payload in both base64 alphabets", func(c *vcase) {
		c.plan.PayloadText = mixed
		c.plan.Material = func(s string) string { return replace(`Pj4+`, `Pj4-`)(s) }
	})
	envelopeTolerance(l)
	l.add("envelope-other-payload-type", "another payload type, properly signed", envelope.ReasonUnsupported,
		func(c *vcase) { c.plan.PayloadType = "application/vnd.in-toto+json" })
	l.add("envelope-newer-payload-type", "a later version of the extension", envelope.ReasonUnsupported,
		func(c *vcase) {
			c.plan.PayloadType = "https://cloudevents.io/verifiability/dsse/v0.2"
		})
	l.add("envelope-delegation-as-event", "the payload type of a delegation", envelope.ReasonUnsupported,
		func(c *vcase) { c.plan.PayloadType = mint.DelegationType })
	l.add("envelope-17-signatures", "more than 16 signatures", envelope.ReasonTooLarge, repeatSignature(17))
	l.add("ok-16-signatures", "16 signatures, all but one by unknown keys", "", repeatSignature(16))
}

// padTo makes the payload's length such that its base64 ends in n "=", and its last byte such that
// the last character of the base64 is an A.
func padTo(n int) func(string) string {
	return func(s string) string {
		for s += " "; len(s)%3 != 3-n; s += " " {
		}
		return s
	}
}

// mixed gives the payload a member whose base64 has both a "+" and a "/".
func mixed(s string) string {
	for s = s[:len(s)-1]; (len(s)+len(`,"x":"`))%3 != 0; s += " " {
	}
	return s + `,"x":">>>???>>>???"}`
}

func repeatSignature(n int) func(*vcase) {
	return func(c *vcase) {
		forged := mint.Object{{Name: "keyid", Raw: `"nobody"`}, {Name: "sig", Raw: `"AAAA"`}}.String()
		c.plan.Material = replace(`"signatures":[`, `"signatures":[`+strings.Repeat(forged+",", n-1))
	}
}

func materialBase64Cases(l *vectorList) {
	std := base64.StdEncoding
	bad := func(name string, change func(string) string) {
		l.add("material-"+
			name, "dssematerial is standard base64, padded, with zero trailing bits, and nothing else",
			envelope.ReasonMalformed, func(c *vcase) {
				c.plan.Material = func(s string) string { // whose base64 ends in "=", and has both a "+" and a "/"
					s = strings.TrimSuffix(s, "}")
					for (len(s)+len(`,"x":"`))%3 != 0 {
						s += " "
					}
					return s + `,"x":">>>???>>>???"}` + strings.Repeat(" ", 2)
				}
				c.plan.Base64 = change
			})
	}
	bad("not-base64", func(s string) string { return "!" + s[1:] })
	bad("unpadded", func(s string) string { return strings.TrimRight(s, "=") })
	bad("over-padded", func(s string) string { return s + "=" })
	bad("padding-inside", func(s string) string { return s + s })
	bad("url-alphabet", func(s string) string {
		raw, _ := std.DecodeString(s)
		return base64.URLEncoding.EncodeToString(raw)
	})
	bad("trailing-bits", replace("IA==", "IB=="))
	bad("newline", func(s string) string { return s[:76] + "\n" + s[76:] })
	bad("space", func(s string) string { return s[:76] + " " + s[76:] })
}

// envelopeTolerance is what DSSE demands to be tolerated.
func envelopeTolerance(l *vectorList) {
	l.add("ok-envelope-unknown-members", "unknown members of the envelope and of a signature are ignored", "",
		func(c *vcase) {
			c.plan.Envelope = add("x", `{"a":[1]}`)
			c.plan.By[0].Edit = add("cert", `"none"`)
		})
	l.add("ok-envelope-white-space", "the envelope is not signed, only its payload", "", func(c *vcase) {
		c.plan.Material = func(s string) string { return "\n" + strings.ReplaceAll(s, `,"`, ` , "`) + "\n" }
	})
	l.add("ok-envelope-member-order", "nor is the order of its members", "",
		materialEdit(func(o mint.Object) mint.Object { return mint.Object{o[2], o[0], o[1]} }))
	l.add("ok-envelope-url-alphabet", "payload and sig in the URL-safe alphabet", "", func(c *vcase) {
		c.plan.PayloadText = mixed
		c.plan.Envelope = func(o mint.Object) mint.Object {
			return o.Set("payload", strings.NewReplacer("+", "-", "/", "_").Replace(o.Get("payload")))
		}
		c.plan.By[0].Edit = func(o mint.Object) mint.Object {
			return o.Set("sig", strings.NewReplacer("+", "-", "/", "_").Replace(o.Get("sig")))
		}
	})
}

// keyCases are about the signature and what its key may do.
func keyCases(l *vectorList) {
	signatureCases(l)
	allowedCases(l)
	patternCases(l)
	lifecycleCases(l)
}

func sigBytes(change func([]byte) []byte) func(*vcase) {
	return signature(func(o mint.Object) mint.Object {
		raw, err := base64.StdEncoding.DecodeString(mint.Unquote(o.Get("sig")))
		if err != nil {
			panic(err)
		}
		return o.Set("sig", mint.Quote(base64.StdEncoding.EncodeToString(change(raw))))
	})
}

func signatureCases(l *vectorList) {
	bad := func(name, about string, change func(*vcase)) {
		l.add("signature-"+name, about, envelope.ReasonBadSignature, change)
	}
	l.add("unknown-key", "the key is not in the bundle", envelope.ReasonUnknownKey,
		func(c *vcase) { c.plan = order("unlisted") })
	l.add("unknown-key-no-keyid",
		"a signature without keyid that more than 8 keys may have made is tried under none",
		envelope.ReasonUnknownKey, signature(del("keyid")))
	l.add("unknown-key-empty-keyid", "nor is one with an empty keyid", envelope.ReasonUnknownKey,
		signature(set("keyid", `""`)))
	l.add("unknown-key-case", "key IDs are compared byte by byte", envelope.ReasonUnknownKey,
		signature(func(o mint.Object) mint.Object {
			return o.Set("keyid", strings.ToLower(o.Get("keyid")))
		}))
	l.add("unknown-key-padded", "a key ID has no padding", envelope.ReasonUnknownKey,
		signature(func(o mint.Object) mint.Object {
			return o.Set("keyid", strings.TrimSuffix(o.Get("keyid"), `"`)+`="`)
		}))
	l.add("ok-alias", "a bounded alias of the key names it", "", func(c *vcase) {
		c.plan = order("aliased")
		c.plan.By[0].Edit = set("keyid", `"orders-2026"`)
	})
	l.add("ok-shared-alias", "an alias that two keys share: both are tried", "", func(c *vcase) {
		c.plan = order("sharing")
		c.plan.By[0].Edit = set("keyid", `"shared"`)
	})
	bad("alias-of-another", "the alias of another key",
		func(c *vcase) { c.plan.By[0].Edit = set("keyid", `"orders-2026"`) })
	bad("by-another-key", "signed by another key than keyid says", func(c *vcase) {
		c.plan = order("unlisted")
		c.plan.By[0].Edit = set("keyid", mint.Quote(cast["orders"].Verifier().KeyID()))
	})
	bad("flipped", "a flipped bit", sigBytes(func(b []byte) []byte { b[10] ^= 1; return b }))
	bad("short", "a byte less", sigBytes(func(b []byte) []byte { return b[:63] }))
	bad("long", "a byte more", sigBytes(func(b []byte) []byte { return append(b, 0) }))
	bad("zero", "all zeros", sigBytes(func([]byte) []byte { return make([]byte, 64) }))
	bad("empty", "an empty sig", signature(set("sig", `""`)))
	bad("not-base64", "sig is not base64", signature(set("sig", `"!"`)))
	bad("unpadded", "sig without padding", signature(func(o mint.Object) mint.Object {
		return o.Set("sig", strings.ReplaceAll(o.Get("sig"), "=", ""))
	}))
	bad("line-break", "sig with a line break", signature(func(o mint.Object) mint.Object { return o.Set("sig", `"\n`+o.Get("sig")[1:]) }))
	bad("trailing-bits", "sig with non-zero trailing bits", signature(func(o mint.Object) mint.Object {
		s := strings.TrimSuffix(o.Get("sig"), `=="`)
		return o.Set("sig", s[:len(s)-1]+string(s[len(s)-1]+1)+`=="`)
	}))
	bad("payload-changed", "the payload was changed after signing",
		materialEdit(func(o mint.Object) mint.Object {
			return o.Set("payload", strings.Replace(o.Get("payload"), "eyJj", "eyBj", 1))
		}))
	bad("payload-type-unsigned", "the payload type belongs to what is signed", func(c *vcase) {
		c.plan.PayloadType = "application/json"
		c.plan.Envelope = set("payloadType", mint.Quote(mint.PayloadType))
	})
	bad("without-pae", "signed without the pre-authentication encoding", func(c *vcase) {
		c.plan.Envelope = func(o mint.Object) mint.Object {
			payload, _ := base64.StdEncoding.DecodeString(mint.Unquote(o.Get("payload")))
			return o.Set("signatures", resign(cast["orders"], payload))
		}
	})
	bad("high-s-ed25519", "Ed25519 with S beyond the order of the group", sigBytes(addOrder))
	es256 := func(change func([]byte) []byte) func(*vcase) {
		return func(c *vcase) {
			c.plan = order("es256")
			sigBytes(change)(c)
		}
	}
	bad("der", "ES256 in DER", es256(toDER))
	bad("es256-zero-r", "ES256 with r zero", es256(func(b []byte) []byte { return append(make([]byte, 32), b[32:]...) }))
	l.add("ok-es256-high-s", "ES256 with the other of the two values of s: a signature is no identity", "",
		es256(negateS))
}

// negateS replaces s by n-s, which verifies too.
func negateS(sig []byte) []byte {
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	s := new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:]))
	return append(sig[:32:32], s.FillBytes(make([]byte, 32))...)
}

// addOrder adds the order of the group to S, which some verifiers take for the same signature.
func addOrder(sig []byte) []byte {
	order, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	s := make([]byte, 32)
	for i := range s {
		s[i] = sig[63-i]
	}
	sum := new(big.Int).Add(order, new(big.Int).SetBytes(s)).FillBytes(make([]byte, 32))
	for i := range sum {
		s[i] = sum[31-i]
	}
	return append(sig[:32:32], s...)
}

func toDER(sig []byte) []byte {
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]),
		new(big.Int).SetBytes(sig[32:])})
	if err != nil {
		panic(err)
	}
	return der
}

func allowedCases(l *vectorList) {
	source := func(s string) func(*vcase) { return content(set("source", mint.Quote(s))) }
	l.add("source-of-another", "the key may not speak for the source", envelope.ReasonSourceNotAllowed,
		source("https://shipping.example/eu"))
	l.add("source-none", "a key without sources may speak for none", envelope.ReasonSourceNotAllowed,
		func(c *vcase) { c.plan = order("nosources") })
	l.add("type-of-another", "the key may not sign the type", envelope.ReasonTypeNotAllowed,
		content(set("type", `"com.example.refund"`)))
	l.add("type-none", "a key without types may sign none", envelope.ReasonTypeNotAllowed,
		func(c *vcase) { c.plan = order("notypes") })
	l.add("ok-type-star", "the type pattern * means any", "", func(c *vcase) {
		c.plan = order("partner")
		c.plan.Event = c.plan.Event.Set("type", `"refund"`)
	})
	l.add("producer-of-another", "the event names another producer than its key's",
		envelope.ReasonKeyNotValid, func(c *vcase) {
			c.plan.Profile = set("producer", `"shipping"`)
		})
	l.add("ok-account", "the key is bound to accounts and this is one", "",
		func(c *vcase) { c.plan = order("bound"); c.options.Account = "444455556666" })
	l.add("account-of-another", "the key is bound to other accounts", envelope.ReasonAccountMismatch,
		func(c *vcase) { c.plan = order("bound"); c.options.Account = "777788889999" })
	l.add("account-unnamed", "the key is bound to accounts and no service names one",
		envelope.ReasonAccountMismatch, func(c *vcase) { c.plan = order("bound") })
	l.add("account-none-allowed", "an empty list of accounts allows none", envelope.ReasonAccountMismatch,
		func(c *vcase) { c.plan = order("nowhere"); c.options.Account = "111122223333" })
	l.add("ok-account-unchecked", "a key without accounts may be used from any", "",
		func(c *vcase) { c.options.Account = "777788889999" })
	l.add("ok-account-ignored", "unsafe_ignore_account", "",
		func(c *vcase) { c.plan = order("bound"); c.options.UnsafeIgnoreAccount = true })
	l.add("ok-consumer-allowlist", "the consumer's own lists", "", func(c *vcase) {
		c.options.Sources, c.options.Types = []string{"https://orders.example/*"},
			[]string{"com.example.order.placed"}
	})
	l.add("consumer-source", "the consumer's own list of sources", envelope.ReasonSourceNotAllowed,
		func(c *vcase) { c.options.Sources = []string{"https://orders.example/us"} })
	l.add("consumer-type", "the consumer's own list of types", envelope.ReasonTypeNotAllowed,
		func(c *vcase) { c.options.Types = []string{"com.example.order.cancelled"} })
	l.add("ok-outer", "what the transport says of source and type is what is signed", "", func(c *vcase) {
		c.options.Outer = &vectorOuter{"https://orders.example/eu", "com.example.order.placed"}
	})
	l.add("outer-source", "the transport says another source", envelope.ReasonEnvelopeMismatch,
		func(c *vcase) {
			c.options.Outer = &vectorOuter{"https://orders.example/us", "com.example.order.placed"}
		})
	l.add("outer-type", "the transport says another type", envelope.ReasonEnvelopeMismatch, func(c *vcase) {
		c.options.Outer = &vectorOuter{"https://orders.example/eu", "com.example.order.cancelled"}
	})
}

// patternCases are sources and types held against the patterns of the key "patterns".
func patternCases(l *vectorList) {
	try := func(name, source, typ string, expect envelope.Reason) {
		l.add(name, "source "+source+", type "+typ+
			", against the patterns of the bundle's key for them", expect, func(c *vcase) {
			c.plan = order("patterns")
			c.plan.Event = c.plan.Event.Set("source", mint.Quote(source)).Set("type", mint.Quote(typ))
		})
	}
	for name, source := range map[string]string{
		"exact": "https://exact.example/a", "below": "https://host.example/a/b?c#d", "urn": "urn:orders:eu:1",
		"relative": "/local/a", "rootless": "plain/a",
		"mailto": "mailto:orders@example.com", "port": "https://port.example:8443/a",
		"root": "https://root.example/", "dots-in-name": "https://host.example/a..b/...",
		"path-parameter":  "https://host.example/a;v=1/..b;x",
		"percent-encoded": "https://host.example/100%25/%C3%A9%20b",
	} {
		try("ok-source-"+name, source, "exact", "")
	}
	for name, source := range map[string]string{
		"below-exact": "https://exact.example/a/b", "longer-than-exact": "https://exact.example/ab",
		"shorter": "https://host.example", "nothing-after-prefix": "https://host.example/",
		"longer-host":      "https://host.example.evil/a",
		"host-in-userinfo": "https://host.example@evil.example/a", "userinfo": "https://user@host.example/a",
		"userinfo-encoded": "https://user%40host.example/a", "port-added": "https://host.example:443/a",
		"scheme": "http://host.example/a", "scheme-case": "HTTPS://host.example/a",
		"host-case": "https://Host.example/a", "dot-dot": "https://host.example/a/../b",
		"dot-dot-at-end": "https://host.example/a/..", "dot": "https://host.example/./a",
		"dot-dot-encoded":      "https://host.example/%2e%2E/a",
		"dot-dot-half-encoded": "https://host.example/.%2e/a", "slash-encoded": "https://host.example/a%2fb",
		"backslash": `https://host.example/a\b`, "backslash-encoded": "https://host.example/a%5Cb",
		"space": "https://host.example/a b", "no-host": "//local/a", "three-slashes": "///local/a",
		"double-slash-for-relative": "//evil.example/local/a", "urn-other": "urn:ordersx:1",
		"urn-nothing": "urn:orders:", "relative-other": "/localx/a",
		"dot-dot-in-query": "https://host.example/a?/../b", "root-below": "https://root.example/a",
		"path-case":             "/Local/a",
		"dot-dot-parameter":     "https://host.example/a/..;x=1/b",
		"dot-parameter-encoded": "https://host.example/a/%2e%3B/b",
		"dot-dot-encoded-twice": "https://host.example/a/%252e%252e/b",
		"dot-dot-space":         "https://host.example/a/..%20/b",
		"slash-encoded-twice":   "https://host.example/a%25252fb",
		"encoded-too-often":     "https://host.example/%2525252520",
		"control-encoded":       "https://host.example/a%00b",
		"overlong":              "https://host.example/%c0%ae%C0%AE/b",
		"fullwidth-dots":        "https://host.example/\uff0e\uff0e/b",
		"vertical-dots":         "https://host.example/a/%EF%B8%B0/b",
		"escape-u":              "https://host.example/%u002e%U002E/b",
	} {
		try("source-"+name, source, "exact", envelope.ReasonSourceNotAllowed)
	}
	try("ok-type-below", "/local/a", "com.example.a.b", "")
	for name, typ := range map[string]string{
		"longer": "com.examplex.a", "prefix-only": "com.example.", "shorter": "com.example",
		"case": "COM.example.a", "below-exact": "exact.a",
	} {
		try("type-"+name, "/local/a", typ, envelope.ReasonTypeNotAllowed)
	}
}

// lifecycleCases hold the key "scheduled" (published 08:00, active 10:00, retired 14:00, expired 16:00; the
// tolerance is five minutes at the beginnings) and the revoked one against the clock.
func lifecycleCases(l *vectorList) {
	try := func(name, about, now, sealed string, expect envelope.Reason) {
		l.add(name, about, expect, func(c *vcase) {
			c.plan = order("scheduled")
			c.plan.Event = c.plan.Event.Set("recordedtime", mint.Quote("2026-11-21T"+sealed+"Z"))
			c.options = vectorOptions{Now: "2026-11-21T" + now + "Z"}
		})
	}
	const not = envelope.ReasonKeyNotValid
	try("ok-key-active", "published, active, not retired", "12:00:00", "11:00:00", "")
	try("key-unpublished", "now is just before published less the tolerance", "07:54:59.999999999",
		"10:30:00", not)
	try("ok-key-published-edge", "now is published less the tolerance", "07:55:00", "10:30:00", "")
	try("key-inactive", "sealed just before active less the tolerance", "12:00:00", "09:54:59", not)
	try("ok-key-active-edge", "sealed at active less the tolerance", "12:00:00", "09:55:00", "")
	try("ok-key-retired-edge", "sealed in the second before retired", "15:00:00", "13:59:59", "")
	try("key-retired", "sealed at retired: an end is an end", "15:00:00", "14:00:00", not)
	try("ok-key-expired-edge", "now is just before expired", "15:59:59.999999999", "13:00:00", "")
	try("key-expired", "now is expired", "16:00:00", "13:00:00", not)
	l.add("ok-key-skew-option", "skew_seconds widens the tolerance", "", func(c *vcase) {
		c.plan = order("scheduled")
		c.plan.Event = c.plan.Event.Set("recordedtime", `"2026-11-21T09:50:00Z"`)
		c.options = vectorOptions{Now: vectorNow, SkewSeconds: 600}
	})
	l.add("key-skew-option", "skew_seconds narrows the tolerance", not, func(c *vcase) {
		c.plan = order("scheduled")
		c.plan.Event = c.plan.Event.Set("recordedtime", `"2026-11-21T09:59:58Z"`)
		c.options = vectorOptions{Now: vectorNow, SkewSeconds: 1}
	})
	revoked := func(name, about, sealed string, unsafe bool, expect envelope.Reason) {
		l.add(name, about, expect, func(c *vcase) {
			c.plan = order("revoked")
			c.plan.Event = c.plan.Event.Set("recordedtime", mint.Quote("2026-11-21T"+sealed+"Z"))
			c.options = vectorOptions{Now: vectorNow, UnsafeAcceptBeforeRevocation: unsafe}
		})
	}
	revoked("revoked", "a revoked key", "11:00:00", false, envelope.ReasonRevokedKey)
	revoked("revoked-sealed-before", "a revoked key, whatever the event says of its sealing", "08:00:00",
		false, envelope.ReasonRevokedKey)
	revoked("ok-revoked-sealed-before", "unsafe_accept_before_revocation, sealed in the second before",
		"08:59:59", true, "")
	revoked("revoked-sealed-at", "unsafe_accept_before_revocation, sealed at the revocation", "09:00:00",
		true, envelope.ReasonRevokedKey)
	expiring := func(name, about, now string, expect envelope.Reason) {
		l.add(name, about, expect, func(c *vcase) { c.bundle, c.options = "bundles/expiring.json", vectorOptions{Now: now} })
	}
	expiring("ok-bundle-edge", "now is just before the bundle expires", "2026-11-21T11:59:59.999999999Z", "")
	expiring("bundle-expired", "now is when the bundle expires", vectorNow, envelope.ReasonTrustUnavailable)
}
