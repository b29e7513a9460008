package peek

import (
	"github.com/sealbus/sealbus/internal/jwe"
)

// Encryption is what an event says of its encrypted data.
type Encryption struct {
	Fields     []string // JSON Pointers of the encrypted members; nil = all of the data
	Recipients []Recipient
	Problem    string // why the recipients cannot be told
}

// Recipient is who can open it, as the event names them.
type Recipient struct{ Algorithm, KeyID string }

// recipientsName is the attribute with the recipients of encrypted members.
const recipientsName = "jwerecipients"

// Encryption is nil if the payload says that nothing is encrypted.
func (s *Sealed) Encryption() *Encryption {
	if s.Payload == nil || !s.Payload.Encrypted {
		return nil
	}
	e := &Encryption{Fields: s.Payload.Fields}
	entries, err := s.entries()
	if err != nil {
		e.Problem = err.Error()
	}
	for i := range entries {
		e.Recipients = append(e.Recipients, Recipient{entries[i].Alg, entries[i].KeyID})
	}
	return e
}

func (s *Sealed) entries() ([]jwe.WrappedKey, error) {
	if s.Payload.Fields != nil {
		return jwe.ParseRecipients([]byte(s.value(recipientsName)))
	}
	m, err := jwe.Parse(s.Event.Data)
	if err != nil {
		return nil, err
	}
	return m.Keys, nil
}
