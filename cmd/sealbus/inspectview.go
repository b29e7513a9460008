package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/wire"
)

// view writes one event for people. Every text out of the event goes through clean: by field or by the table.
type view struct {
	*printer
	app *app
	s   *wire.Inspected
	r   *inspected // the same for programs, with whose the keys are
}

// most is how much of one value is shown, in characters.
const most = 120

func shorten(text string) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// line is the event in one line.
func (v *view) line() {
	e := v.s.Event
	parts := []string{
		v.yellow("unverified"), v.bold(clean(shorten(e.Type))),
		clean(shorten(e.ID)), "from " + clean(shorten(e.Source)),
	}
	if v.s.Payload == nil {
		parts = append(parts, v.red(clean(shorten(v.s.Problems[0]))))
	} else {
		parts = append(parts, "sealed "+v.sealedAt(), "by "+clean(v.producer()), "key "+clean(shortIDs(v.keyIDs())))
		if e := v.s.Encryption; e != nil {
			parts = append(parts, "encrypted to "+count(len(e.Recipients), "recipient"))
		}
		if v.s.Core == wire.FitNone || v.s.Extensions == wire.FitNone {
			parts = append(parts, v.red("digests do not fit"))
		} else {
			parts = append(parts, "digests fit")
		}
	}
	v.hangingf(2, "%s", strings.Join(parts, v.dim(" · ")))
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
		v.linef("")
	}
	head := "NOTHING WAS VERIFIED."
	switch {
	case of > 1:
		head = fmt.Sprintf("Event %d of %d. %s", i+1, of, head)
	case of == 0:
		head = fmt.Sprintf("Event %d. %s", i+1, head)
	}
	v.hangingf(0, "%s %s", v.bold(v.yellow(head)), "This is what the event claims; `sealbus open` judges it.")
	v.linef("")
	v.event()
	v.carrier()
	v.seal()
	v.signatures()
	v.encryption()
	v.checks()
	v.problems()
}

// section prints a title and fields below it.
func (v *view) section(title string, rows *table) {
	v.linef("%s", v.bold(title))
	rows.print(v.printer)
	v.linef("")
}

// field is a row, unless there is nothing in it.
func (v *view) field(t *table, name, text string) {
	if text != "" {
		t.add(cell{"  " + name, v.dim}, cell{text: shorten(text)})
	}
}

func (v *view) event() {
	e := v.s.Event
	var t table
	v.field(&t, "type", e.Type)
	v.field(&t, "source", e.Source)
	v.field(&t, "id", e.ID)
	v.field(&t, "subject", e.Subject)
	v.field(&t, "time", e.Time)
	v.field(&t, "dataschema", e.DataSchema)
	v.field(&t, "data", describeData(e))
	for _, x := range e.Extensions {
		if s := v.s.Encryption; s != nil && s.Fields != nil && s.Problem == "" && x.Name == wire.AttrRecipients {
			x.Value = count(len(s.Recipients), "recipient") + ", below"
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
	text := count(len(e.Data), "byte")
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
	var t table
	v.field(&t, "layout", strings.TrimPrefix(v.s.Layout, "eventbridge "))
	v.field(&t, "account", o.Account)
	v.field(&t, "replay", o.Replay)
	same := "source and detail-type are the event's"
	if o.Source != v.s.Event.Source || o.DetailType != v.s.Event.Type {
		same = fmt.Sprintf("source %q, detail-type %q: not the event's", shorten(o.Source), shorten(o.DetailType))
	}
	v.field(&t, "says", same)
	v.section("Carried by EventBridge", &t)
}

func (v *view) seal() {
	p := v.s.Payload
	if p == nil {
		return
	}
	var t table
	v.field(&t, "by", v.producer())
	v.field(&t, "at", v.sealedAt())
	v.field(&t, "signed", strings.Join(v.s.SignedNames(), " "))
	v.field(&t, "not signed", strings.Join(v.s.UnsignedNames(), " "))
	v.field(&t, "digests", fmt.Sprintf("data and core attributes: %s · extensions: %s", v.s.Core, v.s.Extensions))
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
	return text + " (" + ago(v.app.now().Sub(at)) + ")"
}

func ago(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch {
	case d < 0:
		return "in " + formatDuration(d.Abs())
	case d == 0:
		return "just now"
	}
	return formatDuration(d) + " ago"
}

func (v *view) signatures() {
	if len(v.s.Signatures) == 0 {
		return
	}
	v.linef("%s", v.bold(fmt.Sprintf("Signatures: %d", len(v.s.Signatures))))
	for i := range v.r.Signatures {
		v.signature(&v.r.Signatures[i])
	}
	v.linef("")
}

func (v *view) signature(k *inspectedKey) {
	size, whose := count(k.Bytes, "byte"), cell{k.Owner.String(), v.ownerPaint(k.Owner)}
	if k.Bytes == 0 {
		size = "not base64"
	}
	if k.Delegation != nil {
		whose = cell{"by a session key", v.dim} // the owner is that of the key that vouches for it
	}
	var t table
	id := shorten(k.KeyID)
	if id == "" {
		id = "(names no key)"
	}
	t.add(cell{text: "  " + id}, cell{size, v.dim}, whose)
	t.print(v.printer)
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
	var t table
	step := func(format string, args ...any) { t.add(cell{text: "  " + shorten(fmt.Sprintf(format, args...))}) }
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
		v.hangingf(0, "%s", v.dim("Nothing in its form speaks against it. Only a signature under a trusted key speaks for it."))
		return
	}
	v.linef("%s", v.bold(v.red("It would be rejected")))
	for _, text := range v.s.Problems {
		v.hangingf(4, "  %s", clean(text))
	}
}
