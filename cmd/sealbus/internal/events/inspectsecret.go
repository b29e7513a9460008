package events

import (
	"fmt"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// owners say whose keys are, by a bundle that was verified.
type owners struct {
	bundle *trust.Bundle // nil = nothing is known
	now    time.Time
}

// owner is whose a key is. That the event names the key says nothing yet.
type owner struct {
	Producer string     `json:"producer,omitempty"`
	Consumer string     `json:"consumer,omitempty"`
	State    keys.State `json:"state"`
}

// stateUnknown is that of a key that the bundle does not list.
const stateUnknown keys.State = "unknown"

// signing is whose signing key it is; nil = there is no bundle.
func (o owners) signing(keyID string) *owner {
	if o.bundle == nil {
		return nil
	}
	for _, k := range o.bundle.Lookup(keyID) {
		return &owner{Producer: k.Producer, State: k.StateAt(o.now)}
	}
	return &owner{State: stateUnknown}
}

// encryption is whose encryption key it is; nil = there is no bundle, or the key is none that bundles list.
func (o owners) encryption(r jwe.WrappedKey) *owner {
	if o.bundle == nil || r.Alg != jwe.AlgECDH {
		return nil
	}
	k := o.bundle.Key(r.KeyID)
	if k == nil || k.Recipient == nil {
		return &owner{State: stateUnknown}
	}
	return &owner{Consumer: k.Consumer, State: k.StateAt(o.now)}
}

// String is empty where nothing is known.
func (o *owner) String() string {
	switch {
	case o == nil:
		return ""
	case o.State == stateUnknown:
		return "not in the bundle"
	case o.Consumer != "":
		return fmt.Sprintf("consumer %s, %s", o.Consumer, o.State)
	}
	return fmt.Sprintf("producer %s, %s", o.Producer, o.State)
}

// inspectedEncryption is what an event says of its encrypted data, for programs.
type inspectedEncryption struct {
	Fields      []string             `json:"fields"`                 // JSON Pointers; null = all of the data
	ContentType string               `json:"content_type,omitempty"` // of what is encrypted, as the JWE says
	Committed   bool                 `json:"committed"`              // it says which content key it is under
	Recipients  []inspectedRecipient `json:"recipients"`
	Problem     string               `json:"problem,omitempty"`
}

type inspectedRecipient struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"key_id"`
	Owner     *owner `json:"owner,omitempty"` // only with --trust
}

func inspectEncryption(e *wire.InspectedEncryption, whose owners) *inspectedEncryption {
	if e == nil {
		return nil
	}
	r := &inspectedEncryption{
		Fields: e.Fields, ContentType: e.ContentType, Committed: e.Committed,
		Recipients: []inspectedRecipient{}, Problem: e.Problem,
	}
	for _, to := range e.Recipients {
		r.Recipients = append(r.Recipients, inspectedRecipient{to.Alg, to.KeyID, whose.encryption(to)})
	}
	return r
}

// inspectedDelegation is what a long-term key says of the session key that signed, for programs.
type inspectedDelegation struct {
	By         string   `json:"by"`
	SessionKey string   `json:"session_key"`
	NotBefore  string   `json:"not_before"`
	NotAfter   string   `json:"not_after"`
	Sources    []string `json:"sources"`
	Types      []string `json:"types"`
	Problem    string   `json:"problem,omitempty"`
}

func inspectDelegation(d *wire.InspectedDelegation) *inspectedDelegation {
	return &inspectedDelegation{d.By, d.Session, d.NotBefore, d.NotAfter, d.Sources, d.Types, d.Problem}
}

// encryption shows what is encrypted, and to whom.
func (v *view) encryption() {
	if v.r.Sealed == nil || v.r.Sealed.Encryption == nil {
		return
	}
	e := v.r.Sealed.Encryption
	var t ui.Table
	for _, to := range e.Recipients {
		id, alg := to.KeyID, to.Algorithm
		if id == "" {
			id = "a key without an ID"
		}
		if alg == jwe.AlgAWSKMS {
			alg = "AWS KMS"
		}
		t.Add(ui.Cell{Text: "  " + ui.Shorten(id)}, ui.Painted(ui.Shorten(alg), v.Dim),
			ui.Painted(to.Owner.String(), v.ownerPaint(to.Owner)))
	}
	if e.Problem != "" {
		t.Add(ui.Painted("  "+ui.Shorten(e.Problem), v.Red))
	}
	if e.Problem == "" && !e.Committed {
		t.Add(ui.Painted("  names no content key (kc): another library encrypted it, and consumers refuse it",
			v.Red))
	}
	v.section(ui.Clean(e.title()), &t)
}

func (e *inspectedEncryption) title() string {
	what := "all of the data"
	if e.Fields != nil {
		what = ui.Shorten(strings.Join(e.Fields, ", "))
	}
	if e.ContentType != "" {
		what += ", which is " + ui.Shorten(e.ContentType)
	}
	if e.Problem != "" {
		return "Encrypted: " + what
	}
	return fmt.Sprintf("Encrypted: %s, to %s", what, ui.Count(len(e.Recipients), "recipient"))
}

func (v *view) ownerPaint(o *owner) func(string) string {
	switch {
	case o == nil || o.State == keys.StateActive:
		return v.Dim
	case o.State == keys.StateRevoked || o.State == keys.StateExpired || o.State == stateUnknown:
		return v.Red
	}
	return v.Yellow
}

// delegation shows the chain from a session key to the key that vouches for it.
func (v *view) delegation(k *inspectedKey) {
	d := k.Delegation
	var t ui.Table
	defer func() { t.Print(v.Printer) }()
	line := func(name, text string) { t.Add(ui.Painted("    "+name, v.Dim), ui.Cell{Text: ui.Shorten(text)}) }
	by := d.By
	if k.Owner != nil {
		by += ", " + k.Owner.String()
	}
	line("vouched for by", by)
	if d.Problem != "" {
		t.Add(ui.Painted("    statement", v.Dim), ui.Painted(ui.Shorten(d.Problem), v.Red))
		return
	}
	line("from, until", v.window(d))
	line("sources", strings.Join(d.Sources, " "))
	line("types", strings.Join(d.Types, " "))
	if d.SessionKey != k.KeyID {
		t.Add(ui.Painted("    vouches for", v.Dim),
			ui.Painted("another key: "+ui.Shorten(d.SessionKey), v.Red))
	}
}

// window is the hour of a session key, and where the event says that it was sealed.
func (v *view) window(d *inspectedDelegation) string {
	text := d.NotBefore + ", " + d.NotAfter
	from, err1 := wire.ParseTime(d.NotBefore)
	until, err2 := wire.ParseTime(d.NotAfter)
	sealed, err3 := wire.ParseTime(extensionMap(v.s.Event)["recordedtime"])
	if err1 != nil || err2 != nil {
		return text
	}
	if life := until.Sub(from); life > keydoc.MaxSessionLife {
		return text + ": longer than " + ui.FormatDuration(keydoc.MaxSessionLife)
	}
	switch {
	case err3 != nil:
		return text
	case sealed.Before(from):
		return text + "; sealed " + ui.FormatDuration(from.Sub(sealed)) + " before it"
	case !sealed.Before(until):
		return text + "; sealed " + ui.FormatDuration(sealed.Sub(until)) + " after it"
	}
	return text + "; sealed within it"
}
