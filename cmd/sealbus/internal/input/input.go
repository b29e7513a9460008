// Package input reads sealed and unsealed events out of files and standard input, takes off the wrappers of
// AWS, and says what a verdict on an event means.
package input

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/internal/wrapper"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// maxInput bounds the input of commands that read all of it before they do anything, in bytes.
const maxInput = 64 << 20

// The words of --from. Those of wrappers are wrapper.Kinds.
const (
	fromAuto        = "auto"
	FromCloudEvent  = "cloudevent"
	FromEventBridge = "eventbridge"
)

// NewFrom is the flag --from.
func NewFrom() ui.Choice {
	words := []string{fromAuto, FromCloudEvent, FromEventBridge}
	for _, k := range wrapper.Kinds() {
		words = append(words, string(k))
	}
	c := ui.NewChoice(words...)
	c.Name = "FORMAT"
	return c
}

// HelpWrappers is in the help of commands that take wrapped events.
const HelpWrappers = `The wrapper that AWS puts around an event is taken off: an SNS envelope, a record of SQS, Kinesis or Kafka,
the record of a Lambda destination, a log event, a detail that is a string; one of them, beside SQS itself. The account in a wrapper
does not count unless --from names it: anyone who can publish an event can make its detail look like a wrapper.`

// CheckWrapper refuses what names no wrapper; "" is none.
func CheckWrapper(name string) error {
	if name == "" || slices.Contains(wrapper.Kinds(), wrapper.Kind(name)) {
		return nil
	}
	var words []string
	for _, k := range wrapper.Kinds() {
		words = append(words, string(k))
	}
	return ui.Usage("use one of "+strings.Join(words, ", "), "--wrapper: %q is no wrapper", name)
}

// HelpFrom says in the help of a command what --from is for.
const HelpFrom = "what the input is: auto, cloudevent, eventbridge, or the wrapper whose account counts: " +
	"sns, on-failure, sqs, kinesis, kafka, logs, text-detail"

// input is the events of files, or of standard input, one after the other. It holds no more than one record.
type input struct {
	env     *ui.Env
	files   []string // still to be read; "-" = standard input
	several bool     // there is more than one file
	what    string   // is read: for people
	from    string   // of --from

	file    string // that is being read
	close   func()
	reader  *recordReader
	waiting []Message // of the last record
}

// New finds out that files cannot be opened before anything is done.
func New(env *ui.Env, files []string, what, from string) (*input, error) {
	if len(files) == 0 {
		files = []string{"-"}
	}
	stdin := 0
	for _, f := range files {
		if f == "-" {
			if stdin++; stdin > 1 {
				return nil, ui.Usage("name it once", "standard input (-) can be read only once")
			}
			continue
		}
		info, err := os.Stat(f)
		switch {
		case err != nil:
			return nil, ui.OpenFailed(f, err)
		case info.IsDir():
			return nil, ui.Usage("name the files in it", "%s is a directory", f)
		}
	}
	return &input{env: env, files: files, several: len(files) > 1, what: what, from: from}, nil
}

// open opens the next file; io.EOF = there is none.
func (in *input) open() error {
	if len(in.files) == 0 {
		return io.EOF
	}
	in.file, in.files, in.close = in.files[0], in.files[1:], func() {}
	if in.file == "-" {
		if f, ok := in.env.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			in.env.Sayf("reading %s from the terminal: paste it and press Ctrl-D, or use < FILE", in.what)
		}
		in.reader = newRecordReader(&endsOnce{r: in.env.Stdin}, maxRecord)
		return nil
	}
	f, err := os.Open(in.file)
	if err != nil {
		return ui.OpenFailed(in.file, err)
	}
	in.close = func() { _ = f.Close() } // was only read
	in.reader = newRecordReader(f, maxRecord)
	return nil
}

// endsOnce is a reader whose end stays one. On a terminal, an empty input would else take a second Ctrl-D.
type endsOnce struct {
	r     io.Reader
	ended bool
}

func (r *endsOnce) Read(p []byte) (int, error) {
	if r.ended {
		return 0, io.EOF
	}
	n, err := r.r.Read(p)
	r.ended = err == io.EOF
	return n, err
}

const fixEmpty = "look at what should have written it; " +
	"`aws sqs receive-message` writes nothing while a queue gives no message"

// record is the next record of any file; io.EOF = there is none.
func (in *input) record() (record, error) {
	for {
		if in.reader == nil {
			if err := in.open(); err != nil {
				return record{}, err
			}
		}
		rec, err := in.reader.next()
		switch {
		case err == nil:
			return rec, nil
		case !errors.Is(err, io.EOF):
			return record{}, ui.Unavailable("try again", "reading %s: %w", ui.NameOf(in.file), ui.Cause(err))
		}
		empty := in.reader.number == 0
		in.close()
		in.reader = nil
		if empty {
			err := inputErrorf(fixEmpty, "%s is empty", ui.NameOf(in.file))
			err.noFile = in.file != "-"
			return record{number: 1, err: err}, nil
		}
	}
}

// next is the next message; io.EOF = there is none.
func (in *input) next() (*Message, error) {
	for len(in.waiting) == 0 {
		if in.from == FromHTTP {
			m, err := in.nextRequest()
			if err != nil {
				return nil, err
			}
			in.waiting = []Message{m}
		} else {
			rec, err := in.record()
			if err != nil {
				return nil, err
			}
			in.waiting = messagesIn(&rec, in.from)
		}
		for i := range in.waiting {
			in.waiting[i].file = in.file
		}
	}
	m := &in.waiting[0]
	in.waiting = in.waiting[1:]
	return m, nil
}

// Each hands over every message, and where it is: nowhere in particular if it is the only one. How many there
// are is known only if they are in one record.
func (in *input) Each(do func(m *Message, where string, i, of int) error) error {
	m, err := in.next()
	if err != nil {
		return err // never io.EOF: an empty file has a message that says so
	}
	list := append([]Message{*m}, in.waiting...)
	in.waiting = nil
	following, err := in.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	of := len(list)
	if following != nil {
		of = 0
	}
	n := 0
	tell := func(m *Message) error {
		where := ""
		switch {
		case of > 0:
			where = Position(n, of)
		default:
			where = fmt.Sprintf("event %d: ", n+1)
		}
		if in.several {
			where = ui.NameOf(m.file) + ": " + where
		}
		n++
		return do(m, where, n-1, of)
	}
	for i := range list {
		if err := tell(&list[i]); err != nil {
			return err
		}
	}
	for m := following; m != nil; {
		if err := tell(m); err != nil {
			return err
		}
		if m, err = in.next(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// documents are all JSON objects of the files, for commands that do all of it or nothing. Batch: they are the
// elements of the one array that there is.
func (in *input) documents() (docs []record, batch bool, err error) {
	size, records := 0, 0
	for {
		rec, err := in.record()
		if errors.Is(err, io.EOF) {
			return docs, batch && records == 1, nil
		}
		if err != nil {
			return nil, false, err
		}
		records++
		if rec.err != nil {
			return nil, false, notReadable(rec.err)
		}
		if size += len(rec.doc); size > maxInput {
			return nil, false, ui.Rejected("give it in parts", "%s has more than %d bytes",
				ui.NameOf(in.file), maxInput)
		}
		if rec.doc[0] != '[' {
			docs = append(docs, rec)
			continue
		}
		batch = true
		elements, bad := rec.elements()
		switch {
		case bad != nil && bad.empty:
		case bad != nil:
			return nil, false, notReadable(bad)
		}
		for _, e := range elements {
			if e.err != nil {
				return nil, false, notReadable(e.err)
			}
		}
		docs = append(docs, elements...)
	}
}

// Message is one event of the input, as it was delivered.
type Message struct {
	Body        []byte
	EventBridge bool         // body is an EventBridge event, not a CloudEvent
	HTTP        bool         // body is an HTTP message in binary mode, as a quarantine record has it
	hiding      wrapper.Kind // the wrapper that it came in, whose account does not count: it is not in body
	Err         error        // the input has an entry here that holds no event
	file        string
}

// Acceptance is how messages are opened: by which policy, and what is stated beside them.
type Acceptance struct {
	Policy        envelope.Policy
	Account       string // "" = none is stated
	KeepEncrypted bool
}

// Check refuses a policy by which no message can be judged: a flag is wrong then, and no event.
func (o *Acceptance) Check(trust trust.Source) error {
	if _, err := envelope.NewOpener(trust, &o.Policy); err != nil {
		return ui.Usage("correct the flag", "%w", err)
	}
	return nil
}

// Open verifies the message.
func (m *Message) Open(ctx context.Context, trust trust.Source, opts *Acceptance) (*envelope.Opened, error) {
	if m.Err != nil {
		return nil, m.Refusal()
	}
	opener, err := envelope.NewOpener(trust, &opts.Policy)
	if err != nil {
		return nil, err
	}
	r := envelope.Received{Body: m.Body, Account: opts.Account, EventBridge: m.EventBridge, HTTP: m.HTTP}
	opened, err := opener.Open(ctx, r, envelope.Step{KeepEncrypted: opts.KeepEncrypted})
	if e, ok := errors.AsType[*envelope.Error](err); ok {
		return nil, m.explain(e, opts)
	}
	return opened, err
}

// explain adds to a verdict what the shape of the input tells about it.
func (m *Message) explain(verdict *envelope.Error, opts *Acceptance) error {
	e := *verdict
	switch {
	case e.Reason == envelope.ReasonAccountMismatch && m.hiding != "" && (opts == nil || opts.Account == ""):
		e.Cause += fmt.Sprintf("; what %s says of it does not count", m.hiding)
		e.Advice = fmt.Sprintf("the wrapper hides the account: if only AWS can have written it, name it with --from %s, "+
			"or give the account with --account", string(m.hiding))
	case e.Reason == envelope.ReasonSourceNotAllowed && opts != nil && opts.Policy.Sources != nil &&
		!keys.MatchSource(opts.Policy.Sources, e.UnverifiedSource):
		e.Advice = "if you want events of this source, give a pattern that matches it with --allow-source; " +
			"a pattern without /* at its end matches one source"
	case e.Reason == envelope.ReasonMalformed:
		switch o, p := wrapper.Open(m.Body); {
		case p != nil:
			e.Cause, e.Advice = p.Cause, p.Fix
		case o != nil:
			e.Cause, e.Advice = "this is "+o.Kind.String(), "drop --from, or give --from "+string(o.Kind)
		default:
			if is := filekind.Of(m.Body); is != "" && is != filekind.Event {
				e.Cause, e.Advice = NotAnEventBut(is)
			}
		}
	}
	return &e
}

// NotAnEventBut is the cause and the advice for another kind of file in the place of an event.
func NotAnEventBut(is filekind.Kind) (cause, fix string) {
	return "this is " + string(is) + ", not an event", "give the file with the event"
}

// Refusal is the verdict on an entry that holds no event.
func (m *Message) Refusal() *envelope.Error {
	v := &envelope.Error{Reason: envelope.ReasonMalformed, Cause: m.Err.Error(), Err: m.Err}
	large := false
	if e, ok := errors.AsType[*inputError](m.Err); ok {
		large, v.Advice = e.large, e.fix
	}
	if p, ok := errors.AsType[*wrapper.Problem](m.Err); ok {
		large, v.Advice = p.Large, p.Fix
	}
	if large {
		v.Reason = envelope.ReasonTooLarge
	}
	return v
}

// messages are those of a document. There is at least one.
func messages(doc []byte, from string) []Message {
	var list []Message
	for r := newRecordReader(bytes.NewReader(doc), maxRecord); ; {
		rec, err := r.next()
		if err != nil { // io.EOF
			break
		}
		list = append(list, messagesIn(&rec, from)...)
	}
	if len(list) == 0 {
		list = []Message{{Err: inputErrorf("", "the input is empty: look at what should have written it")}}
	}
	return list
}

// messagesIn finds the events in a record: one, or the several of a batch, of a queue's messages or of
// PutEvents entries. Nothing is verified here, and what cannot be read is left for opening to say so. There
// is at least one.
func messagesIn(rec *record, from string) []Message {
	switch {
	case rec.err != nil:
		return []Message{{Err: rec.err}}
	case rec.log:
		o := wrapper.Opened{Kind: wrapper.Logs, Body: rec.doc, EventBridge: ShapeOf(rec.doc).EventBridge()}
		return []Message{fromWrapper(&o, from)}
	case rec.doc[0] == '{':
		return fromObject(rec.doc, from)
	}
	elements, err := rec.elements()
	if err != nil {
		return []Message{{Err: err}}
	}
	var list []Message
	for i := range elements {
		if e := &elements[i]; e.err != nil {
			list = append(list, Message{Err: e.err})
		} else {
			list = append(list, fromObject(e.doc, from)...)
		}
	}
	return list
}

// fromObject finds the events in a JSON object: it is one, or there is a wrapper around one or several.
func fromObject(doc []byte, from string) []Message {
	switch s := ShapeOf(doc); {
	case from == FromCloudEvent:
		return []Message{{Body: doc}}
	case from == FromEventBridge:
		return []Message{asEventBridge(doc)}
	case s.Record():
		return []Message{{Err: isRecord}}
	case s.Event():
		if from != fromAuto {
			return []Message{{Err: notIn(from)}}
		}
		return []Message{detect(doc)}
	}
	f, ok := wrapper.Look(doc)
	switch {
	case !ok && from != fromAuto:
		return []Message{{Err: notIn(from)}}
	case !ok:
		return []Message{{Body: doc}}
	case f.Problem != nil:
		return []Message{{Err: f.Problem}}
	case f.Kind != wrapper.SQS && from != fromAuto && from != string(f.Kind):
		return []Message{{Err: notIn(from)}}
	}
	var list []Message
	for i := range f.Items {
		it := &f.Items[i]
		switch {
		case it.Problem != nil:
			list = append(list, Message{Err: it.Problem})
		case f.Kind == wrapper.SQS:
			list = append(list, fromQueue(it.Text, from, f.Batch))
		default:
			list = append(list, fromItem(it.Text, f.Kind, from))
		}
	}
	return list
}

var isRecord = inputErrorf("write the message in it: sealbus quarantine show --body ID, with --from and --key-file",
	"this is a quarantine record, not an event")

func notIn(from string) error {
	return inputErrorf("drop --from, or name what it is", "this is not %s, as --from %s says",
		wrapper.Kind(from), from)
}

// fromQueue is the event in a message of SQS. The message of SQS is the transport: it may hold one wrapper.
// If a message stands alone, it is not known whether a pipe passed it on, or who wrote it.
func fromQueue(text []byte, from string, handedOut bool) Message {
	body := bytes.TrimSpace(text)
	s := shape{}
	if len(body) > 0 && body[0] == '{' {
		s = ShapeOf(body)
	}
	queue := from == fromAuto || from == string(wrapper.SQS)
	switch {
	case s.Record():
		return Message{Err: isRecord}
	case s.Event() && !queue:
		return Message{Err: notIn(from)}
	case s.Event():
		m := detect(text)
		if m.Err == nil && m.EventBridge && !handedOut && from == fromAuto {
			o := wrapper.Opened{Kind: wrapper.SQS, Body: m.Body, EventBridge: true}
			return fromWrapper(&o, from)
		}
		return m
	}
	o, p := wrapper.Open(text)
	switch {
	case p != nil:
		return Message{Err: p}
	case o == nil:
		if _, p := wrapper.Event(text); p != nil {
			return Message{Err: p}
		}
		return Message{Body: text}
	}
	return fromWrapper(o, from)
}

// fromItem is the event in any other wrapper.
func fromItem(text []byte, kind wrapper.Kind, from string) Message {
	bus, p := wrapper.Event(text)
	if p != nil {
		return Message{Err: p}
	}
	return fromWrapper(&wrapper.Opened{Kind: kind, Body: text, EventBridge: bus}, from)
}

// fromWrapper is an event that was taken out of a wrapper: with its account only if --from names the wrapper.
func fromWrapper(o *wrapper.Opened, from string) Message {
	switch {
	case from == string(o.Kind):
		return Message{Body: o.Body, EventBridge: o.EventBridge}
	case from != fromAuto && from != string(wrapper.SQS):
		return Message{Err: notIn(from)}
	case !o.EventBridge:
		return Message{Body: o.Body}
	}
	return Message{Body: o.Anonymous(), EventBridge: true, hiding: o.Kind}
}

// FromWrapped is the event in a message that was delivered in a wrapper, as a consumer takes it that names
// one, or none.
func FromWrapped(body []byte, name string) Message {
	o, p := wrapper.Open(body)
	switch {
	case p != nil:
		return Message{Err: p}
	case o == nil:
		return Message{Body: body}
	case name == string(o.Kind):
		return fromWrapper(o, name)
	}
	return fromWrapper(o, fromAuto)
}

// shape is what the member names of a JSON object tell about it.
type shape struct {
	names map[string]jsontext.Kind
}

func ShapeOf(doc []byte) shape {
	s := shape{names: map[string]jsontext.Kind{}}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj) && len(s.names) < 2*wire.MaxExtensions; r.ReadSpan() {
		s.names[string(obj.Name)] = r.PeekKind()
	}
	return s
}

func (s shape) has(name string) bool {
	_, ok := s.names[name]
	return ok
}

func (s shape) cloudEvent() bool { return s.has("specversion") }

func (s shape) Event() bool { return s.cloudEvent() || s.EventBridge() || s.entry() }
func (s shape) EventBridge() bool {
	return !s.cloudEvent() && s.has("detail-type") && s.has("detail") && s.names["detail"] != '"'
}

// Record reports whether it looks like a quarantine record. Only a consumer that has the key believes one.
func (s shape) Record() bool {
	return !s.cloudEvent() && !s.has("detail-type") && s.has("unverified_id")
}

func (s shape) entry() bool { return !s.cloudEvent() && s.names["Detail"] == '"' }

// detect tells an EventBridge event, or the PutEvents entry of one, from a CloudEvent.
func detect(doc []byte) Message {
	if s := ShapeOf(doc); s.EventBridge() || s.entry() {
		return asEventBridge(doc)
	}
	return Message{Body: doc}
}

func asEventBridge(doc []byte) Message {
	if !ShapeOf(doc).entry() {
		return Message{Body: doc, EventBridge: true}
	}
	body, err := deliveryOf(doc)
	return Message{Body: body, EventBridge: true, Err: err}
}

// deliveryOf makes of a PutEvents entry what EventBridge would deliver of it, but for what the service adds.
func deliveryOf(entry []byte) ([]byte, error) {
	var source, detailType, detail string
	r := jsontext.NewDecoder(entry)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "Source":
			source = r.String()
		case "DetailType":
			detailType = r.String()
		case "Detail":
			detail = r.String()
		default:
			r.SkipValue()
		}
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("PutEvents entry: %w", err)
	}
	detail = strings.TrimSpace(detail)
	if !jsontext.Value(detail).IsValid() {
		return nil, errors.New("PutEvents entry: Detail is not one JSON object")
	}
	doc := jsontext.AppendQuote([]byte(`{"source":`), source)
	doc = jsontext.AppendQuote(append(doc, `,"detail-type":`...), detailType)
	doc = append(append(doc, `,"detail":`...), detail...)
	return append(doc, '}'), nil
}
