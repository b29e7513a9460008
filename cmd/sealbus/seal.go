package main

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

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/internal/wrapper"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// The limits of one PutEvents call, in entries and bytes.
const (
	maxPutEntries = 10
	maxPutBytes   = 1 << 20
)

type sealFlags struct {
	signFlags
	encryptFlags
	audience string
	expires  durationValue
	exact    bool
	keepTime bool
	to       choice
	layout   choice
	bus      string
}

func (a *app) sealCommand() *cobra.Command {
	f := &sealFlags{to: newChoice(fromCloudEvent, fromEventBridge), layout: newChoice("structured", "embedded")}
	var cmd *cobra.Command
	cmd = a.command(commandSpec{
		use: "seal --keyring FILE [--encrypt-to RECIPIENT... [--field POINTER...]] [--to eventbridge] [FILE...]", short: "Sign CloudEvents, and encrypt them if asked to", now: true, args: anyFiles,
		long: `Sign the CloudEvents in files, or on standard input: one event, events one a line or one behind the other, or a
JSON array of them. It is all of it or nothing. An array stays an array; of several others there is one a line.

The output is JSON in any case. With --to eventbridge it is what ` + "`aws events put-events --entries`" + ` takes: an
array of entries, also for a single event.

With --encrypt-to the data, or each --field of it, is encrypted before it is signed, and only the recipients can read it:
the keys in a file of ` + "`sealbus keys export`" + `, a key in AWS KMS, or whatever keys of a consumer the trust bundle lists as active.`,
		example: `sealbus seal --keyring orders.keyring < event.json > sealed.json
sealbus seal --keyring orders.keyring --encrypt-to billing --trust bundle.dsse --roots roots.json --field /card < event.json > sealed.json
sealbus seal --keyring orders.keyring --to eventbridge --bus central < event.json > entries.json
aws events put-events --entries file://entries.json`,
		run: func(ctx context.Context, files []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return a.seal(ctx, f, files)
		},
	})
	flags := cmd.Flags()
	f.signFlags.register(cmd)
	f.encryptFlags.register(cmd)
	flags.StringVar(&f.audience, "audience", "", "`NAMES` of who may open the event, space-separated")
	flags.Var(&f.expires, "expires", "how long the event lives from now on (default without end)")
	flags.BoolVar(&f.exact, "exact", false, "keep the data byte for byte, as base64 (+33 %); JSON data is else sent in canonical form")
	registerKeepTime(cmd, &f.keepTime)
	flags.Var(&f.to, "to", "what to write")
	flags.Var(&f.layout, "layout", "of an EventBridge detail: the whole event, or its data with the attributes as one member")
	flags.StringVar(&f.bus, "bus", "", "the EventBusName of the entries, a `NAME` or ARN")
	return cmd
}

// check refuses flags that contradict each other.
func (f *sealFlags) check(cmd *cobra.Command) error {
	if f.to.value != fromEventBridge {
		for _, name := range [...]string{"layout", "bus"} {
			if cmd.Flags().Changed(name) {
				return usage("add --to eventbridge, or drop it", "--%s is for --to eventbridge only", name)
			}
		}
	}
	if cmd.Flags().Changed("expires") && time.Duration(f.expires) < time.Second {
		return usage("give it at least 1s, or drop --expires", "an event lives for a second at least")
	}
	return f.encryptFlags.check()
}

func (a *app) seal(ctx context.Context, f *sealFlags, files []string) error {
	in, err := a.newInput(files, "a CloudEvent", fromCloudEvent)
	if err != nil {
		return err
	}
	ring, source, err := a.openSigning(ctx, &f.signFlags)
	if err != nil {
		return err
	}
	signers, err := a.signersNow(source)
	if err != nil {
		return err
	}
	encrypt, err := a.encrypter(ctx, &f.encryptFlags)
	if err != nil {
		return err
	}
	events, batch, err := in.cloudEvents()
	if err != nil {
		return err
	}
	sealed, err := a.sealAll(ctx, events, ring, &envelope.SealOptions{CoSigners: signers[1:], Encrypt: encrypt, EncryptFields: f.fields}, signers[0], f)
	if err != nil {
		return err
	}
	return a.writeSealed(sealed, batch, f)
}

// cloudEvents reads all events of the input.
func (in *input) cloudEvents() (events []event.Event, batch bool, err error) {
	docs, batch, err := in.documents()
	if err != nil {
		return nil, false, err
	}
	events = make([]event.Event, len(docs))
	for i := range docs {
		if events[i], err = readCloudEvent(docs[i].doc); err != nil {
			return nil, batch, notSealable(position(i, len(docs)), err)
		}
	}
	return events, batch, nil
}

func readCloudEvent(doc []byte) (event.Event, error) {
	s := shapeOf(doc)
	switch {
	case s.eventBridge():
		return event.Event{}, errors.New("this is an EventBridge event, not a CloudEvent")
	case s.entry():
		return event.Event{}, errors.New("this is a message of a queue or bus, not a CloudEvent")
	case s.record():
		return event.Event{}, isRecord
	}
	if f, ok := wrapper.Look(doc); ok {
		if f.Problem != nil {
			return event.Event{}, f.Problem
		}
		return event.Event{}, fmt.Errorf("this is %s, a message of a queue or bus, not a CloudEvent", f.Kind)
	}
	if err := checkObject(doc); err != nil {
		return event.Event{}, err
	}
	in, err := wire.Parse(doc)
	if is := filekind.Of(doc); err != nil && is != "" && is != filekind.Event {
		return event.Event{}, fmt.Errorf("this is %s, not a CloudEvent", is)
	}
	if err != nil {
		return event.Event{}, err
	}
	return in.ToSDK()
}

// position names an event of a batch.
func position(i, of int) string {
	if of == 1 {
		return ""
	}
	return fmt.Sprintf("event %d of %d: ", i+1, of)
}

// notSealable is the error of input that is no CloudEvent, or one that cannot be represented.
func notSealable(where string, err error) error {
	reason := envelope.ReasonMalformed
	fix := `give a CloudEvent as JSON: {"specversion":"1.0","id":...,"source":...,"type":...,"data":...}, or an array of them`
	var e *wire.Error
	if errors.As(err, &e) {
		switch {
		case e.TooLarge:
			reason, fix = envelope.ReasonTooLarge, "send large data by reference (dataref), or split it"
		case e.Unsupported:
			reason, fix = envelope.ReasonUnsupported, "write it in its normal form"
		case e.Member != "":
			fix = "correct this member of the event"
		}
	}
	return &exitError{code: exitRejected, reason: string(reason), err: fmt.Errorf("%scannot read the event: %w", where, err), fix: fix}
}

func (a *app) sealAll(ctx context.Context, events []event.Event, ring ring, opts *envelope.SealOptions, signer keys.Signer, f *sealFlags) ([]*envelope.Sealed, error) {
	sealed := make([]*envelope.Sealed, len(events))
	now := a.now()
	opts.Audience, opts.Expires, opts.Exact, opts.Now = f.audience, time.Duration(f.expires), f.exact, func() time.Time { return now }
	opts.KeepRecordedTime = f.keepTime
	notes := sealNotes{}
	for i, ev := range events {
		where := position(i, len(events))
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
	a.noteKeptTimes(events)
	notes.tell(a)
	return sealed, nil
}

// checkScope refuses what no consumer would accept: the trust bundle binds a producer to its sources and
// types, and the keyring remembers which.
func checkScope(ring ring, ev *event.Event, where string) error {
	what, value, patterns, reason := "", "", []string(nil), envelope.Reason("")
	unfit := keys.CheckSource(ev.Source())
	switch {
	case unfit != nil: // the pattern may seem to cover it
		return &exitError{
			code: exitRejected, reason: string(envelope.ReasonSourceNotAllowed),
			err: fmt.Errorf("%sno key may speak for the source %q: %w", where, ev.Source(), unfit),
			fix: "change the event's source: no pattern can allow this one (SPEC.md, section 10)",
		}
	case !ring.AllowsSource(ev.Source()):
		what, value, patterns, reason = "source", ev.Source(), ring.Sources(), envelope.ReasonSourceNotAllowed
	case !ring.AllowsType(ev.Type()):
		what, value, patterns, reason = "type", ev.Type(), ring.Types(), envelope.ReasonTypeNotAllowed
	default:
		return nil
	}
	return &exitError{
		code: exitRejected, reason: string(reason),
		err: fmt.Errorf("%sproducer %s does not speak for %s %q: its keyring is for %s", where, ring.Producer(), what, value, strings.Join(patterns, ", ")),
		fix: "correct the event's " + what + ", or seal with the keyring of the producer that it belongs to",
	}
}

func sealFailed(where string, err error) error {
	var e *envelope.SealError
	if service, ok := errors.AsType[*keys.ServiceError](err); ok {
		e := asExit(kmsFailed(service))
		e.err = fmt.Errorf("%s%w", where, e.err)
		return e
	}
	if errors.Is(err, trust.ErrNoRecipient) {
		return noRecipient(err)
	}
	if !errors.As(err, &e) {
		return unavailable("try again", "%s%s", where, strings.TrimPrefix(err.Error(), "envelope: "))
	}
	fix := "correct the event and seal it again"
	if e.Member != "" {
		fix = "correct " + e.Member + " and seal the event again"
	}
	problem := strings.TrimPrefix(e.Error(), "envelope: ")
	if strings.Contains(problem, "EncryptFields") {
		problem, fix = strings.ReplaceAll(problem, "EncryptFields", "--field"), "correct --field, or the data"
	}
	return rejected(fix, "%s%s", where, problem)
}

func (a *app) writeSealed(sealed []*envelope.Sealed, batch bool, f *sealFlags) error {
	if f.to.value == fromEventBridge {
		return a.writeEntries(sealed, f)
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
	return a.writeOut(append(out, '\n'))
}

// putEntry is an entry of PutEvents as the AWS command line and SDKs take it.
type putEntry struct {
	Source, DetailType, Detail string
	Time                       string `json:",omitempty"`
	EventBusName               string `json:",omitempty"`
}

func (a *app) writeEntries(sealed []*envelope.Sealed, f *sealFlags) error {
	layout := envelope.Structured
	if f.layout.value == "embedded" {
		layout = envelope.Embedded
	}
	entries, size := make([]putEntry, len(sealed)), 0
	for i, s := range sealed {
		e, err := s.EventBridge(layout)
		if err != nil {
			return sealFailed(position(i, len(sealed)), err)
		}
		size += e.Size()
		entries[i] = putEntry{Source: e.Source, DetailType: e.DetailType, Detail: string(e.Detail), Time: formatTime(e.Time), EventBusName: f.bus}
	}
	if len(entries) > maxPutEntries || size > maxPutBytes {
		a.warnf("PutEvents takes %d entries and %d bytes at a time, these are %s with %s: split them", maxPutEntries, maxPutBytes, countOf(len(entries), "entry", "entries"), count(size, "byte"))
	}
	return a.writeEntryList(entries)
}

// writeEntryList writes one entry a line.
func (a *app) writeEntryList(entries []putEntry) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('[')
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(e); err != nil {
			return unavailable("report this as a bug", "writing the entries: %w", err)
		}
	}
	b.Truncate(max(1, b.Len()-1))
	b.WriteString("]\n")
	return a.writeOut(b.Bytes())
}
