package envelope_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

var noContext = context.Background()

// delegated is the order event signed by a session key that a long-term key vouches for, for an hour.
func delegated(by, session string) mint.Plan {
	p := order(session)
	p.By[0].Delegation = &mint.Delegation{
		By: cast[by], From: on("11:30"), Life: time.Hour,
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.order.placed"},
	}
	return p
}

func delegationCases(l *vectorList) {
	try := func(name, about string, expect envelope.Reason, change func(c *vcase, d *mint.Delegation)) {
		l.add(name, about, expect, func(c *vcase) {
			c.plan = delegated("orders", "session")
			if change != nil {
				change(c, c.plan.By[0].Delegation)
			}
		})
	}
	try("ok-delegated", "a session key, vouched for by a long-term key for an hour", "", nil)
	try("ok-delegated-es256", "an Ed25519 session key, vouched for by an ES256 key", "",
		func(c *vcase, d *mint.Delegation) { d.By = cast["es256"] })
	try("ok-delegated-second-before-end", "sealed in the second before not_after", "",
		func(c *vcase, d *mint.Delegation) {
			d.From, d.Life = on("11:30"), 29*time.Minute+56*time.Second
		})
	try("ok-delegated-skew-edge", "sealed at not_before less the tolerance", "",
		func(c *vcase, d *mint.Delegation) {
			d.From, d.Life = moment("2026-11-21T12:04:55Z"), time.Minute
		})
	try("ok-delegated-and-direct", "a delegated and a direct signature", "",
		func(c *vcase, d *mint.Delegation) { c.plan.By = append(c.plan.By, signedBy("next")) })
	try("ok-delegated-twice", "two delegations, both bound", "", func(c *vcase, d *mint.Delegation) {
		second := *d
		second.By = cast["es256"]
		c.plan.By = append(c.plan.By, mint.Signature{Key: cast["session2"], Delegation: &second})
	})
	try("ok-delegation-white-space", "the statement's envelope is not signed, only its payload", "",
		func(c *vcase, d *mint.Delegation) {
			c.plan.By[0].Edit = func(o mint.Object) mint.Object {
				return o.Set("delegation", strings.ReplaceAll(o.Get("delegation"), `,"`, ` , "`))
			}
		})
	scopeCases(try)
	bad := func(name, about string, change func(c *vcase, d *mint.Delegation)) {
		try("delegation-"+name, about, envelope.ReasonBadSignature, change)
	}
	statementCases(bad)
	boundCases(bad, try)
	l.add("delegation-5", "more than 4 delegations", envelope.ReasonTooLarge, func(c *vcase) {
		c.plan = delegated("orders", "session")
		for range 4 {
			c.plan.By = append(c.plan.By, c.plan.By[0])
		}
	})
	l.add("delegation-foreign", "an event without the member \"sealbus\" binds no delegation",
		envelope.ReasonBadSignature, func(c *vcase) {
			c.plan = delegated("orders", "session")
			c.plan.Foreign = true
		})
	l.add("session-without-delegation", "a session key on its own is unknown", envelope.ReasonUnknownKey,
		func(c *vcase) { c.plan = order("session") })
}

type delegationCase = func(name, about string, expect envelope.Reason,
	change func(c *vcase, d *mint.Delegation))

// scopeCases are sound statements that do not cover the event.
func scopeCases(try delegationCase) {
	const not = envelope.ReasonKeyNotValid
	try("session-ended", "sealed at not_after", not,
		func(c *vcase, d *mint.Delegation) { d.Life = 29*time.Minute + 55*time.Second })
	try("session-not-begun", "sealed just before not_before less the tolerance", not,
		func(c *vcase, d *mint.Delegation) { d.From = moment("2026-11-21T12:04:56Z") })
	try("session-source", "the source is outside of the statement's", envelope.ReasonSourceNotAllowed,
		func(c *vcase, d *mint.Delegation) {
			d.Sources = []string{"https://orders.example/us"}
		})
	try("session-no-source", "a statement without sources allows none", envelope.ReasonSourceNotAllowed,
		func(c *vcase, d *mint.Delegation) { d.Statement = del("sources") })
	try("session-type", "the type is outside of the statement's", envelope.ReasonTypeNotAllowed,
		func(c *vcase, d *mint.Delegation) { d.Types = []string{"com.example.refund"} })
	try("session-no-type", "a statement without types allows none", envelope.ReasonTypeNotAllowed,
		func(c *vcase, d *mint.Delegation) { d.Statement = del("types") })
	try("session-empty-types", "an empty list of types allows none", envelope.ReasonTypeNotAllowed,
		func(c *vcase, d *mint.Delegation) { d.Types = nil })
	try("session-beyond-delegator", "a statement cannot give what its key does not have",
		envelope.ReasonSourceNotAllowed, func(c *vcase, d *mint.Delegation) {
			d.By, d.Sources = cast["nosources"], []string{"https://orders.example/*"}
		})
	try("session-revoked", "the bundle revokes the session key", envelope.ReasonRevokedKey,
		func(c *vcase, d *mint.Delegation) { c.plan.By[0].Key = cast["sessiongone"] })
	try("delegator-revoked", "the key that vouches is revoked", envelope.ReasonRevokedKey,
		func(c *vcase, d *mint.Delegation) { d.By = cast["revoked"] })
	try("delegator-unknown", "the key that vouches is not in the bundle", envelope.ReasonUnknownKey,
		func(c *vcase, d *mint.Delegation) { d.By = cast["unlisted"] })
	try("delegator-account", "the key that vouches is bound to another account",
		envelope.ReasonAccountMismatch, func(c *vcase, d *mint.Delegation) { d.By = cast["bound"] })
	try("delegator-of-another", "the key that vouches belongs to another producer", not,
		func(c *vcase, d *mint.Delegation) {
			d.By = cast["partner"]
			c.plan.Profile = set("producer", `"orders"`)
		})
	try("delegator-retired", "the key that vouches had retired when the event was sealed", not,
		func(c *vcase, d *mint.Delegation) {
			d.By, d.From = cast["scheduled"], on("13:45")
			c.plan.Event = c.plan.Event.Set("recordedtime", `"2026-11-21T14:10:00Z"`)
			c.options = vectorOptions{Now: "2026-11-21T14:11:00Z"}
		})
}

// statementCases are delegations that are not sound.
func statementCases(bad func(name, about string, change func(c *vcase, d *mint.Delegation))) {
	statement := func(name, about string, edit func(mint.Object) mint.Object) {
		bad(name, about, func(c *vcase, d *mint.Delegation) { d.Statement = edit })
	}
	bad("over-an-hour", "a statement of more than an hour",
		func(c *vcase, d *mint.Delegation) { d.Life = time.Hour + time.Second })
	bad("no-time", "a statement that ends when it begins", func(c *vcase, d *mint.Delegation) { d.Life = 0 })
	bad("backwards", "a statement that ends before it begins",
		func(c *vcase, d *mint.Delegation) { d.From, d.Life = on("12:30"), -time.Hour })
	bad("es256-session", "a session key is an Ed25519 key",
		func(c *vcase, d *mint.Delegation) { c.plan.By[0].Key = cast["sessionec"] })
	for _, name := range []string{"session", "not_before", "not_after"} {
		statement("no-"+strings.ReplaceAll(name, "_", "-"), "a member is missing", del(name))
		statement("duplicate-"+strings.ReplaceAll(name, "_", "-"), "a member twice",
			func(o mint.Object) mint.Object { return o.Add(name, o.Get(name)) })
	}
	statement("duplicate-sources", "a member twice", add("sources", `["https://orders.example/*"]`))
	statement("unknown-member", "an unknown member: it might be a restriction", add("accounts", "[]"))
	statement("null-sources", "a member is null", set("sources", "null"))
	statement("fraction", "times are in whole seconds", set("not_before", `"2026-11-21T11:30:00.5Z"`))
	statement("offset", "times are in UTC", set("not_before", `"2026-11-21T12:30:00+01:00"`))
	statement("no-zone", "times have their Z", set("not_before", `"2026-11-21T11:30:00"`))
	statement("numeric-date", "times are RFC 3339", set("not_before", "1795261800"))
	session := func(name, about string, edit func(string) string) {
		statement("session-"+name, about, func(o mint.Object) mint.Object { return o.Set("session", edit(o.Get("session"))) })
	}
	session("kid", "the session JWK has the thumbprint members only", replace(`"kty"`, `"kid":"x","kty"`))
	session("private", "the session JWK is a public key", replace(`"kty"`, `"d":"AAAA","kty"`))
	session("padded", "coordinates are canonical base64url",
		func(s string) string { return strings.TrimSuffix(s, `"}`) + `="}` })
	session("small-order", "the session key is a point of small order",
		always(`{"crv":"Ed25519","kty":"OKP","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`))
	session("x25519", "the session key is no signing key", replace("Ed25519", "X25519"))
	bad("payload-type", "the statement's payload type",
		func(c *vcase, d *mint.Delegation) { d.Type = "application/vnd.sealbus.bundle+json" })
	bad("two-signatures", "a statement has one signature",
		func(c *vcase, d *mint.Delegation) { d.Also = append(d.Also, cast["next"]) })
	bad("no-signature", "a statement has one signature",
		func(c *vcase, d *mint.Delegation) { d.Envelope = set("signatures", "[]") })
	bad("two-levels", "a delegation cannot be delegated",
		func(c *vcase, d *mint.Delegation) { d.Signature = add("delegation", "{}") })
	bad("signature-broken", "the statement's signature does not verify",
		func(c *vcase, d *mint.Delegation) { d.Signature = set("sig", `"AAAA"`) })
	bad("null", "delegation is null", func(c *vcase, d *mint.Delegation) { c.plan.By[0].Edit = set("delegation", "null") })
	bad("string", "delegation is a string", func(c *vcase, d *mint.Delegation) { c.plan.By[0].Edit = set("delegation", `"x"`) })
	bad("empty", "delegation is empty", func(c *vcase, d *mint.Delegation) { c.plan.By[0].Edit = set("delegation", "{}") })
}

// boundCases are about how event, session key and statement hang together.
func boundCases(bad func(name, about string, change func(c *vcase, d *mint.Delegation)), try delegationCase) {
	bad("unbound", "the signed payload does not bind the statement",
		func(c *vcase, d *mint.Delegation) { d.Unbound = true })
	bad("exchanged", "another statement for the same session key than the one that is bound",
		func(c *vcase, d *mint.Delegation) {
			other := delegated("orders", "session")
			other.By[0].Delegation.Sources = append(other.By[0].Delegation.Sources,
				"https://orders.example/eu")
			c.plan.By[0].Edit = func(o mint.Object) mint.Object { return o.Set("delegation", delegationOf(&other)) }
		})
	bad("other-session", "the statement vouches for another session key", func(c *vcase, d *mint.Delegation) {
		other := delegated("orders", "session2")
		c.plan.By[0].Edit = func(o mint.Object) mint.Object { return o.Set("delegation", delegationOf(&other)) }
	})
	bad("keyid", "keyid is that of the key that vouches", func(c *vcase, d *mint.Delegation) {
		c.plan.By[0].Edit = set("keyid", mint.Quote(cast["orders"].Verifier().KeyID()))
	})
	bad("no-keyid", "keyid is missing", func(c *vcase, d *mint.Delegation) { c.plan.By[0].Edit = del("keyid") })
	bad("session-signature", "the session key's own signature does not verify",
		func(c *vcase, d *mint.Delegation) { c.plan.By[0].Edit = set("sig", `"AAAA"`) })
	bad("self", "a session key cannot vouch for itself", func(c *vcase, d *mint.Delegation) {
		c.plan.By[0].Key = cast["orders"]
		c.plan.By[0].Edit = set("sig", `"AAAA"`)
	})
	try("ok-delegation-removed",
		"a direct signature counts by itself, whatever became of another's delegation", "",
		func(c *vcase, d *mint.Delegation) {
			c.plan.By = append(c.plan.By, signedBy("next"))
			c.plan.By[0].Edit = del("delegation")
			c.vector.KeyIDs = ids("next")
		})
}

// delegationOf is the delegation member of a plan's first signature.
func delegationOf(p *mint.Plan) string {
	var text string
	q := *p
	q.By = []mint.Signature{p.By[0]}
	q.By[0].Edit = func(o mint.Object) mint.Object {
		text = o.Get("delegation")
		return o
	}
	q.Seal()
	return text
}

// foreign is a case of an event that another implementation sealed.
func foreign(change func(*vcase)) func(*vcase) {
	return func(c *vcase) {
		c.plan.Foreign = true
		if change != nil {
			change(c)
		}
	}
}

// foreignCases are events without the member "sealbus".
func foreignCases(l *vectorList) {
	text := map[string]string{"vip": "String"}
	event := func(change func(mint.Object) mint.Object) func(*vcase) {
		return foreign(func(c *vcase) { c.plan.Event = change(c.plan.Event.Set("vip", `"yes"`)) })
	}
	l.add("ok-foreign", "an event of another implementation; time comes back in whole seconds", "",
		event(set("tenant", `"acme2"`)))
	l.add("ok-foreign-core-only", "without ext: no extension is verified", "", foreign(func(c *vcase) {
		c.plan.CoreOnly = true
		c.options.MaxAgeSeconds = 0
	}))
	l.add("ok-foreign-judged-on-time", "without a signed recordedtime, freshness is judged on time", "",
		foreign(func(c *vcase) { c.plan.CoreOnly = true }))
	l.add("foreign-expired-time", "without a signed recordedtime, freshness is judged on time",
		envelope.ReasonExpired, foreign(func(c *vcase) {
			c.plan.CoreOnly = true
			c.plan.Event = c.plan.Event.Set("time", `"2026-11-21T11:54:59Z"`)
		}))
	undated := func(c *vcase) {
		c.plan.Foreign, c.plan.CoreOnly = true, true
		c.plan.Event = c.plan.Event.Del("time")
	}
	l.add("undated", "neither recordedtime nor time is signed", envelope.ReasonUndated, undated)
	l.add("ok-undated-allowed", "unsafe_allow_undated", "",
		func(c *vcase) { undated(c); c.options.UnsafeAllowUndated = true })
	l.add("ok-undated-no-window", "without a window, freshness is not judged", "",
		func(c *vcase) { undated(c); c.options.MaxAgeSeconds = 0 })
	l.add("undated-unsigned-recordedtime", "an unsigned recordedtime dates nothing", envelope.ReasonUndated,
		func(c *vcase) {
			undated(c)
			c.plan.Wire = set("recordedtime", mint.Quote("2026-11-21T11:59:58Z"))
		})
	l.add("ok-foreign-boolean-as-string",
		"an undeclared Boolean comes back as String, whatever its JSON type", "",
		foreign(func(c *vcase) { c.plan.Types = text }))
	l.add("ok-foreign-boolean-declared", "a declared Boolean comes back as one", "", foreign(func(c *vcase) {
		c.plan.Wire = set("vip", `"true"`)
		c.options.ExtensionTypes = map[string]string{"vip": "Boolean"}
	}))
	due := func(change func(*vcase)) func(*vcase) {
		return foreign(func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("vip", `"yes"`).Set("due", `"2026-12-01T02:00:00+02:00"`)
			c.plan.Types = map[string]string{"due": "Timestamp"}
			if change != nil {
				change(c)
			}
		})
	}
	l.add("foreign-timestamp-undeclared",
		"an undeclared Timestamp whose hashed text differs from the one on the wire",
		envelope.ReasonUnsupported, due(nil))
	l.add("ok-foreign-timestamp-declared", "a declared Timestamp comes back as its hashed text", "",
		due(func(c *vcase) { c.options.ExtensionTypes = c.plan.Types }))
	l.add("ok-foreign-timestamp-fraction",
		"a Timestamp's fraction is not authenticated, and does not come back", "", due(func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("due", `"2026-12-01T00:00:00.75Z"`)
			c.options.ExtensionTypes = c.plan.Types
		}))
	l.add("foreign-binary-undeclared", "an undeclared Binary extension", envelope.ReasonUnsupported,
		foreign(func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("vip", `"yes"`).Set("tenant", `"acme inc"`).Set("token", `"AAH/"`)
			c.plan.Types = map[string]string{"token": "Binary"}
		}))
	l.add("ok-foreign-binary-declared", "a declared Binary extension", "", foreign(func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("vip", `"yes"`).Set("token", `"AAH/"`)
		c.plan.Types = map[string]string{"token": "Binary"}
		c.options.ExtensionTypes = c.plan.Types
	}))
	l.add("foreign-declared-wrong", "a declared type that the value is not of", envelope.ReasonUnsupported,
		foreign(func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("vip", `"yes"`)
			c.options.ExtensionTypes = map[string]string{"vip": "Boolean"}
		}))
	l.add("foreign-documented-wrong", "a documented name with a text that its type does not have",
		envelope.ReasonUnsupported, foreign(func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("vip", `"yes"`).Set("sampledrate", `"often"`)
			c.plan.Types = map[string]string{"sampledrate": "String"}
		}))
	foreignDigestCases(l, due)
	lowestCases(l)
}

// foreignDigestCases are about what another implementation hashed.
func foreignDigestCases(l *vectorList, due func(func(*vcase)) func(*vcase)) {
	text := map[string]string{"vip": "String"}
	l.add("foreign-modified-extension", "a changed extension", envelope.ReasonModified,
		foreign(func(c *vcase) { c.plan.Types = text; c.plan.Wire = set("tenant", `"evil"`) }))
	l.add("foreign-modified-timestamp", "a changed undeclared Timestamp", envelope.ReasonModified,
		due(func(c *vcase) { c.plan.Wire = set("due", `"2026-12-01T00:00:01Z"`) }))
	l.add("ok-foreign-order", "signedextattrs in an order that is not the names'", "",
		foreign(func(c *vcase) {
			c.plan.Event = mint.Object(c.plan.Event.Del("audience", "recordedtime", "sampledrate", "vip",
				"tenant")).Add("b", `"same"`).Add("a", `"same"`)
			c.plan.Payload = set("signedextattrs", `["b","a"]`)
			c.vector.Event = strings.Replace(c.plan.Opened(), `"a":"same","b":"same"`,
				`"b":"same","a":"same"`, 1)
		}))
	l.add("ok-foreign-time-fraction", "the fraction of time is not authenticated, and does not come back", "",
		foreign(func(c *vcase) {
			c.plan.CoreOnly = true
			c.plan.Wire = set("time", `"2026-11-21T11:59:00.999Z"`)
		}))
	l.add("ok-foreign-no-datacontenttype", "without datacontenttype, data is JSON", "",
		foreign(func(c *vcase) {
			c.plan.CoreOnly = true
			c.plan.Event = c.plan.Event.Del("datacontenttype")
		}))
	l.add("ok-foreign-exact-json", "another implementation signs whatever bytes it had", "",
		foreign(func(c *vcase) {
			c.plan.CoreOnly = true
			c.plan.Event = c.plan.Event.Set("data", `{ "b": 1.0,  "a": 1e400 }`)
		}))
	l.add("foreign-json-reserialised", "which do not survive being re-serialised", envelope.ReasonModified,
		foreign(func(c *vcase) {
			c.plan.CoreOnly = true
			c.plan.Event = c.plan.Event.Set("data", `{ "b": 1.0,  "a": 2 }`)
			c.plan.Wire = set("data", `{"b":1.0,"a":2}`)
		}))
}

// lowestCases name the producer by the lowest counted key ID.
func lowestCases(l *vectorList) {
	two := func(c *vcase) {
		c.plan = order("orders", "partner", "next", "es256")
		c.plan.Foreign, c.plan.CoreOnly = true, true
		lowest := ids("orders", "partner", "next", "es256")[0]
		c.vector.Producer, c.vector.KeyIDs = "orders", ids("orders", "next", "es256")
		if lowest == cast["partner"].Verifier().KeyID() {
			c.vector.Producer, c.vector.KeyIDs = "partner", ids("partner")
		}
	}
	l.add("ok-foreign-two-producers",
		"the producer is that of the lowest counted key ID, compared as bytes; the other's signatures are forgotten", "", two)
	l.add("ok-foreign-two-producers-one-counted", "a key that does not count names no producer", "",
		func(c *vcase) {
			c.plan = order("partner", "orders", "shipping")
			c.plan.Foreign, c.plan.CoreOnly = true, true
			c.plan.Event = c.plan.Event.Set("source", `"https://partner.example/x"`)
			c.vector.Producer, c.vector.KeyIDs = "partner", ids("partner")
		})
}

// timeCases are about freshness. The window of the vectors is five minutes, and so is the tolerance.
func timeCases(l *vectorList) {
	try := func(name, about, now, sealed string, expect envelope.Reason) {
		l.add(name, about, expect, func(c *vcase) {
			c.plan.Event = c.plan.Event.Del("recordedtime").Add("recordedtime", mint.Quote(sealed))
			c.options.Now = now
		})
	}
	try("ok-oldest", "as old as the window is long", "2026-11-21T12:00:00Z", "2026-11-21T11:55:00Z", "")
	try("expired", "older than the window", "2026-11-21T12:00:00.000000001Z", "2026-11-21T11:55:00Z",
		envelope.ReasonExpired)
	try("ok-newest", "as far ahead as the tolerance", "2026-11-21T12:00:00Z", "2026-11-21T12:05:00Z", "")
	try("from-future", "farther ahead than the tolerance", "2026-11-21T11:59:59.999999999Z",
		"2026-11-21T12:05:00Z", envelope.ReasonFromFuture)
	try("ok-recordedtime-zone", "recordedtime with another zone on the wire of the signer",
		"2026-11-21T12:00:00Z", "2026-11-21T12:55:30+01:00", "")
	l.add("ok-no-window", "without a window, freshness is not judged", "",
		func(c *vcase) { c.options = vectorOptions{Now: "2026-11-27T00:00:00Z"} })
	l.add("ok-expiring", "now is just before expirytime", "", func(c *vcase) {
		c.plan.Event = c.plan.Event.Set("expirytime", `"2026-11-21T12:00:00Z"`)
		c.options.Now = "2026-11-21T11:59:59.999999999Z"
	})
	expiry := content(set("expirytime", `"2026-11-21T12:00:00Z"`))
	l.add("expirytime", "now is expirytime", envelope.ReasonExpired, expiry)
	l.add("expirytime-no-window", "expirytime is honoured without a window too", envelope.ReasonExpired,
		func(c *vcase) { expiry(c); c.options = vectorOptions{Now: vectorNow} })
	l.add("ok-expirytime-unsigned", "an unsigned expirytime means nothing", "",
		onWire(set("expirytime", `"2026-11-21T11:00:00Z"`)))
	l.add("expirytime-removed", "a signed expirytime cannot be removed", envelope.ReasonModified,
		func(c *vcase) { expiry(c); c.plan.Wire = del("expirytime") })
	l.add("ok-old-occurrence", "time is not what freshness is judged on", "",
		content(set("time", `"2020-01-01T00:00:00Z"`)))
}

func audienceCases(l *vectorList) {
	try := func(name, about, audience, mine string, expect envelope.Reason) {
		l.add(name, about, expect, func(c *vcase) {
			c.plan.Event = c.plan.Event.Del("audience")
			if audience != "" {
				c.plan.Event = c.plan.Event.Add("audience", mint.Quote(audience))
			}
			c.options.Audience = mine
		})
	}
	const not = envelope.ReasonAudienceMismatch
	try("ok-audience", "sealed for us", "central", "central", "")
	try("ok-audience-second", "sealed for us among others", "audit central", "central", "")
	try("ok-audience-unchecked", "we do not check", "audit", "", "")
	try("audience-other", "sealed for another", "audit", "central", not)
	try("audience-prefix", "a longer name", "central-eu", "central", not)
	try("audience-case", "names are compared byte by byte", "Central", "central", not)
	try("audience-none", "sealed for nobody in particular", "", "central", not)
	l.add("audience-unsigned", "an unsigned audience means nothing", not, func(c *vcase) {
		c.plan.Event = c.plan.Event.Del("audience")
		c.plan.Wire = set("audience", `"central"`)
		c.options.Audience = "central"
	})
}

// bridgeCases are EventBridge deliveries.
func bridgeCases(l *vectorList) {
	type edit = func(*vcase)
	structured := func(name, about string, expect envelope.Reason, change edit) {
		l.add("bus-"+name, about, expect, func(c *vcase) { c.bridge = true; change(c) })
	}
	embedded := func(name, about string, expect envelope.Reason, change edit) {
		l.add("embedded-"+name, about, expect, func(c *vcase) { c.embed = true; change(c) })
	}
	delivery := func(change func(mint.Object) mint.Object) edit { return func(c *vcase) { c.delivery = change } }
	detail := func(change func(string) string) edit { return func(c *vcase) { c.detail = change } }
	soundBridgeCases(l)
	structured("source", "the delivery's source is not the signed one", envelope.ReasonEnvelopeMismatch,
		delivery(set("source", `"https://orders.example/us"`)))
	structured("detail-type", "the delivery's detail-type is not the signed type",
		envelope.ReasonEnvelopeMismatch, delivery(set("detail-type", `"com.example.order.cancelled"`)))
	embedded("source", "the delivery's source is not the signed one", envelope.ReasonEnvelopeMismatch,
		delivery(set("source", `"https://orders.example/us"`)))
	structured("account", "the delivery's account is not the key's", envelope.ReasonAccountMismatch,
		func(c *vcase) {
			c.plan, c.delivery = order("bound"), set("account", `"777788889999"`)
		})
	structured("no-account", "the delivery has no account", envelope.ReasonAccountMismatch,
		func(c *vcase) { c.plan, c.delivery = order("bound"), del("account") })
	structured("ordinary", "an ordinary event of the bus", envelope.ReasonUnsigned,
		detail(always(`{"order":"o-1"}`)))
	structured("cloudevent-string", "a member cloudevent that is no object is data", envelope.ReasonUnsigned,
		detail(always(`{"cloudevent":"1.0"}`)))
	structured("unsigned", "a CloudEvent without dssematerial", envelope.ReasonUnsigned,
		func(c *vcase) { c.plan.Wire = del("dssematerial") })
	for _, name := range []string{"source", "detail-type", "detail"} {
		structured("no-"+name, "not an EventBridge event", envelope.ReasonMalformed, delivery(del(name)))
		structured("duplicate-"+name, "a member of the delivery twice", envelope.ReasonMalformed,
			delivery(func(o mint.Object) mint.Object { return o.Add(name, o.Get(name)) }))
	}
	structured("duplicate-account", "a member of the delivery twice", envelope.ReasonMalformed,
		delivery(add("account", `"111122223333"`)))
	structured("empty-source", "an empty source", envelope.ReasonMalformed, delivery(set("source", `""`)))
	structured("detail-array", "detail is no object", envelope.ReasonMalformed, detail(always("[]")))
	structured("detail-string", "detail is a string", envelope.ReasonMalformed,
		detail(func(s string) string { return mint.Quote(s) }))
	structured("trailing-bytes", "bytes after the delivery", envelope.ReasonMalformed,
		func(c *vcase) { c.text = func(s string) string { return s + "1" } })
	structured("both-layouts", "a detail that fits both layouts", envelope.ReasonMalformed,
		detail(func(s string) string { return s[:len(s)-1] + `,"cloudevent":{}}` }))
	embedded("both-layouts", "a detail that fits both layouts", envelope.ReasonMalformed,
		detail(func(s string) string { return s[:len(s)-1] + `,"specversion":"1.0"}` }))
	l.add("ok-structured-from-embedded", "an event of the embedded layout, put together as a structured one",
		"", func(c *vcase) {
			c.bridge = true
			c.plan.Wire = set("data", `{"total":12.50,"order":"o-1","lines":[{"n":2,"sku":"é-1"}]}`)
		})
	embeddedCases(func(name, about string, expect envelope.Reason, change func(*vcase)) {
		l.add("embedded-"+name, about, expect, func(c *vcase) { c.embed = true; change(c) })
	})
}

// soundBridgeCases are deliveries that are accepted.
func soundBridgeCases(l *vectorList) {
	l.add("ok-bus", "the structured layout: detail is the sealed event", "",
		func(c *vcase) { c.bridge = true })
	l.add("ok-embedded", "the embedded layout: detail is the data, and a member cloudevent", "",
		func(c *vcase) { c.embed = true })
	l.add("ok-bus-account", "the account of the delivery is the key's", "",
		func(c *vcase) { c.bridge = true; c.plan = order("bound") })
	l.add("ok-bus-account-option", "the account of the options goes before that of the delivery", "",
		func(c *vcase) {
			c.bridge, c.plan, c.options.Account = true, order("bound"), "444455556666"
			c.delivery = set("account", `"777788889999"`)
		})
	l.add("ok-embedded-reserialised", "the detail was re-serialised", "", func(c *vcase) {
		c.embed = true
		c.detail = func(s string) string {
			return strings.NewReplacer(`"total":12.5`, `"total" : 1.25e1`, `"n":2`, `"n": 2.0`).Replace(s)
		}
	})
	l.add("ok-embedded-first", "the member cloudevent comes first", "", func(c *vcase) {
		c.embed = true
		c.detail = func(s string) string {
			i := strings.Index(s, `,"cloudevent"`)
			return "{" + s[i+1:len(s)-1] + "," + s[1:i] + "}"
		}
	})
	l.add("ok-embedded-empty", "empty object data", "",
		func(c *vcase) { c.embed = true; c.plan.Event = c.plan.Event.Set("data", "{}") })
	l.add("ok-embedded-nested-names", "specversion and cloudevent deeper in the data are data", "",
		func(c *vcase) {
			c.embed = true
			c.plan.Event = c.plan.Event.Set("data",
				`{"a":{"cloudevent":{"specversion":"1.0"},"specversion":"1.0"}}`)
		})
	l.add("ok-bus-other-members", "other members of the delivery are ignored", "", func(c *vcase) {
		c.bridge = true
		c.delivery = add("replay-name", `"again"`)
	})
}

// embeddedCases are about the embedded layout.
func embeddedCases(embedded func(name, about string, expect envelope.Reason, change func(*vcase))) {
	detail := func(change func(string) string) func(*vcase) { return func(c *vcase) { c.detail = change } }
	embedded("twice", "two members cloudevent", envelope.ReasonMalformed, detail(func(s string) string {
		return s[:len(s)-1] + s[strings.Index(s, `,"cloudevent"`):len(s)-1] + "}"
	}))
	embedded("twice-escaped", "two members cloudevent, one with an escape", envelope.ReasonMalformed,
		detail(func(s string) string { return s[:len(s)-1] + `,"\u0063loudevent":{}}` }))
	embedded("duplicate-in-data", "a duplicate member in the data", envelope.ReasonMalformed,
		detail(replace(`"order":"o-1"`, `"order":"o-1","order":"o-1"`)))
	embedded("duplicate-in-attributes", "a duplicate attribute", envelope.ReasonMalformed,
		detail(replace(`"subject":"order/1"`, `"subject":"order/1","subject":"order/1"`)))
	embedded("bad-data", "data that is not JSON", envelope.ReasonMalformed,
		detail(replace(`"n":2`, `"n":02`)))
	embedded("crossed-brackets", "brackets that do not match", envelope.ReasonMalformed,
		detail(replace(`"lines":[{"n":2,"sku":"é-1"}]`, `"lines":[{"n":2,"sku":"é-1"]}`)))
	embedded("data-inside", "the member cloudevent carries data", envelope.ReasonMalformed,
		detail(replace(`"cloudevent":{`, `"cloudevent":{"data":{},`)))
	embedded("data-base64-inside", "the member cloudevent carries data", envelope.ReasonMalformed,
		detail(replace(`"cloudevent":{`, `"cloudevent":{"data_base64":"e30=",`)))
	embedded("not-json", "the content type is not JSON", envelope.ReasonMalformed,
		func(c *vcase) { c.plan.Event = c.plan.Event.Set("datacontenttype", `"text/plain"`) })
	embedded("member-added", "another member in the data", envelope.ReasonModified,
		detail(func(s string) string { return s[:len(s)-1] + `,"x":1}` }))
	embedded("data-changed", "other data", envelope.ReasonModified, detail(replace("o-1", "o-2")))
	embedded("attribute-changed", "another attribute", envelope.ReasonModified,
		detail(replace("order/1", "order/2")))
	embedded("exact", "exact data does not go into the embedded layout: only its canonical form has bytes",
		envelope.ReasonModified, func(c *vcase) {
			c.plan.Data = []byte(`{"total":12.50}`)
			c.plan.Event = c.plan.Event.Set("data", `{"total":12.50}`)
		})
	embedded("without-data", "an event that was sealed without data", envelope.ReasonModified,
		func(c *vcase) {
			c.plan.Event = c.plan.Event.Del("data")
			c.plan.Wire = set("data", "{}")
		})
	embedded("unsigned", "a member cloudevent without dssematerial", envelope.ReasonUnsigned,
		func(c *vcase) { c.plan.Wire = del("dssematerial") })
}

// published is the published vectors.
type published struct {
	Key   json.RawMessage `json:"key"`
	Cases []struct {
		Name           string          `json:"name"`
		Attributes     json.RawMessage `json:"attributes"`
		Data           []byte          `json:"data_base64"`
		SignedExtAttrs []string        `json:"signedextattrs"`
		Material       string          `json:"dssematerial"`
		Expect         string          `json:"expect"`
	} `json:"cases"`
}

func readPublished(t testing.TB) *published {
	t.Helper()
	doc, err := os.ReadFile("testdata/cloudevents-dsse.json")
	if err != nil {
		t.Fatal(err)
	}
	p := &published{}
	if err := json.Unmarshal(doc, p); err != nil || len(p.Cases) == 0 {
		t.Fatalf("no published vectors: %v", err)
	}
	return p
}

func publishedSigner(t testing.TB) *keys.LocalSigner {
	t.Helper()
	s, err := keys.ParsePrivateJWK(readPublished(t).Key, "cloudevents")
	if err != nil {
		t.Fatal(err)
	}
	return s.Deterministic()
}

func publishedKey(t testing.TB) *trust.Key {
	return &trust.Key{
		Verifier: publishedSigner(t).Verifier(), Producer: "cloudevents", Aliases: []string{"testkey"},
		Sources: []string{"example/uri"}, Types: []string{"*"},
	}
}

// publishedCases are the published vectors, as they were published: data in data_base64, since JSON has other
// bytes once it is written here.
func publishedCases(l *vectorList) {
	for _, p := range readPublished(l.t).Cases {
		attributes := members(l.t, p.Attributes)
		v := &vector{
			Name:  "published-" + strings.TrimPrefix(p.Name, "cloudevents-dsse-"),
			About: "published with the CloudEvents extension", Form: formCloudEvent,
			Bundle: "bundles/published.json", Options: vectorOptions{Now: vectorNow}, Expect: p.Expect,
			Input: attributes.Add("data_base64",
				mint.Quote(base64.StdEncoding.EncodeToString(p.Data))).Add("dssematerial",
				mint.Quote(p.Material)).String(),
		}
		if p.Expect == expectedVerified {
			plan := mint.Plan{Event: attributes, Data: p.Data, Foreign: true,
				CoreOnly: len(p.SignedExtAttrs) == 0}
			v.Event, v.Producer, v.KeyIDs = plan.Opened(), "cloudevents", []string{publishedKey(l.t).KeyID()}
		}
		l.list = append(l.list, v)
	}
}

// members is a JSON object, in its order.
func members(t testing.TB, doc []byte) (o mint.Object) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	_, err := d.Token() // the brace
	for err == nil && d.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = d.Token(); err == nil {
			err = d.Decode(&value)
			o = append(o, mint.Member{Name: fmt.Sprint(name), Raw: string(value)})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}
