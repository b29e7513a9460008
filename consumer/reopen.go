package consumer

import (
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/envelope"
)

// reopen puts the message that a quarantine record holds in the place of the record. The name of the
// quarantine that it was reopened from comes from the authentic record, and from nowhere else: neither a
// sender nor a transport has a field for it.
func (d *handling) reopen() *envelope.Error {
	if d.msg.Format != QuarantineRecord {
		return nil
	}
	rec, err := d.quarantineKeys.Parse(d.msg.Body)
	other, isMisnamed := err.(*misnamed)
	switch {
	case err == errWrongMAC && d.quarantineKeys.IsZero():
		return d.because(envelope.ReasonBadSignature, "the consumer's Quarantine has no keys to judge a record with: "+
			"if an operator reopened it, make the Quarantine with its QuarantineKeys, and send it again", err)
	case err == errWrongMAC:
		return d.because(envelope.ReasonBadSignature, err.Error(), err)
	case isMisnamed:
		return d.because(envelope.ReasonAudienceMismatch, other.cause(), err)
	case err != nil && len(d.msg.Body) > MaxRecord:
		return d.because(envelope.ReasonTooLarge, clip(err.Error()), err)
	case err != nil:
		return d.because(envelope.ReasonMalformed, clip(err.Error()), err)
	case rec.Consumer != d.name:
		return d.because(envelope.ReasonAudienceMismatch,
			fmt.Sprintf("a quarantine record of the consumer %.100q, this is %.100q", rec.Consumer, d.name), nil)
	}
	d.msg, d.reopened = rec.Message, rec.Quarantine
	if d.msg.Format == QuarantineRecord {
		return d.because(envelope.ReasonMalformed,
			"a quarantine record in a quarantine record: deliver the inner one", nil)
	}
	return nil
}

// quarantineKeys are those of the Quarantine, if there is one.
func (o *Options) quarantineKeys() QuarantineKeys {
	if o.Quarantine == nil {
		return QuarantineKeys{}
	}
	return o.Quarantine.Keys()
}

// checkQuarantine refuses a Quarantine whose keys could not write records.
func (o *Options) checkQuarantine() error {
	if keys := o.quarantineKeys(); !keys.IsZero() && keys.Name() == "" {
		return errors.New(
			"the Quarantine is made with AnyQuarantine, which writes no records: use NewQuarantineKeys")
	}
	return nil
}
