package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/cejson"
	"github.com/sealbus/sealbus/internal/peek"
)

func (a *app) inspectCommand() *cobra.Command {
	var short bool
	from := newChoice(fromAuto, fromCloudEvent, fromEventBridge, fromSQS)
	cmd := a.command(commandSpec{
		use: "inspect [--short] < EVENT", short: "Show what a sealed event claims, without verifying it", now: true, args: standardInput("inspect"),
		long: `Show people what the event on standard input claims: what was signed and by which keys, and what a consumer would
check. It takes whatever ` + "`sealbus open`" + ` takes, and needs no trust.

Nothing is verified: everything shown may have been written by an attacker.
Exit status: 0, or 1 if there is no event that could be shown.`,
		example: `sealbus inspect < sealed.json
aws sqs receive-message --queue-url URL | sealbus inspect --short`,
		run: func(context.Context, []string) error { return a.inspect(from.value, short) },
	})
	cmd.Flags().BoolVar(&short, "short", false, "one line for each event")
	cmd.Flags().Var(&from, "from", "what the input is")
	return cmd
}

func (a *app) inspect(from string, short bool) error {
	doc, err := a.readEvents("an event")
	if err != nil {
		return err
	}
	list := messages(doc, from)
	worst := exitDone
	for i := range list {
		if !list[i].shown(a, i, len(list), short) {
			worst = exitRejected
		}
	}
	return ended(worst)
}

// shown shows one event and reports whether there was one.
func (m *message) shown(a *app, i, of int, short bool) bool {
	s, err := (*peek.Sealed)(nil), m.err
	if err == nil {
		s, err = peek.Unverified(m.body)
	}
	if err != nil {
		a.notShown(err, position(i, of))
		return false
	}
	_ = a.emit(inspectResult(s), func(p *printer) { // an error here meets the next write, too
		v := view{printer: p, s: s, app: a}
		switch {
		case short:
			v.line()
		default:
			v.page(i, of)
		}
	})
	return true
}

func (a *app) notShown(err error, where string) {
	e := &envelope.Error{Reason: envelope.ReasonMalformed, Cause: err.Error()}
	_ = a.tellRefusal(e, "give a CloudEvent, an EventBridge event or messages of a queue, as JSON", where)
}

// inspected is an event for programs. All of it is unverified, and it says so.
type inspected struct {
	Verdict    string             `json:"verdict"` // always "nothing_was_verified"
	Layout     peek.Layout        `json:"layout"`
	Outer      *inspectedOuter    `json:"eventbridge,omitempty"`
	Event      inspectedEvent     `json:"unverified_event"`
	Sealed     *inspectedSeal     `json:"unverified_seal"` // null: unsigned or unreadable
	Signatures []inspectedKey     `json:"signatures"`
	Digests    map[string]peekFit `json:"digests"`
	Problems   []string           `json:"problems"`
}

type peekFit = peek.Fit

type inspectedOuter struct {
	Source     string `json:"source"`
	DetailType string `json:"detail_type"`
	Account    string `json:"account"`
	Replay     string `json:"replay_name,omitempty"`
}

type inspectedEvent struct {
	ID              string            `json:"id"`
	Source          string            `json:"source"`
	Type            string            `json:"type"`
	Subject         string            `json:"subject,omitempty"`
	Time            string            `json:"time,omitempty"`
	DataContentType string            `json:"datacontenttype,omitempty"`
	DataSchema      string            `json:"dataschema,omitempty"`
	DataBytes       int               `json:"data_bytes"`
	DataCanonical   bool              `json:"data_canonical"`
	Extensions      map[string]string `json:"extensions"`
}

type inspectedSeal struct {
	Profile          int64    `json:"profile"` // 0 = another implementation's
	Producer         string   `json:"producer,omitempty"`
	SealedAt         string   `json:"sealed_at,omitempty"`
	SignedAttributes []string `json:"signed_attributes"`
	NotSigned        []string `json:"not_signed"`
	Encrypted        bool     `json:"encrypted"`

	Encryption *inspectedEncryption `json:"encryption,omitempty"`
}

type inspectedEncryption struct {
	Fields     []string             `json:"fields"` // JSON Pointers; null = all of the data
	Recipients []inspectedRecipient `json:"recipients"`
	Problem    string               `json:"problem,omitempty"`
}

type inspectedRecipient struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"key_id"`
}

func inspectEncryption(e *peek.Encryption) *inspectedEncryption {
	if e == nil {
		return nil
	}
	r := &inspectedEncryption{Fields: e.Fields, Recipients: []inspectedRecipient{}, Problem: e.Problem}
	for _, to := range e.Recipients {
		r.Recipients = append(r.Recipients, inspectedRecipient(to))
	}
	return r
}

type inspectedKey struct {
	KeyID       string `json:"key_id"`
	Bytes       int    `json:"signature_bytes"`
	DelegatedBy string `json:"delegated_by,omitempty"`

	Delegation *inspectedDelegation `json:"delegation,omitempty"`
}

// inspectedDelegation is what a long-term key says of the session key that signed.
type inspectedDelegation struct {
	By         string   `json:"by"`
	SessionKey string   `json:"session_key"`
	NotBefore  string   `json:"not_before"`
	NotAfter   string   `json:"not_after"`
	Sources    []string `json:"sources"`
	Types      []string `json:"types"`
	Problem    string   `json:"problem,omitempty"`
}

func inspectResult(s *peek.Sealed) inspected {
	e := s.Event
	r := inspected{
		Verdict: "nothing_was_verified", Layout: s.Layout, Signatures: []inspectedKey{}, Problems: append([]string{}, s.Problems...),
		Digests: map[string]peekFit{},
		Event: inspectedEvent{
			ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time, DataContentType: e.DataContentType,
			DataSchema: e.DataSchema, DataBytes: len(e.Data), DataCanonical: e.Canonical, Extensions: extensionMap(e),
		},
	}
	if o := s.Outer; o != nil {
		r.Outer = &inspectedOuter{o.Source, o.DetailType, o.Account, o.Replay}
	}
	for _, sig := range s.Signatures {
		k := inspectedKey{KeyID: sig.KeyID, Bytes: sig.Bytes}
		if d := sig.Delegation; d != nil {
			k.DelegatedBy = d.By
			k.Delegation = &inspectedDelegation{d.By, d.Session, d.NotBefore, d.NotAfter, d.Sources, d.Types, d.Problem}
		}
		r.Signatures = append(r.Signatures, k)
	}
	if p := s.Payload; p != nil {
		r.Sealed = &inspectedSeal{p.Profile, p.Producer, extensionMap(e)["recordedtime"], s.SignedNames(), s.UnsignedNames(), p.Encrypted, inspectEncryption(s.Encryption())}
		r.Digests["core"], r.Digests["extensions"] = s.Core, s.Extensions
	}
	return r
}

func extensionMap(e *cejson.Event) map[string]string {
	m := make(map[string]string, len(e.Extensions))
	for _, x := range e.Extensions {
		m[x.Name] = x.Value
	}
	return m
}
