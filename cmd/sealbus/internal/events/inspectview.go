package events

import (
	"fmt"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/wire"
)

// view writes one event for people. Every text out of the event goes through clean: by field or by the table.
type view struct {
	*ui.Printer
	env *ui.Env
	s   *wire.Inspected
	r   *inspected // the same for programs, with whose the keys are
}

// line is the event in one line.
func (v *view) line() {
	e := v.s.Event
	parts := []string{
		v.Yellow("unverified"), v.Bold(ui.Clean(ui.Shorten(e.Type))),
		ui.Clean(ui.Shorten(e.ID)), "from " + ui.Clean(ui.Shorten(e.Source)),
	}
	if v.s.Payload == nil {
		parts = append(parts, v.Red(ui.Clean(ui.Shorten(v.s.Problems[0]))))
	} else {
		parts = append(parts, "sealed "+v.sealedAt(), "by "+ui.Clean(v.producer()), "key "+
			ui.Clean(shortIDs(v.keyIDs())))
		if e := v.s.Encryption; e != nil {
			parts = append(parts, "encrypted to "+ui.Count(len(e.Recipients), "recipient"))
		}
		if v.s.Core == wire.FitNone || v.s.Extensions == wire.FitNone {
			parts = append(parts, v.Red("digests do not fit"))
		} else {
			parts = append(parts, "digests fit")
		}
	}
	v.Hangingf(2, "%s", strings.Join(parts, v.Dim(" · ")))
}

func (v *view) keyIDs() []string {
	ids := make([]string, len(v.s.Signatures))
	for i, sig := range v.s.Signatures {
		ids[i] = sig.KeyID
	}
	return ids
}

// page is everything there is to say about the event.
func (v *view) page(i, of int) {
	if i > 0 {
		v.Linef("")
	}
	head := "NOTHING WAS VERIFIED."
	switch {
	case of > 1:
		head = fmt.Sprintf("Event %d of %d. %s", i+1, of, head)
	case of == 0:
		head = fmt.Sprintf("Event %d. %s", i+1, head)
	}
	v.Hangingf(0, "%s %s", v.Bold(v.Yellow(head)), "This is what the event claims; `sealbus open` judges it.")
	v.Linef("")
	v.event()
	v.carrier()
	v.seal()
	v.signatures()
	v.encryption()
	v.checks()
	v.problems()
}

// section prints a title and fields below it.
func (v *view) section(title string, rows *ui.Table) {
	v.Linef("%s", v.Bold(title))
	rows.Print(v.Printer)
	v.Linef("")
}

// field is a row, unless there is nothing in it.
func (v *view) field(t *ui.Table, name, text string) {
	if text != "" {
		t.Add(ui.Painted("  "+name, v.Dim), ui.Cell{Text: ui.Shorten(text)})
	}
}

func (v *view) event() {
	e := v.s.Event
	var t ui.Table
	v.field(&t, "type", e.Type)
	v.field(&t, "source", e.Source)
	v.field(&t, "id", e.ID)
	v.field(&t, "subject", e.Subject)
	v.field(&t, "time", e.Time)
	v.field(&t, "dataschema", e.DataSchema)
	v.field(&t, "data", describeData(e))
	for _, x := range e.Extensions {
		if s := v.s.Encryption; s != nil && s.Fields != nil && s.Problem == "" &&
			x.Name == wire.AttrRecipients {
			x.Value = ui.Count(len(s.Recipients), "recipient") + ", below"
		}
		v.field(&t, x.Name, x.Value)
	}
	v.field(&t, "ignored", strings.Join(v.r.Event.Ignored, " "))
	v.section("Event", &t)
}

func describeData(e *wire.Event) string {
	if e.Form == wire.NoData {
		return "none"
	}
	text := ui.Count(len(e.Data), "byte")
	if e.DataContentType != "" {
		text += " of " + e.DataContentType
	}
	switch {
	case e.Base64:
		text += ", as base64"
	case e.Form == wire.JSONData && e.Canonical:
		text += ", in canonical form"
	case e.Form == wire.JSONData:
		text += ", not in canonical form"
	}
	return text
}

func (v *view) carrier() {
	o := v.s.Outer
	if o == nil {
		return
	}
	var t ui.Table
	v.field(&t, "layout", strings.TrimPrefix(v.s.Layout, "eventbridge "))
	v.field(&t, "account", o.Account)
	v.field(&t, "replay", o.Replay)
	same := "source and detail-type are the event's"
	if o.Source != v.s.Event.Source || o.DetailType != v.s.Event.Type {
		same = fmt.Sprintf("source %q, detail-type %q: not the event's", ui.Shorten(o.Source),
			ui.Shorten(o.DetailType))
	}
	v.field(&t, "says", same)
	v.section("Carried by EventBridge", &t)
}

func (v *view) seal() {
	p := v.s.Payload
	if p == nil {
		return
	}
	var t ui.Table
	v.field(&t, "by", v.producer())
	v.field(&t, "at", v.sealedAt())
	v.field(&t, "signed", strings.Join(v.s.SignedNames(), " "))
	v.field(&t, "not signed", strings.Join(v.s.UnsignedNames(), " "))
	v.field(&t, "digests", fmt.Sprintf("data and core attributes: %s · extensions: %s", v.s.Core,
		v.s.Extensions))
	v.section("Sealed", &t)
}

func (v *view) producer() string {
	if v.s.Payload.Profile == nil {
		return "another implementation, which names no producer"
	}
	return v.s.Payload.Profile.Producer
}

func (v *view) sealedAt() string {
	text := extensionMap(v.s.Event)["recordedtime"]
	at, err := wire.ParseTime(text)
	if err != nil {
		return "no recordedtime"
	}
	return text + " (" + ago(v.env.Now().Sub(at)) + ")"
}

func ago(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch {
	case d < 0:
		return "in " + ui.FormatDuration(d.Abs())
	case d == 0:
		return "just now"
	}
	return ui.FormatDuration(d) + " ago"
}

func (v *view) signatures() {
	if len(v.s.Signatures) == 0 {
		return
	}
	v.Linef("%s", v.Bold(fmt.Sprintf("Signatures: %d", len(v.s.Signatures))))
	for i := range v.r.Signatures {
		v.signature(&v.r.Signatures[i])
	}
	v.Linef("")
}

func (v *view) signature(k *inspectedKey) {
	size, whose := ui.Count(k.Bytes, "byte"), ui.Painted(k.Owner.String(), v.ownerPaint(k.Owner))
	if k.Bytes == 0 {
		size = "not base64"
	}
	if k.Delegation != nil {
		whose = ui.Painted("by a session key", v.Dim) // the owner is that of the key that vouches for it
	}
	var t ui.Table
	id := ui.Shorten(k.KeyID)
	if id == "" {
		id = "(names no key)"
	}
	t.Add(ui.Cell{Text: "  " + id}, ui.Painted(size, v.Dim), whose)
	t.Print(v.Printer)
	if k.Delegation != nil {
		v.delegation(k)
	}
}

// checks is what opening would look at, in its order.
func (v *view) checks() {
	if v.s.Payload == nil {
		return
	}
	e, p := v.s.Event, v.s.Payload
	var t ui.Table
	step := func(format string, args ...any) {
		t.Add(ui.Cell{Text: "  " + ui.Shorten(fmt.Sprintf(format, args...))})
	}
	step("that a signature verifies under a key of the trust bundle")
	step("that the digests fit")
	if p.Profile != nil {
		step("that this key is one of producer %s, which may speak for %s", p.Profile.Producer, e.Source)
	} else {
		step("that this key's producer may speak for %s", e.Source)
	}
	if p.Profile != nil && len(p.Profile.Delegations) > 0 {
		step("that the key that vouches for the session key, and the session key, may do so at that time")
	}
	step("that it may sign %s, and was valid at the time of sealing", e.Type)
	if v.s.Outer != nil {
		step("that the bus names the same source and type, and an account that the key may be used from")
	}
	if audience := extensionMap(e)["audience"]; audience != "" {
		step("that the consumer is %s", audience)
	}
	if end := extensionMap(e)["expirytime"]; end != "" {
		step("that it is not yet %s", end)
	}
	step("that it was sealed within the consumer's window, and was not handled before")
	if v.s.Encryption != nil {
		step("that one of its keys opens the data, which was encrypted in this very event")
	}
	v.section("A consumer would check", &t)
}

func (v *view) problems() {
	if len(v.s.Problems) == 0 {
		v.Hangingf(0, "%s",
			v.Dim("Nothing in its form speaks against it. Only a signature under a trusted key speaks for it."))
		return
	}
	v.Linef("%s", v.Bold(v.Red("It would be rejected")))
	for _, text := range v.s.Problems {
		v.Hangingf(4, "  %s", ui.Clean(text))
	}
}
