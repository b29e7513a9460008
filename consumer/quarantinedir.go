package consumer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sealbus/sealbus/internal/b64"
	"github.com/sealbus/sealbus/internal/jsonwrite"
	"github.com/sealbus/sealbus/internal/strictjson"
)

// MinQuarantineKey is the shortest key that records are authenticated with, in bytes: as long as the MAC.
const MinQuarantineKey = sha256.Size

// maxRecord bounds a record's file: a body of 32 MiB, beyond what any transport delivers, in base64.
const maxRecord = 45 << 20

// recordLabel keeps the MAC of a record from being one of anything else under the same key.
const recordLabel = "sealbus/v1/quarantine-record"

// ErrNotAuthentic means that a quarantine record was not written by a holder of the key, or was changed since.
var ErrNotAuthentic = errors.New("consumer: the quarantine record is not authentic")

// QuarantineDir keeps each record in a file of its own in the directory dir, which it makes if need be, with
// mode 0700. A file is JSON, has mode 0600, appears complete or not at all and is on disk when Put returns. Its name
// is made of time and hash only. Records are authenticated by HMAC-SHA-256 under key, which has at least
// MinQuarantineKey bytes: what is reopened was refused by a consumer, not slipped in.
func QuarantineDir(dir string, key []byte) (Quarantine, error) {
	if len(key) < MinQuarantineKey {
		return nil, fmt.Errorf("consumer: a quarantine key of %d bytes, at least %d are needed", len(key), MinQuarantineKey)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("consumer: quarantine: %w", err)
	}
	return &quarantineDir{dir: dir, key: newMACKey(key)}, nil
}

// ReadQuarantined reads a record that a QuarantineDir with the same key wrote. The error wraps ErrNotAuthentic if
// the record is malformed or was changed. An authentic record says what was delivered; the event in it is still
// one that was refused.
func ReadQuarantined(path string, key []byte) (*Record, error) {
	if len(key) < MinQuarantineKey {
		return nil, fmt.Errorf("consumer: a quarantine key of %d bytes, at least %d are needed", len(key), MinQuarantineKey)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("consumer: quarantine: %w", err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, fmt.Errorf("consumer: quarantine: %w", err)
	}
	return parseRecord(doc, newMACKey(key))
}

type quarantineDir struct {
	dir string
	key *macKey
}

// Put writes a temporary file, makes it durable and only then gives it its name. A second record of the same name
// is the same record.
func (q *quarantineDir) Put(_ context.Context, r Record) error {
	doc := appendRecord(nil, &r, q.key)
	if len(doc) > maxRecord {
		return fmt.Errorf("consumer: quarantine: a record of %d bytes, at most %d can be read again", len(doc), maxRecord)
	}
	if err := q.write(recordName(&r, doc), doc); err != nil {
		return fmt.Errorf("consumer: quarantine: %w", err)
	}
	return nil
}

// recordName sorts by time. The hash covers the MAC, and so everything.
func recordName(r *Record, doc []byte) string {
	sum := sha256.Sum256(doc)
	return r.At.UTC().Format("20060102T150405.000000000Z-") + hex.EncodeToString(sum[:16]) + ".json"
}

func (q *quarantineDir) write(name string, doc []byte) (err error) {
	temp := filepath.Join(q.dir, ".new-"+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	_, err = f.Write(doc)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp, filepath.Join(q.dir, name)); err != nil {
		return err
	}
	return syncDir(q.dir)
}

// syncDir makes the name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// String keeps the key out of logs.
func (q *quarantineDir) String() string { return "QuarantineDir(" + q.dir + ")" }

// macKey is behind a pointer and a type of its own so that no format verb prints it.
type macKey struct{ sum func(parts ...string) []byte }

func newMACKey(key []byte) *macKey {
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
	}}
}

// mac covers every field of the record as text, each behind its length.
func (k *macKey) mac(r *Record) []byte {
	return k.sum(recordLabel, r.Consumer, formatAt(r.At), string(r.Reason), r.Cause,
		r.UnverifiedID, r.UnverifiedSource, r.UnverifiedType,
		r.Message.Format.String(), r.Message.Account, string(r.Message.Body))
}

func formatAt(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// String is "cloudevent" or "eventbridge".
func (f Format) String() string {
	if f == EventBridge {
		return "eventbridge"
	}
	return "cloudevent"
}

// appendRecord writes the record as one line of JSON. Text that is no UTF-8 is repaired before the MAC is made,
// as JSON could not carry it; the body is base64 and always exact.
func appendRecord(dst []byte, r *Record, key *macKey) []byte {
	clean := *r
	for _, s := range []*string{
		&clean.Consumer, (*string)(&clean.Reason), &clean.Cause, &clean.UnverifiedID, &clean.UnverifiedSource,
		&clean.UnverifiedType, &clean.Message.Account,
	} {
		*s = toUTF8(*s)
	}
	dst = append(dst, '{')
	for _, m := range []struct{ name, value string }{
		{"consumer", clean.Consumer}, {"at", formatAt(clean.At)}, {"reason", string(clean.Reason)}, {"cause", clean.Cause},
		{"unverified_id", clean.UnverifiedID}, {"unverified_source", clean.UnverifiedSource}, {"unverified_type", clean.UnverifiedType},
		{"format", clean.Message.Format.String()}, {"account", clean.Message.Account},
		{"body", base64.StdEncoding.EncodeToString(clean.Message.Body)},
	} {
		dst = append(append(jsonwrite.AppendString(dst, m.name), ':'), jsonwrite.AppendString(nil, m.value)...)
		dst = append(dst, ',')
	}
	dst = append(dst, `"mac":`...)
	dst = jsonwrite.AppendString(dst, base64.StdEncoding.EncodeToString(key.mac(&clean)))
	return append(dst, "}\n"...)
}

// parseRecord reads a record and believes nothing in it before the MAC is right.
func parseRecord(doc []byte, key *macKey) (*Record, error) {
	if len(doc) > maxRecord {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrNotAuthentic, maxRecord)
	}
	rec, mac, err := readRecord(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	if !hmac.Equal(mac, key.mac(rec)) {
		return nil, fmt.Errorf("%w: the MAC is wrong: another key wrote it, or it was changed", ErrNotAuthentic)
	}
	return rec, nil
}

func readRecord(doc []byte) (rec *Record, mac []byte, err error) {
	rec = &Record{}
	r := strictjson.NewReader(doc)
	text := map[string]*string{
		"consumer": &rec.Consumer, "reason": (*string)(&rec.Reason), "cause": &rec.Cause, "unverified_id": &rec.UnverifiedID,
		"unverified_source": &rec.UnverifiedSource, "unverified_type": &rec.UnverifiedType, "account": &rec.Message.Account,
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
			into := text[name]
			if into == nil {
				r.Failf("unknown member %.40q", name)
				continue
			}
			*into = r.String()
		}
	}
	return rec, mac, r.End()
}

// readAt reads a time in the one spelling that is written: the MAC covers the instant.
func readAt(r *strictjson.Reader) time.Time {
	text := r.String()
	t, err := time.Parse(time.RFC3339Nano, text)
	if r.Err() == nil && (err != nil || formatAt(t) != text) {
		r.Failf("at: %.40q is no time", text)
	}
	return t
}

func readFormat(r *strictjson.Reader) Format {
	switch text := r.String(); text {
	case EventBridge.String():
		return EventBridge
	case CloudEvent.String():
	default:
		r.Failf("format: unknown word %.40q", text)
	}
	return CloudEvent
}

func readBase64(r *strictjson.Reader) []byte {
	b, err := b64.AppendStd([]byte{}, r.Bytes())
	if err != nil {
		r.Fail(err)
	}
	return b
}

// toUTF8 repairs s as jsonwrite does, byte by byte.
func toUTF8(s string) string { return string([]rune(s)) }
