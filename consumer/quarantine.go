package consumer

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// Quarantine takes events that can never pass, for people to look at and perhaps to reopen. Package
// quarantine has some, and helps to make others.
type Quarantine interface {
	// Put stores a record. When it returns nil the record must be safe: the delivery is then acknowledged. A
	// panic of Put is its error, *PanicError.
	Put(ctx context.Context, r Record) error
	// Keys are the quarantine's name, and the keys of the records that this consumer reopens. They never change.
	// A message of the format QuarantineRecord is authentic under one of them, or is refused. The zero value:
	// the quarantine has no name, and no record is reopened. A quarantine that puts each record into two stores
	// of different names sets Record.Quarantine to the name of each: a store refuses records of another.
	Keys() QuarantineKeys
}

// Record is one event in quarantine: the delivery with its original bytes, and the verdict. An event that was
// reopened and is refused again has a record of the message as it was delivered at first.
type Record struct {
	Consumer   string // who refused it
	Quarantine string // the name of the quarantine that it was given to (Quarantine.Keys); "" = it had none
	At         time.Time
	Reason     envelope.Reason
	Cause      string // one line
	Advice     string // one line; "" = that of the Reason (envelope.Error.Advice)
	Message    Message

	// The event's claims: unverified, possibly empty.
	UnverifiedID, UnverifiedSource, UnverifiedType string
}

// QuarantineError is the error of a delivery that can never pass and could not be put into quarantine. It is
// no outage: the event is rejected, and errors.As finds the verdict, *envelope.Error. The delivery is
// retried, so that the event is not lost, until the quarantine works or the transport's own dead-letter queue
// takes it.
type QuarantineError struct {
	verdict *envelope.Error
	Err     error // why it is not in quarantine; nil = the consumer has none
}

// Error says both, and what to set if there is no quarantine.
func (e *QuarantineError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("consumer: a rejected event, which is delivered again only because "+
			"there is no quarantine to take it (set Options.Quarantine): %v", e.verdict)
	}
	// the Error method of a Quarantine's error may panic: Sprint writes that down
	return fmt.Sprintf("consumer: a rejected event, which is delivered again because "+
		"the quarantine did not take it (%s): %v", clip(fmt.Sprint(e.Err)), e.verdict)
}

// Unwrap is the verdict and the quarantine's error, if there is one: not all readers of errors expect a nil.
func (e *QuarantineError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.verdict}
	}
	return []error{e.verdict, e.Err}
}

// quarantine gives the message to the Quarantine, with its verdict.
func (d *delivery) quarantine(ctx context.Context, verdict *envelope.Error) error {
	if d.opts.Quarantine == nil {
		d.result.Outcome = Retry
		return &QuarantineError{verdict: verdict}
	}
	cause := verdict.Cause
	if cause == "" {
		cause = verdict.Reason.Cause()
	}
	msg := d.msg
	msg.Body = bytes.Clone(msg.Body)
	r := Record{
		Consumer: d.name, Quarantine: d.quarantineKeys.Name(), At: d.now().UTC(),
		Reason: verdict.Reason, Cause: cause, Advice: verdict.Advice, Message: msg,
		UnverifiedID: verdict.UnverifiedID, UnverifiedSource: verdict.UnverifiedSource,
		UnverifiedType: verdict.UnverifiedType,
	}
	if err := protect(func() error { return d.opts.Quarantine.Put(ctx, r) }); err != nil {
		d.result.Outcome = Retry
		return &QuarantineError{verdict: verdict, Err: err}
	}
	d.result.Outcome = Quarantined
	return nil
}

// MinQuarantineKey is the shortest key that records are authenticated with, in bytes: as long as the MAC.
const MinQuarantineKey = sha256.Size

// maxQuarantineKeys bounds the keys, as each is tried on a record of up to MaxRecord bytes.
const maxQuarantineKeys = 16

// QuarantineKeys is the name of a quarantine and the keys that authenticate its records: at most 16, those of
// other quarantines included. A store is made with it, and the consumer takes it from the store, so that name
// and key are written in one place. The zero value has no keys: it writes no record, and takes none for
// authentic.
//
// It is immutable and is passed by value. However it is printed, logged or marshalled, it shows its name and
// no key.
type QuarantineKeys struct{ ring *quarantineRing }

// quarantineRing is behind a pointer: of an unexported field, where no method is called, fmt prints an
// address.
type quarantineRing struct {
	name string // "" = it reads the records of any quarantine, and writes none
	keys []quarantineKey
}

// quarantineKey is a key in a function, which no format verb and no encoder prints.
type quarantineKey struct {
	quarantine string                        // whose records it authenticates; "" = any quarantine's
	mac        func(fields ...member) []byte // of the record that has these fields
}

// NewQuarantineKeys is the quarantine of that name. Its records are written under key. A record under one of
// the older keys is still authentic. Each key has at least MinQuarantineKey bytes, is copied, and serves
// nothing else: a holder of the key of two quarantines can make records of both. `sealbus quarantine key new`
// makes one.
func NewQuarantineKeys(name string, key []byte, older ...[]byte) (QuarantineKeys, error) {
	switch {
	case name == "":
		return QuarantineKeys{}, errors.New("consumer: no name of the quarantine: " +
			"give one, such as \"billing-quarantine\"")
	case !exact(name):
		return QuarantineKeys{}, fmt.Errorf("consumer: the quarantine's name %q is no text, "+
			"and would not be the same in a record", name)
	}
	return newQuarantineRing(name, append([][]byte{key}, older...))
}

// AnyQuarantine is for operators, who look at records without knowing the name of the quarantine: the key
// authenticates those of any quarantine. It writes no records, and a consumer refuses it.
func AnyQuarantine(key []byte) (QuarantineKeys, error) { return newQuarantineRing("", [][]byte{key}) }

func newQuarantineRing(name string, secrets [][]byte) (QuarantineKeys, error) {
	ring := &quarantineRing{name: name}
	for _, secret := range secrets {
		if len(secret) < MinQuarantineKey {
			return QuarantineKeys{}, fmt.Errorf("consumer: a quarantine key of %d bytes, "+
				"at least %d are needed (`sealbus quarantine key new` makes one)", len(secret),
				MinQuarantineKey)
		}
		ring.keys = append(ring.keys, quarantineKey{name, hmacUnder(slices.Clone(secret))})
	}
	return ring.checked()
}

// Also is k with the keys of other quarantines. Records are written as those of k. A record of one of the
// others is authentic, too, and its event counts as reopened from that one: a record under the key of one
// quarantine never passes for a record of another.
func (k QuarantineKeys) Also(others ...QuarantineKeys) (QuarantineKeys, error) {
	if k.Name() == "" {
		return QuarantineKeys{}, errors.New("consumer: QuarantineKeys without a name take no others")
	}
	ring := &quarantineRing{name: k.ring.name, keys: slices.Clone(k.ring.keys)}
	for i, other := range others {
		if other.Name() == "" {
			return QuarantineKeys{}, fmt.Errorf(
				"consumer: number %d of the other QuarantineKeys has no name", i+1)
		}
		ring.keys = append(ring.keys, other.ring.keys...)
	}
	return ring.checked()
}

// checked is the ring as QuarantineKeys, unless it has too many keys, or one key twice.
func (r *quarantineRing) checked() (QuarantineKeys, error) {
	if len(r.keys) > maxQuarantineKeys {
		return QuarantineKeys{}, fmt.Errorf(
			"consumer: %d quarantine keys, at most %d", len(r.keys), maxQuarantineKeys)
	}
	for i, key := range r.keys {
		for _, other := range r.keys[:i] {
			// HMAC pads a key with zeros, and hashes a long one: different bytes may be one key.
			if hmac.Equal(key.mac(), other.mac()) {
				return QuarantineKeys{}, fmt.Errorf("consumer: one key twice, for the quarantine %q "+
					"and for %q: each quarantine needs keys of its own", other.quarantine, key.quarantine)
			}
		}
	}
	return QuarantineKeys{r}, nil
}

// hmacUnder is HMAC-SHA-256 under the secret, of the label and the values, each preceded by its length.
func hmacUnder(secret []byte) func(fields ...member) []byte {
	return func(fields ...member) []byte {
		h := hmac.New(sha256.New, secret)
		for _, f := range append([]member{{value: recordLabel}}, fields...) {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(f.value)))
			h.Write(n[:])
			io.WriteString(h, f.value)
		}
		return h.Sum(nil)
	}
}

// Name is the quarantine's name; "" for AnyQuarantine and the zero value.
func (k QuarantineKeys) Name() string {
	if k.ring == nil {
		return ""
	}
	return k.ring.name
}

// has reports whether records of that quarantine can be authentic.
func (k QuarantineKeys) has(quarantine string) bool {
	return k.ring != nil && slices.ContainsFunc(k.ring.keys, func(key quarantineKey) bool {
		return key.quarantine == quarantine
	})
}

// Format writes the name and no key, whatever the verb.
func (k QuarantineKeys) Format(f fmt.State, _ rune) { io.WriteString(f, k.text()) }

// MarshalText is the name, without any key. Loggers write it, too.
func (k QuarantineKeys) MarshalText() ([]byte, error) { return []byte(k.text()), nil }

func (k QuarantineKeys) text() string {
	switch {
	case k.ring == nil:
		return "QuarantineKeys()"
	case k.ring.name == "":
		return "QuarantineKeys(any)"
	}
	return fmt.Sprintf("QuarantineKeys(%q)", k.ring.name)
}

// MaxRecord bounds a record, in bytes: a body of 32 MiB, beyond what any transport delivers, in base64.
const MaxRecord = 45 << 20

// recordLabel keeps the MAC of a record from being one of anything else under the same key.
const recordLabel = "sealbus/v2/quarantine-record"

// ErrNotAuthentic means that a quarantine record was not written by a holder of the key, was changed since,
// or names another quarantine than its key is of.
var ErrNotAuthentic = errors.New("consumer: the quarantine record is not authentic")

// The errors that are not about syntax.
var (
	errNoKeys   = fmt.Errorf("%w: there is no key to judge it with", ErrNotAuthentic)
	errWrongMAC = fmt.Errorf("%w: the MAC is wrong: another key wrote it, or it was changed", ErrNotAuthentic)
	errMisnamed = fmt.Errorf("%w: it names another quarantine than the one of its key", ErrNotAuthentic)
)

// Marshal writes the record as one line of JSON, authenticated by HMAC-SHA-256 under the first key. The
// record says that it is of this quarantine: its field Quarantine is empty, or the name of k. Text that is no
// UTF-8 is repaired, as JSON could not carry it; the body is always exact. Marshal fails if the record is of
// another quarantine, if it takes more than MaxRecord bytes and so could not be read again, and if k has no
// name.
func (k QuarantineKeys) Marshal(r Record) ([]byte, error) {
	switch name := k.Name(); {
	case name == "":
		return nil, errors.New(
			"consumer: QuarantineKeys without a name write no record: use NewQuarantineKeys")
	case r.Quarantine != "" && r.Quarantine != name:
		return nil, fmt.Errorf(
			"consumer: a record of the quarantine %.100q cannot be one of %.100q", r.Quarantine, name)
	default:
		r.Quarantine = name
	}
	for _, s := range []*string{
		&r.Consumer, &r.Quarantine, (*string)(&r.Reason), &r.Cause, &r.Advice, &r.UnverifiedID,
		&r.UnverifiedSource, &r.UnverifiedType, &r.Message.Account, &r.Message.ReplayName,
	} {
		*s = toUTF8(*s)
	}
	doc := []byte{'{'}
	for _, m := range members(&r) {
		value := m.value
		if m.name == "body" {
			value = base64.StdEncoding.EncodeToString(r.Message.Body)
		}
		doc = append(jsontext.AppendQuote(doc, m.name), ':')
		doc = append(jsontext.AppendQuote(doc, value), ',')
	}
	doc = append(doc, `"mac":`...)
	doc = jsontext.AppendQuote(doc, base64.StdEncoding.EncodeToString(k.ring.keys[0].mac(members(&r)...)))
	doc = append(doc, "}\n"...)
	if len(doc) > MaxRecord {
		return nil, fmt.Errorf(
			"consumer: a quarantine record of %d bytes, at most %d can be read again", len(doc), MaxRecord)
	}
	return doc, nil
}

// Parse reads a record that was written under one of the keys, and believes nothing in it before the MAC is
// right. The error wraps ErrNotAuthentic if the record is malformed, was changed, or names another quarantine
// than its key is of. An authentic record says which message was delivered. The event in it is unverified.
func (k QuarantineKeys) Parse(doc []byte) (*Record, error) {
	rec, mac, err := readRecord(doc)
	if err != nil {
		return nil, err
	}
	if k.ring == nil {
		return nil, errNoKeys
	}
	fields := members(rec)
	for _, key := range k.ring.keys {
		if !hmac.Equal(mac, key.mac(fields...)) {
			continue
		}
		if key.quarantine != "" && key.quarantine != rec.Quarantine {
			return nil, fmt.Errorf("%w: %.100q, not %.100q", errMisnamed, rec.Quarantine, key.quarantine)
		}
		return rec, nil
	}
	return nil, errWrongMAC
}

// member is one field of a record.
type member struct{ name, value string }

// members are all fields of a record, in the order in which the document and the MAC have them: without an
// advice that it does not have. The document has the body in base64.
func members(r *Record) []member {
	return slices.DeleteFunc([]member{
		{"consumer", r.Consumer}, {"quarantine", r.Quarantine}, {"at", r.At.UTC().Format(time.RFC3339Nano)},
		{"reason", string(r.Reason)}, {"cause", r.Cause}, {"advice", r.Advice},
		{"unverified_id", r.UnverifiedID}, {"unverified_source", r.UnverifiedSource},
		{"unverified_type", r.UnverifiedType},
		{"format", r.Message.Format.String()}, {"account", r.Message.Account},
		{"replay_name", r.Message.ReplayName}, {"body", string(r.Message.Body)},
	}, func(m member) bool { return m == member{"advice", ""} })
}

// readRecord reads the syntax of a record. Nothing in it is true before its MAC is right.
func readRecord(doc []byte) (rec *Record, mac []byte, err error) {
	if len(doc) > MaxRecord {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", ErrNotAuthentic, MaxRecord)
	}
	rec = &Record{}
	at, format := time.Time{}.Format(time.RFC3339Nano), formats[CloudEvent] // of a record without these members
	text := map[string]*string{
		"consumer": &rec.Consumer, "quarantine": &rec.Quarantine, "at": &at, "reason": (*string)(&rec.Reason),
		"cause": &rec.Cause, "advice": &rec.Advice, "unverified_id": &rec.UnverifiedID,
		"unverified_source": &rec.UnverifiedSource, "unverified_type": &rec.UnverifiedType, "format": &format,
		"account": &rec.Message.Account, "replay_name": &rec.Message.ReplayName,
	}
	encoded := map[string]*[]byte{"body": &rec.Message.Body, "mac": &mac}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); {
		case text[name] != nil:
			*text[name] = r.String()
		case encoded[name] != nil:
			b, err := jsontext.Base64.AppendDecode([]byte{}, r.Bytes())
			if err != nil {
				r.Fail(err)
			}
			*encoded[name] = b
		default:
			r.Failf("unknown member %.40q", name)
		}
	}
	if err := r.End(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	rec.At, err = time.Parse(time.RFC3339Nano, at)
	if err != nil || rec.At.UTC().Format(time.RFC3339Nano) != at { // one spelling: the MAC covers the moment
		return nil, nil, fmt.Errorf("%w: at: %.40q is no time", ErrNotAuthentic, at)
	}
	i := slices.Index(formats[:], format)
	if i < 0 {
		return nil, nil, fmt.Errorf("%w: format: unknown word %.40q", ErrNotAuthentic, format)
	}
	rec.Message.Format = Format(i)
	return rec, mac, nil
}

// toUTF8 repairs s as jsontext.AppendQuote does, byte by byte. The noncharacters U+FFFE and U+FFFF, which SQS
// takes in no message, become U+FFFD too: what an event claims to be must not decide where its record can be
// kept.
func toUTF8(s string) string {
	return strings.Map(func(c rune) rune {
		if c == 0xfffe || c == 0xffff {
			return utf8.RuneError
		}
		return c
	}, string([]rune(s)))
}

// exact reports whether a record keeps the name as it is, and no other name as this one.
func exact(name string) bool { return !strings.ContainsRune(toUTF8(name), utf8.RuneError) }
