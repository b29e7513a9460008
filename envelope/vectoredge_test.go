package envelope_test

import (
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
)

// edgeCases are where a hostile review found verifiers apart: each stands for a hole that was one.
func edgeCases(l *vectorList) {
	const first = "0001-01-01T00:00:00Z"
	for name, reason := range map[string]envelope.Reason{
		"time": envelope.ReasonMalformed, "expirytime": envelope.ReasonModified,
		"recordedtime": envelope.ReasonModified,
	} {
		l.add("first-second-"+
			name, "the first second of the calendar means \"no time\" in some languages: it is no timestamp",
			reason, content(set(name, mint.Quote(first))))
	}
	l.add("content-type-long-s", "ſ is no s: the data is not JSON, and so must be a string",
		envelope.ReasonMalformed, content(set("datacontenttype", `"application/jſon"`)))
	for name, source := range map[string]string{
		"opaque": "urn:orders:ä", "percent": "urn:orders:%zz", "angle": "urn:orders:a<b",
		"query": "https://host.example/x?ä", "query-percent": "https://host.example/x?%zz",
		"quote": `https://host.example/x?a"b`,
	} {
		l.add("source-not-rfc3986-"+name, "a character that no URI-reference has", envelope.ReasonUnsupported,
			func(c *vcase) {
				c.plan = order("patterns")
				c.plan.Event = c.plan.Event.Set("source", mint.Quote(source)).Set("type", `"exact"`)
			})
	}
	l.add("source-dot-segment-after-scheme", "a dot segment right after the scheme",
		envelope.ReasonSourceNotAllowed, func(c *vcase) {
			c.plan = order("patterns")
			c.plan.Event = c.plan.Event.Set("source", `"urn:.."`).Set("type", `"exact"`)
		})
	l.add("source-encoded-slash-in-host", "an encoded / in the host", envelope.ReasonSourceNotAllowed,
		func(c *vcase) {
			c.plan = order("patterns")
			c.plan.Event = c.plan.Event.Set("source", `"https://host.example%2f/a"`).Set("type", `"exact"`)
		})
	profileEdges(l)
	trustEdges(l)
	for name, member := range map[string]string{
		"data-null": `"data":null`, "data-base64-null": `"data_base64":null`,
		"data-base64-empty": `"data_base64":""`,
	} {
		l.add("embedded-"+name, "the member cloudevent carries a data member, be it empty",
			envelope.ReasonMalformed, func(c *vcase) {
				c.embed = true
				c.detail = replace(`"cloudevent":{`, `"cloudevent":{`+member+",")
			})
	}
}

// profileEdges are versions that we do not know.
func profileEdges(l *vectorList) {
	l.add("profile-v-huge", "a version beyond 64 bits is unknown, too", envelope.ReasonUnsupported,
		profile(set("v", "123456789012345678901234567890")))
	l.add("profile-v-unknown-and-malformed", "what is malformed is so in any version",
		envelope.ReasonMalformed, func(c *vcase) {
			c.plan.Payload = func(o mint.Object) mint.Object {
				return o.Set("sealbus", `{"v":2}`).Set("core", `"AAAA"`)
			}
		})
	l.add("profile-v-unknown-first", "the same, with the version before", envelope.ReasonMalformed,
		func(c *vcase) {
			c.plan.Payload = func(o mint.Object) mint.Object {
				return append(mint.Object{{Name: "sealbus", Raw: `{"v":2}`}},
					o.Del("sealbus").Set("core", `"AAAA"`)...)
			}
		})
}

// trustEdges are keys in a second role, and signatures of two producers.
func trustEdges(l *vectorList) {
	l.add("delegation-session-is-revoked-key", "the session key is a key of the bundle, which revokes it",
		envelope.ReasonRevokedKey, func(c *vcase) {
			c.plan = delegated("orders", "revoked")
		})
	l.add("delegation-empty-scope", "a statement without sources allows none",
		envelope.ReasonSourceNotAllowed, func(c *vcase) {
			c.plan = delegated("orders", "session")
			c.plan.By[0].Delegation.Sources = nil
		})
	l.add("ok-delegation-session-is-a-key", "the session key is a key of the bundle, in good standing", "",
		func(c *vcase) {
			c.plan = delegated("orders", "next")
			c.plan.By[0].Delegation.Life = 45 * time.Minute
		})
	both := func(algorithms ...keys.Algorithm) func(c *vcase) {
		return func(c *vcase) {
			c.plan = order("orders", "es256", "partner")
			c.plan.Foreign, c.plan.CoreOnly = true, true
			c.options.RequiredAlgorithms = algorithms
			c.vector.Producer, c.vector.KeyIDs = "orders", ids("orders", "es256")
		}
	}
	l.add("ok-foreign-required-algorithms",
		"the producer is one that meets the required algorithms, whoever signs beside it", "",
		both(keys.Ed25519, keys.ES256))
	l.add("ok-foreign-required-ed25519", "the same, for one algorithm", "", both(keys.Ed25519))
	l.add("foreign-required-between-two", "two producers do not meet the required algorithms together",
		envelope.ReasonBadSignature, func(c *vcase) {
			c.plan = order("orders", "partner")
			c.plan.Foreign, c.plan.CoreOnly = true, true
			c.options.RequiredAlgorithms = []keys.Algorithm{keys.Ed25519, keys.ES256}
		})
}
