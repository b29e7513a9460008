package demo

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
)

// The attacker's tools. Each works on the bytes of a delivery, and fails the case if it changed nothing.

// edit replaces the one occurrence of old.
func (s *act) edit(delivery []byte, old, text string) []byte {
	return s.replace(delivery, old, text, 1, 1)
}

// editFirst replaces the first of several occurrences.
func (s *act) editFirst(delivery []byte, old, text string) []byte {
	return s.replace(delivery, old, text, 2, 1)
}

// editAll replaces every one of several occurrences.
func (s *act) editAll(delivery []byte, old, text string) []byte {
	return s.replace(delivery, old, text, 2, -1)
}

func (s *act) replace(delivery []byte, old, text string, want, most int) []byte {
	if n := bytes.Count(delivery, []byte(old)); n != want && s.err == nil {
		s.fail(fmt.Errorf("%q occurs %d times, not %d", old, n, want))
	}
	return bytes.Replace(delivery, []byte(old), []byte(text), most)
}

func (s *act) embedded() []byte { return s.publish(s.event(), by{layout: envelope.Embedded}) }

// changed is a new order that costs a tenth.
func (s *act) changed() event.Event {
	ev := s.event()
	if err := ev.SetData("application/json",
		[]byte(`{"total":1.25,"item":"chair","note":"Größe <M>"}`)); err != nil {
		s.fail(err)
	}
	return ev
}

// materialText cuts out the text of dssematerial.
func (s *act) materialText(delivery []byte) string {
	_, rest, found := bytes.Cut(delivery, []byte(`"dssematerial":"`))
	text, _, closed := bytes.Cut(rest, []byte{'"'})
	if !found || !closed {
		s.fail(fmt.Errorf("no dssematerial to attack"))
	}
	return string(text)
}

// withMaterial puts another text into dssematerial; "" removes the attribute.
func (s *act) withMaterial(delivery []byte, text string) []byte {
	member := `"dssematerial":"` + s.materialText(delivery) + `"`
	if text == "" {
		return s.edit(delivery, member+",", "")
	}
	return s.edit(delivery, member, `"dssematerial":"`+text+`"`)
}

// material is the DSSE envelope of the delivery.
func (s *act) material(delivery []byte) *dsse.Envelope {
	doc, err := base64.StdEncoding.DecodeString(s.materialText(delivery))
	if err != nil {
		s.fail(err)
	}
	env, err := dsse.Parse(doc)
	if err != nil {
		s.fail(err)
		return &dsse.Envelope{}
	}
	return env
}

// resign changes the DSSE envelope of the delivery.
func (s *act) resign(delivery []byte, change func(*dsse.Envelope)) []byte {
	env := s.material(delivery)
	if s.err != nil {
		return delivery
	}
	change(env)
	return s.withMaterial(delivery, base64.StdEncoding.EncodeToString(env.Append(nil)))
}

// sign is a genuine signature of the signer over the payload of the envelope.
func (s *act) sign(signer *keys.LocalSigner, e *dsse.Envelope) dsse.Signature {
	sig, err := signer.Sign(s.ctx, dsse.PAE(nil, e.PayloadType, e.Payload))
	if err != nil {
		s.fail(err)
	}
	return dsse.Signature{KeyID: signer.Verifier().KeyID(), Sig: sig}
}

// asOrders is a key in the hands of an attacker who says that it belongs to orders.
func (s *act) asOrders(signer *keys.LocalSigner) *keys.LocalSigner {
	jwk, err := signer.UnsafePrivateJWK() // made for this run of the demo, and forgotten with it
	if err != nil {
		s.fail(err)
		return signer
	}
	renamed, err := keys.ParsePrivateJWK(jwk, "orders")
	if err != nil {
		s.fail(err)
		return signer
	}
	return renamed
}

// reformat writes the delivery anew as a careless but honest broker might: other white space, members in the
// opposite order, needless escapes. No value changes.
func (s *act) reformat(delivery []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(delivery))
	dec.UseNumber() // a broker that rounds numbers is not honest
	var v any
	if err := dec.Decode(&v); err != nil {
		s.fail(err)
	}
	return append(appendCareless([]byte("\r\n "), v), " \t\n"...)
}

func appendCareless(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		slices.Reverse(names)
		for i, name := range names {
			dst = append(dst, []string{"{\n\t", " ,\n\t"}[min(i, 1)]...)
			dst = appendCareless(append(appendEscaped(dst, name), " :  "...), v[name])
		}
		if len(names) == 0 {
			dst = append(dst, '{')
		}
		return append(dst, " }"...)
	case []any:
		dst = append(dst, "[ "...)
		for i, e := range v {
			if i > 0 {
				dst = append(dst, " , "...)
			}
			dst = appendCareless(dst, e)
		}
		return append(dst, ']')
	case string:
		return appendEscaped(dst, v)
	case json.Number:
		return append(dst, v...)
	case nil:
		return append(dst, "null"...)
	}
	return fmt.Append(dst, v) // a bool
}

// appendEscaped escapes what is not ASCII, and every fifth character besides.
func appendEscaped(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i, c := range []rune(text) {
		switch {
		case c >= 0x10000: // a surrogate pair: left as it is
			dst = append(dst, string(c)...)
		case c < ' ' || c == '"' || c == '\\' || c > '~' || i%5 == 0:
			dst = fmt.Appendf(dst, `\u%04X`, c)
		default:
			dst = append(dst, byte(c))
		}
	}
	return append(dst, '"')
}
