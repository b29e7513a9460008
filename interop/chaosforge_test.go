package interop_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

type sqsAttribute = sqstypes.QueueAttributeName

// forgery is what an attacker who may call PutEvents puts on the bus.
type forgery struct {
	reason envelope.Reason // what it is to be refused for
	seal   envelope.SealOptions
	by     func(c *chaos, team int) keys.Signer                     // nil = the team's own key: an insider
	typ    string                                                   // "" = the genuine type
	change func(c *chaos, team int, e *envelope.Entry, doc *object) // of the detail, and around it
}

// object is a JSON object, as its members.
type object = map[string]json.RawMessage

var forgeries = []forgery{
	{reason: envelope.ReasonUnknownKey, by: stranger},
	{reason: envelope.ReasonBadSignature, by: stranger,
		change: func(c *chaos, team int, _ *envelope.Entry, doc *object) {
			rewrite(*doc, func(material object) {
				var signatures []object
				parse(material["signatures"], &signatures)
				signatures[0]["keyid"] = quoted(c.signers[team].Verifier().KeyID())
				material["signatures"] = written(signatures)
			})
		}},
	{reason: envelope.ReasonUnsigned, change: func(_ *chaos, _ int, _ *envelope.Entry, doc *object) { delete(*doc, "dssematerial") }},
	{reason: envelope.ReasonMalformed, change: func(_ *chaos, _ int, _ *envelope.Entry, doc *object) { (*doc)["dssematerial"] = quoted("AAAA") }},
	{reason: envelope.ReasonModified, change: func(_ *chaos, _ int, _ *envelope.Entry, doc *object) {
		(*doc)["data"] = json.RawMessage(strings.Replace(string((*doc)["data"]), `"qty":2`, `"qty":3`, 1))
	}},
	{reason: envelope.ReasonSourceNotAllowed, by: neighbour},
	{reason: envelope.ReasonTypeNotAllowed, typ: "org.example.refund"},
	{reason: envelope.ReasonEnvelopeMismatch, change: func(_ *chaos, team int, e *envelope.Entry, _ *object) {
		e.Source = producerSource(team) + "other"
	}},
	{reason: envelope.ReasonExpired,
		seal: envelope.SealOptions{Now: func() time.Time { return time.Now().Add(-72 * time.Hour) }}},
	{reason: envelope.ReasonFromFuture,
		seal: envelope.SealOptions{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}},
	{reason: envelope.ReasonAudienceMismatch, seal: envelope.SealOptions{Audience: "elsewhere"}},
	{reason: envelope.ReasonNotARecipient, seal: envelope.SealOptions{Encrypt: elsewhere}},
}

// stranger is a key that is in no bundle, under the team's name.
func stranger(c *chaos, team int) keys.Signer {
	signer, err := keys.GenerateSigner(keys.Ed25519, producerName(team))
	if err != nil {
		panic(err)
	}
	return signer
}

// neighbour is another trusted producer.
func neighbour(c *chaos, team int) keys.Signer { return c.signers[(team+1)%chaosProducers] }

// forge puts n forgeries on the bus, each kind in its turn.
func (c *chaos) forge(team, n int) {
	var entries []ebtypes.PutEventsRequestEntry
	for range n {
		k := c.forgers.Add(1)
		f := &forgeries[int(k)%len(forgeries)]
		id := fmt.Sprintf("forged-%d", k)
		c.forged.Store(id, f.reason)
		entries = append(entries, c.forgeOne(f, team, id))
	}
	for chunk := range slices.Chunk(entries, 10) {
		c.put(chunk)
	}
}

// put tries until the bus has them all.
func (c *chaos) put(entries []ebtypes.PutEventsRequestEntry) {
	for len(entries) > 0 && c.ctx.Err() == nil {
		out, err := c.bus.PutEvents(c.ctx, &awseventbridge.PutEventsInput{Entries: entries})
		if err != nil {
			continue
		}
		var failed []ebtypes.PutEventsRequestEntry
		for i, r := range out.Entries {
			if r.ErrorCode != nil {
				failed = append(failed, entries[i])
			}
		}
		entries = failed
	}
}

func (c *chaos) forgeOne(f *forgery, team int, id string) ebtypes.PutEventsRequestEntry {
	ev := order(team, id, 1)
	if f.typ != "" {
		ev.SetType(f.typ)
	}
	var signer keys.Signer = c.signers[team]
	if f.by != nil {
		signer = f.by(c, team)
	}
	opts := f.seal
	if opts.Audience == "" {
		opts.Audience = chaosAudience
	}
	sealed, err := envelope.Seal(c.ctx, ev, signer, &opts)
	if err != nil {
		panic(err)
	}
	entry, err := sealed.EventBridge(envelope.Structured)
	if err != nil {
		panic(err)
	}
	if f.change != nil {
		var doc object
		parse(entry.Detail, &doc)
		f.change(c, team, entry, &doc)
		entry.Detail = written(doc)
	}
	return ebtypes.PutEventsRequestEntry{
		EventBusName: aws.String("central"), Source: aws.String(entry.Source),
		DetailType: aws.String(entry.DetailType), Detail: aws.String(string(entry.Detail)),
	}
}

// rewrite changes the DSSE envelope in an event.
func rewrite(doc object, change func(material object)) {
	var text string
	parse(doc["dssematerial"], &text)
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	var material object
	parse(plain, &material)
	change(material)
	doc["dssematerial"] = quoted(base64.StdEncoding.EncodeToString(written(material)))
}

func parse(doc []byte, into any) {
	if err := json.Unmarshal(doc, into); err != nil {
		panic(err)
	}
}

func written(v any) json.RawMessage {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return doc
}

func quoted(text string) json.RawMessage { return written(text) }

// quarantined empties the quarantine: every forgery is there, for its Reason, and nothing else is.
func (c *chaos) quarantined() int {
	c.Helper()
	found := map[string]bool{}
	for c.depth(c.config.Quarantine) > 0 {
		out, err := c.queue.ReceiveMessage(c.Context(),
			&awssqs.ReceiveMessageInput{QueueUrl: &c.config.Quarantine, MaxNumberOfMessages: 10})
		c.must(err)
		for _, m := range out.Messages {
			c.checkRecord(*m.Body, found)
			_, err := c.queue.DeleteMessage(context.WithoutCancel(c.ctx),
				&awssqs.DeleteMessageInput{QueueUrl: &c.config.Quarantine, ReceiptHandle: m.ReceiptHandle})
			c.must(err)
		}
	}
	total := 0
	c.forged.Range(func(id, reason any) bool {
		if total++; !found[id.(string)] {
			c.Errorf("%s, which is %s, is not in quarantine", id, reason)
		}
		return true
	})
	return total
}

func (c *chaos) checkRecord(body string, found map[string]bool) {
	c.Helper()
	authentic, err := consumer.NewQuarantineKeys(c.config.Name, c.config.QuarantineKey)
	c.must(err)
	r, err := authentic.Parse([]byte(body))
	if err != nil {
		c.Errorf("a record in quarantine: %v", err)
		return
	}
	deserved, ok := c.forged.Load(r.UnverifiedID)
	if !ok || deserved != r.Reason {
		c.Errorf("%s is in quarantine as %s (%s), want %v", r.UnverifiedID, r.Reason, r.Cause, deserved)
	}
	found[r.UnverifiedID] = true
}
