package mint

import (
	"strings"
	"time"

	"github.com/sealbus/sealbus/keys"
)

// DelegationType is the DSSE payload type of a delegation statement.
const DelegationType = "application/vnd.sealbus.delegation+json"

// Delegation is how a long-term key vouches for a session key.
type Delegation struct {
	By             *keys.LocalSigner
	Also           []*keys.LocalSigner // further signatures of the statement, which are not allowed
	From           time.Time
	Life           time.Duration
	Sources, Types []string
	Unbound        bool // its hash is left out of the event's payload

	Type      string              // of the statement's envelope; "" = DelegationType
	Statement func(Object) Object // edits
	Envelope  func(Object) Object
	Signature func(Object) Object
}

func (d *Delegation) payloadType() string {
	if d.Type != "" {
		return d.Type
	}
	return DelegationType
}

// statement is the JSON text that the long-term key signs.
func (d *Delegation) statement(session *keys.LocalSigner) string {
	const seconds = "2006-01-02T15:04:05Z"
	return edit(d.Statement, Object{
		{"session", string(session.Verifier().ThumbprintJWK())},
		{"not_before", Quote(d.From.UTC().Format(seconds))},
		{"not_after", Quote(d.From.Add(d.Life).UTC().Format(seconds))},
		{"sources", Array(d.Sources...)},
		{"types", Array(d.Types...)},
	}).String()
}

func (d *Delegation) envelope(session *keys.LocalSigner) string {
	text := d.statement(session)
	var signatures []string
	for _, by := range append([]*keys.LocalSigner{d.By}, d.Also...) {
		signatures = append(signatures, edit(d.Signature, Object{
			{"keyid", Quote(by.Verifier().KeyID())},
			{"sig", Quote(b64(Sign(by, d.payloadType(), text)))},
		}).String())
	}
	return edit(d.Envelope, Object{
		{"payloadType", Quote(d.payloadType())},
		{"payload", Quote(b64(text))},
		{"signatures", "[" + strings.Join(signatures, ",") + "]"},
	}).String()
}
