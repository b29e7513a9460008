package peek

import (
	"fmt"

	"github.com/sealbus/sealbus/internal/jwe"
)

// RecipientsAttribute is the extension attribute with the recipients of single members.
const RecipientsAttribute = "jwerecipients"

// Encryption is what the event says of its encrypted data. No key was touched.
type Encryption struct {
	Fields      []string // JSON Pointers of the members that are encrypted; nil = all of the data is
	ContentType string   // of what is encrypted; "" = not said
	Committed   bool     // it says which content key it is under; always, of single members
	Recipients  []Recipient
	Problem     string // why the rest is empty
}

// Recipient is somebody who may be able to decrypt it.
type Recipient struct {
	Algorithm string
	KeyID     string // "" = not said
}

// readEncryption reads what the payload says is encrypted.
func (s *Sealed) readEncryption() {
	if !s.Payload.Encrypted {
		return
	}
	e := &Encryption{Fields: s.Payload.Fields}
	s.Encryption = e
	var err error
	if e.Fields == nil {
		err = e.readMessage(s.Event.Data)
	} else {
		e.Committed = true
		err = e.readRecipients(s.value(RecipientsAttribute))
	}
	if err != nil {
		e.Problem = err.Error()
		s.problem("%v", err)
	}
}

func (e *Encryption) readMessage(data []byte) error {
	m, err := jwe.Parse(data)
	if err != nil {
		return fmt.Errorf("the encrypted data: %w", err)
	}
	e.ContentType, e.Committed = m.ContentType, m.Committed()
	e.add(m.Keys)
	return nil
}

func (e *Encryption) readRecipients(list string) error {
	entries, err := jwe.ParseRecipients([]byte(list))
	if err != nil {
		return fmt.Errorf("%s: %w", RecipientsAttribute, err)
	}
	e.add(entries)
	return nil
}

func (e *Encryption) add(entries []jwe.WrappedKey) {
	for i := range entries {
		e.Recipients = append(e.Recipients, Recipient{Algorithm: entries[i].Alg, KeyID: entries[i].KeyID})
	}
}
