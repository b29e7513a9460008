package consumer_test

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

var otherKey = bytes.Repeat([]byte("o"), consumer.MinQuarantineKey)

func quarantineKeys(t testing.TB, name string, key []byte, older ...[]byte) consumer.QuarantineKeys {
	t.Helper()
	keys, err := consumer.NewQuarantineKeys(name, key, older...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// marshal writes a record as the quarantine that it names, or as "bin".
func marshal(t testing.TB, r consumer.Record, key []byte) []byte {
	t.Helper()
	doc, err := quarantineKeys(t, cmp.Or(r.Quarantine, "bin"), key).Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// byHand is a record as marshal writes it, with the MAC that a holder of the key makes by hand under this
// label: QuarantineKeys would not write each of them.
func byHand(t *testing.T, r consumer.Record, key []byte, label string) []byte {
	t.Helper()
	h := hmac.New(sha256.New, key)
	for _, p := range []string{
		label, r.Consumer, r.Quarantine, r.At.UTC().Format(time.RFC3339Nano), string(r.Reason), r.Cause,
		r.UnverifiedID, r.UnverifiedSource, r.UnverifiedType,
		r.Message.Format.String(), r.Message.Account, r.Message.ReplayName, string(r.Message.Body),
	} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	doc := edit(marshal(t, r, key), "mac", base64.StdEncoding.EncodeToString(h.Sum(nil)))
	return edit(doc, "quarantine", r.Quarantine)
}

const recordLabel = "sealbus/v2/quarantine-record"

// reopening is a message with the record.
func reopening(doc []byte) consumer.Message {
	return consumer.Message{Body: doc, Format: consumer.QuarantineRecord}
}

// reopens makes the consumer's quarantine one that it reopens.
func (w *world) reopens() {
	w.Helper()
	w.bin.keys = quarantineKeys(w, "bin", macKey)
}

// late permits the quarantine what was sealed in the hour from start, for a day from now on.
func (w *world) late() *consumer.Permission {
	p := w.permitted()
	p.ReplayName, p.Quarantine = "", "bin"
	return p
}

// reopen delivers the last record in the quarantine.
func (w *world) reopen(outcome consumer.Outcome, reason envelope.Reason) consumer.Result {
	w.Helper()
	return w.wantMessage(reopening(marshal(w, w.bin.records[len(w.bin.records)-1], macKey)), outcome,
		reason)
}

// The whole way: refused, put away, and reopened by its record after the policy was corrected.
func TestReopen(t *testing.T) {
	for name, format := range map[string]consumer.Format{"cloudevent": consumer.CloudEvent,
		"eventbridge": consumer.EventBridge, "http": consumer.HTTP} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reopens()
			w.keys[0].Accounts = []string{"111111111111"}
			w.publish(trust.BundleOptions{})
			msg := consumer.Message{Body: w.event("1"), Format: format, Account: "111111111111",
				ReplayName: replayName}
			if format == consumer.EventBridge {
				msg.Body = w.delivery(w.seal(placed("1"), envelope.SealOptions{}), "222222222222")
			}
			if format == consumer.HTTP {
				msg.Body = w.binaryMode(w.seal(placed("1"), envelope.SealOptions{}))
			}
			w.policy.Types = []string{"com.example.invoice.*"}
			w.wantMessage(msg, consumer.Quarantined, envelope.ReasonTypeNotAllowed)
			rec := w.bin.records[0]
			if !reflect.DeepEqual(rec.Message, msg) || rec.Quarantine != "bin" || rec.Consumer != "test" {
				t.Fatalf("record %+v", rec)
			}
			w.policy.Types = nil
			r := w.reopen(consumer.Handled, "")
			if len(w.handled) != 1 || r.Permission != "" || r.ID != "1" {
				t.Errorf("%+v, handled %d", r, len(w.handled))
			}
			w.reopen(consumer.Duplicate, envelope.ReasonReplayed)
			w.wantMessage(msg, consumer.Duplicate, envelope.ReasonReplayed) // as it has one claim
		})
	}
}

// A reopened event is judged now. If it is refused again, its record holds the message as it was at first.
func TestReopenIsJudgedNow(t *testing.T) {
	w := newWorld(t)
	w.reopens()
	b := w.event("1")
	w.policy.Types = []string{"com.example.invoice.*"}
	w.wantMessage(archived(b), consumer.Quarantined, envelope.ReasonTypeNotAllowed)
	first := w.bin.records[0]
	w.clock.Advance(time.Hour)
	w.reopen(consumer.Quarantined, envelope.ReasonTypeNotAllowed)
	w.policy.Types = nil
	w.clock.Advance(long)
	r := w.reopen(consumer.Quarantined, envelope.ReasonExpired)
	if c := r.Verdict.Cause; !strings.Contains(c, `"bin"`) || !strings.Contains(c, "Permission") {
		t.Error(c)
	}
	w.keys[0].Revoked = &trust.Revocation{At: w.clock.Now()}
	w.publish(trust.BundleOptions{})
	w.late()
	w.reopen(consumer.Quarantined, envelope.ReasonRevokedKey)
	if len(w.bin.records) != 4 || len(w.handled) != 0 {
		t.Fatalf("%d records, handled %d", len(w.bin.records), len(w.handled))
	}
	for _, rec := range w.bin.records[1:] {
		if !reflect.DeepEqual(rec.Message, first.Message) || !rec.At.After(first.At) {
			t.Errorf("record %+v, want the message of %+v", rec, first)
		}
	}
}

// A permission that names the quarantine admits what is reopened from it, and nothing else.
func TestReopenUnderPermission(t *testing.T) {
	w := newWorld(t)
	w.reopens()
	b, limited := w.event("1"), w.seal(placed("2"), envelope.SealOptions{Expires: time.Hour}).JSON()
	w.clock.Advance(time.Hour)
	beyond := w.event("3")
	w.clock.Advance(long)
	p := w.late()
	w.want(limited, consumer.Quarantined, envelope.ReasonExpired)
	w.reopen(consumer.Quarantined, envelope.ReasonExpired) // the producer said so
	w.want(beyond, consumer.Quarantined, envelope.ReasonExpired)
	w.reopen(consumer.Quarantined, envelope.ReasonExpired)
	for _, msg := range []consumer.Message{{Body: b}, {Body: b, ReplayName: "bin"},
		{Body: b, ReplayName: p.ID}} {
		w.wantMessage(msg, consumer.Quarantined, envelope.ReasonExpired)
	}
	if r := w.reopen(consumer.Handled, ""); r.Permission != p.ID || w.handled[0].Permission != p.ID {
		t.Errorf("%+v", r)
	}
	if until := p.Until.Add(envelope.DefaultSkew); !w.store.untils[len(w.store.untils)-1].Equal(until) {
		t.Errorf("claimed until %v, want %v", w.store.untils, until)
	}
	w.reopen(consumer.Duplicate, envelope.ReasonReplayed)
	w.clock.Advance(24*time.Hour - 1)
	w.opts.Permissions[0].Until = p.Until
	w.reopen(consumer.Duplicate, envelope.ReasonReplayed)
}

// A reopened event was not handled. If a copy of it was, they have one claim, under a permission too, and
// whichever comes first. If it was reopened while it was fresh, it is remembered when it no longer is.
func TestReopenAndCopies(t *testing.T) {
	refused := func(t *testing.T) (*world, []byte) {
		w := newWorld(t)
		w.reopens()
		b := w.event("1")
		w.fail = errors.New("no")
		types := w.policy.Types
		w.policy.Types = []string{"com.example.invoice.*"}
		w.want(b, consumer.Quarantined, envelope.ReasonTypeNotAllowed)
		w.policy.Types, w.fail = types, nil
		return w, b
	}
	t.Run("copy first", func(t *testing.T) {
		w, b := refused(t)
		w.late()
		w.want(b, consumer.Handled, "")
		w.reopen(consumer.Duplicate, envelope.ReasonReplayed)
	})
	t.Run("record first", func(t *testing.T) {
		w, b := refused(t)
		w.late().Until = start.Add(long)
		w.reopen(consumer.Handled, "")
		w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
		w.clock.Advance(long / 2)
		w.reopen(consumer.Duplicate, envelope.ReasonReplayed)
	})
	t.Run("permission ends before the window", func(t *testing.T) {
		w, b := refused(t)
		w.late().Until = start.Add(time.Hour)
		w.reopen(consumer.Handled, "")
		for _, until := range w.store.untils {
			if !until.Equal(start.Add(2*envelope.DefaultMaxAge + envelope.DefaultSkew)) {
				t.Errorf("claimed until %v", until)
			}
		}
		w.opts.Permissions = nil
		w.clock.Advance(envelope.DefaultMaxAge)
		w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
		w.reopen(consumer.Duplicate, envelope.ReasonReplayed)
	})
	t.Run("other content", func(t *testing.T) {
		w, _ := refused(t)
		w.late()
		other := placed("1")
		other.SetSubject("another")
		w.want(w.seal(other, envelope.SealOptions{}).JSON(), consumer.Handled, "")
		w.reopen(consumer.Quarantined, envelope.ReasonIDReused)
	})
	t.Run("in progress", func(t *testing.T) {
		w, b := refused(t)
		w.late()
		w.store.complete = errors.New("no")
		w.want(b, consumer.Retry, envelope.ReasonStoreUnavailable)
		w.store.complete = nil
		w.reopen(consumer.Retry, envelope.ReasonInProgress)
	})
}

// A reopened message of an archive replay is under the permission of that replay, if there is one: it is one
// event of the replay, wherever it comes from. Else it may be under that of the quarantine.
func TestReopenFromReplay(t *testing.T) {
	w := newWorld(t)
	w.reopens()
	b := w.event("1")
	w.clock.Advance(long)
	w.wantMessage(archived(b), consumer.Quarantined, envelope.ReasonExpired)
	both := []consumer.Permission{*w.late(), *w.permitted()}
	both[0].ID = "late-1"
	w.opts.Permissions = both
	if r := w.reopen(consumer.Handled, ""); r.Permission != "again-1" {
		t.Errorf("under %q", r.Permission)
	}
	w.wantMessage(archived(b), consumer.Duplicate, envelope.ReasonReplayed)
	w.opts.Permissions = both[:1]
	w.wantMessage(archived(b), consumer.Quarantined, envelope.ReasonExpired)
	if r := w.reopen(consumer.Handled, ""); r.Permission != "late-1" {
		t.Errorf("under %q", r.Permission)
	}
}

// A record that does not say where it comes from, or comes from elsewhere, is not reopened.
func TestReopenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		doc    func(t *testing.T, r consumer.Record) []byte
		reason envelope.Reason
	}{
		"genuine": {func(t *testing.T, r consumer.Record) []byte { return marshal(t, r, macKey) }, ""},
		"by hand": {func(t *testing.T, r consumer.Record) []byte { return byHand(t, r, macKey, recordLabel) },
			""},
		"of another quarantine under its key": {func(t *testing.T, r consumer.Record) []byte {
			r.Quarantine = "dust"
			return marshal(t, r, otherKey)
		}, ""},
		"of no named quarantine": {func(t *testing.T, r consumer.Record) []byte {
			r.Quarantine = ""
			return byHand(t, r, macKey, recordLabel)
		}, envelope.ReasonAudienceMismatch},
		"under the old label": {func(t *testing.T, r consumer.Record) []byte {
			return byHand(t, r, macKey, "sealbus/v1/quarantine-record")
		}, envelope.ReasonBadSignature},
		"under the other key": {func(t *testing.T, r consumer.Record) []byte { return marshal(t, r, bytes.Repeat([]byte("x"), 32)) }, envelope.ReasonBadSignature},
		"without MAC":         {func(t *testing.T, r consumer.Record) []byte { return edit(marshal(t, r, macKey), "mac", nil) }, envelope.ReasonBadSignature},
		"body changed":        {func(t *testing.T, r consumer.Record) []byte { return edit(marshal(t, r, macKey), "body", "e30=") }, envelope.ReasonBadSignature},
		"replay name added":   {func(t *testing.T, r consumer.Record) []byte { return edit(marshal(t, r, macKey), "replay_name", "x") }, envelope.ReasonBadSignature},
		"quarantine left out": {func(t *testing.T, r consumer.Record) []byte { return edit(marshal(t, r, macKey), "quarantine", nil) }, envelope.ReasonBadSignature},
		"both names left out": {func(t *testing.T, r consumer.Record) []byte {
			return edit(edit(marshal(t, r, macKey), "quarantine", nil), "replay_name", nil)
		}, envelope.ReasonBadSignature},
		"not JSON": {func(t *testing.T, r consumer.Record) []byte { return []byte("bin") },
			envelope.ReasonMalformed},
		"empty": {func(t *testing.T, r consumer.Record) []byte { return nil },
			envelope.ReasonMalformed},
		"an event": {func(t *testing.T, r consumer.Record) []byte { return r.Message.Body },
			envelope.ReasonMalformed},
		"unknown format":        {func(t *testing.T, r consumer.Record) []byte { return edit(marshal(t, r, macKey), "format", "x") }, envelope.ReasonMalformed},
		"too large":             {func(t *testing.T, r consumer.Record) []byte { return bytes.Repeat([]byte(" "), consumer.MaxRecord+1) }, envelope.ReasonTooLarge},
		"of another consumer":   {func(t *testing.T, r consumer.Record) []byte { r.Consumer = "test2"; return marshal(t, r, macKey) }, envelope.ReasonAudienceMismatch},
		"of no consumer":        {func(t *testing.T, r consumer.Record) []byte { r.Consumer = ""; return marshal(t, r, macKey) }, envelope.ReasonAudienceMismatch},
		"of another quarantine": {func(t *testing.T, r consumer.Record) []byte { r.Quarantine = "dust"; return marshal(t, r, macKey) }, envelope.ReasonAudienceMismatch},
		"of this under the key of another": {func(t *testing.T, r consumer.Record) []byte {
			return marshal(t, r, otherKey)
		}, envelope.ReasonAudienceMismatch},
	} {
		t.Run(name, func(t *testing.T) { reopensAs(t, c.doc, c.reason) })
	}
}

// reopensAs reopens what is made of a genuine record, and holds what becomes of it.
func reopensAs(t *testing.T, change func(*testing.T, consumer.Record) []byte, reason envelope.Reason) {
	w := newWorld(t)
	w.reopens()
	var err error
	if w.bin.keys, err = w.bin.keys.Also(quarantineKeys(t, "dust", otherKey)); err != nil {
		t.Fatal(err)
	}
	var fail error
	seen := migrates(w, &fail)
	doc := change(t, consumer.Record{Consumer: "test", Quarantine: "bin", At: start, Reason: envelope.ReasonExpired,
		Message: consumer.Message{Body: w.event("1")}})
	if reason == "" {
		w.wantMessage(reopening(doc), consumer.Handled, "")
		return
	}
	r := w.wantMessage(reopening(doc), consumer.Quarantined, reason)
	if len(w.handled) > 0 || len(*seen) > 0 || r.ID != "" || len(w.store.untils) > 0 {
		t.Errorf("handled %d, and %d times by the migration, %+v", len(w.handled), len(*seen), r)
	}
	// The fix of these Reasons is about an event: forged, or sealed for another bus.
	isOfRecord := reason == envelope.ReasonBadSignature || reason == envelope.ReasonAudienceMismatch
	if fix := r.Verdict.Fix(); isOfRecord == (fix == reason.Fix()) {
		t.Errorf("the fix is %q", fix)
	}
	// It is kept as it is, and can be written, read and looked at; but it never passes as a record of records.
	if m := w.bin.records[0].Message; m.Format != consumer.QuarantineRecord ||
		!bytes.Equal(m.Body, doc) {
		t.Errorf("the record holds %+v", m)
	}
	if got := w.bin.records[0].Advice; got != r.Verdict.Advice || isOfRecord && got == "" {
		t.Errorf("the record advises %q, and the verdict %q", got, r.Verdict.Advice)
	}
	if len(doc) > consumer.MaxRecord {
		return
	}
	w.reopen(consumer.Quarantined, envelope.ReasonMalformed)
	if m := w.bin.records[1].Message; m.Format != consumer.QuarantineRecord ||
		!bytes.Equal(m.Body, doc) {
		t.Errorf("reopened and refused, the record holds %+v", m)
	}
}

// A record in a record is refused even if both are genuine; the inner one is not.
func TestReopenNested(t *testing.T) {
	w := newWorld(t)
	w.reopens()
	inner := marshal(t, consumer.Record{Consumer: "test", Quarantine: "bin", At: start,
		Message: consumer.Message{Body: w.event("1")}}, macKey)
	outer := consumer.Record{Consumer: "test", Quarantine: "bin", At: start, Message: reopening(inner)}
	w.wantMessage(reopening(marshal(t, outer, macKey)), consumer.Quarantined, envelope.ReasonMalformed)
	w.wantMessage(reopening(inner), consumer.Handled, "")
}

// The account and the replay name of the message that carries the record are not those of the event.
func TestReopenIgnoresTheCarrier(t *testing.T) {
	w := newWorld(t)
	w.reopens()
	w.keys[0].Accounts = []string{"111111111111"}
	w.publish(trust.BundleOptions{})
	w.want(w.event("1"), consumer.Quarantined, envelope.ReasonAccountMismatch)
	msg := reopening(marshal(t, w.bin.records[0], macKey))
	msg.Account = "111111111111"
	w.wantMessage(msg, consumer.Quarantined, envelope.ReasonAccountMismatch)
	w.keys[0].Accounts = nil
	w.publish(trust.BundleOptions{})
	w.clock.Advance(long)
	w.permitted()
	msg.ReplayName = replayName
	w.wantMessage(msg, consumer.Quarantined, envelope.ReasonExpired)
	if len(w.handled) != 0 {
		t.Error("it was handled")
	}
}

// A consumer that has no keys yet loses no record, and is not held up by what anybody can write.
func TestReopenWithoutKeys(t *testing.T) {
	w := newWorld(t)
	doc := marshal(t, consumer.Record{Consumer: "test", At: start,
		Message: consumer.Message{Body: w.event("1")}}, macKey)
	w.wantMessage(reopening(doc), consumer.Quarantined, envelope.ReasonBadSignature)
	doc = w.bin.records[0].Message.Body
	w.bin.keys = quarantineKeys(t, "bin", otherKey, macKey) // the record is under the older one
	w.wantMessage(reopening(doc), consumer.Handled, "")
}

// A reopened event whose source is migrating is handed to the migration as the event that it is.
func TestReopenWhileMigrating(t *testing.T) {
	w := newWorld(t)
	w.reopens()
	unsigned := edit(w.event("1"), "dssematerial", nil)
	w.want(unsigned, consumer.Quarantined, envelope.ReasonUnsigned)
	var fail error
	seen := migrates(w, &fail)
	w.reopen(consumer.Migrating, envelope.ReasonUnsigned)
	if len(*seen) != 1 || !bytes.Equal((*seen)[0].Message.Body, unsigned) ||
		(*seen)[0].Message.Format != consumer.CloudEvent {
		t.Errorf("its Handle got %+v", *seen)
	}
}

// A consumer keeps to the keys that New checked.
func TestReopenIsCopied(t *testing.T) {
	w := newWorld(t)
	w.reopens()
	key := bytes.Clone(macKey)
	w.bin.keys = quarantineKeys(t, "bin", key)
	c := w.consumer()
	doc := marshal(t, consumer.Record{Consumer: "test", At: start,
		Message: consumer.Message{Body: w.event("1")}}, macKey)
	clear(key)
	w.bin.keys = consumer.QuarantineKeys{}
	r, err := c.Handle(t.Context(), reopening(doc), w.handle)
	w.check(r, err, consumer.Handled, "")
}

// A Quarantine whose keys write no records is refused before there is something to put into it.
func TestNewRefusesAnyQuarantine(t *testing.T) {
	w := newWorld(t)
	var err error
	if w.bin.keys, err = consumer.AnyQuarantine(macKey); err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.New("test", &w.trust, w.store, &w.policy, &w.opts); err == nil {
		t.Error("no error")
	}
}

// The quarantine that a message was reopened from follows from the key of its record. No field of a message,
// or of a received body, names one, so neither a sender nor a transport can.
func TestReopenedFromIsNoField(t *testing.T) {
	fields := func(of any) (names []string) {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
			names = append(names, f.Name)
		}
		return names
	}
	if got := fields(consumer.Message{}); !slices.Equal(got,
		[]string{"Body", "Format", "Account", "ReplayName", "FirstReceived", "Caller"}) {
		t.Errorf("a message has %q", got)
	}
	if got := fields(envelope.Received{}); !slices.Equal(got, []string{"Body", "EventBridge", "HTTP",
		"Account"}) {
		t.Errorf("a received body has %q", got)
	}
}
