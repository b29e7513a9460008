package webhook

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Verified is a delivery whose signature is genuine and whose time is within the tolerance. It prints as the
// names of its provider, endpoint and key. The methods read the fields: change these, and the bytes of Body,
// only after the methods were called.
type Verified struct {
	Provider, Endpoint string
	KeyID              string    // the ID of the Secret that made the signature
	Time               time.Time // the signed time; zero = the provider signs none
	ContentType        string    // of the body; no signature covers it; "" = none, or several
	Answer             *Answer   // a challenge, answered without calling the handler; nil = a delivery
	Body               []byte    // the Request's, not copied

	// The rest of what the Checker found, and of what Verify knows. It is no Signed, because that has some of
	// the fields above, and the memory of a Verified is a good part of what a verification costs.
	head, tail   string
	signature    string
	id           string
	typ, subject string
	members      *members
	way          *wayChecker
	at           time.Time // the judging time
	tolerance    time.Duration

	signsBody, signsID, signsWords, bodyOnly, isSeveral bool
}

// Format prints neither body nor signature, whatever the verb.
func (v Verified) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "webhook.Verified(%s, %s, %s)", v.Provider, v.Endpoint, v.KeyID)
}

// members are JSON Pointers of strings in the body; "" = none.
type members struct{ id, typ, subject string }

// ID is the ID of the delivery, or "". If the signature covers it, the provider vouches for it. Otherwise
// anyone who captured the delivery may have written it: it is for logs only.
func (v *Verified) ID() (id string, signed bool) {
	if m := v.members; m != nil && m.id != "" {
		id = v.member(m.id)
		return id, id != ""
	}
	return v.id, v.signsID
}

// Type is the provider's word for the kind of event, or "". Unsigned says whether the signature covers it.
func (v *Verified) Type() string {
	if m := v.members; m != nil && m.typ != "" {
		return v.member(m.typ)
	}
	return v.typ
}

// Subject is what the event is about, or "". Unsigned says whether the signature covers it.
func (v *Verified) Subject() string {
	if m := v.members; m != nil && m.subject != "" {
		return v.member(m.subject)
	}
	return v.subject
}

// Unsigned names those of "type" and "subject" that the delivery has and that no signature covers: a header
// has them, as with GitHub and Shopify, or a body that is not signed. An attacker who captured a delivery
// could send it on with others, so no rule on security may rest on them. nil = none.
func (v *Verified) Unsigned() (names []string) {
	m := v.memberNames()
	for _, word := range []struct {
		name   string
		text   func() string
		member string
	}{{"type", v.Type, m.typ}, {"subject", v.Subject, m.subject}} {
		signed := v.signsWords
		if word.member != "" {
			signed = v.signsBody
		}
		if !signed && word.text() != "" { // to find a member means to read the whole body
			names = append(names, word.name)
		}
	}
	return names
}

// memberNames are the members that a recipe takes; empty = none.
func (v *Verified) memberNames() members {
	if v.members == nil {
		return members{}
	}
	return *v.members
}

// member is the string at that JSON Pointer of the body; "" if there is none, or if the body is not strict
// JSON.
func (v *Verified) member(pointer string) string {
	text, _ := memberOf(v.Body, pointer)
	d := jsontext.NewDecoder(text)
	s := d.String()
	control := func(c rune) bool { return c < ' ' || c == 0x7f }
	if d.End() != nil || len(s) > maxID || strings.ContainsFunc(s, control) {
		return ""
	}
	return s
}

// memberOf is the value at that JSON Pointer of a strict JSON text.
func memberOf(body []byte, pointer string) (jsontext.Value, bool) {
	d := jsontext.NewDecoder(body)
	d.SkipValue()
	if d.End() != nil {
		return nil, false
	}
	at := jsontext.FindAll(body, []string{pointer})[0]
	return body[at.Start:at.End], at.End > at.Start
}

// Replay is what to ask the replay store: the arguments of Claim in package consumer/replay.
type Replay struct {
	Key    [32]byte
	Digest [32]byte  // two deliveries with one Key and different Digests are not the same delivery
	Until  time.Time // up to when the key must be remembered
}

// Replay is the replay key of the delivery. It is made of the provider, the endpoint and the delivery ID if
// the signature covers the ID. Otherwise it is made of the SHA-256 of the signed bytes in the place of the
// ID, so that a captured delivery does not pass again under a new ID.
//
// The digest is that of the body where a signed header has the ID. Where the ID stands in the body, the
// provider may write other members anew when it sends the delivery again, so the digest says nothing.
//
// A recipe with several ways of signing makes the key of the SHA-256 of the body: a copy of a delivery
// without the headers of one way has another ID and other signed bytes.
//
// A key made of the signed bytes is remembered until the signed time is out of the tolerance. All others are
// remembered for RememberFor at least, because the provider sends a delivery again for days.
func (v *Verified) Replay() Replay {
	id, signed := v.ID()
	stale := v.stale()
	r := Replay{Until: v.at.Add(RememberFor)}
	if stale.After(r.Until) {
		r.Until = stale
	}
	kind := byte('i')
	switch {
	case v.bodyOnly:
		sum := sha256.Sum256(v.Body)
		id, kind = string(sum[:]), 'o'
	case !signed || id == "":
		sum := v.SignedDigest()
		id, kind = string(sum[:]), 'b'
		if !v.Time.IsZero() {
			r.Until = stale
		}
	case v.members == nil || v.members.id == "":
		r.Digest = sha256.Sum256(v.Body)
	}
	text := make([]byte, 0, 256)
	for _, part := range []string{"sealbus webhook", v.Provider, v.Endpoint, string(kind) + id} {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	r.Key = sha256.Sum256(text)
	return r
}

// stale is from when on every copy is stale; zero = never, because the provider signs no time.
func (v *Verified) stale() time.Time {
	if v.Time.IsZero() {
		return time.Time{}
	}
	return v.Time.Add(v.tolerance + time.Second) // a store may count whole seconds
}

// SignatureDigest is the SHA-256 of the signature as it came.
func (v *Verified) SignatureDigest() [32]byte { return sha256.Sum256([]byte(v.signature)) }

// SignedDigest is the SHA-256 of the signed bytes.
func (v *Verified) SignedDigest() [32]byte {
	h := sha256.New()
	if v.way != nil {
		v.way.writeSigned(h, v)
		return [32]byte(h.Sum(nil))
	}
	h.Write([]byte(v.head))
	if v.signsBody {
		h.Write(v.Body)
	}
	h.Write([]byte(v.tail))
	return [32]byte(h.Sum(nil))
}
