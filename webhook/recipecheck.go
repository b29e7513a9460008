package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/ecdsasig"
	"github.com/sealbus/sealbus/internal/jsontext"
)

const (
	// maxID bounds an ID and a type, in bytes: they are kept and logged.
	maxID = 256
	// maxVerifications bounds the public-key operations of one request: each takes as long as 100 KiB of
	// HMAC.
	maxVerifications = 32
)

// recipeChecker checks the requests of one recipe.
type recipeChecker struct {
	recipe    *recipe
	ways      []wayChecker
	baseURL   string
	challenge challenger // nil = none
}

// wayChecker has what one way of signing needs again and again.
type wayChecker struct {
	*way
	keys    []*key
	texts   string // of the signed string, joined: a signed ID has none of their bytes
	members *members
	again   bool      // writeSigned can write the signed bytes of what is verified
	work    sync.Pool // of *work: so that no request allocates, and requests do not wait for each other
}

// work is the memory of one check.
type work struct {
	macs       []hash.Hash // of the keys; nil = not used so far. Their inner states are computed once
	buf        []byte      // texts and decoded signatures
	head       []byte      // the signed bytes before the body
	message    []byte      // all signed bytes, for algorithms that take them at once
	signatures []signature
}

// signature is an item of the signature header that has a known kind.
type signature struct {
	kind       *kind
	start, end int // of the decoded bytes in buf
}

// Open parses the secrets.
func (r *recipe) Open(secrets []Secret, o SchemeOptions) (Checker, error) {
	if len(secrets) == 0 {
		return nil, errNoSecret
	}
	c := &recipeChecker{recipe: r, ways: make([]wayChecker, len(r.ways)), baseURL: o.BaseURL}
	c.challenge, _ = challengeNamed(r.challenge)
	for i := range r.ways {
		w := &c.ways[i]
		w.way = &r.ways[i]
		w.again = w.time.member == "" && !w.has(partMethod) && !w.has(partURL) && !w.has(partDecoded)
		if w.has(partURL) || w.has(partDecoded) {
			if err := checkBaseURL(o.BaseURL); err != nil {
				return nil, err
			}
		}
		for _, p := range w.signed {
			if !strings.Contains(w.texts, p.text) {
				w.texts += p.text
			}
		}
		if m := (members{w.id.member, r.typ.member, r.subject.member}); m != (members{}) {
			w.members = &m
		}
	}
	for i := range secrets {
		var problem error
		used := false
		for j := range c.ways {
			w := &c.ways[j]
			k, err := newKey(&secrets[i], w.kinds)
			if err != nil {
				problem = err
				continue
			}
			w.keys, used = append(w.keys, k), true
		}
		if !used {
			return nil, fmt.Errorf("the secret with the ID %.80q: %w", secrets[i].ID, problem)
		}
	}
	return c, nil
}

// Check finds the way of signing and checks the signature.
func (c *recipeChecker) Check(_ context.Context, r Request, at time.Time) (s Signed, err error) {
	for i := range c.ways {
		w := &c.ways[i]
		var value string
		if value, err = r.HeaderValue(w.header); err == nil && value == "" {
			continue
		}
		if err == nil {
			err = c.check(w, &r, value, at, &s)
		}
		if err == nil && len(c.ways) > 1 {
			s.bodyOnly, err = true, wholeBody(r.Body)
		}
		if err != nil {
			return Signed{}, err
		}
		return s, nil
	}
	return Signed{}, refuse(envelope.ReasonUnsigned, "no header %s", c.ways[0].header)
}

// wholeBody refuses a body that could be the signed string of another way: the time, "." and a JSON body of
// one way are a body of a way that signs the body alone.
func wholeBody(body []byte) error {
	if len(body) == 0 || body[0] != '{' && body[0] != '[' || !json.Valid(body) {
		return refuse(envelope.ReasonMalformed, "the body is no JSON object or array, as it must be where "+
			"there are several ways of signing")
	}
	return nil
}

// check checks a request whose signature header has that value. It fills in s, which says nothing if there is
// an error. s is a pointer because Signed is large, and copies of it cost.
func (c *recipeChecker) check(w *wayChecker, r *Request, value string, at time.Time, s *Signed) error {
	m, _ := w.work.Get().(*work)
	if m == nil {
		m = &work{macs: make([]hash.Hash, len(w.keys))}
	}
	defer w.work.Put(m)
	timeText, err := w.items(m, value)
	if err == nil && w.time.header != "" {
		timeText, err = required(r, w.time.header)
	}
	if err == nil && timeText != "" {
		s.Time, err = w.time.parse(timeText)
	}
	if err == nil {
		err = c.describe(w, r, s)
	}
	if err == nil {
		s.Tail, err = c.assemble(w, r, m, timeText, s.ID)
	}
	if err != nil {
		return err
	}
	k, err := w.find(m, r.Body, s.Tail, at)
	if err != nil {
		return err
	}
	s.KeyID, s.Body, s.Signature = k.id, true, value
	if w.again {
		s.way, s.Tail = w, ""
	} else {
		s.Head = string(m.head)
	}
	s.Tolerance, s.IDSigned, s.members = w.time.tolerance, w.has(partID), w.members
	if w.time.member != "" {
		s.Time, err = w.time.inBody(r.Body)
	}
	if c.challenge != nil {
		s.Answer = c.challenge(r.Body, k.mac)
	}
	return err
}

// items reads the signature header: the signatures of known kinds, and the time if it is an item.
func (w *wayChecker) items(m *work, value string) (timeText string, err error) {
	m.buf, m.signatures = m.buf[:0], m.signatures[:0]
	rest, more := value, true
	for n := 0; more; n++ {
		if n == MaxSignatures {
			return "", refuse(envelope.ReasonTooLarge, "more than %d items in the header %s", MaxSignatures,
				w.header)
		}
		item := rest
		if more = false; w.separator != "" {
			item, rest, more = strings.Cut(rest, w.separator)
		}
		if text, ok := strings.CutPrefix(item, w.time.item); ok && w.time.item != "" {
			if text == "" || timeText != "" {
				return "", refuse(envelope.ReasonMalformed, "the header %s has not one time", w.header)
			}
			timeText = text
			continue
		}
		if err := w.signature(m, item); err != nil {
			return "", err
		}
	}
	switch {
	case len(m.signatures) == 0:
		return "", refuse(envelope.ReasonUnsigned, "the header %s has no signature that begins with %.32q",
			w.header, w.kinds[0].prefix)
	case w.time.item != "" && timeText == "":
		return "", refuse(envelope.ReasonMalformed, "the header %s has no time", w.header)
	}
	return timeText, nil
}

// signature decodes one item of the signature header. An item of an unknown kind in a list is a newer
// version, and is skipped.
func (w *wayChecker) signature(m *work, item string) error {
	for i := range w.kinds {
		k := &w.kinds[i]
		text, ok := strings.CutPrefix(item, k.prefix)
		if !ok {
			continue
		}
		start := len(m.buf)
		m.buf = append(m.buf, text...)
		end := len(m.buf)
		var err error
		if k.encoding == "hex" {
			m.buf, err = hex.AppendDecode(m.buf, m.buf[start:end])
		} else {
			m.buf, err = jsontext.Base64.AppendDecode(m.buf, m.buf[start:end])
		}
		if err != nil || !k.hasLength(len(m.buf)-end) {
			return refuse(envelope.ReasonMalformed, "a signature in the header %s is not the %s form of %s",
				w.header, k.encoding, k.algorithm)
		}
		m.signatures = append(m.signatures, signature{k, end, len(m.buf)})
		return nil
	}
	if item == "" || w.separator == "" {
		return refuse(envelope.ReasonMalformed, "the header %s does not begin with %.32q, or has an empty "+
			"item",
			w.header, w.kinds[0].prefix)
	}
	return nil
}

// hasLength reports whether a signature may have n bytes.
func (k *kind) hasLength(n int) bool {
	switch k.algorithm {
	case "hmac-sha256":
		return n == sha256.Size
	case "hmac-sha512", "ed25519":
		return n == sha512.Size
	}
	return n <= 72 // DER of two integers of 33 bytes
}

// required is the value of a header that must be there.
func required(r *Request, name string) (string, error) {
	value, err := r.HeaderValue(name)
	if err == nil && value == "" {
		err = refuse(envelope.ReasonMalformed, "no header %s", name)
	}
	return value, err
}

// describe reads the ID, the type and the subject that stand in headers.
func (c *recipeChecker) describe(w *wayChecker, r *Request, s *Signed) (err error) {
	if h := w.id.header; h != "" && h != noHeader {
		if s.ID, err = word(r, h); err == nil && w.has(partID) {
			err = w.checkID(s.ID)
		}
	}
	if h := c.recipe.typ.header; h != "" && err == nil {
		s.Type, err = word(r, h)
	}
	if h := c.recipe.subject.header; h != "" && err == nil {
		s.Subject, err = word(r, h)
	}
	return err
}

// word is a short value without blanks and commas, so that two header lines in one are not taken for one
// value.
func word(r *Request, name string) (string, error) {
	value, err := r.HeaderValue(name)
	if err == nil && (len(value) > maxID || !isWord(value)) {
		err = refuse(envelope.ReasonMalformed, "the header %s is no word of at most %d bytes", name, maxID)
	}
	return value, err
}

// checkID refuses a signed ID that could move the boundary to the part beside it.
func (w *wayChecker) checkID(id string) error {
	if id == "" {
		return refuse(envelope.ReasonMalformed, "no header %s, which is signed", w.id.header)
	}
	if strings.ContainsAny(id, w.texts) {
		return refuse(envelope.ReasonMalformed, "the ID in the header %s has one of %.64q", w.id.header,
			w.texts)
	}
	return nil
}

// assemble writes the signed bytes before the body into m.head. Those after the body are tail.
func (c *recipeChecker) assemble(w *wayChecker, r *Request, m *work, timeText, id string) (tail string,
	err error) {
	m.head = m.head[:0]
	after := false
	for i := range w.signed {
		p, text := &w.signed[i], w.signed[i].text
		switch p.name {
		case partBody:
			after = true
		case partTime:
			text = timeText
		case partID:
			text = id
		case partMethod:
			text, err = method(r.Method)
		case partURL:
			text, err = c.url(r)
		case partDecoded:
			if text, err = c.url(r); err == nil {
				text = decodedURL.Replace(text)
			}
		}
		if err != nil {
			return "", err
		}
		if after {
			tail += text // of one part nearly always: no allocation
		} else {
			m.head = append(m.head, text...)
		}
	}
	return tail, nil
}

// writeSigned writes the signed bytes of a verified delivery. Its time is in canonical decimal, so that the
// text that was signed is the one of the time.
func (w *wayChecker) writeSigned(to io.Writer, v *Verified) {
	for i := range w.signed {
		switch p := &w.signed[i]; p.name {
		case partBody:
			to.Write(v.Body)
		case partTime:
			io.WriteString(to, w.time.text(v.Time))
		case partID:
			io.WriteString(to, v.id)
		default:
			io.WriteString(to, p.text)
		}
	}
}

// method refuses what is no method of capital letters.
func method(text string) (string, error) {
	if text == "" || len(text) > 16 || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", refuse(envelope.ReasonMalformed, "the method is signed, and is not of capital letters")
	}
	return text, nil
}

// url is the URL that the provider called. The body follows it in the signed string. So it must be clear
// where the URL ends: it has no "{" and no "[", and the body begins with one.
func (c *recipeChecker) url(r *Request) (string, error) {
	if !strings.HasPrefix(r.Target, "/") || len(r.Target) > MaxHeaderValue || !printable(r.Target) ||
		strings.ContainsAny(r.Target, "{[# ") {
		return "", refuse(envelope.ReasonMalformed,
			"the URL is signed, and the request line is not known or not plain")
	}
	if len(r.Body) == 0 || r.Body[0] != '{' && r.Body[0] != '[' {
		return "", refuse(envelope.ReasonMalformed,
			"the body follows the URL in the signed string, and is no JSON")
	}
	return c.baseURL + r.Target, nil
}

// decodedURL are the escapes that HubSpot decodes before it signs.
var decodedURL = strings.NewReplacer("%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$",
	"%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";")

// find finds the key that made one of the signatures. A key that is valid at that moment comes first.
func (w *wayChecker) find(m *work, body []byte, tail string, at time.Time) (*key, error) {
	var outOfDate *key
	left := maxVerifications
	m.buf = append(m.buf, tail...)
	tailBytes := m.buf[len(m.buf)-len(tail):]
	m.message = m.message[:0]
	for i, k := range w.keys {
		ok := false
		if k.verifier == nil {
			ok = m.matchesMAC(i, k, body, tailBytes)
		} else {
			if len(m.message) == 0 {
				m.message = append(append(append(m.message, m.head...), body...), tailBytes...)
			}
			var err error
			if ok, err = m.verifies(k, &left); err != nil {
				return nil, err
			}
		}
		if ok && k.secret.valid(at) {
			return k, nil
		}
		if ok {
			outOfDate = k
		}
	}
	if outOfDate != nil {
		return nil, refuse(envelope.ReasonKeyNotValid,
			"the secret with the ID %.80q is not valid at the judging time", outOfDate.id)
	}
	return nil, refuse(envelope.ReasonBadSignature, "no secret made the signature")
}

// matchesMAC computes the MAC under one key and compares it with all signatures of that key's kinds.
func (m *work) matchesMAC(i int, k *key, body, tail []byte) bool {
	var sum []byte
	ok := false
	for _, sig := range m.signatures {
		if sig.kind.secret != k.form {
			continue
		}
		if sum == nil {
			if m.macs[i] == nil {
				m.macs[i] = k.newMAC()
			}
			h := m.macs[i]
			h.Reset()
			for _, text := range [...][]byte{m.head, body, tail} {
				if len(text) > 0 {
					h.Write(text)
				}
			}
			start := len(m.buf)
			m.buf = h.Sum(m.buf)
			sum = m.buf[start:]
		}
		ok = hmac.Equal(sum, m.buf[sig.start:sig.end]) || ok
	}
	return ok
}

// verifies verifies all signatures of that key's kinds, within the number of verifications that are left.
func (m *work) verifies(k *key, left *int) (bool, error) {
	for _, sig := range m.signatures {
		if sig.kind.secret != k.form {
			continue
		}
		if *left--; *left < 0 {
			return false, refuse(envelope.ReasonTooLarge, "more than %d signatures to verify",
				maxVerifications)
		}
		raw := m.buf[sig.start:sig.end]
		if sig.kind.algorithm == "ecdsa-p256" {
			var err error
			if raw, err = ecdsasig.RawFromDER(raw); err != nil {
				return false, refuse(envelope.ReasonMalformed, "the signature is not DER of ECDSA P-256")
			}
		}
		if k.verifier.Verify(m.message, raw) {
			return true, nil
		}
	}
	return false, nil
}

// parse reads a time in canonical decimal: no sign, no leading zero, no blank, so that it has one text.
func (t *timeSource) parse(text string) (time.Time, error) {
	n := int64(0)
	for i := range len(text) {
		if text[i] < '0' || '9' < text[i] {
			n = 0
			break
		}
		n = 10*n + int64(text[i]-'0')
	}
	if n == 0 || len(text) > 15 || text[0] == '0' {
		return time.Time{}, refuse(envelope.ReasonMalformed,
			"the time is not a whole number of 1 to 15 digits without sign, blanks and leading zeros")
	}
	if t.unit == time.Millisecond {
		return time.UnixMilli(n), nil
	}
	return time.Unix(n, 0), nil
}

// text is the text that parse read.
func (t *timeSource) text(at time.Time) string {
	if t.unit == time.Millisecond {
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// inBody reads the time from a body whose signature is genuine.
func (t *timeSource) inBody(body []byte) (time.Time, error) {
	value, ok := memberOf(body, t.member)
	if !ok {
		return time.Time{}, refuse(envelope.ReasonMalformed,
			"the body is no strict JSON with the time at %.80q", t.member)
	}
	return t.parse(string(value))
}
