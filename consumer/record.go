package consumer

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// MaxRecord bounds a record, in bytes: a body of 32 MiB, beyond what any transport delivers, in base64.
const MaxRecord = 45 << 20

// recordLabel keeps the MAC of a record from being one of anything else under the same key.
const recordLabel = "sealbus/v2/quarantine-record"

// ErrNotAuthentic means that a quarantine record was not written by a holder of the key, was changed since, or
// names another quarantine than its key is of.
var ErrNotAuthentic = errors.New("consumer: the quarantine record is not authentic")

// errWrongMAC is the one of these errors that is not about syntax.
var errWrongMAC = fmt.Errorf("%w: the MAC is wrong: another key wrote it, or it was changed", ErrNotAuthentic)

// misnamed is the error of a record that names another quarantine than the one whose key it is under.
type misnamed struct{ named, written string }

func (e *misnamed) Error() string { return ErrNotAuthentic.Error() + ": " + e.cause() }

func (e *misnamed) Unwrap() error { return ErrNotAuthentic }

func (e *misnamed) cause() string {
	return fmt.Sprintf("a record of the quarantine %.100q under the key of %.100q", e.named, e.written)
}

// Marshal writes the record as one line of JSON, authenticated by HMAC-SHA-256 under the first key. The record
// says that it is of this quarantine: its field Quarantine is empty, or the name of k. Text that is no UTF-8
// is repaired, as JSON could not carry it; the body is always exact. Marshal fails if the record is of another
// quarantine, if it takes more than MaxRecord bytes and so could not be read again, and if k has no name.
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
	clean := repaired(r)
	doc := []byte{'{'}
	for _, m := range []struct{ name, value string }{
		{"consumer", clean.Consumer}, {"quarantine", clean.Quarantine}, {"at", formatAt(clean.At)},
		{"reason", string(clean.Reason)}, {"cause", clean.Cause},
		{"unverified_id", clean.UnverifiedID}, {"unverified_source", clean.UnverifiedSource},
		{"unverified_type", clean.UnverifiedType},
		{"format", clean.Message.Format.String()}, {"account", clean.Message.Account},
		{"replay_name", clean.Message.ReplayName},
		{"body", base64.StdEncoding.EncodeToString(clean.Message.Body)},
	} {
		doc = append(jsontext.AppendQuote(doc, m.name), ':')
		doc = append(jsontext.AppendQuote(doc, m.value), ',')
	}
	doc = append(doc, `"mac":`...)
	doc = jsontext.AppendQuote(doc, base64.StdEncoding.EncodeToString(k.ring.keys[0].mac(partsOf(&clean)...)))
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
		return nil, errWrongMAC
	}
	parts := partsOf(rec)
	for _, key := range k.ring.keys {
		if !hmac.Equal(mac, key.mac(parts...)) {
			continue
		}
		if key.quarantine != "" && key.quarantine != rec.Quarantine {
			return nil, &misnamed{rec.Quarantine, key.quarantine}
		}
		return rec, nil
	}
	return nil, errWrongMAC
}

// partsOf is the text that the MAC of a record covers: the label, and every field.
func partsOf(r *Record) []string {
	return []string{recordLabel, r.Consumer, r.Quarantine, formatAt(r.At), string(r.Reason), r.Cause,
		r.UnverifiedID, r.UnverifiedSource, r.UnverifiedType,
		r.Message.Format.String(), r.Message.Account, r.Message.ReplayName, string(r.Message.Body)}
}

func formatAt(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// repaired is the record with all text as JSON carries it.
func repaired(r Record) Record {
	for _, s := range []*string{
		&r.Consumer, &r.Quarantine, (*string)(&r.Reason), &r.Cause, &r.UnverifiedID, &r.UnverifiedSource,
		&r.UnverifiedType, &r.Message.Account, &r.Message.ReplayName,
	} {
		*s = toUTF8(*s)
	}
	return r
}

// readRecord reads the syntax of a record. Nothing in it is true before its MAC is right.
func readRecord(doc []byte) (rec *Record, mac []byte, err error) {
	if len(doc) > MaxRecord {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", ErrNotAuthentic, MaxRecord)
	}
	rec = &Record{}
	r := jsontext.NewDecoder(doc)
	text := map[string]*string{
		"consumer": &rec.Consumer, "quarantine": &rec.Quarantine, "reason": (*string)(&rec.Reason),
		"cause": &rec.Cause, "unverified_id": &rec.UnverifiedID, "unverified_source": &rec.UnverifiedSource,
		"unverified_type": &rec.UnverifiedType, "account": &rec.Message.Account,
		"replay_name": &rec.Message.ReplayName,
	}
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "at":
			rec.At = readAt(&r)
		case "format":
			rec.Message.Format = readFormat(&r)
		case "body":
			rec.Message.Body = readBase64(&r)
		case "mac":
			mac = readBase64(&r)
		default:
			if text[name] == nil {
				r.Failf("unknown member %.40q", name)
				continue
			}
			*text[name] = r.String()
		}
	}
	if err := r.End(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	return rec, mac, nil
}

// readAt reads a time in the one spelling that is written: the MAC covers the instant.
func readAt(r *jsontext.Decoder) time.Time {
	text := r.String()
	t, err := time.Parse(time.RFC3339Nano, text)
	if r.Err() == nil && (err != nil || formatAt(t) != text) {
		r.Failf("at: %.40q is no time", text)
	}
	return t
}

func readFormat(r *jsontext.Decoder) Format {
	text := r.String()
	for f, word := range formats {
		if word == text {
			return Format(f)
		}
	}
	r.Failf("format: unknown word %.40q", text)
	return CloudEvent
}

func readBase64(r *jsontext.Decoder) []byte {
	b, err := jsontext.Base64.AppendDecode([]byte{}, r.Bytes())
	if err != nil {
		r.Fail(err)
	}
	return b
}

// toUTF8 repairs s as jsontext.AppendQuote does, byte by byte. The noncharacters U+FFFE and U+FFFF, which SQS takes in
// no message, become U+FFFD too: what an event claims to be must not decide where its record can be kept.
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
