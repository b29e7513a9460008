package consumer

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sealbus/sealbus/envelope"
)

// Reopen is a quarantine whose records may be delivered again, as QuarantineRecord: what was refused because
// a key or a source was not in the policy yet, a type did not fit, a delivery was late.
//
// The record must be authentic and of this consumer. The message in it is then judged as it was delivered, by
// what is true now: nothing is skipped, but the window under a Permission. What the transport says of the
// message that carries the record (account, replay name) is not looked at. If it is refused again, the
// quarantine gets the message as it was delivered at first, not the record.
//
// A record that is not authentic never passes: malformed, too_large, or bad_signature if only the MAC is
// wrong. One of another consumer or quarantine is audience_mismatch, one that holds a record in turn is
// malformed (deliver that one itself). All of these go to the quarantine as they are. Without any Reopen,
// every record is bad_signature: anybody can write what looks like one, and it must not hold up those behind
// it. It is in quarantine, as it is, until the consumer has its keys.
type Reopen struct {
	Quarantine string // the name of the quarantine (Options.QuarantineName of the consumer that filled it); must not be empty
	Key        []byte // its key, of at least MinQuarantineKey bytes; no two have the same. A quarantine may have several
}

// String leaves the key out.
func (r Reopen) String() string { return fmt.Sprintf("Reopen(%q)", r.Quarantine) }

// GoString is String.
func (r Reopen) GoString() string { return r.String() }

// Format is String, whatever the verb.
func (r Reopen) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }

// LogValue is String.
func (r Reopen) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText is String.
func (r Reopen) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// maxReopen is how many keys there may be: each is tried on a record of up to MaxRecord bytes.
const maxReopen = 16

func (o *Options) checkReopen() error {
	if len(o.Reopen) > maxReopen {
		return fmt.Errorf("%d times Reopen, at most %d", len(o.Reopen), maxReopen)
	}
	for i, r := range o.Reopen {
		switch {
		case r.Quarantine == "":
			return errors.New("a Reopen does not name its quarantine")
		case len(r.Key) < MinQuarantineKey:
			return fmt.Errorf("the Reopen of %q has a key of %d bytes, at least %d are needed", r.Quarantine, len(r.Key), MinQuarantineKey)
		}
		for _, other := range o.Reopen[:i] {
			if sameKey(r.Key, other.Key) {
				return fmt.Errorf("the Reopen of %q and that of %q have one key: each quarantine needs its own", other.Quarantine, r.Quarantine)
			}
		}
	}
	return nil
}

// sameKey reports whether the two make the same MACs. HMAC pads a key with zeros, and hashes a long one, so
// that they need not be the same bytes.
func sameKey(a, b []byte) bool {
	k, err := newMACKey(a)
	other, errOther := newMACKey(b)
	return err == nil && errOther == nil && hmac.Equal(k.sum(), other.sum())
}

func (o *Options) reopens(quarantine string) bool {
	for i := range o.Reopen {
		if o.Reopen[i].Quarantine == quarantine {
			return true
		}
	}
	return false
}

// reopenKey is a Reopen that was checked.
type reopenKey struct {
	quarantine string
	key        *macKey
}

func (o *Options) reopenKeys() (list []reopenKey) {
	for _, r := range o.Reopen {
		if key, err := newMACKey(r.Key); err == nil {
			list = append(list, reopenKey{r.Quarantine, key})
		}
	}
	return list
}

// unwrap puts the message that a quarantine record holds in the place of the record.
func (d *delivery) unwrap() *envelope.Error {
	if d.msg.Format != QuarantineRecord {
		return nil
	}
	rec, err := readRecord(d.msg.Body)
	if err != nil {
		return d.because(unreadable(d.msg.Body), clip(err.Error()), err)
	}
	from := d.writer(rec)
	switch {
	case len(d.reopen) == 0:
		return d.because(envelope.ReasonBadSignature, "there is no key to judge a quarantine record with: if somebody reopened it, set Reopen in the consumer's Options and send it again", errWrongMAC)
	case from == nil:
		return d.because(envelope.ReasonBadSignature, errWrongMAC.Error(), errWrongMAC)
	case rec.Quarantine != "" && rec.Quarantine != from.quarantine:
		return d.because(envelope.ReasonAudienceMismatch, fmt.Sprintf("a record of the quarantine %.100q under the key of %.100q", rec.Quarantine, from.quarantine), nil)
	case rec.Consumer != d.name:
		return d.because(envelope.ReasonAudienceMismatch, fmt.Sprintf("a quarantine record of the consumer %.100q, this is %.100q", rec.Consumer, d.name), nil)
	}
	d.msg, d.reopened = rec.Message, from.quarantine
	if d.msg.Format == QuarantineRecord {
		return d.because(envelope.ReasonMalformed, "a quarantine record in a quarantine record: deliver the inner one", nil)
	}
	return nil
}

func unreadable(doc []byte) envelope.Reason {
	if len(doc) > MaxRecord {
		return envelope.ReasonTooLarge
	}
	return envelope.ReasonMalformed
}

// writer is whose key the record is under.
func (c *Consumer) writer(rec *sealedRecord) *reopenKey {
	for i := range c.reopen {
		if k := &c.reopen[i]; rec.under(k.key) {
			return k
		}
	}
	return nil
}
