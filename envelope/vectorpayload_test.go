package envelope_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
)

// resign is the signatures of an envelope with one signature over these bytes.
func resign(key *keys.LocalSigner, message []byte) string {
	sig, err := key.Sign(noContext, message)
	if err != nil {
		panic(err)
	}
	return "[" + mint.Object{
		{Name: "keyid", Raw: mint.Quote(key.Verifier().KeyID())},
		{Name: "sig", Raw: mint.Quote(base64.StdEncoding.EncodeToString(sig))},
	}.String() + "]"
}

// payload is a change of the payload, profile of its member "sealbus"; both are signed.
func payload(change func(mint.Object) mint.Object) func(*vcase) {
	return func(c *vcase) { c.plan.Payload = change }
}

func profile(change func(mint.Object) mint.Object) func(*vcase) {
	return func(c *vcase) { c.plan.Profile = change }
}

func payloadText(change func(string) string) func(*vcase) {
	return func(c *vcase) { c.plan.PayloadText = change }
}

// payloadCases are about the signed payload. The signatures are genuine.
func payloadCases(l *vectorList) {
	malformed := func(name, about string, change func(*vcase)) {
		l.add("payload-"+name, about, envelope.ReasonMalformed, change)
	}
	malformed("empty", "an empty payload", payloadText(always("")))
	malformed("not-json", "no JSON", payloadText(always("\x00\x01")))
	malformed("array", "no object", payloadText(func(s string) string { return "[" + s + "]" }))
	malformed("trailing-bytes", "bytes after it", payloadText(func(s string) string { return s + "0" }))
	malformed("invalid-utf8", "a byte that is not UTF-8",
		payloadText(replace(`{"core"`, "{\"x\":\"\xff\",\"core\"")))
	for _, name := range []string{"core", "ext", "signedextattrs", "sealbus"} {
		malformed("duplicate-"+name, "a member twice, with the same value",
			payload(func(o mint.Object) mint.Object { return o.Add(name, o.Get(name)) }))
		malformed("null-"+name, "a member is null", payload(set(name, "null")))
	}
	for _, name := range []string{"core", "ext", "signedextattrs"} {
		malformed("no-"+name, "a member is missing", payload(del(name)))
	}
	malformed("duplicate-in-unknown", "a member that is ignored holds a duplicate member",
		payload(add("x", `{"a":1,"a":1}`)))
	for name, digest := range map[string]string{
		"short": `"AAAA"`, "long": mint.Quote(strings.Repeat("AAAA", 11)),
		"unpadded": mint.Quote(strings.Repeat("A", 43)), "empty": `""`, "number": "0",
		"url-alphabet":  mint.Quote(strings.Repeat("-", 42) + "8="),
		"trailing-bits": mint.Quote(strings.Repeat("A", 42) + "B="),
		"newline":       `"` + strings.Repeat("A", 43) + `=\n"`, "hex": mint.Quote(strings.Repeat("0", 64)),
	} {
		malformed("core-"+name, "a digest is 32 bytes in standard base64, padded, with zero trailing bits",
			payload(set("core", digest)))
	}
	malformed("ext-url-alphabet", "a digest is 32 bytes in standard base64",
		payload(set("ext", mint.Quote(strings.Repeat("_", 42)+"8="))))
	for _, name := range []string{"id", "source", "specversion", "type", "datacontenttype", "dataschema",
		"subject", "time", "data", "data_base64", "dssematerial", "Tenant", "", "te nant"} {
		malformed("lists-"+strings.Trim(strings.ReplaceAll(strings.ToLower(name), " ", "-")+
			"-attribute", "-"), fmt.Sprintf("signedextattrs lists %q", name), foreign(func(c *vcase) {
			c.plan.Payload = set("signedextattrs",
				mint.Array("audience", "recordedtime", "sampledrate", "tenant", "vip", name))
		}))
	}
	malformed("lists-twice", "signedextattrs repeats a name", foreign(func(c *vcase) {
		c.plan.Payload = set("signedextattrs", mint.Array("audience", "recordedtime", "sampledrate", "tenant",
			"vip", "vip"))
	}))
	malformed("lists-number", "signedextattrs lists a number",
		foreign(func(c *vcase) { c.plan.Payload = set("signedextattrs", `[1]`) }))
	malformed("lists-object", "signedextattrs is no list",
		foreign(func(c *vcase) { c.plan.Payload = set("signedextattrs", `{}`) }))
	l.add("payload-lists-129", "signedextattrs lists more than 128 names", envelope.ReasonTooLarge,
		foreign(func(c *vcase) {
			var names []string
			for i := range 129 {
				names = append(names, fmt.Sprintf("x%d", i))
			}
			c.plan.Payload = set("signedextattrs", mint.Array(names...))
		}))
	l.add("ok-payload-unknown-member", "an unknown member of the payload is ignored", "",
		payload(add("x", `{"a":[1,2]}`)))
	l.add("ok-payload-white-space", "white space in the payload", "",
		payloadText(func(s string) string { return " " + strings.ReplaceAll(s, `,"`, ` , "`) + " " }))
	l.add("ok-payload-escapes", "a name in signedextattrs with an escape", "",
		payloadText(replace(`"tenant"`, `"\u0074enant"`)))
	l.add("ok-listed-but-absent", "a name that is listed and absent hashes as H(\"\")", "", func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("other", `""`)
		c.plan.Wire = del("other")
	})
	l.add("listed-and-added", "an attribute that was signed as absent was added", envelope.ReasonModified,
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("other", `""`)
			c.plan.Wire = set("other", `"x"`)
		})
}

// profileCases are about the member "sealbus" of the payload.
func profileCases(l *vectorList) {
	malformed := func(name, about string, change func(*vcase)) {
		l.add("profile-"+name, about, envelope.ReasonMalformed, change)
	}
	malformed("array", "no object", payload(set("sealbus", "[]")))
	for _, name := range []string{"v", "producer", "types"} {
		malformed("no-"+name, "a member is missing", profile(del(name)))
		malformed("null-"+name, "a member is null", profile(set(name, "null")))
	}
	for _, name := range []string{"v", "producer", "time", "types"} {
		malformed("duplicate-"+name, "a member twice, with the same value",
			profile(func(o mint.Object) mint.Object { return o.Add(name, o.Get(name)) }))
	}
	malformed("unknown-member", "an unknown member at version 1: it might be a restriction",
		profile(add("x", "1")))
	malformed("v-string", "the version is a string", profile(set("v", `"1"`)))
	malformed("v-fraction", "the version is no plain integer", profile(set("v", "1.0")))
	malformed("v-negative", "the version is negative", profile(set("v", "-1")))
	malformed("producer-empty", "an empty producer", profile(set("producer", `""`)))
	malformed("producer-number", "the producer is a number", profile(set("producer", "1")))
	malformed("producer-too-long", "a producer of more than 256 bytes",
		profile(set("producer", mint.Quote(strings.Repeat("p", 257)))))
	for name, text := range map[string]string{
		"empty": "", "offset": "2026-11-21T12:59:00.123+01:00", "no-zone": "2026-11-21T11:59:00.123",
		"trailing-zeros": "2026-11-21T11:59:00.123000Z", "not-a-time": "noon",
	} {
		malformed("time-"+
			name, "time is in UTC with Z, without trailing zeros of the fraction, and left out when absent",
			profile(set("time", mint.Quote(text))))
	}
	malformed("time-null", "time is left out, not null, when absent", func(c *vcase) {
		c.plan.Event = c.plan.Event.Del("time")
		c.plan.Profile = func(o mint.Object) mint.Object { return o.Set("time", "null") }
	})
	types := func(list ...string) func(*vcase) { return profile(set("types", mint.Array(list...))) }
	malformed("types-short", "a type less than signedextattrs",
		types("String", "Timestamp", "Integer", "String"))
	malformed("types-long", "a type more than signedextattrs",
		types("String", "Timestamp", "Integer", "String", "Boolean", "String"))
	malformed("types-unknown", "a type that CloudEvents does not have",
		types("String", "Timestamp", "Integer", "Text", "Boolean"))
	malformed("types-case", "type names are compared byte by byte",
		types("String", "Timestamp", "Integer", "string", "Boolean"))
	malformed("types-documented", "a documented name has its documented type",
		types("String", "String", "Integer", "String", "Boolean"))
	malformed("types-object", "types is no list", profile(set("types", "{}")))
	malformed("without-ext", "an event with the member \"sealbus\" has \"ext\"",
		func(c *vcase) { c.plan.CoreOnly = true })
	malformed("recordedtime-unsigned", "recordedtime is always signed",
		func(c *vcase) { c.plan.Unsigned = []string{"recordedtime"} })
	for name, value := range map[string]string{
		"null": "null", "other": `"age"`, "empty": "[]", "number": "1", "not-a-pointer": `["a"]`,
		"object": "{}", "number-inside": "[1]",
	} {
		malformed("enc-"+
			name, "enc is \"jwe\" or a list of JSON Pointers, and left out when nothing is encrypted",
			profile(add("enc", value)))
	}
	digest := func(c string) string { return mint.Quote(strings.Repeat(c, 43) + "=") }
	for name, value := range map[string]string{
		"null": "null", "empty": "[]", "not-a-digest": `["AAAA"]`, "string": digest("A"),
		"unsorted": "[" + digest("Q") + "," + digest("A") + "]", "repeated": "[" + digest("A") + "," +
			digest("A") + "]",
	} {
		malformed("delegations-"+
			name, "delegations is a sorted list of digests, and left out when there are none",
			profile(add("delegations", value)))
	}
	otherProfileCases(l, digest)
}

// otherProfileCases are profiles that are well formed; digest is one of a repeated character.
func otherProfileCases(l *vectorList, digest func(string) string) {
	l.add("profile-delegations-5", "more than 4 delegations", envelope.ReasonTooLarge,
		profile(add("delegations", "["+digest("A")+","+digest("E")+","+digest("I")+","+digest("M")+","+
			digest("Q")+"]")))
	l.add("profile-v-2", "a later version", envelope.ReasonUnsupported, profile(set("v", "2")))
	l.add("profile-v-0", "a version that never was", envelope.ReasonUnsupported, profile(set("v", "0")))
	l.add("profile-v-2-unknown-member", "a later version with members of its own", envelope.ReasonUnsupported,
		profile(func(o mint.Object) mint.Object {
			return mint.Object{{Name: "hash", Raw: `["sha3"]`}, {Name: "v", Raw: "2"}}
		}))
	l.add("encrypted-jwe", "encrypted data, and no identity at hand", envelope.ReasonNotARecipient,
		profile(add("enc", `"jwe"`)))
	l.add("encrypted-fields", "encrypted fields, and no identity at hand", envelope.ReasonNotARecipient,
		profile(add("enc", `["/total","/lines/0"]`)))
	l.add("encrypted-root", "the empty JSON Pointer is one", envelope.ReasonNotARecipient,
		profile(add("enc", `[""]`)))
	l.add("ok-profile-member-order", "the order of members is the signer's business", "",
		profile(func(o mint.Object) mint.Object {
			return mint.Object{o[3], o[2], o[1], o[0]}
		}))
}

// digestCases change what the digests cover.
func digestCases(l *vectorList) {
	change := func(name, about string, edit func(mint.Object) mint.Object) {
		l.add("changed-"+name, about, envelope.ReasonModified, onWire(edit))
	}
	for name, value := range map[string]string{
		"id": `"A234-1235"`, "source": `"https://orders.example/us"`, "type": `"com.example.order.cancelled"`,
		"subject": `"order/2"`, "dataschema": `"https://schema.example/"`,
		"datacontenttype": `"application/json; charset=utf-8"`, "audience": `"central"`, "sampledrate": "6",
		"tenant": `"acme2"`, "vip": "false",
	} {
		change(name, "another value of a signed attribute", set(name, value))
	}
	for _, name := range []string{"subject", "datacontenttype", "time", "audience", "recordedtime", "tenant",
		"vip"} {
		change(name+"-removed", "a signed attribute is missing", del(name))
	}
	change("subject-emptied", "a signed attribute is empty", set("subject", `""`))
	change("subject-nulled", "a signed attribute is null", set("subject", "null"))
	change("attributes-swapped", "two attributes exchanged their values", func(o mint.Object) mint.Object {
		return o.Set("id", o.Get("subject")).Set("subject", o.Get("id"))
	})
	change("extensions-swapped", "two extensions exchanged their values", func(o mint.Object) mint.Object {
		return o.Set("audience", o.Get("tenant")).Set("tenant", o.Get("audience"))
	})
	change("extension-renamed", "a signed extension under another name",
		func(o mint.Object) mint.Object { return o.Rename("tenant", "tenant2") })
	change("time-second", "another second of time", set("time", `"2026-11-21T11:59:01.123Z"`))
	change("time-fraction",
		"another fraction of the second, which the standard does not sign, is another instant",
		set("time", `"2026-11-21T11:59:00.124Z"`))
	change("time-fraction-dropped", "the fraction of the second was dropped",
		set("time", `"2026-11-21T11:59:00Z"`))
	change("time-zone", "the same clock time in another zone", set("time", `"2026-11-21T11:59:00.123+01:00"`))
	change("recordedtime", "another moment of sealing", set("recordedtime", `"2026-11-21T11:59:56Z"`))
	change("recordedtime-fraction", "Timestamp extensions are sealed in whole seconds",
		set("recordedtime", `"2026-11-21T11:59:55.5Z"`))
	change("recordedtime-text", "text that is no Timestamp", set("recordedtime", `"noon"`))
	change("integer-text", "text that is no canonical Integer", set("sampledrate", `"05"`))
	change("integer-plus", "text that is no canonical Integer", set("sampledrate", `"+5"`))
	change("integer-fraction", "text that is no canonical Integer", set("sampledrate", `"5.0"`))
	change("boolean-text", "text that is no canonical Boolean", set("vip", `"True"`))
	change("boolean-number", "a number is no Boolean", set("vip", "1"))
	l.add("time-added", "an event that was sealed without time", envelope.ReasonModified, func(c *vcase) {
		c.plan.Event = c.plan.Event.Del("time")
		c.plan.Wire = set("time", `"2026-11-21T11:59:00Z"`)
	})
	l.add("time-not-in-profile", "the core digest covers a time that the member \"sealbus\" does not have",
		envelope.ReasonModified, profile(del("time")))
	l.add("time-only-in-profile", "the member \"sealbus\" has a time that the core digest does not cover",
		envelope.ReasonModified, func(c *vcase) {
			c.plan.Event = c.plan.Event.Del("time")
			c.plan.Profile = add("time", `"2026-11-21T11:59:00Z"`)
		})
	l.add("time-other-in-profile", "the member \"sealbus\" has another second than the core digest",
		envelope.ReasonModified, profile(set("time", `"2026-11-21T11:59:01.123Z"`)))
	for name, value := range map[string]string{
		"other-zone": "2026-11-21T12:59:00.123+01:00", "negative-zone": "2026-11-21T02:29:00.123-09:30",
		"trailing-zeros": "2026-11-21T11:59:00.123000000Z",
		"no-zone":        "2026-11-21T11:59:00.123", "plus-zero": "2026-11-21T11:59:00.123+00:00",
		"minus-zero": "2026-11-21T11:59:00.123-00:00",
	} {
		l.add("ok-time-"+name, "the same instant in other words; the signed text comes back", "",
			onWire(set("time", mint.Quote(value))))
	}
	l.add("ok-time-nanoseconds", "nine digits of a second", "",
		content(set("time", `"2026-11-21T11:59:00.123456789Z"`)))
	l.add("ok-time-distant", "time is the time of the occurrence, and may be old", "",
		content(set("time", `"0001-01-01T00:00:01Z"`)))
	l.add("moved-signature", "the signature of another event", envelope.ReasonModified, func(c *vcase) {
		p := order("orders")
		p.Event = p.Event.Set("id", `"A234-9999"`)
		c.plan.Wire = set("dssematerial", p.Seal().Get("dssematerial"))
	})
}

// countedCases are events with several signatures.
func countedCases(l *vectorList) {
	several := func(name, about string, expect envelope.Reason, counted []string, by ...string) {
		l.add(name, about, expect, func(c *vcase) {
			c.plan = order(by...)
			c.vector.KeyIDs = counted
			if counted != nil {
				c.vector.KeyIDs = ids(counted...)
			}
			c.vector.Producer = map[bool]string{true: "orders"}[expect == ""]
			if expect != "" {
				c.plan.Profile = func(o mint.Object) mint.Object { return o.Set("producer", `"orders"`) }
			}
		})
	}
	several("ok-counted-beside-unknown", "an added signature by an unknown key neither helps nor harms", "",
		[]string{"orders"}, "orders", "unlisted")
	several("ok-counted-after-unknown", "nor does it if it comes first", "", []string{"orders"}, "unlisted",
		"orders")
	several("ok-counted-beside-revoked", "a revoked key does not count", "", []string{"orders"}, "orders",
		"revoked")
	several("ok-counted-beside-other-producer", "a key of another producer does not count", "",
		[]string{"orders"}, "orders", "partner")
	several("ok-counted-beside-no-sources", "a key that may not speak for the source does not count", "",
		[]string{"orders"}, "orders", "nosources")
	several("ok-counted-beside-account", "a key that is bound to another account does not count", "",
		[]string{"orders"}, "bound", "orders")
	several("ok-counted-three", "all that count are named, sorted", "", []string{"orders", "next", "es256"},
		"es256", "next", "orders")
	l.add("furthest-bad", "of several failures the furthest speaks: bad_signature over unknown_key",
		envelope.ReasonBadSignature, func(c *vcase) {
			c.plan = order("unlisted", "orders")
			c.plan.By[1].Edit = set("sig", `"AAAA"`)
		})
	several("furthest-revoked", "revoked_key over unknown_key", envelope.ReasonRevokedKey, nil, "unlisted",
		"revoked")
	several("furthest-not-valid", "key_not_valid over revoked_key", envelope.ReasonKeyNotValid, nil,
		"partner", "revoked")
	several("furthest-source", "source_not_allowed over key_not_valid", envelope.ReasonSourceNotAllowed, nil,
		"nosources", "partner", "revoked")
	several("furthest-type", "type_not_allowed over source_not_allowed", envelope.ReasonTypeNotAllowed, nil,
		"nosources", "notypes")
	several("furthest-account", "account_mismatch over type_not_allowed", envelope.ReasonAccountMismatch, nil,
		"nowhere", "notypes", "unlisted")
	l.add("ok-counted-twice", "one signature twice counts once", "", func(c *vcase) {
		c.plan = order("orders", "orders")
	})
	l.add("ok-counted-beside-broken", "a signature that does not verify does not count", "", func(c *vcase) {
		c.plan = order("orders", "next")
		c.plan.By[1].Edit = set("sig", `"AAAA"`)
		c.vector.KeyIDs = ids("orders")
	})
	l.add("no-part-of-two", "the sources of one key and the types of another do not add up",
		envelope.ReasonTypeNotAllowed, func(c *vcase) { c.plan = order("nosources", "notypes") })
	algorithmCases(l)
}

func algorithmCases(l *vectorList) {
	both := []keys.Algorithm{keys.Ed25519, keys.ES256}
	l.add("ok-required-algorithms", "each required algorithm has a counted signature", "", func(c *vcase) {
		c.plan, c.options.RequiredAlgorithms = order("orders", "es256"), both
	})
	l.add("required-algorithm-missing", "a required algorithm has no signature", envelope.ReasonBadSignature,
		func(c *vcase) { c.options.RequiredAlgorithms = both })
	l.add("required-algorithm-revoked", "a required algorithm has only a signature that does not count",
		envelope.ReasonBadSignature, func(c *vcase) {
			c.plan, c.options.RequiredAlgorithms = order("orders", "es256gone"), both
		})
	l.add("required-algorithm-other-producer",
		"a required algorithm has only a signature of another producer", envelope.ReasonBadSignature,
		func(c *vcase) {
			c.plan, c.options.RequiredAlgorithms = order("orders", "partner"), both
		})
	l.add("required-algorithm-unknown-key", "a required algorithm has only a signature by an unknown key",
		envelope.ReasonBadSignature, func(c *vcase) {
			c.plan = order("orders", "es256")
			c.plan.By[1].Edit = set("keyid", `"nobody"`)
			c.options.RequiredAlgorithms = both
		})
	l.add("required-algorithm-delegated", "a delegated signature has its session key's algorithm",
		envelope.ReasonBadSignature, func(c *vcase) {
			c.plan = delegated("es256", "session")
			c.options.RequiredAlgorithms = []keys.Algorithm{keys.ES256}
		})
	l.add("ok-required-algorithm-delegated", "a delegated signature has its session key's algorithm", "",
		func(c *vcase) {
			c.plan = delegated("es256", "session")
			c.options.RequiredAlgorithms = []keys.Algorithm{keys.Ed25519}
		})
}
