package consumer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// MinQuarantineKey is the shortest key that records are authenticated with, in bytes: as long as the MAC.
const MinQuarantineKey = sha256.Size

// MaxRecord bounds a record, in bytes: a body of 32 MiB, beyond what any transport delivers, in base64.
const MaxRecord = 45 << 20

// The labels keep the MAC of a record from being one of anything else under the same key. Records of the
// first form name neither quarantine nor replay; as their MAC has a label of its own, no record passes for
// one of the other form.
const (
	recordLabel1 = "sealbus/v1/quarantine-record"
	recordLabel2 = "sealbus/v2/quarantine-record"
)

// ErrNotAuthentic means that a quarantine record was not written by a holder of the key, or was changed
// since.
var ErrNotAuthentic = errors.New("consumer: the quarantine record is not authentic")

// errWrongMAC is the one of these errors that is not about syntax.
var errWrongMAC = fmt.Errorf("%w: the MAC is wrong: another key wrote it, or it was changed", ErrNotAuthentic)

// MarshalRecord writes the record as one line of JSON, authenticated by HMAC-SHA-256 under key, which has at
// least MinQuarantineKey bytes. Text that is no UTF-8 is repaired, as JSON could not carry it; the body is
// always exact. It fails if the key is too short, or if the record has more than MaxRecord bytes and so could
// not be read again.
func MarshalRecord(r Record, key []byte) ([]byte, error) {
	k, err := newMACKey(key)
	if err != nil {
		return nil, err
	}
	return marshalRecord(&r, k)
}

// ParseRecord reads what MarshalRecord wrote under the same key, and believes nothing in it before the MAC is
// right: the error wraps ErrNotAuthentic if the record is malformed or was changed. An authentic record says
// what was delivered; the event in it is still one that was refused.
func ParseRecord(doc, key []byte) (*Record, error) {
	k, err := newMACKey(key)
	if err != nil {
		return nil, err
	}
	sealed, err := readRecord(doc)
	if err != nil {
		return nil, err
	}
	if !sealed.under(k) {
		return nil, errWrongMAC
	}
	return &sealed.Record, nil
}

// macKey is behind a pointer and a type of its own so that no format verb prints it.
type macKey struct{ sum func(parts ...string) []byte }

func newMACKey(key []byte) (*macKey, error) {
	if len(key) < MinQuarantineKey {
		return nil, fmt.Errorf("consumer: a quarantine key of %d bytes, at least %d are needed", len(key), MinQuarantineKey)
	}
	secret := append([]byte(nil), key...)
	return &macKey{func(parts ...string) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(p)))
			h.Write(n[:])
			io.WriteString(h, p)
		}
		return h.Sum(nil)
	}}, nil
}

// mac covers every field of the record as text, each behind its length.
func (k *macKey) mac(r *Record) []byte {
	return k.sum(recordLabel2, r.Consumer, r.Quarantine, formatAt(r.At), string(r.Reason), r.Cause,
		r.UnverifiedID, r.UnverifiedSource, r.UnverifiedType,
		r.Message.Format.String(), r.Message.Account, r.Message.ReplayName, string(r.Message.Body))
}

// mac1 is the MAC of the first form.
func (k *macKey) mac1(r *Record) []byte {
	return k.sum(recordLabel1, r.Consumer, formatAt(r.At), string(r.Reason), r.Cause,
		r.UnverifiedID, r.UnverifiedSource, r.UnverifiedType,
		r.Message.Format.String(), r.Message.Account, string(r.Message.Body))
}

func formatAt(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// marshalRecord repairs the text before the MAC is made.
func marshalRecord(r *Record, key *macKey) ([]byte, error) {
	clean := repaired(*r)
	doc := []byte{'{'}
	for _, m := range []struct{ name, value string }{
		{"consumer", clean.Consumer}, {"quarantine", clean.Quarantine}, {"at", formatAt(clean.At)},
		{"reason", string(clean.Reason)}, {"cause", clean.Cause},
		{"unverified_id", clean.UnverifiedID}, {"unverified_source", clean.UnverifiedSource}, {"unverified_type", clean.UnverifiedType},
		{"format", clean.Message.Format.String()}, {"account", clean.Message.Account}, {"replay_name", clean.Message.ReplayName},
		{"body", base64.StdEncoding.EncodeToString(clean.Message.Body)},
	} {
		doc = append(append(jsontext.AppendQuote(doc, m.name), ':'), jsontext.AppendQuote(nil, m.value)...)
		doc = append(doc, ',')
	}
	doc = append(doc, `"mac":`...)
	doc = jsontext.AppendQuote(doc, base64.StdEncoding.EncodeToString(key.mac(&clean)))
	doc = append(doc, "}\n"...)
	if len(doc) > MaxRecord {
		return nil, fmt.Errorf("consumer: a quarantine record of %d bytes, at most %d can be read again", len(doc), MaxRecord)
	}
	return doc, nil
}

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

// sealedRecord is a record as it was read: nothing in it is true before it is under a key.
type sealedRecord struct {
	Record
	mac   []byte
	first bool // it is of the first form
}

// under reports whether a holder of the key wrote it.
func (s *sealedRecord) under(key *macKey) bool {
	if s.first {
		return hmac.Equal(s.mac, key.mac1(&s.Record))
	}
	return hmac.Equal(s.mac, key.mac(&s.Record))
}

// readRecord reads the syntax. A record without the members of the second form is one of the first.
func readRecord(doc []byte) (*sealedRecord, error) {
	if len(doc) > MaxRecord {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrNotAuthentic, MaxRecord)
	}
	rec := &sealedRecord{first: true}
	r := jsontext.NewDecoder(doc)
	text := map[string]*string{
		"consumer": &rec.Consumer, "reason": (*string)(&rec.Reason), "cause": &rec.Cause, "unverified_id": &rec.UnverifiedID,
		"unverified_source": &rec.UnverifiedSource, "unverified_type": &rec.UnverifiedType, "account": &rec.Message.Account,
		"quarantine": &rec.Quarantine, "replay_name": &rec.Message.ReplayName,
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
			rec.mac = readBase64(&r)
		default:
			into := text[name]
			if into == nil {
				r.Failf("unknown member %.40q", name)
				continue
			}
			*into = r.String()
			rec.first = rec.first && name != "quarantine" && name != "replay_name"
		}
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	return rec, nil
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
	b, err := jsontext.DecodeBase64([]byte{}, r.Bytes())
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
