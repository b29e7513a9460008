package envelope_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
)

// tracer is what a tracer adds to an event or to a detail.
const tracer = `{"x-datadog-trace-id":"123","x-datadog-tags":["_dd.p.dm=-1"]}`

// addedCases are members that something adds on the way.
func addedCases(l *vectorList) {
	for name, member := range map[string]string{
		"underscore": "_datadog", "dash": "x-amzn-trace-id", "empty": "", "65": strings.Repeat("n", 65),
		"unicode": "tenañt",
		"space":   "ten ant", "camel-case": "traceId", "prototype": "__proto__", "data-like": "data-base64",
		"long": strings.Repeat("_", 5000),
	} {
		l.add("ok-ignored-"+
			name, "a member whose name is no attribute name was added on the way: it is no part of the event",
			"", onWire(add(member, `"x"`)))
	}
	for name, value := range map[string]string{
		"object": tracer, "null": "null", "number": "1e400", "depth": strings.Repeat("[", 63) +
			strings.Repeat("]", 63), "large": mint.Quote(strings.Repeat("x", 20_000)),
	} {
		l.add("ok-ignored-value-"+name, "its value is any JSON", "", onWire(add("_datadog", value)))
	}
	for _, mode := range []string{"passthrough", "core-only"} {
		l.add("ok-ignored-"+mode, "it comes back in no mode", "", func(c *vcase) {
			c.plan.Wire = add("_datadog", tracer)
			c.options.Mode = mode
			if p := c.plan; mode == "core-only" {
				p.CoreOnly = true
				c.vector.Event = p.Opened()
				return
			}
			c.vector.Unverified = map[string]string{"traceparent": mint.Unquote(c.plan.Event.Get("traceparent"))}
		})
	}
	l.add("ok-ignored-bus", "added to a detail that is the event", "",
		func(c *vcase) { c.bridge = true; c.plan.Wire = add("_datadog", tracer) })
	l.add("ok-ignored-in-cloudevent", "added to the attributes of the embedded layout", "", func(c *vcase) {
		c.embed = true
		c.detail = replace(`"cloudevent":{`, `"cloudevent":{"_datadog":`+tracer+",")
	})
	ignoredDefects(l)
	caseTwins(l)
	embeddedAdded(l)
}

// ignoredDefects: strict JSON and the limits are for what is ignored, too.
func ignoredDefects(l *vectorList) {
	for name, value := range map[string]string{
		"duplicate-inside": `{"a":1,"a":2}`, "depth-64": strings.Repeat("[", 64) +
			strings.Repeat("]", 64), "syntax": `{"a":01}`,
		"lone-surrogate": `"\ud800"`, "nan": "NaN",
	} {
		l.add("ignored-"+name, "a member that is ignored is JSON as all of the event is",
			envelope.ReasonMalformed, onWire(add("_datadog", value)))
	}
	l.add("ignored-duplicate", "a member that is ignored, twice", envelope.ReasonMalformed,
		onWire(func(o mint.Object) mint.Object {
			return o.Add("_datadog", "1").Add("_datadog", "1")
		}))
	many := func(n int) func(*vcase) {
		return onWire(func(o mint.Object) mint.Object {
			for i := range n {
				o = o.Add(fmt.Sprintf("_%d", i), "null")
			}
			return o
		})
	}
	extensions := 6 // of the order event
	l.add("ok-ignored-128", "the most extensions and members that are ignored, together", "",
		many(128-extensions))
	l.add("ignored-129", "more than 128 extensions and members that are ignored, together",
		envelope.ReasonTooLarge, many(129-extensions))
}

// caseTwins: a reader that ignores case must not take what was added for what was signed.
func caseTwins(l *vectorList) {
	for name, member := range map[string]string{
		"id": "ID", "source": "Source", "specversion": "SpecVersion", "type": "TYPE", "data": "Data",
		"data-base64": "DATA_BASE64",
		"cloudevent":  "CloudEvent", "dssematerial": "DsseMaterial", "dataschema": "dataSchema",
		"time": "Time", "extension": "Audience",
		"unsigned-extension": "TraceParent", "long-s": "ſource", "kelvin": "tracestate\u212a",
		"dotless-i": "ıd", "dotted-i": "İd",
	} {
		l.add("case-"+name, "an attribute's name in another case: which of the two is meant?",
			envelope.ReasonMalformed, func(c *vcase) {
				if name == "kelvin" {
					c.plan.Event = c.plan.Event.Set("tracestatek", `"x"`)
				}
				c.plan.Wire = add(member, `"x"`)
			})
	}
	for _, member := range []string{"detail-type", "unverified_id"} {
		l.add("other-format-"+strings.ReplaceAll(member, "_", "-"),
			"a member by which messages of another format are told: what could be two things is neither",
			envelope.ReasonMalformed, onWire(add(member, `"x"`)))
	}
	l.add("case-in-cloudevent", "the same in the attributes of the embedded layout", envelope.ReasonMalformed,
		func(c *vcase) {
			c.embed = true
			c.detail = replace(`"cloudevent":{`, `"cloudevent":{"Data":{},`)
		})
	l.add("case-of-bus-cloudevent", "a detail that some readers take for the embedded layout",
		envelope.ReasonMalformed, func(c *vcase) {
			c.bridge = true
			c.plan.Wire = add("CloudEvent", `{"id":"x"}`)
		})
	l.add("case-of-signed-and-absent", "the name of an attribute that is signed as absent, in another case",
		envelope.ReasonMalformed, foreign(func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("vip", `"yes"`)
			c.plan.Wire = func(o mint.Object) mint.Object { return o.Del("region").Add("Region", `"eu"`) }
			c.plan.Event = c.plan.Event.Set("region", `""`)
		}))
	l.add("ok-case-of-absent", "the name of an extension that is not there: no part of the event", "",
		onWire(add("CorrelationId", `"x"`)))
	l.add("ok-case-of-null", "nor is it if there is a null", "", onWire(func(o mint.Object) mint.Object {
		return o.Add("correlationid", "null").Add("CorrelationId", `"x"`)
	}))
}

// embeddedAdded are members that were added beside the data of the embedded layout.
func embeddedAdded(l *vectorList) {
	with := func(name, about string, expect envelope.Reason, member string, change func(*vcase)) {
		l.add(name, about, expect, func(c *vcase) {
			c.embed = true
			c.detail = func(s string) string { return s[:len(s)-1] + "," + member + "}" }
			if change != nil {
				change(c)
			}
		})
	}
	datadog := `"_datadog":` + tracer
	with("ok-embedded-added", "the data is tried once more without what is known to be added", "", datadog,
		nil)
	with("ok-embedded-added-escaped", "its name is compared after unescaping", "", `"\u005fdatadog":`+
		tracer, nil)
	with("ok-embedded-added-no-canonical-form", "what is left out needs no canonical form", "",
		`"_datadog":[1e400,0.10000000000000001]`, nil)
	with("ok-embedded-added-listed", "a list in place of the usual one", "", `"_lumigo":"1","x-trace":"2"`,
		func(c *vcase) {
			c.options.IgnoreMembers = []string{"x-trace", "_lumigo", "_absent"}
		})
	with("ok-embedded-added-unsorted", "what is left is put into canonical form", "", datadog,
		func(c *vcase) {
			c.detail = func(s string) string {
				return `{` + datadog + `,` + strings.NewReplacer(`"total":12.5`,
					`"total": 12.50`).Replace(s[1:])
			}
		})
	with("ok-embedded-signed-member", "a member of such a name that was signed stays", "", `"x":1`,
		func(c *vcase) {
			c.detail = nil
			c.plan.Event = c.plan.Event.Set("data", `{"_datadog":{"a":"b"},"order":"o-1"}`)
		})
	with("embedded-signed-member-replaced", "a member of such a name that was signed, and then changed",
		envelope.ReasonModified, `"x":1`, func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("data", `{"_datadog":{"a":"b"},"order":"o-1"}`)
			c.detail = replace(`{"a":"b"}`, tracer)
		})
	with("embedded-added-other", "a member that is in no list", envelope.ReasonModified, `"_lumigo":"1"`, nil)
	with("embedded-added-one-of-two", "one member that is in the list, and one that is not",
		envelope.ReasonModified, datadog+`,"_lumigo":"1"`, nil)
	with("embedded-added-two-listed-one-signed", "all of the list are left out, or none",
		envelope.ReasonModified, datadog, func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("data", `{"_lumigo":1,"order":"o-1"}`)
			c.options.IgnoreMembers = []string{"_datadog", "_lumigo"}
		})
	with("embedded-added-none-listed", "an empty list", envelope.ReasonModified, datadog,
		func(c *vcase) { c.options.IgnoreMembers = []string{} })
	with("embedded-added-and-changed", "the rest was changed, too", envelope.ReasonModified, datadog,
		func(c *vcase) {
			c.detail = func(s string) string { return replace("o-1", "o-2")(s[:len(s)-1] + "," + datadog + "}") }
		})
	with("embedded-added-case", "the names of the list match exactly", envelope.ReasonModified,
		`"_Datadog":1`, nil)
	with("embedded-added-nested", "deeper, it is data", envelope.ReasonModified, datadog, func(c *vcase) {
		c.detail = replace(`"n":2`, `"n":2,`+datadog)
	})
	with("embedded-added-duplicate", "a member that is left out, twice", envelope.ReasonMalformed, datadog+
		","+datadog, nil)
	with("embedded-added-duplicate-inside", "what is left out is JSON as all of the detail is",
		envelope.ReasonMalformed, `"_datadog":{"a":1,"a":1}`, nil)
	with("embedded-added-deep", "what is left out is JSON as all of the detail is", envelope.ReasonMalformed,
		`"_datadog":`+strings.Repeat("[", 64)+strings.Repeat("]", 64), nil)
	with("ok-embedded-added-field", "the same with a field encrypted", "", datadog, func(c *vcase) {
		c.secret, c.opener = &mint.Secret{Name: "added", To: recipientsOf("x25519"),
			Fields: []string{"/total"}}, "x25519"
		c.options.Identities = openingWith("x25519")
	})
}

// namelessCases are signatures without a keyid.
func namelessCases(l *vectorList) {
	const unknown = envelope.ReasonUnknownKey
	nameless := func(name, about string, expect envelope.Reason, bundle string, change func(*vcase),
		by ...string) {
		l.add(name, about, expect, func(c *vcase) {
			c.plan, c.bundle = order(by...), "bundles/"+bundle+".json"
			for i := range c.plan.By {
				c.plan.By[i].Edit = del("keyid")
			}
			if change != nil {
				change(c)
			}
		})
	}
	nameless("ok-nameless", "a signature without keyid is tried under the keys that may have made it", "",
		"hybrid", nil, "orders")
	nameless("ok-nameless-empty", "so is one with an empty keyid", "", "hybrid",
		func(c *vcase) { c.plan.By[0].Edit = set("keyid", `""`) }, "orders")
	nameless("ok-nameless-ml-dsa-65", "the length of the signature says which keys these are", "", "hybrid",
		nil, "mldsa")
	nameless("ok-nameless-es256", "ES256 and Ed25519 signatures have the same length", "", "eight", nil,
		"es256")
	nameless("ok-nameless-two", "two signatures, each under its key", "", "hybrid", nil, "orders", "mldsa")
	nameless("ok-nameless-foreign", "the same of another implementation", "", "hybrid", func(c *vcase) {
		c.plan.Foreign = true
		c.plan.Event = c.plan.Event.Set("vip", `"yes"`)
	}, "orders")
	nameless("ok-nameless-8", "8 keys may have made it", "", "eight", nil, "sharing")
	nameless("nameless-9", "9 keys may have made it: none is tried", unknown, "nine", nil, "sharing")
	nameless("nameless-unlisted", "no key of the bundle made it", unknown, "hybrid", nil, "unlisted")
	nameless("nameless-not-for-source", "a key that may not speak for the source is not tried", unknown,
		"eight", nil, "nosources")
	nameless("nameless-not-for-type", "nor is one that may not sign the type", unknown, "eight", nil,
		"notypes")
	nameless("nameless-revoked", "a revoked key is tried, and does not count", envelope.ReasonRevokedKey,
		"eight", nil, "revoked")
	nameless("nameless-expired", "so is one that is not valid at the time", envelope.ReasonKeyNotValid,
		"eight", func(c *vcase) {
			c.options.Now = "2026-11-21T17:00:00Z"
			c.options.MaxAgeSeconds = 0
		}, "scheduled")
	forged := mint.Object{{Name: "sig", Raw: mint.Quote(base64.StdEncoding.EncodeToString(make([]byte,
		64)))}}.String()
	before := func(n int) func(*vcase) {
		return material(`"signatures":[`, `"signatures":[`+strings.Repeat(forged+",", n))
	}
	nameless("ok-nameless-8-tries",
		"8 tries for all signatures together: three take two each, and two are left", "", "hybrid", before(3),
		"orders")
	nameless("nameless-9-tries", "a signature is not tried if there are not tries left for all of its keys",
		unknown, "hybrid", before(4), "orders")
	nameless("nameless-tries-used-up", "one signature has used them up", unknown, "eight", before(1),
		"orders")
	nameless("ok-nameless-length-first", "a signature of a length that no key makes costs no try", "",
		"hybrid", material(`"signatures":[`, `"signatures":[`+strings.Repeat(`{"sig":"AAAA"},`, 9)), "orders")
	nameless("ok-nameless-beside-unknown", "beside one that names an unknown key", "", "hybrid",
		material(`"signatures":[`, `"signatures":[`+strings.Replace(forged, "{", `{"keyid":"nobody",`, 1)+
			","), "orders")
	nameless("nameless-beside-bad", "beside one that names a key of the bundle, which speaks",
		envelope.ReasonBadSignature, "hybrid", func(c *vcase) {
			id := cast["orders"].Verifier().KeyID()
			c.plan.Material = replace(`"signatures":[`, `"signatures":[`+
				strings.Replace(forged, "{", `{"keyid":"`+id+`",`, 1)+",")
		}, "unlisted")
	nameless("nameless-not-base64", "a sig that is not base64", unknown, "hybrid", func(c *vcase) {
		c.plan.By[0].Edit = func(o mint.Object) mint.Object { return o.Del("keyid").Set("sig", `"!"`) }
	}, "orders")
	l.add("nameless-delegator", "the signature of a delegation names its key", unknown, func(c *vcase) {
		c.plan, c.bundle = delegated("orders", "session"), "bundles/hybrid.json"
		c.plan.By[0].Delegation.Signature = del("keyid")
	})
}

// textCases are URIs and characters that the way takes in one form only.
func textCases(l *vectorList) {
	const schema = `"https://schema.example/order.json#"`
	l.add("ok-empty-fragment", "a dataschema with an empty fragment, as in the names of JSON schemas", "",
		content(set("dataschema", schema)))
	l.add("ok-empty-fragment-query", "the same behind an empty query", "",
		content(set("dataschema", `"https://schema.example/order.json?#"`)))
	l.add("ok-empty-fragment-foreign", "the same of another implementation", "", foreign(func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("vip", `"yes"`).Set("dataschema", schema)
	}))
	l.add("ok-empty-fragment-extension", "a URI-reference and a URI with an empty fragment", "",
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("dataref", `"/blobs/7#"`).Set("docs", `"https://docs.example/x#"`)
			c.plan.Types = map[string]string{"docs": "URI"}
		})
	l.add("empty-fragment-removed", "an empty fragment is signed as it stands", envelope.ReasonModified,
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("dataschema", schema)
			c.plan.Wire = set("dataschema", strings.Replace(schema, "#", "", 1))
		})
	l.add("empty-fragment-added", "nor can one be added", envelope.ReasonModified, func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("dataschema", strings.Replace(schema, "#", "", 1))
		c.plan.Wire = set("dataschema", schema)
	})
	l.add("source-empty-fragment",
		"a source with an empty fragment: readers would confuse it with the one without",
		envelope.ReasonUnsupported,
		content(set("source", `"https://orders.example/eu#"`)))
	l.add("source-empty-fragment-foreign", "the same of another implementation", envelope.ReasonUnsupported,
		foreign(func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("vip", `"yes"`).Set("source", `"https://orders.example/eu#"`)
		}))
	const raw = "{\"\uffff\":\"page\uffff\ufffe\"}"
	l.add("ok-noncharacters", "U+FFFE and U+FFFF in the data, as they are hashed", "",
		content(set("data", raw)))
	l.add("ok-noncharacters-escaped",
		"the same escaped on the wire, as writers do: SQS takes no message with one of them", "",
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("data", raw)
			c.plan.Wire = set("data", `{"\uffff":"page\uffff\ufffe"}`)
		})
	l.add("ok-noncharacters-embedded", "the same in the embedded layout", "", func(c *vcase) {
		c.embed = true
		c.plan.Event = c.plan.Event.Set("data", raw)
		c.detail = func(s string) string { return strings.NewReplacer("\uffff", `\uFFFF`, "\ufffe", `\uFFFE`).Replace(s) }
	})
	l.add("ok-originalrecordedtime", "what another recorded before: it dates nothing", "", func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("originalrecordedtime", `"2019-01-01T00:00:00Z"`)
		c.plan.Wire = set("originalrecordedtime", `"2019-01-01T01:00:00+01:00"`)
	})
	l.add("ok-originalrecordedtime-future", "nor does one in the future", "",
		content(set("originalrecordedtime", `"2036-01-01T00:00:00Z"`)))
	l.add("originalrecordedtime-changed", "it is signed", envelope.ReasonModified, func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("originalrecordedtime", `"2019-01-01T00:00:00Z"`)
		c.plan.Wire = set("originalrecordedtime", `"2019-01-01T00:00:01Z"`)
	})
	l.add("originalrecordedtime-dates-nothing", "without recordedtime and time, it does not date the event",
		envelope.ReasonUndated, foreign(func(c *vcase) {
			c.plan.Event = c.plan.Event.Del("time", "recordedtime").Set("vip",
				`"yes"`).Set("originalrecordedtime", mint.Quote(vectorSealed))
		}))
	l.add("profile-originalrecordedtime-type", "it is a Timestamp", envelope.ReasonMalformed, func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("originalrecordedtime", `"2019-01-01T00:00:00Z"`)
		c.plan.Types = map[string]string{"originalrecordedtime": "String"}
	})
}
