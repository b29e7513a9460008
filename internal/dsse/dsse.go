// Package dsse reads and writes DSSE v1.0.2 envelopes (https://github.com/secure-systems-lab/dsse). It has no
// keys: its callers verify the signatures over PAE.
//
// Reading is strict where DSSE leaves a choice. The JSON is read as internal/jsontext does, so a duplicate
// member is an error, also inside a member that is ignored. Base64 is of either alphabet, not of both in one
// text. It is padded, has zero trailing bits and no line breaks. Unknown members are ignored, as DSSE
// demands. The member "delegation" of a signature is an addition of sealbus.
package dsse

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// MaxSignatures is the most signatures of one envelope: each may cost a verification.
const MaxSignatures = 16

// ErrTooMany is the error, or the cause of the error, of an envelope with more than MaxSignatures signatures.
var ErrTooMany = errors.New("more than 16 signatures")

// Envelope is a parsed DSSE envelope. Nothing in it is verified.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature

	room [2]Signature // most envelopes have one or two signatures, which need no allocation
}

// Signature is one entry of an envelope's "signatures".
type Signature struct {
	KeyID      string // a hint, "" when absent
	Sig        []byte // nil when it is empty or not strict base64: no key verifies it
	Delegation []byte // the JSON value of "delegation", nil when absent; it aliases the document
}

// PAE appends the bytes that a DSSE signature is made over (DSSE v1.0.2, protocol, "Signature Definition").
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

// Parse is Read into a new Envelope.
func Parse(doc []byte) (*Envelope, error) {
	e := &Envelope{}
	if err := e.Read(doc, nil); err != nil {
		return nil, err
	}
	return e, nil
}

// Read reads an envelope into e, which must be new. The caller has limited len(doc). Read fails if the JSON,
// the shape or the base64 of the payload is wrong, if there is no signature, and with ErrTooMany. A signature
// whose base64 is wrong is kept with a nil Sig, because the others may still count. After an error, e is of
// no use. Payload and Sig are in the memory of room if it is large enough, else in new memory.
func (e *Envelope) Read(doc, room []byte) error {
	r := jsontext.NewDecoder(doc)
	e.Signatures = e.room[:0]
	room = slices.Grow(room[:0], base64.StdEncoding.DecodedLen(len(doc))) // all base64 of doc fits
	var hasType, hasPayload bool
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "payloadType":
			e.PayloadType, hasType = r.String(), true
		case "payload":
			payload, err := decodeBase64(room, r.Bytes())
			if err != nil {
				r.Failf("payload: %w", err)
			}
			e.Payload, hasPayload = slices.Clip(payload), true
			room = payload[len(payload):]
		case "signatures":
			for a := r.Array(); r.Element(&a); {
				if len(e.Signatures) == MaxSignatures {
					r.Fail(ErrTooMany)
					break
				}
				var s Signature
				s, room = readSignature(&r, room)
				e.Signatures = append(e.Signatures, s)
			}
		default:
			r.SkipValue()
		}
	}
	switch {
	case !hasType:
		r.Fail(errors.New(`no "payloadType"`))
	case !hasPayload:
		r.Fail(errors.New(`no "payload"`))
	case len(e.Signatures) == 0:
		r.Fail(errors.New("no signature"))
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("dsse: %w", err)
	}
	return nil
}

// decodeBase64 appends the bytes of strict base64. DSSE allows both alphabets, and one text uses one of them.
func decodeBase64(dst, text []byte) ([]byte, error) {
	if bytes.ContainsAny(text, "-_") {
		return jsontext.Base64URLPadded.AppendDecode(dst, text)
	}
	return jsontext.Base64.AppendDecode(dst, text)
}

// readSignature reads one entry of "signatures". It decodes "sig" into room, and returns the rest of room.
func readSignature(r *jsontext.Decoder, room []byte) (s Signature, rest []byte) {
	hasSig := false
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "keyid":
			s.KeyID = r.String()
		case "sig":
			if sig, err := decodeBase64(room, r.Bytes()); err == nil && len(sig) > 0 {
				s.Sig, room = slices.Clip(sig), sig[len(sig):]
			}
			hasSig = true
		case "delegation":
			s.Delegation = r.ReadValue()
		default:
			r.SkipValue()
		}
	}
	if !hasSig {
		r.Fail(errors.New(`a signature without "sig"`))
	}
	return s, room
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
		s := &e.Signatures[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"keyid":`...)
		dst = jsontext.AppendQuote(dst, s.KeyID)
		dst = append(dst, `,"sig":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, s.Sig)
		dst = append(dst, '"')
		if s.Delegation != nil {
			dst = append(dst, `,"delegation":`...)
			dst = append(dst, s.Delegation...)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}
