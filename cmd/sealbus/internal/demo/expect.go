package demo

import (
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

// outcome is what became of a delivery.
type outcome struct {
	verdict string
	reason  envelope.Reason
}

func (o outcome) String() string {
	if o.reason == "" {
		return o.verdict
	}
	return o.verdict + " " + string(o.reason)
}

// verdictWords are the consumer's outcomes in the words of the demo.
var verdictWords = map[consumer.Outcome]string{
	consumer.Handled: "verified", consumer.Quarantined: "rejected", consumer.Duplicate: "duplicate",
	consumer.Retry: "unavailable",
}

func verified() outcome                        { return outcome{verdict: "verified"} }
func refusal(reason envelope.Reason) outcome   { return outcome{"rejected", reason} }
func duplicate(reason envelope.Reason) outcome { return outcome{"duplicate", reason} }

// expectations say how each case must end, by its name. They are written down here, apart from the cases:
// what the demo shows is what the consumer said. "verified" also means that the handler got the very event
// that the producer published.
var expectations = map[string]outcome{
	"genuine":                  verified(),
	"genuine, embedded layout": verified(),
	"re-formatted":             verified(),
	"re-formatted, embedded":   verified(),
	"numbers respelled":        verified(),
	"trace context changed":    verified(),

	"data changed":                 refusal(envelope.ReasonModified),
	"data changed, embedded":       refusal(envelope.ReasonModified),
	"type changed":                 refusal(envelope.ReasonModified),
	"subject changed":              refusal(envelope.ReasonModified),
	"time changed":                 refusal(envelope.ReasonModified),
	"time's fraction changed":      refusal(envelope.ReasonModified),
	"signed extension changed":     refusal(envelope.ReasonModified),
	"signed extension removed":     refusal(envelope.ReasonModified),
	"extension's type changed":     verified(),
	"extension added":              verified(),
	"recordedtime, under CoreOnly": refusal(envelope.ReasonModified),
	"digests recomputed":           refusal(envelope.ReasonBadSignature),

	"two members of one name":  refusal(envelope.ReasonMalformed),
	"two members, in the data": refusal(envelope.ReasonMalformed),
	"detail in both layouts":   refusal(envelope.ReasonMalformed),
	"wrong payload type":       refusal(envelope.ReasonUnsupported),
	"seventeen signatures":     refusal(envelope.ReasonTooLarge),

	"signature stripped":          refusal(envelope.ReasonUnsigned),
	"signature of another event":  refusal(envelope.ReasonModified),
	"forged, unknown key":         refusal(envelope.ReasonUnknownKey),
	"forged, known key ID":        refusal(envelope.ReasonBadSignature),
	"trusted key, foreign source": refusal(envelope.ReasonSourceNotAllowed),
	"trusted key, foreign name":   refusal(envelope.ReasonKeyNotValid),
	"second signature added":      verified(),
	"revoked key":                 refusal(envelope.ReasonRevokedKey),
	"retired key":                 refusal(envelope.ReasonKeyNotValid),

	"wrong account":             refusal(envelope.ReasonAccountMismatch),
	"outer source changed":      refusal(envelope.ReasonEnvelopeMismatch),
	"outer detail-type changed": refusal(envelope.ReasonEnvelopeMismatch),
	"other audience":            refusal(envelope.ReasonAudienceMismatch),

	"replayed":                    duplicate(envelope.ReasonReplayed),
	"same ID, other content":      refusal(envelope.ReasonIDReused),
	"held back for two days":      refusal(envelope.ReasonExpired),
	"held back past expirytime":   refusal(envelope.ReasonExpired),
	"from the future":             refusal(envelope.ReasonFromFuture),
	"handled, then a forged copy": refusal(envelope.ReasonModified),
	"a forged copy came first":    verified(),

	"encrypted":                     verified(),
	"one field encrypted":           verified(),
	"opened by a non-recipient":     refusal(envelope.ReasonNotARecipient),
	"ciphertext moved":              refusal(envelope.ReasonDecryptFailed),
	"re-signed by another producer": refusal(envelope.ReasonDecryptFailed),
	"recipient list edited":         refusal(envelope.ReasonModified),
	"commitment wrong":              refusal(envelope.ReasonDecryptFailed),

	"session key":               verified(),
	"session key past its hour": refusal(envelope.ReasonKeyNotValid),
	"session of a revoked key":  refusal(envelope.ReasonRevokedKey),
}
