package envelope_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
)

// limitCases stand at a limit, or one beyond it, where no other case does: vectors/limits/limits.json names
// them all.
func limitCases(l *vectorList) {
	byteLimitCases(l)
	const tooLarge, malformed = envelope.ReasonTooLarge, envelope.ReasonMalformed
	l.add("ok-limit-delegated-signatures",
		"the most delegated signatures, and the most delegations that the payload binds", "", func(c *vcase) {
			c.plan = delegated("orders", "session")
			for _, by := range []string{"next", "es256", "sharing"} {
				also := *c.plan.By[0].Delegation
				also.By = cast[by]
				c.plan.By = append(c.plan.By, mint.Signature{Key: cast["session"], Delegation: &also})
			}
		})
	l.add("limit-bound-delegations", "the payload binds more than 4 delegations", tooLarge,
		profile(func(o mint.Object) mint.Object {
			var list []string
			for i := range 5 {
				list = append(list,
					base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune('a'+i)), 32))))
			}
			return o.Add("delegations", mint.Array(list...))
		}))
	l.add("limit-producer-256", "a producer's name of 256 bytes, which is no key's",
		envelope.ReasonKeyNotValid,
		profile(set("producer", mint.Quote(strings.Repeat("p", 256)))))
	l.add("limit-producer-257", "a producer's name of more than 256 bytes", malformed,
		profile(set("producer", mint.Quote(strings.Repeat("p", 257)))))
	l.add("ok-limit-fraction", "a fraction of a second of 9 digits", "",
		content(set("time", `"2026-11-21T11:59:00.123456789Z"`)))
	patterns := func(n int) func(*vcase) {
		return func(c *vcase) {
			c.plan = delegated("orders", "session")
			for i := 1; i < n; i++ {
				c.plan.By[0].Delegation.Sources = append(c.plan.By[0].Delegation.Sources,
					fmt.Sprintf("urn:x:%d", i))
			}
		}
	}
	l.add("ok-limit-session-patterns", "a statement with 64 sources", "", patterns(64))
	l.add("limit-session-patterns", "a statement with more than 64 sources", envelope.ReasonBadSignature,
		patterns(65))
	tiny := func(n int) func(*vcase) {
		return func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("data", "["+strings.TrimSuffix(strings.Repeat("1e-308,", n), ",")+
				"]")
			c.plan.Wire = func(o mint.Object) mint.Object {
				return o.Set("data", strings.Replace(o.Get("data"), ",", " , ", 1))
			}
		}
	}
	l.add("ok-limit-tiny-numbers", "1,000 numbers that are slow to convert, in data that was re-serialised",
		"",
		tiny(1000))
	l.add("limit-tiny-numbers", "more than 1,000 of them: the data has no canonical form",
		envelope.ReasonModified, tiny(1001))
	messageLimitCases(l.secretly())
	spellingCases(l)
}

// byteLimitCases are exact to the byte.
func byteLimitCases(l *vectorList) {
	size := func(name, about string, expect envelope.Reason, n int, change func(c *vcase)) {
		if expect == "" {
			name = "ok-" + name
		}
		l.add(name, about, expect, func(c *vcase) {
			c.repeated, c.text = " ", func(text string) string { return text + strings.Repeat(" ", n-len(text)) }
			if change != nil {
				change(c)
			}
		})
	}
	bridge := func(c *vcase) { c.bridge = true }
	const tooLarge = envelope.ReasonTooLarge
	size("limit-event", "the largest event; white space counts", "", maxEvent, nil)
	size("limit-event", "a larger event", tooLarge, maxEvent+1, nil)
	size("limit-delivery", "the largest EventBridge delivery", "", maxDelivery, bridge)
	size("limit-delivery", "a larger EventBridge delivery", tooLarge, maxDelivery+1, bridge)
	detail := func(n int) func(*vcase) {
		return func(c *vcase) {
			c.embed, c.repeated = true, " "
			c.detail = func(text string) string { return "{" + strings.Repeat(" ", n-len(text)) + text[1:] }
		}
	}
	l.add("ok-limit-detail", "the largest detail with an embedded event", "", detail(maxEvent))
	l.add("limit-detail", "a larger detail with an embedded event", tooLarge, detail(maxEvent+1))
	material := func(n int) func(*vcase) {
		return func(c *vcase) {
			c.repeated = "ICAg" // three spaces
			c.plan.Material = func(text string) string { return text + strings.Repeat(" ", n/4*3-len(text)) }
		}
	}
	l.add("ok-limit-material", "the longest dssematerial", "", material(maxMaterial))
	l.add("limit-material", "a longer dssematerial", tooLarge, material(maxMaterial+4))
}

// messageLimitCases are about the JWE.
func messageLimitCases(try secretCase) {
	const tooLarge = envelope.ReasonTooLarge
	unprotected := func(n int) func(*vcase, *mint.Secret) {
		return func(_ *vcase, s *mint.Secret) {
			s.Message = add("unprotected", `{"x":"`+strings.Repeat("x", n-len(`{"x":""}`))+`"}`)
		}
	}
	try("ok-limit-header", "an unprotected header of 4,096 bytes", "", unprotected(4096))
	try("limit-header", "an unprotected header of more than 4,096 bytes", tooLarge, unprotected(4097))
	encryptedKey := func(n int) func(*vcase, *mint.Secret) {
		return func(c *vcase, s *mint.Secret) {
			s.To = recipientsOf("x25519")
			s.Recipients = beside(1, kmsEntryOf(strings.Repeat("x", n)))
			c.vector.Encryption = recipientsBeside(1, kmsARN, "x25519")
		}
	}
	try("ok-limit-encrypted-key", "an encrypted key of 2,048 bytes", "", encryptedKey(2048))
	try("limit-encrypted-key", "an encrypted key of more than 2,048 bytes", tooLarge, encryptedKey(2049))
	protected := func(n int) func(*vcase, *mint.Secret) { // so many bytes before base64url
		return func(c *vcase, s *mint.Secret) {
			c.repeated = "eHh4" // three times x
			s.Protected = func(o mint.Object) mint.Object {
				o = o.Add("x", `""`)
				return o.Set("x", mint.Quote(strings.Repeat("x", n-len(o.String()))))
			}
		}
	}
	try("ok-limit-protected", "a protected header of 131,072 characters", "", protected(131072/4*3))
	try("limit-protected", "a protected header of more than 131,072 characters", tooLarge,
		protected(131072/4*3+1))
	aad := func(n int) func(*vcase, *mint.Secret) {
		return func(c *vcase, s *mint.Secret) {
			c.repeated = "eHh4"
			s.Message = set("aad",
				mint.Quote(base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", n)))))
		}
	}
	try("limit-aad-65536", "an aad of 65,536 bytes, which is no binding", envelope.ReasonDecryptFailed,
		aad(65536))
	try("limit-aad-65537", "an aad of more than 65,536 bytes", tooLarge, aad(65537))
}

func kmsEntryOf(encrypted string) string {
	return mint.Object{
		{Name: "encrypted_key", Raw: mint.Quote(encoded(encrypted))},
		{Name: "header", Raw: `{"alg":"` + mint.AlgKMS + `","kid":"` + kmsARN + `"}`},
	}.String()
}

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// spellingCases are about fields that must be encrypted in each spelling that a reader may take for theirs.
func spellingCases(l *vectorList) {
	required := func(name, about string, expect envelope.Reason, doc string, fields []string,
		pointer string) {
		l.secretly(fields...)(name, about, expect, func(c *vcase, _ *mint.Secret) {
			c.plan.Event = c.plan.Event.Set("data", doc)
			c.options.RequireEncryptedFields = []string{pointer}
		})
	}
	const not = envelope.ReasonNotEncrypted
	required("field-required-other-case", "the field is encrypted, and is there in the clear in another case",
		not, `{"CARD":"4111","card":"1"}`, []string{"/card"}, "/card")
	required("field-required-only-other-case", "the field is there in another case only, in the clear", not,
		`{"Card":"4111","x":1}`, []string{"/x"}, "/card")
	required("field-required-fold",
		"letters count as the same that are by Unicode's simple case folding: the sign for Kelvin is a k",
		not,
		`{"to\u212aen":"4111","x":1,"token":"1"}`, []string{"/token"}, "/token")
	required("field-required-fold-s", "ſ and s are the same, too", not, `{"paſs":"4111","x":1}`,
		[]string{"/x"},
		"/PASS")
	required("field-required-nested-case", "each member on the way counts in any case", not,
		`{"Card":{"NUMBER":"4111"},"card":{"number":"1"}}`, []string{"/card"}, "/card/number")
	required("ok-field-required-both-cases", "both spellings are encrypted", "", `{"CARD":"4111","card":"1"}`,
		[]string{"/CARD", "/card"}, "/Card")
	required("ok-field-required-other-name", "ß is no ss: simple case folding keeps the number of letters",
		"",
		`{"straße":"x","y":1}`, []string{"/y"}, "/strasse")
	for _, n := range []int{64, 65} {
		doc, pointers := spellings("account", n)
		name, expect := "ok-field-required-64-spellings", envelope.Reason("")
		if n > 64 {
			name, expect = "field-required-65-spellings", not
		}
		required(name, "64 spellings of the field are encrypted, of "+
			fmt.Sprint(n), expect, doc, pointers[n-64:],
			"/Account")
	}
}

// budgetCases are about what may be tried to open one event, and what services answer.
func budgetCases(l *vectorList) {
	triesCases(l.secretly())
	callCases(l.secretly())
	answerCases(l)
}

// numbered are identities for cases that need many. The last of them has the number n.
func numbered(curve keys.Curve, n int) (list []*keys.LocalIdentity) {
	for i := range n {
		list = append(list, mint.SeededIdentity(curve, fmt.Sprintf("number %d", i+1)))
	}
	return list
}

// toNumbered encrypts to n identities, whose entries have no key ID, and opens with the last of them, behind
// so many strangers.
func toNumbered(c *vcase, s *mint.Secret, curve keys.Curve, n, strangers int) (list []*keys.LocalIdentity) {
	c.vector.Encryption = &vectorEncryption{}
	for _, i := range numbered(curve, n) {
		s.To, list = append(s.To, i.Recipient()), []*keys.LocalIdentity{i}
		c.vector.Encryption.Recipients = append(c.vector.Encryption.Recipients, "")
		c.vector.Encryption.OpenedWith = i.Recipient().KeyID()
	}
	s.Entry = noKID
	for i := range strangers {
		list = append([]*keys.LocalIdentity{mint.SeededIdentity(curve, fmt.Sprintf("stranger %d", i+1))},
			list...)
	}
	return list
}

func privateKeys(list []*keys.LocalIdentity) (jwks []json.RawMessage) {
	for _, i := range list {
		jwk, err := i.UnsafePrivateJWK()
		if err != nil {
			panic(err)
		}
		jwks = append(jwks, jwk)
	}
	return jwks
}

// triesCases are about private keys at hand.
func triesCases(try secretCase) {
	tries := func(name, about string, expect envelope.Reason, entries, strangers int) {
		try(name, about, expect, func(c *vcase, s *mint.Secret) {
			s.To = nil
			c.options.Identities = privateKeys(toNumbered(c, s, keys.X25519, entries, strangers))
		})
	}
	tries("ok-limit-tries", "the 32nd try opens", "", 16, 1)
	tries("limit-tries", "the 33rd try would open: it is not made", envelope.ReasonTooLarge, 11, 2)
	try("limit-tries-strangers", "33 tries would all fail: the last is not made, so nobody knows",
		envelope.ReasonTooLarge, func(c *vcase, s *mint.Secret) {
			s.To = nil
			c.options.Identities = privateKeys(append(toNumbered(c, s, keys.X25519, 11, 2)[:2],
				mint.SeededIdentity(keys.X25519, "stranger 3")))
		})
	try("ok-limit-tries-named", "an entry that names its key is tried before all that name nobody", "",
		func(c *vcase, s *mint.Secret) {
			s.To = nil
			opening := toNumbered(c, s, keys.X25519, 15, 4)
			opening[4] = identities["x25519"]
			s.To = append(s.To, opening[4].Recipient())
			s.Entry = func(i int, e mint.Object) mint.Object {
				if i == 15 {
					return e
				}
				return noKID(i, e)
			}
			c.vector.Encryption.Recipients = append(c.vector.Encryption.Recipients,
				opening[4].Recipient().KeyID())
			c.vector.Encryption.OpenedWith = opening[4].Recipient().KeyID()
			c.options.Identities = privateKeys(opening)
		})
	try("ok-limit-tries-other-curve", "an entry that names nobody is no try for a key on another curve", "",
		func(c *vcase, s *mint.Secret) {
			s.To = nil
			opening := toNumbered(c, s, keys.X25519, 16, 1)
			c.options.Identities = append(openingWith("p256", "other"), privateKeys(opening)...)
		})
}

// callCases are about the calls of services.
func callCases(try secretCase) {
	const tooLarge = envelope.ReasonTooLarge
	at := func(name, about string, expect envelope.Reason, position int, first ...*string) {
		try(name, about, expect, func(c *vcase, s *mint.Secret) {
			s.To, c.options.Identities = nil, nil
			service := serviceWith(s, map[string][]*string{fmt.Sprint("entry ",
				position): {ptr(s.ContentKey())}})
			if first != nil {
				service.Answers[encoded("entry 1")] = first
			}
			var entries []string
			c.vector.Encryption = &vectorEncryption{OpenedWith: kmsARN}
			for i := range position {
				entries = append(entries, kmsEntryOf(fmt.Sprint("entry ", i+1)))
				c.vector.Encryption.Recipients = append(c.vector.Encryption.Recipients, kmsARN)
			}
			s.Recipients = always("[" + strings.Join(entries, ",") + "]")
			c.options.Services = []*mint.Service{service}
		})
	}
	at("ok-limit-service-calls", "the fourth call of a service opens", "", 4)
	at("limit-service-calls", "the fifth call of a service would open: it is not made", tooLarge, 5)
	at("limit-service-calls-outage", "a service that does not answer may have said yes",
		envelope.ReasonKMSUnavailable, 5, nil)
	agreements := func(name, about string, expect envelope.Reason, entries, strangers int) {
		try(name, about, expect, func(c *vcase, s *mint.Secret) {
			s.To, c.options.Identities = nil, nil
			c.options.RemoteIdentities = privateKeys(toNumbered(c, s, keys.P256, entries, strangers))
		})
	}
	agreements("ok-limit-agreements", "a key agreement in a service is a call: the fourth opens", "", 2, 1)
	agreements("limit-agreements", "the fifth key agreement in a service would open: it is not made",
		tooLarge,
		5, 0)
	try("limit-service-calls-shared", "two services, and key agreements, have four calls together", tooLarge,
		func(c *vcase, s *mint.Secret) {
			s.To, c.options.Identities = nil, nil
			c.options.RemoteIdentities = privateKeys(toNumbered(c, s, keys.P256, 3, 0))
			s.Recipients = beside(1, kmsEntryOf("entry 1"))
			c.options.Services = []*mint.Service{serviceWith(s, nil), serviceWith(s, nil)}
		})
}

func ptr(text string) *string { return &text }

// serviceWith answers with these for encrypted keys that are given as they are.
func serviceWith(_ *mint.Secret, answers map[string][]*string) *mint.Service {
	service := &mint.Service{ID: kmsARN, Answers: map[string][]*string{}}
	for encrypted, list := range answers {
		service.Answers[encoded(encrypted)] = list
	}
	return service
}

// answerCases are about what a service answers.
func answerCases(l *vectorList) {
	wrong, zeros := ptr((&mint.Secret{Name: "another"}).ContentKey()),
		ptr(encoded(strings.Repeat("\x00", 32)))
	const unavailable, failed = envelope.ReasonKMSUnavailable, envelope.ReasonDecryptFailed
	answered := func(fields []string, name, about string, expect envelope.Reason,
		change func(c *vcase, s *mint.Secret), answers ...*string) {
		l.secretly(fields...)(name, about, expect, func(c *vcase, s *mint.Secret) {
			for i, a := range answers {
				if a != nil && *a == "" {
					answers[i] = ptr(s.ContentKey())
				}
			}
			s.To, c.options.Identities, s.Recipients = nil, nil, always("["+kmsEntryOf("entry")+"]")
			c.options.Services = []*mint.Service{serviceWith(s, map[string][]*string{"entry": answers})}
			c.vector.Encryption = &vectorEncryption{Fields: fields, Recipients: []string{kmsARN},
				OpenedWith: kmsARN}
			if change != nil {
				change(c, s)
			}
		})
	}
	for prefix, fields := range map[string][]string{"service-": nil, "service-field-": {"/total"}} {
		answered(fields, "ok-"+prefix+"answer", "a service decrypts the content key", "", nil, ptr(""))
		answered(fields, "ok-"+prefix+"wrong-once",
			"a service answers with another key than the event commits to, and is asked once more", "", nil,
			wrong,
			ptr(""))
		answered(fields, prefix+"wrong-twice",
			"a service answers with another key twice: it counts as one that does not answer", unavailable,
			nil,
			wrong, wrong, ptr(""))
	}
	answered(nil, "ok-service-zeros-once", "a key of zeros is a wrong answer", "", nil, zeros, ptr(""))
	answered(nil, "service-zeros-twice", "a key of zeros twice", unavailable, nil, zeros)
	answered(nil, "service-short-answer", "a key of 31 bytes is a wrong answer", unavailable, nil,
		ptr(encoded(strings.Repeat("k", 31))))
	answered(nil, "service-no-answer", "a service that does not answer", unavailable, nil, nil, ptr(""))
	answered(nil, "service-wrong-then-no-answer", "a wrong answer, and then none", unavailable, nil, wrong,
		nil)
	answered(nil, "service-refuses", "the service says that the key was not encrypted by it", failed, nil)
	answered(nil, "service-other-commitment",
		"kc is no commitment to what the service holds: it may be the service that is wrong", unavailable,
		func(_ *vcase, s *mint.Secret) {
			s.Protected = set("kc", mint.Quote((&mint.Secret{Name: "another"}).Commitment()))
		}, ptr(""))
	answered(nil, "service-ciphertext-changed", "the key is right: a service cannot be to blame", failed,
		func(_ *vcase, s *mint.Secret) {
			s.Message = onText("ciphertext", flipFirst)
		}, ptr(""))
	answered(nil, "ok-service-uncommitted", "without kc only the data tells the right key", "",
		func(c *vcase, s *mint.Secret) {
			s.Protected, c.options.UnsafeAllowUncommitted = del("kc"), true
		}, wrong, ptr(""))
	answered(nil, "service-uncommitted-wrong-twice", "without kc, two answers that do not open the data",
		unavailable, func(c *vcase, s *mint.Secret) {
			s.Protected, c.options.UnsafeAllowUncommitted = del("kc"), true
		}, wrong)
	answered([]string{"/order", "/total"}, "service-field-two-keys",
		"two fields commit to different content keys: no answer opens both", failed,
		func(_ *vcase, s *mint.Secret) {
			s.Field = func(pointer, text string) string {
				if pointer == "/order" {
					return text
				}
				p := order("orders")
				data := p.Encrypt(&mint.Secret{Name: "another", To: recipientsOf("x25519"),
					Fields: []string{pointer}}).Event.Get("data")
				return strings.Split(data[strings.Index(data, `"total":"`):], `"`)[3]
			}
		}, ptr(""))
	remoteCases(l.secretly())
	secondEntryCase(l)
}

// secondEntryCase is about a key that was right, and data that is not.
func secondEntryCase(l *vectorList) {
	l.secretly("/total")("field-value-not-json-second-entry",
		"the first entry is broken, the second opens what is not JSON: the key was right",
		envelope.ReasonMalformed, func(_ *vcase, s *mint.Secret) {
			s.To = recipientsOf("x25519", "x25519")
			s.Padded = func(string, string) string { return "hello" + strings.Repeat(" ", 27) }
			s.Entry = func(i int, e mint.Object) mint.Object {
				if i == 0 {
					return e.Set("header", replace(`"OKP"`, `"EC"`)(e.Get("header")))
				}
				return e
			}
		})
}

// remoteCases are about key agreements in a service: what a right answer cannot be to blame for is permanent.
func remoteCases(try secretCase) {
	remote := func(name, about string, expect envelope.Reason, identity string, change func(*mint.Secret)) {
		try("remote-"+name, about, expect, func(c *vcase, s *mint.Secret) {
			s.To, c.options.Identities, c.options.RemoteIdentities = recipientsOf(identity), nil,
				openingWith(identity)
			change(s)
		})
	}
	const failed = envelope.ReasonDecryptFailed
	entry := func(change func(mint.Object) mint.Object) func(*mint.Secret) {
		return func(s *mint.Secret) { s.Entry = func(_ int, e mint.Object) mint.Object { return change(e) } }
	}
	remote("key-changed",
		"the secret does not open the encrypted key of an entry that names us: it may be the service that is wrong",
		envelope.ReasonKMSUnavailable, "p256", entry(onText("encrypted_key", flipFirst)))
	remote("key-changed-no-kid", "the same of an entry that names nobody: it is for somebody else",
		envelope.ReasonNotARecipient, "p256", entry(func(e mint.Object) mint.Object {
			return noKID(0,
				onText("encrypted_key", flipFirst)(e))
		}))
	remote("other-commitment",
		"the secret opens the encrypted key, which authenticates it: the event commits to another one",
		failed,
		"p256", func(s *mint.Secret) {
			s.Protected = set("kc", mint.Quote((&mint.Secret{Name: "another"}).Commitment()))
		})
	remote("small-order", "with an ephemeral key of small order no service agrees", failed, "x25519",
		entry(func(e mint.Object) mint.Object {
			h := e.Get("header")
			at := strings.Index(h, `"x":"`) + len(`"x":"`)
			return e.Set("header", h[:at]+strings.Repeat("A", 43)+h[at+43:])
		}))
	remote("other-curve", "an ephemeral key on another curve", failed, "x25519", func(s *mint.Secret) {
		s.To, s.Entry = recipientsOf("p256"), entryHeader(func(h string) string {
			return strings.ReplaceAll(h, identities["p256"].Recipient().KeyID(),
				identities["x25519"].Recipient().KeyID())
		})
	})
}
