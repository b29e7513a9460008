package jwe

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// place is one of the three headers that a recipient's parameters come from (RFC 7516 section 4).
type place uint8

const (
	protectedHeader place = iota
	sharedHeader
	recipientHeader
)

// header is the union of the headers that were read so far (the JOSE header). A text is nil when absent.
type header struct {
	alg, kid         []byte
	enc, cty, kc, cx []byte // protected only
	epk              ephemeral
	apu, apv         []byte   // decoded
	seen             uint16   // the bits of known parameters in the protected and the shared header
	others           [][]byte // the names of their other parameters
}

// known are the parameters with a meaning here. Their number in this list is their bit in header.seen.
var known = [...]string{"alg", "kid", "epk", "enc", "cty", "kc", "ctx", "apu", "apv"}

// read adds the parameters of the object at which r stands.
func (h *header) read(r *jsontext.Decoder, from place) {
	earlier := header{seen: h.seen, others: h.others}
	n := 0
	for obj := r.Object(); r.Member(&obj); {
		if n++; n > MaxParameters {
			r.Failf("%w: more than %d parameters in a header", ErrTooLarge, MaxParameters)
			return
		}
		if earlier.has(obj.Name) {
			r.Failf("%w: parameter %q in two headers", ErrMalformed, clip(string(obj.Name)))
			return
		}
		if from != recipientHeader {
			h.note(obj.Name)
		}
		h.parameter(obj.Name, r, from)
	}
}

func bitOf(name []byte) uint16 {
	for i := range known {
		if known[i] == string(name) {
			return 1 << i
		}
	}
	return 0
}

func (h *header) has(name []byte) bool {
	if bit := bitOf(name); bit != 0 {
		return h.seen&bit != 0
	}
	return slices.ContainsFunc(h.others, func(other []byte) bool { return bytes.Equal(other, name) })
}

func (h *header) note(name []byte) {
	if bit := bitOf(name); bit != 0 {
		h.seen |= bit
	} else {
		h.others = append(h.others, name)
	}
}

func (h *header) parameter(name []byte, r *jsontext.Decoder, from place) {
	switch string(name) {
	case "crit", "zip":
		r.Failf("%w: header parameter %q", ErrUnsupported, name)
	case "enc", "cty", "kc", "ctx":
		if from != protectedHeader {
			r.Failf("%w: header parameter %q is not protected", ErrUnsupported, name)
			return
		}
		h.protectedOnly(name, r.Bytes())
	case "alg":
		h.alg = r.Bytes()
	case "kid":
		h.kid = r.Bytes()
	case "epk":
		h.epk.read(r)
	case "apu":
		h.apu = partyInfo(name, r)
	case "apv":
		h.apv = partyInfo(name, r)
	default:
		r.SkipValue()
	}
}

func (h *header) protectedOnly(name, value []byte) {
	switch string(name) {
	case "enc":
		h.enc = value
	case "cty":
		h.cty = value
	case "kc":
		h.kc = value
	case "ctx":
		h.cx = value
	}
}

func (e *ephemeral) read(r *jsontext.Decoder) {
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "kty":
			e.kty = r.Bytes()
		case "crv":
			e.crv = r.Bytes()
		case "x":
			e.x = r.Bytes()
		case "y":
			e.y = r.Bytes()
		case "d":
			r.Failf("%w: an epk with a private key in it", ErrMalformed)
		default:
			r.SkipValue()
		}
	}
}

// partyInfo is apu or apv (RFC 7518 section 4.6.1.2).
func partyInfo(name []byte, r *jsontext.Decoder) []byte {
	info, err := jsontext.Base64URL.AppendDecode(nil, r.Bytes())
	if err != nil {
		r.Failf("%w: %s: %w", ErrMalformed, name, err)
	}
	return info
}

// content checks the parameters of the protected header that are about the content.
func (h *header) content() error {
	if h.enc == nil {
		return fmt.Errorf("%w: no enc in the protected header", ErrUnsupported)
	}
	if string(h.enc) != encGCM {
		return fmt.Errorf("%w: enc %q, only %s is", ErrUnsupported, clip(string(h.enc)), encGCM)
	}
	return nil
}

// wrappedKey makes an entry of the header and the encrypted key. Entries of unknown algorithms are kept, and
// no identity here takes them: the message may have other recipients.
func (h *header) wrappedKey(encryptedKey []byte) (WrappedKey, error) {
	w := WrappedKey{Alg: algOf(h.alg), KeyID: string(h.kid), EncryptedKey: encryptedKey, epk: h.epk, apu: h.apu, apv: h.apv}
	switch {
	case w.Alg == "":
		return w, fmt.Errorf("%w: a recipient without alg", ErrMalformed)
	case w.Alg == AlgECDH && len(encryptedKey) != wrappedSize:
		return w, fmt.Errorf("%w: an encrypted key of %d bytes, not %d", ErrMalformed, len(encryptedKey), wrappedSize)
	case w.Alg == AlgECDH && h.epk.crv == nil:
		return w, fmt.Errorf("%w: no epk with a crv", ErrMalformed)
	case w.Alg == AlgAWSKMS && (len(encryptedKey) == 0 || w.KeyID == ""):
		return w, fmt.Errorf("%w: a KMS recipient without kid or without encrypted key", ErrMalformed)
	}
	return w, nil
}

// algOf is the text as a string. For known algorithms it is our constant, without an allocation.
func algOf(text []byte) string {
	switch string(text) {
	case AlgECDH:
		return AlgECDH
	case AlgAWSKMS:
		return AlgAWSKMS
	}
	return string(text)
}

// known reports whether an identity of this package, or of a KMS, might take the entry.
func (w *WrappedKey) known() bool {
	crv := string(w.epk.crv)
	return w.Alg == AlgAWSKMS || w.Alg == AlgECDH && (crv == crvP256 || crv == crvX25519)
}

// kindOf makes an error of jsontext an error of this package. An error without a kind is ErrMalformed.
func kindOf(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrMalformed) || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrTooLarge):
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
}
