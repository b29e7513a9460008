// Package events has the commands that work on events: seal, open, publish and inspect.
package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// The limits of one PutEvents call, in entries and bytes.
const (
	maxPutEntries = 10
	maxPutBytes   = 1 << 20
)

type sealFlags struct {
	loadkeys.SignFlags
	loadkeys.EncryptFlags
	audience string
	expires  ui.DurationValue
	exact    bool
	keepTime bool
	to       ui.Choice
	layout   ui.Choice
	bus      string
}

func SealCommand(env *ui.Env) *cobra.Command {
	f := &sealFlags{to: ui.NewChoice(input.FromCloudEvent, input.FromEventBridge),
		layout: ui.NewChoice("structured", "embedded")}
	var cmd *cobra.Command
	cmd = env.Command(ui.Command{
		Use: "seal --keyring FILE [--encrypt-to RECIPIENT... [--field POINTER...]] [--to eventbridge] [FILE...]", Short: "Sign CloudEvents, and encrypt them if asked to", Now: true, Args: ui.AnyFiles,
		Long: `Sign the CloudEvents in files, or on standard input: one event, events one a line or one behind the other, or a
JSON array of them. If one event cannot be sealed, nothing is written. An array stays an array. Other events are written one a line.

The output is JSON in any case. With --to eventbridge it is what ` + "`aws events put-events --entries`" + ` takes: an
array of entries, also for a single event.

With --encrypt-to the data, or each --field of it, is encrypted before it is signed, and only the recipients can read it:
the keys in a file of ` + "`sealbus keys export`" + `, a key in AWS KMS, or the keys of a consumer that the trust bundle lists as active.`,
		Example: `sealbus seal --keyring orders.keyring < event.json > sealed.json
sealbus seal --keyring orders.keyring --encrypt-to billing --trust bundle.dsse --roots roots.json --field /card < event.json > sealed.json
sealbus seal --keyring orders.keyring --to eventbridge --bus central < event.json > entries.json
aws events put-events --entries file://entries.json`,
		Run: func(ctx context.Context, files []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return seal(ctx, env, f, files)
		},
	})
	flags := cmd.Flags()
	f.SignFlags.Register(cmd)
	f.EncryptFlags.Register(cmd)
	flags.StringVar(&f.audience, "audience", "", "`NAMES` of who may open the event, space-separated")
	flags.Var(&f.expires, "expires", "how long the event lives from now on (default without end)")
	flags.BoolVar(&f.exact, "exact", false,
		"keep the data byte for byte, as base64 (+33 %); JSON data is else sent in canonical form")
	registerKeepTime(cmd, &f.keepTime)
	flags.Var(&f.to, "to", "what to write")
	flags.Var(&f.layout, "layout",
		"of an EventBridge detail: the whole event, or its data with the attributes as one member")
	flags.StringVar(&f.bus, "bus", "", "the EventBusName of the entries, a `NAME` or ARN")
	return cmd
}

// check refuses flags that contradict each other.
func (f *sealFlags) check(cmd *cobra.Command) error {
	if f.to.Value != input.FromEventBridge {
		for _, name := range [...]string{"layout", "bus"} {
			if cmd.Flags().Changed(name) {
				return ui.Usage("add --to eventbridge, or drop it", "--%s is for --to eventbridge only", name)
			}
		}
	}
	if cmd.Flags().Changed("expires") && time.Duration(f.expires) < time.Second {
		return ui.Usage("give it at least 1s, or drop --expires", "an event lives for a second at least")
	}
	return f.EncryptFlags.Check()
}

func seal(ctx context.Context, env *ui.Env, f *sealFlags, files []string) error {
	in, err := input.New(env, files, "a CloudEvent", input.FromCloudEvent)
	if err != nil {
		return err
	}
	ring, source, err := loadkeys.OpenSigning(ctx, env, &f.SignFlags)
	if err != nil {
		return err
	}
	signers, err := loadkeys.SignersNow(env, source)
	if err != nil {
		return err
	}
	encrypt, err := loadkeys.Encrypter(ctx, env, &f.EncryptFlags)
	if err != nil {
		return err
	}
	events, batch, err := in.CloudEvents()
	if err != nil {
		return err
	}
	sealed, err := sealAll(ctx, env, events, ring,
		&envelope.SealOptions{CoSigners: signers[1:], Encrypt: encrypt, EncryptFields: f.Fields}, signers[0],
		f)
	if err != nil {
		return err
	}
	return writeSealed(env, sealed, batch, f)
}

func sealAll(ctx context.Context, env *ui.Env, events []event.Event, ring loadkeys.Ring,
	opts *envelope.SealOptions, signer keys.Signer, f *sealFlags) ([]*envelope.Sealed, error) {
	sealed := make([]*envelope.Sealed, len(events))
	now := env.Now()
	opts.Audience, opts.Expires, opts.Exact, opts.Now = f.audience, time.Duration(f.expires), f.exact,
		func() time.Time { return now }
	opts.KeepRecordedTime = f.keepTime
	notes := sealNotes{}
	for i, ev := range events {
		where := input.Position(i, len(events))
		if err := checkScope(ring, &ev, where); err != nil {
			return nil, err
		}
		var err error
		sealed[i], err = envelope.Seal(ctx, ev, signer, opts)
		if err != nil {
			return nil, sealFailed(where, err)
		}
		notes.add(sealed[i].Warnings())
	}
	noteKeptTimes(env, events)
	notes.tell(env)
	return sealed, nil
}

// checkScope refuses what no consumer would accept: the trust bundle binds a producer to its sources and
// types, and the keyring remembers which.
func checkScope(ring loadkeys.Ring, ev *event.Event, where string) error {
	what, value, patterns, reason := "", "", []string(nil), envelope.Reason("")
	sources, types := ring.Scope()
	unfit := keys.CheckSource(ev.Source())
	switch {
	case unfit != nil: // the pattern may seem to cover it
		return &ui.Error{
			Code: ui.ExitRejected, Reason: string(envelope.ReasonSourceNotAllowed),
			Err: fmt.Errorf("%sno key may speak for the source %q: %w", where, ev.Source(), unfit),
			Fix: "change the event's source: no pattern can allow this one (SPEC.md, section 10)",
		}
	case sources != nil && !keys.MatchSource(sources, ev.Source()):
		what, value, patterns, reason = "source", ev.Source(), sources, envelope.ReasonSourceNotAllowed
	case types != nil && !keys.MatchType(types, ev.Type()):
		what, value, patterns, reason = "type", ev.Type(), types, envelope.ReasonTypeNotAllowed
	default:
		return nil
	}
	return &ui.Error{
		Code: ui.ExitRejected, Reason: string(reason),
		Err: fmt.Errorf("%sproducer %s does not speak for %s %q: its keyring is for %s", where,
			ring.Producer(), what, value, strings.Join(patterns, ", ")),
		Fix: "correct the event's " + what + ", or seal with the keyring of the producer that it belongs to",
	}
}

func sealFailed(where string, err error) error {
	var e *envelope.SealError
	if service, ok := errors.AsType[*keys.ServiceError](err); ok {
		e := ui.AsExit(awscli.KMSFailed(service))
		e.Err = fmt.Errorf("%s%w", where, e.Err)
		return e
	}
	if errors.Is(err, trust.ErrNoRecipient) {
		return loadkeys.NoRecipient(err)
	}
	if !errors.As(err, &e) {
		return ui.Unavailable("try again", "%s%w", where, err)
	}
	fix := "correct the event and seal it again"
	if e.Member != "" {
		fix = "correct " + e.Member + " in the event, and seal it again"
	}
	if e.Option == "EncryptFields" { // the option that --field sets
		return ui.Rejected("correct --field, or the data", "%scannot seal: --field: %s", where, e.Problem)
	}
	return ui.Rejected(fix, "%s%w", where, e)
}

func writeSealed(env *ui.Env, sealed []*envelope.Sealed, batch bool, f *sealFlags) error {
	if f.to.Value == input.FromEventBridge {
		return writeEntries(env, sealed, f)
	}
	var out []byte
	between := "\n"
	if batch {
		between = ",\n"
	}
	for i, s := range sealed {
		if i > 0 {
			out = append(out, between...)
		}
		out = append(out, s.JSON()...)
	}
	if batch {
		out = append(append([]byte{'['}, out...), ']')
	}
	return env.WriteOut(append(out, '\n'))
}

// putEntry is an entry of PutEvents as the AWS command line and SDKs take it.
type putEntry struct {
	Source, DetailType, Detail string
	Time                       string `json:",omitempty"`
	EventBusName               string `json:",omitempty"`
}

func writeEntries(env *ui.Env, sealed []*envelope.Sealed, f *sealFlags) error {
	layout := envelope.Structured
	if f.layout.Value == "embedded" {
		layout = envelope.Embedded
	}
	entries, size := make([]putEntry, len(sealed)), 0
	for i, s := range sealed {
		e, err := s.EventBridge(layout)
		if err != nil {
			return sealFailed(input.Position(i, len(sealed)), err)
		}
		size += e.Size()
		entries[i] = putEntry{Source: e.Source, DetailType: e.DetailType, Detail: string(e.Detail),
			Time: ui.FormatTime(e.Time), EventBusName: f.bus}
	}
	if len(entries) > maxPutEntries || size > maxPutBytes {
		env.Warnf("PutEvents takes %d entries and %d bytes at a time, these are %s with %s: split them",
			maxPutEntries, maxPutBytes, ui.CountOf(len(entries), "entry", "entries"), ui.Count(size, "byte"))
	}
	return writeEntryList(env, entries)
}

// writeEntryList writes one entry a line.
func writeEntryList(env *ui.Env, entries []putEntry) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('[')
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(e); err != nil {
			return ui.Unavailable("report this as a bug", "writing the entries: %w", err)
		}
	}
	b.Truncate(max(1, b.Len()-1))
	b.WriteString("]\n")
	return env.WriteOut(b.Bytes())
}
