package events

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys/trust"
)

func InspectCommand(env *ui.Env) *cobra.Command {
	f := &inspectFlags{from: input.NewFrom()}
	cmd := env.Command(ui.Command{
		Use:   "inspect [--short] [--trust FILE --roots FILE] [FILE...]",
		Short: "Show what a sealed event claims, without verifying it", Now: true, Args: ui.AnyFiles,
		Long: `Show people what the events in files, or on standard input, claim: what was signed and by which keys, and what a consumer would
check; what is encrypted, and to whom; which key vouches for a session key. It takes the same input as ` + "`sealbus open`" + `, and needs no
trust. With --trust and --roots it says whose the keys are that the event names.

Nothing is verified: everything shown may have been written by an attacker.
Exit status: 0, or 1 if there is no event that could be shown.`,
		Example: `sealbus inspect < sealed.json
aws sqs receive-message --queue-url URL | sealbus inspect --short`,
		Run: func(ctx context.Context, files []string) error { return inspect(ctx, env, f, files) },
	})
	cmd.Flags().BoolVar(&f.short, "short", false, "one line for each event")
	cmd.Flags().Var(&f.from, "from", input.HelpFrom)
	f.TrustFlags.Register(cmd)
	return cmd
}

type inspectFlags struct {
	loadtrust.TrustFlags
	short bool
	from  ui.Choice
}

// inspector shows events.
type inspector struct {
	env    *ui.Env
	short  bool
	bundle *trust.Bundle // says whose keys they are; nil = there is no --trust
}

func inspect(ctx context.Context, env *ui.Env, f *inspectFlags, files []string) error {
	in, err := input.New(env, files, "an event", f.from.Value)
	if err != nil {
		return err
	}
	i := inspector{env: env, short: f.short}
	if f.Trust+f.Roots != "" {
		if (f.Trust == "") != (f.Roots == "") {
			return ui.Usage("add the other; `--help` explains them", "--trust and --roots belong together")
		}
		bundle, err := loadtrust.Open(ctx, env, &f.TrustFlags)
		if err != nil {
			return err
		}
		i.bundle = bundle
	}
	worst := ui.ExitDone
	err = in.Each(func(m *input.Message, where string, n, of int) error {
		if !i.show(m, where, n, of) {
			worst = max(worst, ui.ExitRejected)
		}
		if input.IsEmptyFile(m.Err) {
			worst = ui.ExitUsage
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ui.Ended(worst)
}

// show shows one event and reports whether there was one. Of several, of is their number, or 0 while it is
// not known.
func (i *inspector) show(m *input.Message, where string, n, of int) bool {
	s, err := (*wire.Inspected)(nil), m.Err
	if err == nil {
		s, err = wire.Inspect(m.Body, wire.DefaultIgnoreMembers...)
	}
	if err != nil {
		notShown(i.env, m, err, where)
		return false
	}
	r := inspectResult(s, owners{i.bundle, i.env.Now()})
	_ = i.env.Emit(r, func(p *ui.Printer) { // an error here meets the next write, too
		v := view{Printer: p, s: s, env: i.env, r: &r}
		switch {
		case i.short:
			v.line()
		default:
			v.page(n, of)
		}
	})
	return true
}

func notShown(env *ui.Env, m *input.Message, err error, where string) {
	e := &envelope.Error{Reason: envelope.ReasonMalformed, Cause: err.Error()}
	if m.Err != nil {
		e = m.Refusal()
	}
	if is := filekind.Of(m.Body); m.Err == nil && is != "" && is != filekind.Event {
		e.Cause, e.Advice = input.NotAnEventBut(is)
	}
	fix := e.Advice
	if fix == "" {
		fix = input.FixNoJSON
	}
	_ = tellRefusal(env, e, fix, where)
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
	// members that are no part of the event: at most 8, escaped
	Ignored []string `json:"ignored,omitempty"`
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
	// of the key, or of the one that vouches for it; only with --trust
	Owner *owner `json:"owner,omitempty"`

	Delegation *inspectedDelegation `json:"delegation,omitempty"`
}

func inspectResult(s *wire.Inspected, whose owners) inspected {
	e := s.Event
	r := inspected{
		Verdict: "nothing_was_verified", Layout: s.Layout, Signatures: []inspectedKey{},
		Problems: append([]string{}, s.Problems...),
		Digests:  map[string]wire.Fit{},
		Event: inspectedEvent{
			ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time,
			DataContentType: e.DataContentType,
			DataSchema:      e.DataSchema, DataBytes: len(e.Data), DataCanonical: e.Canonical,
			Extensions: extensionMap(e),
			Ignored:    wire.ReportedMembers(s.Ignored),
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
			SealedAt: extensionMap(e)["recordedtime"], SignedAttributes: s.SignedNames(),
			NotSigned: s.UnsignedNames(),
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
