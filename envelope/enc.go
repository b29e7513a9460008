package envelope

import (
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// MaxEncryptedFields bounds the encrypted members of one event: each is looked for in the data, and costs a
// decryption.
const MaxEncryptedFields = 64

// enc is the member "enc" of the signed payload: what of the data is encrypted.
type enc struct {
	whole    bool      // all of it is one JWE
	pointers []pointer // these members are compact JWEs; none overlaps another
}

func (e *enc) some() bool { return e.whole || len(e.pointers) > 0 }

// texts are the pointers as they are written; nil for the whole data.
func (e *enc) texts() []string {
	if len(e.pointers) == 0 {
		return nil
	}
	list := make([]string, len(e.pointers))
	for i := range e.pointers {
		list[i] = e.pointers[i].text
	}
	return list
}

func (e *enc) append(dst []byte) []byte {
	switch {
	case e.whole:
		return append(dst, `,"enc":"jwe"`...)
	case len(e.pointers) > 0:
		return jsontext.AppendStrings(append(dst, `,"enc":`...), e.texts())
	}
	return dst
}

// readEnc reads "enc": "jwe", or the JSON Pointers of the encrypted members.
func readEnc(r *jsontext.Decoder) (e enc) {
	if r.PeekKind() == '"' {
		if r.String() != "jwe" {
			r.Fail(errors.New("sealbus: unknown enc"))
		}
		return enc{whole: true}
	}
	for a := r.Array(); r.Element(&a); {
		text := r.String()
		if r.Err() != nil {
			return enc{}
		}
		if len(e.pointers) == MaxEncryptedFields {
			r.Fail(fmt.Errorf("sealbus: enc: %w", errTooMany))
			return enc{}
		}
		p, err := parsePointer(text)
		if err == nil {
			e.pointers, err = addPointer(e.pointers, p)
		}
		if err != nil {
			r.Failf("sealbus: enc: %w", err)
			return enc{}
		}
	}
	if len(e.pointers) == 0 {
		r.Fail(errors.New("sealbus: enc is empty"))
	}
	return e
}
