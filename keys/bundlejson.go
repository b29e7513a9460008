package keys

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Payload is the bundle as a JWK Set (RFC 7517 section 5) in canonical JSON: what the roots sign.
func (b *Bundle) Payload() []byte {
	w := objectWriter{dst: make([]byte, 0, 256+512*len(b.keys))}
	w.open()
	w.time("expires", b.expires)
	w.time("issued", b.issued)
	w.name("keys")
	w.dst = b.appendKeys(w.dst)
	if b.refreshHint > 0 {
		w.name("refresh_hint")
		w.dst = strconv.AppendInt(w.dst, int64(b.refreshHint/time.Second), 10)
	}
	if len(b.revoked) > 0 {
		w.strings("revoked_sessions", b.revoked)
	}
	w.name("version")
	w.dst = strconv.AppendInt(w.dst, b.version, 10)
	return w.close()
}

// appendKeys merges both kinds of keys in the order of their IDs.
func (b *Bundle) appendKeys(dst []byte) []byte {
	sign, enc := b.keys, b.encryption
	dst = append(dst, '[')
	for first := true; len(sign)+len(enc) > 0; first = false {
		if !first {
			dst = append(dst, ',')
		}
		if len(enc) == 0 || len(sign) > 0 && sign[0].id < enc[0].id {
			dst, sign = sign[0].append(dst), sign[1:]
		} else {
			dst, enc = enc[0].append(dst), enc[1:]
		}
	}
	return append(dst, ']')
}

// append writes the members of a signing key in canonical order.
func (k *Key) append(dst []byte) []byte {
	w := objectWriter{dst: dst}
	w.open()
	if k.Accounts != nil {
		w.strings("accounts", k.Accounts)
	}
	w.time("active", k.Schedule.Active)
	w.string("alg", string(k.alg))
	if len(k.Aliases) > 0 {
		w.strings("aliases", k.Aliases)
	}
	k.curveMember(&w)
	w.time("expired", k.Schedule.Expired)
	w.string("kid", k.id)
	w.string("kty", k.kty())
	w.string("producer", k.Producer)
	k.pubMember(&w)
	w.time("published", k.Schedule.Published)
	w.time("retired", k.Schedule.Retired)
	if k.Revoked != nil {
		w.name("revoked")
		w.dst = k.Revoked.append(w.dst)
	}
	if k.Sources != nil {
		w.strings("sources", k.Sources)
	}
	if k.Types != nil {
		w.strings("types", k.Types)
	}
	w.string("use", "sig")
	k.coordinateMembers(&w)
	return w.close()
}

func (r *Revocation) append(dst []byte) []byte {
	w := objectWriter{dst: dst}
	w.open()
	w.time("at", r.At)
	w.string("reason", r.Reason)
	return w.close()
}

// objectWriter writes one JSON object; the caller gives the members in canonical order.
type objectWriter struct {
	dst   []byte
	later bool
}

func (w *objectWriter) open()         { w.dst = append(w.dst, '{') }
func (w *objectWriter) close() []byte { return append(w.dst, '}') }

func (w *objectWriter) name(name string) {
	if w.later {
		w.dst = append(w.dst, ',')
	}
	w.later = true
	w.dst = append(jsontext.AppendQuote(w.dst, name), ':')
}

func (w *objectWriter) string(name, value string) {
	w.name(name)
	w.dst = jsontext.AppendQuote(w.dst, value)
}

func (w *objectWriter) strings(name string, list []string) {
	w.name(name)
	w.dst = jsontext.AppendStrings(w.dst, list)
}

// time writes nothing for the zero time.
func (w *objectWriter) time(name string, t time.Time) {
	if !t.IsZero() {
		w.string(name, t.UTC().Format(timeFormat))
	}
}

// timeFormat is RFC 3339 in UTC and whole seconds: one text per moment.
const timeFormat = "2006-01-02T15:04:05Z"

// ParseBundle reads the payload of a bundle. Only its canonical form is accepted, so that Payload of the
// result is payload; unknown members are refused, because what they say might be a restriction. A published
// bundle has a version of at least 1, issued and expires.
//
// The payload is not verified here: that is what OpenBundle is for.
func ParseBundle(payload []byte) (*Bundle, error) {
	if len(payload) > MaxBundle {
		return nil, &BundleError{Why: WhyTooLarge, Err: fmt.Errorf("a bundle of more than %d bytes", MaxBundle)}
	}
	b, err := readBundle(payload)
	if err != nil {
		return nil, &BundleError{Why: WhyMalformed, Err: err}
	}
	return b, nil
}

func readBundle(payload []byte) (*Bundle, error) {
	r := jsontext.NewDecoder(payload)
	b := &Bundle{}
	for obj := r.Object(); r.Member(&obj); {
		b.readMember(string(obj.Name), &r)
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if err := b.checkPublished(); err != nil {
		return nil, err
	}
	if err := b.index(); err != nil {
		return nil, err
	}
	if string(b.Payload()) != string(payload) {
		return nil, errNotCanonical
	}
	return b, nil
}

var errNotCanonical = errors.New("not in canonical form: white space, order of members or keys, spelling of strings, or a member that says nothing")

func (b *Bundle) readMember(name string, r *jsontext.Decoder) {
	switch name {
	case "version":
		b.version = r.Int()
	case "issued":
		b.issued = readTime(r)
	case "expires":
		b.expires = readTime(r)
	case "refresh_hint":
		b.refreshHint = readSeconds(r)
	case "revoked_sessions":
		b.revoked = readStrings(r, MaxRevokedSessions)
	case "keys":
		b.readKeys(r)
	default:
		r.Failf("unknown member %q", clip(name))
	}
}

// checkPublished is what a bundle that travels needs beyond one that does not.
func (b *Bundle) checkPublished() error {
	switch {
	case b.version < 1:
		return errors.New("no version of at least 1")
	case b.issued.IsZero():
		return errors.New(`no "issued"`)
	case b.expires.IsZero():
		return errors.New(`no "expires"`)
	}
	return nil
}

func (b *Bundle) readKeys(r *jsontext.Decoder) {
	for a := r.Array(); r.Element(&a); {
		if len(b.keys)+len(b.encryption) == MaxKeys {
			r.Failf("more than %d keys", MaxKeys)
			return
		}
		if err := b.readKey(r.ReadValue()); err != nil && r.Err() == nil {
			r.Failf("keys[%d]: %w", len(b.keys)+len(b.encryption), err)
		}
	}
}

// readKey reads an entry twice: only once its use is known is it clear whose members it has.
func (b *Bundle) readKey(raw []byte) error {
	r := jsontext.NewDecoder(raw)
	jwk := readJWK(&r, nil)
	if err := r.End(); err != nil {
		return err
	}
	if jwk.use == "enc" {
		k := &EncryptionKey{}
		b.encryption = append(b.encryption, k)
		if err := readMembers(raw, k.readMember); err != nil {
			return err
		}
		return k.adopt(jwk)
	}
	k := &Key{}
	b.keys = append(b.keys, k)
	if err := readMembers(raw, k.readMember); err != nil {
		return err
	}
	return k.adopt(jwk)
}

// readMembers reads the members that are ours, all of which read must know.
func readMembers(raw []byte, read func(name string, r *jsontext.Decoder) bool) error {
	r := jsontext.NewDecoder(raw)
	readJWK(&r, func(name string, r *jsontext.Decoder) bool {
		if !read(name, r) {
			r.Failf("unknown member %q", clip(name))
		}
		return true
	})
	return r.End()
}

func (k *Key) readMember(name string, r *jsontext.Decoder) bool {
	switch name {
	case "producer":
		k.Producer = r.String()
	case "sources":
		k.Sources = readStrings(r, MaxPatterns)
	case "types":
		k.Types = readStrings(r, MaxPatterns)
	case "accounts":
		k.Accounts = readStrings(r, MaxAccounts)
	case "aliases":
		k.Aliases = readStrings(r, MaxAliases)
	case "revoked":
		k.Revoked = readRevocation(r)
	default:
		return k.Schedule.readMember(name, r)
	}
	return true
}

func (s *Schedule) readMember(name string, r *jsontext.Decoder) bool {
	switch name {
	case "published":
		s.Published = readTime(r)
	case "active":
		s.Active = readTime(r)
	case "retired":
		s.Retired = readTime(r)
	case "expired":
		s.Expired = readTime(r)
	default:
		return false
	}
	return true
}

// adopt gives the key its verifier, whose ID must be the entry's.
func (k *Key) adopt(jwk *jwk) error {
	if jwk.private != "" {
		return fmt.Errorf("a private key (it has %q)", jwk.private)
	}
	if jwk.use != "sig" {
		return errors.New(`"use" is neither "sig" nor "enc"`)
	}
	v, err := jwk.verifier()
	if err != nil {
		return err
	}
	if v.id != jwk.kid {
		return fmt.Errorf("kid %q is not the key's thumbprint, %s", clip(jwk.kid), v.id)
	}
	k.Verifier = v
	return nil
}

func readRevocation(r *jsontext.Decoder) *Revocation {
	rev := &Revocation{}
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "at":
			rev.At = readTime(r)
		case "reason":
			rev.Reason = r.String()
		default:
			r.Failf("unknown member %q in a revocation", clip(name))
		}
	}
	return rev
}

func readTime(r *jsontext.Decoder) time.Time {
	text := r.String()
	t, err := time.Parse(timeFormat, text)
	if err != nil || t.IsZero() || t.Format(timeFormat) != text {
		r.Failf("a time like 2026-01-31T00:00:00Z was expected") // not quoted: private files have times, too
		return time.Time{}
	}
	return t
}

func readSeconds(r *jsontext.Decoder) time.Duration {
	n := r.Int()
	if n < 1 || n > int64(MaxRefreshHint/time.Second) {
		r.Failf("refresh_hint is not within 1 to %d seconds", int64(MaxRefreshHint/time.Second))
		return 0
	}
	return time.Duration(n) * time.Second
}

// JWKS is a plain JWK Set of the public signing keys for other libraries, in the order of the IDs: without
// members of ours, and only of keys that keep chooses; nil = those with a key type that libraries know, so
// without ML-DSA, since some refuse a whole set for one key type that they do not know.
func (b *Bundle) JWKS(keep func(*Key) bool) []byte {
	if keep == nil {
		keep = widelyKnown
	}
	dst := []byte(`{"keys":[`)
	first := true
	for _, k := range b.keys {
		if !keep(k) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = k.appendJWK(dst, nil)
	}
	return append(dst, "]}"...)
}

func widelyKnown(k *Key) bool { return !k.alg.PostQuantum() }

func printable(s string) bool {
	return !slices.ContainsFunc([]rune(s), func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' })
}
