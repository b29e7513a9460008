package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
)

func (a *app) inspectCommand() *cobra.Command {
	f := &inspectFlags{from: newFrom()}
	cmd := a.command(commandSpec{
		use: "inspect [--short] [--trust FILE --roots FILE] [FILE...]", short: "Show what a sealed event claims, without verifying it", now: true, args: anyFiles,
		long: `Show people what the events in files, or on standard input, claim: what was signed and by which keys, and what a consumer would
check; what is encrypted, and to whom; which key vouches for a session key. It takes whatever ` + "`sealbus open`" + ` takes, and needs no
trust. With --trust and --roots it says whose the keys are that the event names.

Nothing is verified: everything shown may have been written by an attacker.
Exit status: 0, or 1 if there is no event that could be shown.`,
		example: `sealbus inspect < sealed.json
aws sqs receive-message --queue-url URL | sealbus inspect --short`,
		run: func(ctx context.Context, files []string) error { return a.inspect(ctx, f, files) },
	})
	cmd.Flags().BoolVar(&f.short, "short", false, "one line for each event")
	cmd.Flags().Var(&f.from, "from", helpFrom)
	f.trustFlags.register(cmd)
	return cmd
}

type inspectFlags struct {
	trustFlags
	short bool
	from  choice
}

// inspector shows events.
type inspector struct {
	*app
	short  bool
	bundle *keys.Bundle // says whose keys they are; nil = there is no --trust
}

func (a *app) inspect(ctx context.Context, f *inspectFlags, files []string) error {
	in, err := a.newInput(files, "an event", f.from.value)
	if err != nil {
		return err
	}
	i := inspector{app: a, short: f.short}
	if f.trust+f.roots != "" {
		if (f.trust == "") != (f.roots == "") {
			return usage("add the other; `--help` explains them", "--trust and --roots belong together")
		}
		bundle, err := a.openTrust(ctx, &f.trustFlags)
		if err != nil {
			return err
		}
		i.bundle = bundle
	}
	worst := exitDone
	err = in.each(func(m *message, where string, n, of int) error {
		if !i.show(m, where, n, of) {
			worst = exitRejected
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ended(worst)
}

// show shows one event and reports whether there was one. Of several, of is their number, or 0 while it is
// not known.
func (i *inspector) show(m *message, where string, n, of int) bool {
	s, err := (*wire.Inspected)(nil), m.err
	if err == nil {
		s, err = wire.Inspect(m.body, envelope.DefaultIgnoreMembers()...)
	}
	if err != nil {
		i.notShown(m, err, where)
		return false
	}
	r := inspectResult(s, owners{i.bundle, i.now()})
	_ = i.emit(r, func(p *printer) { // an error here meets the next write, too
		v := view{printer: p, s: s, app: i.app, r: &r}
		switch {
		case i.short:
			v.line()
		default:
			v.page(n, of)
		}
	})
	return true
}

func (a *app) notShown(m *message, err error, where string) {
	e := &envelope.Error{Reason: envelope.ReasonMalformed, Cause: err.Error()}
	if m.err != nil {
		e = m.refusal()
	}
	if is := filekind.Of(m.body); m.err == nil && is != "" && is != filekind.Event {
		e.Cause, e.Advice = notAnEventBut(is)
	}
	fix := e.Advice
	if fix == "" {
		fix = fixNoJSON
	}
	_ = a.tellRefusal(e, fix, where)
}

// inspected is an event for programs. All of it is unverified, and it says so.
type inspected struct {
	Verdict    string              `json:"verdict"` // always "nothing_was_verified"
	Layout     string              `json:"layout"`
	Outer      *inspectedOuter     `json:"eventbridge,omitempty"`
	Event      inspectedEvent      `json:"unverified_event"`
	Sealed     *inspectedSeal      `json:"unverified_seal"` // null: unsigned or unreadable
	Signatures []inspectedKey      `json:"signatures"`
	Digests    map[string]wire.Fit `json:"digests"`
	Problems   []string            `json:"problems"`
}

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
	Ignored         []string          `json:"ignored,omitempty"` // members that are no part of the event: at most 8, escaped
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

type inspectedKey struct {
	KeyID       string `json:"key_id"`
	Bytes       int    `json:"signature_bytes"`
	DelegatedBy string `json:"delegated_by,omitempty"`
	Owner       *owner `json:"owner,omitempty"` // of the key, or of the one that vouches for it; only with --trust

	Delegation *inspectedDelegation `json:"delegation,omitempty"`
}

func inspectResult(s *wire.Inspected, whose owners) inspected {
	e := s.Event
	r := inspected{
		Verdict: "nothing_was_verified", Layout: s.Layout, Signatures: []inspectedKey{}, Problems: append([]string{}, s.Problems...),
		Digests: map[string]wire.Fit{},
		Event: inspectedEvent{
			ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time, DataContentType: e.DataContentType,
			DataSchema: e.DataSchema, DataBytes: len(e.Data), DataCanonical: e.Canonical, Extensions: extensionMap(e),
			Ignored: envelope.ReportedMembers(s.Ignored),
		},
	}
	if o := s.Outer; o != nil {
		r.Outer = &inspectedOuter{o.Source, o.DetailType, o.Account, o.Replay}
	}
	for _, sig := range s.Signatures {
		k := inspectedKey{KeyID: sig.KeyID, Bytes: sig.Bytes, Owner: whose.signing(sig.KeyID)}
		if d := sig.Delegation; d != nil {
			k.DelegatedBy, k.Owner, k.Delegation = d.By, whose.signing(d.By), inspectDelegation(d)
		}
		r.Signatures = append(r.Signatures, k)
	}
	if p := s.Payload; p != nil {
		r.Sealed = &inspectedSeal{
			SealedAt: extensionMap(e)["recordedtime"], SignedAttributes: s.SignedNames(), NotSigned: s.UnsignedNames(),
			Encrypted: s.Encryption != nil, Encryption: inspectEncryption(s.Encryption, whose),
		}
		if p.Profile != nil {
			r.Sealed.Profile, _ = strconv.ParseInt(p.Profile.Version, 10, 64)
			r.Sealed.Producer = p.Profile.Producer
		}
		r.Digests["core"], r.Digests["extensions"] = s.Core, s.Extensions
	}
	return r
}

func extensionMap(e *wire.Event) map[string]string {
	m := make(map[string]string, len(e.Extensions))
	for _, x := range e.Extensions {
		m[x.Name] = x.Value
	}
	return m
}
