package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/redact"
)

// maxItems is the most items of a notification. Adyen puts one into a JSON notification, and up to six into
// others.
const maxItems = 100

// adyen is Adyen: https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures. Each item
// of a notification has a signature of its own, over eight of its fields, with ":" in between. All other
// members are not signed: eventDate, reason, operations, and additionalData with its risk and card data.
type adyen struct{}

// adyenSecret is a secret and its key.
type adyenSecret struct {
	Secret
	key []byte
}

func (adyen) Name() string { return "adyen" }

// Open takes HMAC keys in hex, as the Customer Area shows them.
func (adyen) Open(secrets []Secret, _ SchemeOptions) (Checker, error) {
	if len(secrets) == 0 {
		return nil, errNoSecret
	}
	parsed := make([]adyenSecret, 0, len(secrets))
	for _, s := range secrets {
		key, err := hex.DecodeString(s.Text)
		if err != nil || len(key) < 16 {
			return nil, fmt.Errorf("the secret with the ID %.80q must be a key in hex of 32 digits or more",
				s.ID)
		}
		parsed = append(parsed, adyenSecret{s, key})
	}
	return &adyenChecker{redact.Hide(parsed)}, nil
}

type adyenChecker struct{ secrets redact.Hidden[[]adyenSecret] }

// adyenItem has the fields of an item in the order in which they are signed, and its signature.
type adyenItem struct {
	psp, original, account, merchant, value, currency, event, success string
	signature                                                         string
}

// Check takes a notification only if one secret made the signatures of all items.
func (c *adyenChecker) Check(_ context.Context, r Request, at time.Time) (Signed, error) {
	items, err := parseAdyen(r.Body)
	if err != nil {
		return Signed{}, refuse(envelope.ReasonMalformed, "the notification: %w", err)
	}
	macs, texts, signatures := make([][]byte, len(items)), make([]string, len(items)),
		make([]string, len(items))
	for i, item := range items {
		if item.signature == "" {
			return Signed{}, refuse(envelope.ReasonUnsigned, "item %d has no hmacSignature", i)
		}
		macs[i], err = strict64(item.signature)
		if err != nil || len(macs[i]) != sha256.Size {
			return Signed{}, refuse(envelope.ReasonMalformed, "the hmacSignature of item %d is not base64 "+
				"of %d bytes",
				i, sha256.Size)
		}
		texts[i], err = item.signedText()
		if err != nil {
			return Signed{}, refuse(envelope.ReasonMalformed, "item %d: %w", i, err)
		}
		signatures[i] = item.signature
	}
	for _, s := range c.secrets() {
		if !s.made(texts, macs) {
			continue
		}
		if !s.valid(at) {
			return Signed{}, refuse(envelope.ReasonKeyNotValid, "the secret %.80q is not valid at that time",
				s.ID)
		}
		signed := Signed{KeyID: s.ID, Signature: strings.Join(signatures, ",")}
		if len(items) == 1 {
			signed.Type, signed.Subject, signed.WordsSigned = items[0].event, items[0].psp, true
		}
		signed.isSeveral = len(items) > 1
		// The order of the items is not signed. The replay key must not depend on it.
		slices.Sort(texts)
		signed.Head = strings.Join(texts, "\n")
		return signed, nil
	}
	return Signed{}, refuse(envelope.ReasonBadSignature, "no secret made the signatures of all items")
}

// made reports whether the secret made all signatures.
func (s *adyenSecret) made(texts []string, macs [][]byte) bool {
	all := true
	for i := range texts {
		mac := hmac.New(sha256.New, s.key)
		mac.Write([]byte(texts[i]))
		all = hmac.Equal(mac.Sum(nil), macs[i]) && all
	}
	return all
}

// signedText is the text that Adyen signs. It does not escape a ":" in a field, so two different items
// could have one text: such an item is refused.
func (i *adyenItem) signedText() (string, error) {
	fields := []string{i.psp, i.original, i.account, i.merchant, i.value, i.currency, i.event, i.success}
	for _, field := range fields {
		if strings.ContainsAny(field, ":\n") {
			return "", errors.New("a field has a colon or a line break, which moves the border between two " +
				"fields")
		}
		if len(field) > maxID {
			return "", fmt.Errorf("a field has more than %d bytes", maxID)
		}
	}
	if i.psp == "" || i.event == "" {
		return "", errors.New("it has no pspReference or no eventCode")
	}
	return strings.Join(fields, ":"), nil
}

// parseAdyen reads the items of a notification, of which there is at least one, and no two are the same.
func parseAdyen(body []byte) ([]adyenItem, error) {
	var items []adyenItem
	d := jsontext.NewDecoder(body)
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) != "notificationItems" {
			refuseLookalike(&d, o.Name, "notificationItems")
			d.SkipValue()
			continue
		}
		for a := d.Array(); d.Element(&a); {
			item := readAdyenEntry(&d)
			switch {
			case len(items) == maxItems:
				d.Failf("more than %d items", maxItems)
			case slices.Contains(items, item):
				d.Failf("two items are the same")
			}
			items = append(items, item)
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, errors.New("it has no items")
	}
	return items, nil
}

// readAdyenEntry reads {"NotificationRequestItem": {...}}.
func readAdyenEntry(d *jsontext.Decoder) (item adyenItem) {
	there := false
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) != "NotificationRequestItem" {
			d.Failf("an entry has a member other than NotificationRequestItem")
		}
		item, there = readAdyenItem(d), true
	}
	if !there {
		d.Failf("an entry has no NotificationRequestItem")
	}
	return item
}

func readAdyenItem(d *jsontext.Decoder) (item adyenItem) {
	fields := map[string]*string{"pspReference": &item.psp, "originalReference": &item.original,
		"merchantAccountCode": &item.account, "merchantReference": &item.merchant, "eventCode": &item.event,
		"success": &item.success}
	for o := d.Object(); d.Member(&o); {
		name := string(o.Name)
		switch field := fields[name]; {
		case field != nil:
			*field = d.String()
		case name == "amount":
			readAdyenAmount(d, &item)
		case name == "additionalData":
			readAdyenSignature(d, &item)
		default:
			for known := range fields {
				refuseLookalike(d, o.Name, known)
			}
			refuseLookalike(d, o.Name, "amount")
			refuseLookalike(d, o.Name, "additionalData")
			d.SkipValue()
		}
	}
	return item
}

func readAdyenAmount(d *jsontext.Decoder, item *adyenItem) {
	for o := d.Object(); d.Member(&o); {
		switch string(o.Name) {
		case "value":
			item.value = strconv.FormatInt(d.Int(), 10)
		case "currency":
			item.currency = d.String()
		default:
			d.Failf("the amount has a member other than value and currency")
		}
	}
}

func readAdyenSignature(d *jsontext.Decoder, item *adyenItem) {
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) == "hmacSignature" {
			item.signature = d.String()
			continue
		}
		refuseLookalike(d, o.Name, "hmacSignature")
		d.SkipValue()
	}
}

// refuseLookalike refuses a member that a careless reader takes for the known one: package encoding/json
// does not look at the case of letters.
func refuseLookalike(d *jsontext.Decoder, name []byte, known string) {
	if string(name) != known && strings.EqualFold(string(name), known) {
		d.Failf("the member %.80q is spelled %s", name, known)
	}
}
