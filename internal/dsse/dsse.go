// Package dsse reads and writes DSSE v1.0.2 envelopes (https://github.com/secure-systems-lab/dsse). It knows
// nothing of keys: whoever uses it verifies the signatures over PAE.
//
// Reading is strict where DSSE leaves a choice: JSON as internal/jsontext has it (a duplicate member, also
// in a member that is ignored, is an error), base64 of either alphabet, not mixed, padded, with zero trailing
// bits and no line breaks. Unknown members are ignored, as DSSE demands. One member is ours:
// "delegation" in a signature object.
package dsse

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// MaxSignatures bounds the work that one envelope can ask for: each signature may cost a verification.
const MaxSignatures = 16

// ErrTooMany is (wrapped in) the error of an envelope with more than MaxSignatures signatures.
var ErrTooMany = errors.New("more than 16 signatures")

// Envelope is a parsed DSSE envelope. Nothing in it is verified.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature

	room [2]Signature // one or two signatures are the rule: no allocation for them
}

// Signature is one entry of an envelope's "signatures".
type Signature struct {
	KeyID      string // a hint, "" when absent
	Sig        []byte // nil when it is empty or not strict base64: no key verifies it
	Delegation []byte // the raw JSON value of "delegation", nil when absent; it aliases the document
}

// PAE appends the bytes that a DSSE signature is made over.
func PAE(dst []byte, payloadType string, payload []byte) []byte {
	dst = append(dst, "DSSEv1 "...)
	dst = strconv.AppendInt(dst, int64(len(payloadType)), 10)
	dst = append(dst, ' ')
	dst = append(dst, payloadType...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(len(payload)), 10)
	dst = append(dst, ' ')
	return append(dst, payload...)
}

// Parse reads an envelope. The caller has bounded len(doc). It fails if the JSON, the shape or the payload's
// base64 is wrong, without a signature, and with ErrTooMany; a signature whose base64 is
// wrong is kept with a nil Sig, since the others may still count.
func Parse(doc []byte) (*Envelope, error) {
	e := &Envelope{}
	if err := e.Read(doc); err != nil {
		return nil, err
	}
	return e, nil
}

// Read is Parse into an envelope that the caller has room for: e must be new. After an error e is of no use.
func (e *Envelope) Read(doc []byte) error {
	p := parser{r: jsontext.NewDecoder(doc), buf: make([]byte, 0, base64.StdEncoding.DecodedLen(len(doc)))}
	p.envelope(e)
	if err := p.r.End(); err != nil {
		return fmt.Errorf("dsse: %w", err)
	}
	return nil
}

// parser decodes all base64 of one document into one buffer that is large enough from the start.
type parser struct {
	r   jsontext.Decoder
	buf []byte
}

func (p *parser) envelope(e *Envelope) {
	var hasType, hasPayload bool
	for obj := p.r.Object(); p.r.Member(&obj); {
		switch string(obj.Name) {
		case "payloadType":
			e.PayloadType, hasType = p.r.String(), true
		case "payload":
			e.Payload, hasPayload = p.payload(), true
		case "signatures":
			p.signatures(e)
		default:
			p.r.SkipValue()
		}
	}
	switch {
	case !hasType:
		p.r.Fail(errors.New(`no "payloadType"`))
	case !hasPayload:
		p.r.Fail(errors.New(`no "payload"`))
	case len(e.Signatures) == 0:
		p.r.Fail(errors.New("no signature"))
	}
}

func (p *parser) payload() []byte {
	b, err := p.base64()
	if err != nil {
		p.r.Failf("payload: %w", err)
	}
	return b
}

func (p *parser) signatures(e *Envelope) {
	e.Signatures = e.room[:0]
	for a := p.r.Array(); p.r.Element(&a); {
		if len(e.Signatures) == MaxSignatures {
			p.r.Fail(ErrTooMany)
			return
		}
		e.Signatures = append(e.Signatures, p.signature())
	}
}

func (p *parser) signature() (s Signature) {
	hasSig := false
	for obj := p.r.Object(); p.r.Member(&obj); {
		switch string(obj.Name) {
		case "keyid":
			s.KeyID = p.r.String()
		case "sig":
			if b, err := p.base64(); err == nil && len(b) > 0 {
				s.Sig = b
			}
			hasSig = true
		case "delegation":
			s.Delegation = p.r.ReadValue()
		default:
			p.r.SkipValue()
		}
	}
	if !hasSig {
		p.r.Fail(errors.New(`a signature without "sig"`))
	}
	return s
}

// base64 reads a string of base64 in either alphabet, of which one text uses one. The reader has an error if
// it is not a string.
func (p *parser) base64() ([]byte, error) {
	start, text, alphabet := len(p.buf), p.r.Bytes(), jsontext.Base64
	if bytes.ContainsAny(text, "-_") {
		alphabet = jsontext.Base64URLPadded
	}
	buf, err := alphabet.AppendDecode(p.buf, text)
	if err != nil {
		return nil, err
	}
	p.buf = buf
	return buf[start:len(buf):len(buf)], nil
}

// Append appends the envelope as JSON: no white space, members in the order payloadType, payload,
// signatures; keyid, sig, delegation. "delegation" is left out when nil and otherwise must be valid JSON,
// which is written as it is. Parse of the result gives the same Envelope.
func (e *Envelope) Append(dst []byte) []byte {
	dst = append(dst, `{"payloadType":`...)
	dst = jsontext.AppendQuote(dst, e.PayloadType)
	dst = append(dst, `,"payload":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, e.Payload)
	dst = append(dst, `","signatures":[`...)
	for i := range e.Signatures {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.Signatures[i].append(dst)
	}
	return append(dst, "]}"...)
}

func (s *Signature) append(dst []byte) []byte {
	dst = append(dst, `{"keyid":`...)
	dst = jsontext.AppendQuote(dst, s.KeyID)
	dst = append(dst, `,"sig":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, s.Sig)
	dst = append(dst, '"')
	if s.Delegation != nil {
		dst = append(dst, `,"delegation":`...)
		dst = append(dst, s.Delegation...)
	}
	return append(dst, '}')
}
