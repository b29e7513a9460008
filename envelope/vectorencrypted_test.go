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

// identities are the encryption keys of the vectors, by the names under which the cases speak of them.
var identities = map[string]*keys.LocalIdentity{
	"x25519":   mint.SeededIdentity(keys.X25519, "billing"),
	"p256":     mint.SeededIdentity(keys.P256, "audit"),
	"stranger": mint.SeededIdentity(keys.X25519, "stranger"),
	"other":    mint.SeededIdentity(keys.P256, "other"),
}

func recipientsOf(names ...string) (list []*keys.Recipient) {
	for _, name := range names {
		if identities[name] == nil {
			panic("no identity " + name)
		}
		list = append(list, identities[name].Recipient())
	}
	return list
}

func keyIDs(list []*keys.Recipient) (ids []string) {
	for _, r := range list {
		ids = append(ids, r.KeyID())
	}
	return ids
}

func openingWith(names ...string) (list []json.RawMessage) {
	for _, name := range names {
		jwk, err := identities[name].UnsafePrivateJWK()
		if err != nil {
			panic(err)
		}
		list = append(list, jwk)
	}
	return list
}

type secretCase = func(name, about string, expect envelope.Reason, change func(c *vcase, s *mint.Secret))

// secretly adds cases of the order event encrypted to two, opened by one.
func (l *vectorList) secretly(fields ...string) secretCase {
	return func(name, about string, expect envelope.Reason, change func(c *vcase, s *mint.Secret)) {
		l.add(name, about, expect, func(c *vcase) {
			c.secret = &mint.Secret{To: recipientsOf("p256", "x25519"), Fields: fields}
			c.opener, c.options.Identities = "x25519", openingWith("x25519")
			if change != nil {
				change(c, c.secret)
			}
		})
	}
}

// encryptedCases are events of which all data is encrypted.
func encryptedCases(l *vectorList) {
	try := l.secretly()
	openedCases(try)
	strangerCases(try)
	required := func(change func(*vectorOptions)) func(*vcase, *mint.Secret) {
		return func(c *vcase, _ *mint.Secret) { change(&c.options) }
	}
	try("ok-encrypted-required", "required to be encrypted, and is", "", required(func(o *vectorOptions) {
		o.RequireEncrypted, o.RequireEncryptedFields = true, []string{"/total", ""}
	}))
	l.add("not-encrypted", "required to be encrypted, and is not", envelope.ReasonNotEncrypted,
		func(c *vcase) { c.options.RequireEncrypted = true })
	l.add("not-encrypted-field", "a field is required to be encrypted, and is not",
		envelope.ReasonNotEncrypted, func(c *vcase) { c.options.RequireEncryptedFields = []string{"/total"} })
	l.add("not-encrypted-other-content", "a field is required to be encrypted of data that is not JSON",
		envelope.ReasonNotEncrypted, func(c *vcase) {
			c.plan.Event = c.plan.Event.Set("datacontenttype", `"text/plain"`).Set("data", `"total 12.5"`)
			c.options.RequireEncryptedFields = []string{"/total"}
		})
	l.add("ok-not-encrypted-absent", "a field that is required to be encrypted is not there", "",
		func(c *vcase) {
			c.options.RequireEncryptedFields = []string{"/card", "/lines/1", "/lines/-", "/total/x"}
		})
	l.add("not-encrypted-expired", "freshness comes before", envelope.ReasonExpired, func(c *vcase) {
		c.options.RequireEncrypted, c.options.Now = true, "2026-11-21T12:05:00Z"
	})
	boundMessageCases(try)
	messageSyntaxCases(try)
	entryCases(try)
	plaintextCases(try)
}

func openedCases(try secretCase) {
	data := func(contentType, data string) func(*vcase, *mint.Secret) {
		return func(c *vcase, _ *mint.Secret) {
			c.plan.Event = c.plan.Event.Set("datacontenttype", mint.Quote(contentType)).Set("data", data)
		}
	}
	try("ok-encrypted-x25519", "encrypted to two, opened under X25519", "", nil)
	try("ok-encrypted-p256", "encrypted to two, opened under P-256", "",
		func(c *vcase, _ *mint.Secret) { c.opener, c.options.Identities = "p256", openingWith("p256") })
	try("ok-encrypted-one-of-ours", "of several identities the one that is a recipient opens", "",
		func(c *vcase, s *mint.Secret) {
			s.To, c.options.Identities = recipientsOf("x25519"), openingWith("stranger", "p256", "x25519")
		})
	try("ok-encrypted-scalar", "a JSON scalar", "", data("application/json", `"4111"`))
	try("ok-encrypted-null", "null is data", "", data("application/json", "null"))
	try("ok-encrypted-other-json", "the content type travels in cty", "",
		data("application/vnd.example+json", `{"a":1}`))
	try("ok-encrypted-text", "what is not JSON comes back as bytes", "",
		data("text/plain; charset=utf-8", `"größer"`))
	try("ok-encrypted-empty-text", "empty text is no data", "", func(c *vcase, s *mint.Secret) {
		c.plan.Event = c.plan.Event.Set("datacontenttype", `"text/plain"`).Del("data")
		s.Plaintext = always("")
	})
	try("ok-encrypted-exact", "JSON comes back byte by byte, white space around it cut off", "",
		data("application/json", `{ "b": 1.0, "a": 0.10000000000000001 }`))
	try("ok-encrypted-cty-short", "a cty without a slash lacks application/", "",
		func(c *vcase, s *mint.Secret) { s.Protected = set("cty", `"json"`) })
	try("ok-encrypted-no-cty", "without cty it is JSON", "",
		func(c *vcase, s *mint.Secret) { s.Protected = del("cty") })
	try("ok-encrypted-embedded", "embedded in an EventBridge detail", "",
		func(c *vcase, _ *mint.Secret) { c.embed = true })
	try("ok-encrypted-structured", "in an EventBridge detail", "",
		func(c *vcase, _ *mint.Secret) { c.bridge = true })
	try("ok-encrypted-delegated", "signed by a session key; bound to the producer of the key that vouches",
		"", func(c *vcase, _ *mint.Secret) {
			c.plan = delegated("orders", "session")
		})
	try("ok-encrypted-content-type",
		"what is encrypted is what the member enc says: the content type may be any of JSON", "",
		func(c *vcase, s *mint.Secret) {
			s.Event = set("datacontenttype", `"application/json"`)
		})
	try("ok-encrypted-respelled", "the JWE with white space and in another order of members", "",
		func(c *vcase, _ *mint.Secret) {
			c.plan.Wire = func(o mint.Object) mint.Object {
				return o.Set("data", strings.NewReplacer(`","`, `" , "`).Replace(o.Get("data")))
			}
		})
	try("ok-encrypted-base64", "the JWE in data_base64", "", func(c *vcase, s *mint.Secret) {
		s.Event = func(o mint.Object) mint.Object {
			return o.Add("data_base64",
				mint.Quote(base64.StdEncoding.EncodeToString([]byte(o.Get("data"))))).Del("data")
		}
	})
	uncommitted := func(o mint.Object) mint.Object { return o.Del("kc") }
	try("ok-encrypted-uncommitted", "unsafe_allow_uncommitted takes what lacks kc", "",
		func(c *vcase, s *mint.Secret) {
			s.Protected, c.options.UnsafeAllowUncommitted = uncommitted, true
		})
}

func strangerCases(try secretCase) {
	const not = envelope.ReasonNotARecipient
	with := func(names ...string) func(*vcase, *mint.Secret) {
		return func(c *vcase, s *mint.Secret) { c.options.Identities = openingWith(names...) }
	}
	try("encrypted-no-identity", "encrypted data, and no identity", not,
		func(c *vcase, _ *mint.Secret) { c.options.Identities = nil })
	try("encrypted-stranger", "neither identity is a recipient", not, with("stranger", "other"))
	try("encrypted-no-identity-malformed", "without an identity nothing of the JWE is looked at", not,
		func(c *vcase, s *mint.Secret) {
			c.options.Identities, s.Message = nil, del("tag")
		})
	try("encrypted-kms-only", "encrypted to a key of KMS only", not,
		func(c *vcase, s *mint.Secret) { s.Recipients = always("[" + kmsEntry + "]") })
	try("encrypted-stranger-no-kid", "an entry that names nobody is tried, and does not fit", not,
		func(c *vcase, s *mint.Secret) {
			s.To, s.Entry = recipientsOf("x25519"), noKID
			c.options.Identities = openingWith("stranger")
		})
	try("encrypted-kid-of-a-stranger", "an entry is tried only by whom it names, whoever could open it", not,
		func(c *vcase, s *mint.Secret) {
			s.To, s.Entry = recipientsOf("x25519"), entryHeader(func(h string) string {
				return strings.ReplaceAll(h, identities["x25519"].Recipient().KeyID(),
					identities["stranger"].Recipient().KeyID())
			})
		})
}

const kmsEntry = `{"encrypted_key":"AQICAHg","header":{"alg":"urn:sealbus:jwe:aws-kms","kid":"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}}`

func entryHeader(change func(string) string) func(int, mint.Object) mint.Object {
	return func(_ int, e mint.Object) mint.Object { return e.Set("header", change(e.Get("header"))) }
}

func noKID(_ int, e mint.Object) mint.Object {
	header := e.Get("header")
	return e.Set("header", header[:strings.Index(header, `,"kid"`)]+"}")
}

// boundMessageCases are about what the ciphertext belongs to, and which key it is under.
func boundMessageCases(try secretCase) {
	const failed = envelope.ReasonDecryptFailed
	message := func(name, about string, change func(mint.Object) mint.Object) {
		try("encrypted-"+name, about, failed, func(_ *vcase, s *mint.Secret) { s.Message = change })
	}
	for name, value := range map[string]string{"id": "A234-9999", "source": "https://orders.example/us",
		"type": "com.example.order.paid", "producer": "partner"} {
		try("encrypted-moved-"+name, "the ciphertext of an event with another "+
			name, failed, func(_ *vcase, s *mint.Secret) { s.Binding = set(name, mint.Quote(value)) })
	}
	try("encrypted-resigned", "another producer of the same source signs the ciphertext as its own", failed,
		func(c *vcase, s *mint.Secret) {
			c.plan.By, s.Binding = order("partner").By, set("producer", `"orders"`)
		})
	try("encrypted-field-context", "bound to a field of the event", failed,
		func(_ *vcase, s *mint.Secret) { s.Binding = add("pointer", `""`) })
	try("encrypted-aad-order", "the binding is canonical JSON", failed, func(_ *vcase, s *mint.Secret) {
		s.Binding = func(o mint.Object) mint.Object { return mint.Object{o[1], o[0], o[2], o[3]} }
	})
	try("encrypted-uncommitted", "no kc", failed, func(_ *vcase, s *mint.Secret) { s.Protected = del("kc") })
	try("encrypted-other-commitment", "kc is the commitment to another content key", failed,
		func(_ *vcase, s *mint.Secret) {
			s.Protected = set("kc", mint.Quote((&mint.Secret{Name: "another"}).Commitment()))
		})
	try("encrypted-other-commitment-allowed", "unsafe_allow_uncommitted checks a kc that is there", failed,
		func(c *vcase, s *mint.Secret) {
			s.Protected = set("kc", mint.Quote((&mint.Secret{Name: "another"}).Commitment()))
			c.options.UnsafeAllowUncommitted = true
		})
	try("encrypted-moved-allowed", "unsafe_allow_uncommitted checks an aad that is there", failed,
		func(c *vcase, s *mint.Secret) {
			s.Binding, c.options.UnsafeAllowUncommitted = set("id", `"A234-9999"`), true
		})
	message("unbound", "no aad", del("aad"))
	message("other-tag", "the tag of another ciphertext", set("tag", `"AAAAAAAAAAAAAAAAAAAAAA"`))
	message("other-iv", "another iv", set("iv", `"AAAAAAAAAAAAAAAA"`))
	message("ciphertext-changed", "a byte of the ciphertext is changed", onText("ciphertext", flipFirst))
	message("ciphertext-shorter", "a byte of the ciphertext is missing",
		onText("ciphertext", func(b []byte) []byte { return b[1:] }))
	message("cty-changed", "the protected header is authenticated",
		onText("protected", func(b []byte) []byte {
			return []byte(replace("application/json", "application/jsom")(string(b)))
		}))
}

// onText changes the bytes in a member that is base64url.
func onText(name string, change func([]byte) []byte) func(mint.Object) mint.Object {
	return func(o mint.Object) mint.Object {
		b, err := base64.RawURLEncoding.DecodeString(mint.Unquote(o.Get(name)))
		if err != nil {
			panic(err) // as the mint wrote it
		}
		return o.Set(name, mint.Quote(base64.RawURLEncoding.EncodeToString(change(b))))
	}
}

// messageSyntaxCases are no JWE of this profile.
func messageSyntaxCases(try secretCase) {
	const malformed, unsupported, tooLarge = envelope.ReasonMalformed, envelope.ReasonUnsupported,
		envelope.ReasonTooLarge
	message := func(name, about string, expect envelope.Reason, change func(mint.Object) mint.Object) {
		try("encrypted-"+name, about, expect, func(_ *vcase, s *mint.Secret) { s.Message = change })
	}
	protected := func(name, about string, expect envelope.Reason, change func(mint.Object) mint.Object) {
		try("encrypted-"+name, about, expect, func(_ *vcase, s *mint.Secret) { s.Protected = change })
	}
	plain := func(name, about, data string) {
		try("encrypted-plain-"+name, about, malformed,
			func(_ *vcase, s *mint.Secret) { s.Event = set("data", data) })
	}
	plain("object", "said to be encrypted, and is not", `{"lines":[],"order":"o-1"}`)
	plain("string", "said to be encrypted, and is a string: no compact JWE either", `"a.b.c.d.e"`)
	try("encrypted-text", "said to be encrypted, and the content type is not JSON", malformed,
		func(_ *vcase, s *mint.Secret) {
			s.Event = func(o mint.Object) mint.Object {
				return o.Set("datacontenttype", `"application/jose"`).Set("data", mint.Quote(o.Get("data")))
			}
		})
	try("encrypted-no-data", "said to be encrypted, and there is no data", malformed,
		func(_ *vcase, s *mint.Secret) { s.Event = del("data") })
	for _, name := range []string{"ciphertext", "iv", "tag", "recipients"} {
		message("no-"+name, "a member is missing", malformed, del(name))
	}
	message("duplicate-tag", "a member twice", malformed,
		func(o mint.Object) mint.Object { return o.Add("tag", o.Get("tag")) })
	message("no-protected", "no protected header", unsupported, del("protected"))
	message("empty-protected", "an empty protected header", malformed, set("protected", `""`))
	message("empty-aad", "an empty aad", malformed, set("aad", `""`))
	message("null-aad", "a member is null", malformed, set("aad", "null"))
	message("header-and-recipients", "the two serializations mixed", malformed, add("header", "{}"))
	message("no-recipient", "recipients is empty", malformed, set("recipients", "[]"))
	message("recipients-object", "recipients is no list", malformed,
		func(o mint.Object) mint.Object { return o.Set("recipients", "{}") })
	message("short-iv", "an iv of 11 bytes", malformed, onText("iv", func(b []byte) []byte { return b[1:] }))
	message("short-tag", "a tag of 15 bytes", malformed,
		onText("tag", func(b []byte) []byte { return b[1:] }))
	message("padded-tag", "base64url has no padding", malformed,
		func(o mint.Object) mint.Object { return o.Set("tag", strings.TrimSuffix(o.Get("tag"), `"`)+`=="`) })
	message("trailing-bits", "base64url has no unused bits", malformed,
		set("tag", `"AAAAAAAAAAAAAAAAAAAAAB"`))
	message("protected-not-json", "the protected header is not JSON", malformed,
		onText("protected", func(b []byte) []byte { return b[1:] }))
	message("protected-duplicate", "a parameter twice in the protected header", malformed,
		onText("protected", func(b []byte) []byte {
			return []byte(replace(`"cty"`, `"kc":"x","cty"`)(string(b)))
		}))
	message("zip-unprotected", "zip, not protected", unsupported, add("unprotected", `{"zip":"DEF"}`))
	message("enc-unprotected", "enc counts in the protected header only", unsupported,
		func(o mint.Object) mint.Object {
			return onText("protected",
				func([]byte) []byte { return []byte(`{"cty":"application/json"}`) })(o).Add("unprotected",
				`{"enc":"A256GCM"}`)
		})
	try("encrypted-kc-unprotected", "so does kc", unsupported, func(_ *vcase, s *mint.Secret) {
		s.Protected, s.Message = del("kc"), add("unprotected", `{"kc":`+mint.Quote(s.Commitment())+`}`)
	})
	message("two-headers", "a parameter in two headers of one recipient", malformed,
		add("unprotected", `{"kid":"x"}`))
	message("many-parameters", "more than 32 parameters in a header", tooLarge,
		add("unprotected", manyParameters(33)))
	message("large-header", "an unprotected header of more than 4 KiB", tooLarge,
		add("unprotected", `{"x":"`+strings.Repeat("x", 4096)+`"}`))
	protected("crit", "crit: no extension is understood", unsupported, add("crit", `["exp"]`))
	protected("zip", "compression before encryption leaks", unsupported, add("zip", `"DEF"`))
	protected("enc-a128gcm", "another content encryption", unsupported, set("enc", `"A128GCM"`))
	protected("enc-cbc", "another content encryption", unsupported, set("enc", `"A256CBC-HS512"`))
	protected("no-enc", "no content encryption", unsupported, del("enc"))
	protected("enc-number", "enc is a number", malformed, set("enc", "1"))
	protected("short-kc", "kc is base64url of 32 bytes", malformed, set("kc", `"AAAA"`))
	soundMessageCases(try)
}

// soundMessageCases are messages in an unusual form that is accepted.
func soundMessageCases(try secretCase) {
	try("ok-encrypted-unknown-members", "members and parameters that are not known are ignored", "",
		func(_ *vcase, s *mint.Secret) {
			s.Protected, s.Message = add("x", "1"), add("x", `{"y":[]}`)
		})
	try("ok-encrypted-32-parameters", "the most parameters of one header", "",
		func(_ *vcase, s *mint.Secret) { s.Message = add("unprotected", manyParameters(32)) })
	try("ok-encrypted-flattened", "the Flattened Serialization", "", func(_ *vcase, s *mint.Secret) {
		s.To = recipientsOf("x25519")
		s.Recipients = func(list string) string { return strings.TrimSuffix(strings.TrimPrefix(list, "["), "]") }
		s.Message = func(o mint.Object) mint.Object {
			entry := strings.TrimSuffix(strings.TrimPrefix(o.Get("recipients"), `{"encrypted_key":`), "}")
			key, header, _ := strings.Cut(entry, `,"header":`)
			return o.Del("recipients").Add("encrypted_key", key).Add("header", header)
		}
	})
}

func manyParameters(n int) string {
	var o mint.Object
	for i := range n {
		o = o.Add(fmt.Sprintf("x%d", i), "1")
	}
	return o.String()
}

// entryCases are about the recipients' entries.
func entryCases(try secretCase) {
	const malformed, failed = envelope.ReasonMalformed, envelope.ReasonDecryptFailed
	entry := func(name, about string, expect envelope.Reason, change func(mint.Object) mint.Object) {
		try("encrypted-entry-"+name, about, expect, func(_ *vcase, s *mint.Secret) {
			s.To, s.Entry = recipientsOf("x25519"),
				func(_ int, e mint.Object) mint.Object { return change(e) }
		})
	}
	header := func(name, about string, expect envelope.Reason, old, with string) {
		entry(name, about, expect, func(e mint.Object) mint.Object { return e.Set("header", replace(old, with)(e.Get("header"))) })
	}
	entry("key-changed", "a byte of the encrypted key is changed", failed, onText("encrypted_key", flipFirst))
	entry("key-short", "an encrypted key of 39 bytes", malformed,
		onText("encrypted_key", func(b []byte) []byte { return b[1:] }))
	entry("no-key", "no encrypted key", malformed, del("encrypted_key"))
	entry("no-header", "no header: no alg", malformed, del("header"))
	header("no-epk", "no ephemeral key", malformed, `"epk"`, `"epj"`)
	header("alg-ecdh-es", "an algorithm that nobody here has", envelope.ReasonUnsupported, "ECDH-ES+A256KW",
		"ECDH-ES")
	header("curve", "the ephemeral key is on a curve that nobody here has", envelope.ReasonUnsupported,
		"X25519", "X448")
	header("kty", "the ephemeral key has the wrong kty", failed, `"OKP"`, `"EC"`)
	header("epk-private", "the ephemeral key is a private one", malformed, `"crv"`, `"d":"AAAA","crv"`)
	header("crit", "crit in a recipient's header", envelope.ReasonUnsupported, `"alg"`, `"crit":["x"],"alg"`)
	try("encrypted-entry-kc", "kc is not protected", envelope.ReasonUnsupported,
		func(_ *vcase, s *mint.Secret) {
			s.Protected, s.Entry = del("kc"), entryHeader(replace(`"alg"`, `"kc":`+mint.Quote(s.Commitment())+
				`,"alg"`))
		})
	header("duplicate-kid", "a parameter twice", malformed, `"kid"`, `"kid":"x","kid"`)
	header("large", "a header of more than 4 KiB", envelope.ReasonTooLarge, `"alg"`, `"x":"`+
		strings.Repeat("x", 4096)+`","alg"`)
	entry("small-order", "the ephemeral key is of small order", failed, func(e mint.Object) mint.Object {
		h := e.Get("header")
		at := strings.Index(h, `"x":"`) + len(`"x":"`)
		return e.Set("header", h[:at]+strings.Repeat("A", 43)+h[at+43:])
	})
	try("encrypted-entry-off-curve", "the ephemeral key is not on P-256", failed,
		func(c *vcase, s *mint.Secret) {
			s.To, s.Entry = recipientsOf("p256"), entryHeader(func(h string) string {
				at := strings.Index(h, `"y":"`) + len(`"y":"`)
				return h[:at] + strings.Repeat("A", 43) + h[at+43:]
			})
			c.options.Identities = openingWith("p256")
		})
	try("encrypted-17-recipients", "more than 16 recipients", envelope.ReasonTooLarge,
		func(_ *vcase, s *mint.Secret) { s.Recipients = beside(16, kmsEntry) })
	try("ok-encrypted-16-recipients", "the most recipients", "", func(c *vcase, s *mint.Secret) {
		s.To, s.Recipients = recipientsOf("x25519"), beside(15, kmsEntry)
		c.vector.Encryption = recipientsBeside(15, kmsARN, "x25519")
	})
	try("ok-encrypted-beside-unknown", "a recipient of an unknown algorithm harms nobody", "",
		func(c *vcase, s *mint.Secret) {
			s.To, s.Recipients = recipientsOf("x25519"),
				beside(1, `{"encrypted_key":"AAAA","header":{"alg":"ML-KEM-768","kid":"k"}}`)
			c.vector.Encryption = recipientsBeside(1, "k", "x25519")
		})
	try("ok-encrypted-no-kid", "an entry that names nobody is tried", "", func(c *vcase, s *mint.Secret) {
		s.To, s.Entry = recipientsOf("x25519"), noKID
		c.vector.Encryption = &vectorEncryption{Recipients: []string{""}, OpenedWith: keyIDs(s.To)[0]}
	})
	try("ok-encrypted-second-entry",
		"an entry that does not open is not the end: the next of this key is tried", "",
		func(c *vcase, s *mint.Secret) {
			s.To = recipientsOf("x25519", "x25519")
			s.Entry = func(i int, e mint.Object) mint.Object {
				if i == 0 {
					return onText("encrypted_key", flipFirst)(e)
				}
				return e
			}
		})
	try("ok-encrypted-party-info", "apu and apv enter the key derivation", "",
		func(_ *vcase, s *mint.Secret) { s.APU, s.APV = "Alice", "Bob" })
	header("apu", "a party info that was not derived with", failed, `"alg"`, `"apu":"QWxpY2U","alg"`)
}

const kmsARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// beside puts n times that entry before the others.
func beside(n int, entry string) func(string) string {
	return replace("[", "["+strings.Repeat(entry+",", n))
}

func recipientsBeside(n int, keyID, opener string) *vectorEncryption {
	e := &vectorEncryption{OpenedWith: identities[opener].Recipient().KeyID()}
	for range n {
		e.Recipients = append(e.Recipients, keyID)
	}
	e.Recipients = append(e.Recipients, e.OpenedWith)
	return e
}

// plaintextCases decrypt, to what is not what cty says.
func plaintextCases(try secretCase) {
	malformed := func(name, about, plaintext string) {
		try("encrypted-plaintext-"+name, about, envelope.ReasonMalformed,
			func(_ *vcase, s *mint.Secret) { s.Plaintext = always(plaintext) })
	}
	malformed("empty", "nothing is no JSON", "")
	malformed("not-json", "what was encrypted is not JSON", "hello")
	malformed("two-values", "two JSON values", "1 2")
	malformed("duplicate", "a member twice", `{"a":1,"a":1}`)
	malformed("depth-65", "nested too deep", strings.Repeat("[", 65)+strings.Repeat("]", 65))
	malformed("invalid-utf8", "a byte that is not UTF-8", "\"\xff\"")
	cty := func(name, about, value string) {
		try("encrypted-cty-"+name, about, envelope.ReasonMalformed,
			func(_ *vcase, s *mint.Secret) { s.Protected = set("cty", value) })
	}
	cty("control-character", "a control character in cty", `"text/plain\u0007"`)
	cty("too-long", "a cty of more than 8 KiB", mint.Quote("text/"+strings.Repeat("x", 8192)))
	cty("number", "cty is a number", "1")
}
