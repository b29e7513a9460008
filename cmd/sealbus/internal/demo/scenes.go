package demo

import (
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// sceneGroup is what one kind of adversary does.
type sceneGroup struct {
	title string
	cases []scene
}

// scene is one case: what is done to the bytes of a delivery. How it must end stands in expectations.
type scene struct {
	name, did string
	play      func(s *act)
}

func scenes() []sceneGroup {
	return []sceneGroup{
		{"A broker does what brokers do", brokerScenes()},
		{"An attacker changes the event", contentScenes()},
		{"An attacker bends the format", formatScenes()},
		{"Another key signs, or none", signerScenes()},
		{"It is carried elsewhere", carrierScenes()},
		{"It comes at another time", timeScenes()},
		{"Its data is encrypted", secretScenes()},
		{"A session key signs", sessionScenes()},
	}
}

// edited delivers a genuine event with one piece of text replaced.
func edited(name, did, old, text string) scene {
	return scene{name, did, func(s *act) { s.deliver(s.edit(s.genuine(), old, text), reader{}) }}
}

func brokerScenes() []scene {
	return []scene{
		{"genuine", "delivered as it was sealed", func(s *act) { s.deliver(s.genuine(), reader{}) }},
		{"genuine, embedded layout", "the attributes lie in the detail, beside the data",
			func(s *act) { s.deliver(s.embedded(), reader{}) }},
		{"re-formatted", `white space, order of members, \u escapes`,
			func(s *act) { s.deliver(s.reformat(s.genuine()), reader{}) }},
		{"re-formatted, embedded", "the same, in the embedded layout",
			func(s *act) { s.deliver(s.reformat(s.embedded()), reader{}) }},
		edited("numbers respelled", "12.5 became 1250e-2", `"total":12.5`, `"total":1250e-2`),
		edited("trace context changed", "as every hop does; it is not signed, and not handed over",
			`-b7ad6b7169203331-`, `-00f067aa0ba902b7-`),
	}
}

func contentScenes() []scene {
	return []scene{
		edited("data changed", "the total 12.5 became 1.25", `"total":12.5`, `"total":1.25`),
		{"data changed, embedded", "the same, in the embedded layout", func(s *act) {
			s.deliver(s.edit(s.embedded(), `"total":12.5`, `"total":1.25`), reader{})
		}},
		{"type changed", "placed became cancelled, inside and outside", func(s *act) {
			s.deliver(s.editAll(s.genuine(), "com.example.order.placed", "com.example.order.cancelled"),
				reader{})
		}},
		edited("subject changed", "basket/7 became basket/8", `"subject":"basket/7"`, `"subject":"basket/8"`),
		{"time changed", "an hour earlier", func(s *act) {
			d := s.genuine()
			at := s.sent.Time()
			s.deliver(s.edit(d, at.UTC().Format(time.RFC3339Nano),
				at.UTC().Add(-time.Hour).Format(time.RFC3339Nano)), reader{})
		}},
		edited("time's fraction changed", "half a second later; the standard signs whole seconds only",
			`.25Z"`, `.75Z"`),
		edited("signed extension changed", "tenant acme became evil", `"tenant":"acme"`, `"tenant":"evil"`),
		edited("signed extension removed", "tenant is gone", `"tenant":"acme",`, ``),
		edited("extension's type changed", `true became "true"; the handler gets the signed type`,
			`"vip":true`, `"vip":"true"`),
		edited("extension added", "admin=true; it is not signed, and not handed over", `"detail":{`,
			`"detail":{"admin":true,`),
		{"recordedtime, under CoreOnly", "sealed a minute later, to a consumer that drops extensions",
			func(s *act) {
				d := s.genuine()
				d = s.edit(d, `"recordedtime":"`+s.now.UTC().Format(time.RFC3339), `"recordedtime":"`+
					s.now.UTC().Add(time.Minute).Format(time.RFC3339))
				s.deliver(d, reader{mode: envelope.CoreOnly})
			}},
		{"digests recomputed", "other data with fitting digests, under the genuine signature", func(s *act) {
			genuine := s.material(s.genuine())
			forged := s.publish(s.changed(), by{signer: s.stranger})
			s.deliver(s.resign(forged, func(e *dsse.Envelope) { e.Signatures = genuine.Signatures }),
				reader{})
		}},
	}
}

func formatScenes() []scene {
	return []scene{
		edited("two members of one name", "a second subject", `"detail":{`,
			`"detail":{"subject":"basket/8",`),
		edited("two members, in the data", "a second total", `"total":12.5`, `"total":12.5,"total":1.25`),
		{"detail in both layouts", "an embedded event that claims to be structured as well", func(s *act) {
			s.deliver(s.edit(s.embedded(), `"detail":{`, `"detail":{"specversion":"1.0",`), reader{})
		}},
		{"wrong payload type", "the signature is said to be over something else", func(s *act) {
			s.deliver(s.resign(s.genuine(), func(e *dsse.Envelope) { e.PayloadType = keydoc.BundleType }),
				reader{})
		}},
		{"seventeen signatures", "the genuine one, many times over", func(s *act) {
			s.deliver(s.resign(s.genuine(), func(e *dsse.Envelope) {
				for len(e.Signatures) <= dsse.MaxSignatures {
					e.Signatures = append(e.Signatures, e.Signatures[0])
				}
			}), reader{})
		}},
	}
}

func signerScenes() []scene {
	return []scene{
		{"signature stripped", "dssematerial removed",
			func(s *act) { s.deliver(s.withMaterial(s.genuine(), ""), reader{}) }},
		{"signature of another event", "both events are genuine", func(s *act) {
			other := s.materialText(s.genuine())
			s.deliver(s.withMaterial(s.genuine(), other), reader{})
		}},
		{"forged, unknown key", "sealed with a key of the attacker's own",
			func(s *act) { s.deliver(s.publish(s.event(), by{signer: s.stranger}), reader{}) }},
		{"forged, known key ID", "the same, under the key ID of orders", func(s *act) {
			d := s.publish(s.event(), by{signer: s.stranger})
			s.deliver(s.resign(d,
				func(e *dsse.Envelope) { e.Signatures[0].KeyID = s.orders.Verifier().KeyID() }), reader{})
		}},
		{"trusted key, foreign source", "billing is trusted, and seals an event of orders", func(s *act) {
			s.deliver(s.publish(s.event(), by{signer: s.billing}), reader{})
		}},
		{"trusted key, foreign name", "billing seals in its own scope, in the name of orders", func(s *act) {
			ev := s.event()
			ev.SetSource("https://billing.example/eu")
			s.deliver(s.publish(ev, by{signer: s.asOrders(s.billing)}), reader{})
		}},
		{"second signature added", "billing signs as well; it neither helps nor harms", func(s *act) {
			s.deliver(s.resign(s.genuine(), func(e *dsse.Envelope) { e.Signatures = append(e.Signatures, s.sign(s.billing, e)) }), reader{})
		}},
		{"revoked key", "orders had revoked it an hour ago",
			func(s *act) { s.deliver(s.publish(s.event(), by{signer: s.revoked}), reader{}) }},
		{"retired key", "orders had retired it an hour ago",
			func(s *act) { s.deliver(s.publish(s.event(), by{signer: s.retired}), reader{}) }},
	}
}

func carrierScenes() []scene {
	return []scene{
		edited("wrong account", "put on the bus from an account that orders does not use", `"account":"`+
			demoAccount, `"account":"999988887777`),
		{"outer source changed", "put on the bus under the source of billing", func(s *act) {
			s.deliver(s.editFirst(s.genuine(), `"source":"https://orders.`, `"source":"https://billing.`),
				reader{})
		}},
		edited("outer detail-type changed", "put on the bus under another type", `"detail-type":"`+
			demoType, `"detail-type":"com.example.refund`),
		{"other audience", "sealed for the bus partners, put on the bus central", func(s *act) {
			s.deliver(s.publish(s.event(), by{audience: "partners"}), reader{})
		}},
	}
}

func timeScenes() []scene {
	return []scene{
		{"replayed", "delivered a second time", func(s *act) {
			d := s.genuine()
			s.deliver(d, reader{})
			s.deliver(d, reader{})
		}},
		{"handled, then a forged copy", "delivered, and again with other data", func(s *act) {
			d := s.genuine()
			s.deliver(d, reader{})
			s.deliver(s.edit(d, `"total":12.5`, `"total":1.25`), reader{})
		}},
		{"a forged copy came first", "with other data; a forger cannot use up an ID", func(s *act) {
			d := s.genuine()
			s.deliver(s.edit(d, `"total":12.5`, `"total":1.25`), reader{})
			s.deliver(d, reader{})
		}},
		{"same ID, other content", "orders itself seals another event under an ID that was handled",
			func(s *act) {
				s.deliver(s.genuine(), reader{})
				other := s.changed()
				other.SetID(s.sent.ID())
				s.deliver(s.publish(other, by{}), reader{})
			}},
		{"held back for two days", "longer than a bus keeps trying, which is the consumer's window",
			func(s *act) {
				s.deliver(s.genuine(), reader{late: 48 * time.Hour})
			}},
		{"held back past expirytime", "delivered 11 minutes later, sealed to live for 10", func(s *act) {
			s.deliver(s.publish(s.event(), by{expires: 10 * time.Minute}), reader{late: 11 * time.Minute})
		}},
		{"from the future", "sealed by a clock that is an hour ahead", func(s *act) {
			s.deliver(s.publish(s.event(), by{clock: time.Hour}), reader{})
		}},
	}
}
