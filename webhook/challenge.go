package webhook

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Answer is the answer to a challenge, by which a provider checks that it reached the right receiver.
// Challenges are answered only after their signature passed.
type Answer struct {
	Status      int
	ContentType string // "" = none
	Body        []byte

	// Confirm is what the receiver must do before it answers; nil = nothing. Its error is an *Error, and
	// transient: the provider sends the challenge again. Confirm is the request that confirms a
	// subscription of Amazon SNS, so that Verify alone changes nothing outside.
	Confirm func(ctx context.Context) error
}

// challenger recognises a challenge in a body whose signature is genuine; nil = it is a delivery. mac
// computes a MAC with the secret that made the signature. Every delivery passes through it, so it must be
// fast for a body that is no challenge.
type challenger func(body []byte, mac func(text []byte) []byte) *Answer

// challengeNamed finds the challenger that a recipe names.
func challengeNamed(name string) (challenger, bool) {
	switch name {
	case "discord":
		return discordPing, true
	case "slack":
		return slackVerification, true
	case "zoom":
		return zoomValidation, true
	}
	return nil, false
}

// maxChallenge is the length of a body up to which it may be a challenge. They have less than 2 KiB.
const maxChallenge = 16 << 10

// jsonAnswer is an answer of status 200.
func jsonAnswer(body []byte) *Answer {
	return &Answer{Status: http.StatusOK, ContentType: "application/json", Body: body}
}

// stringAt is the string at that JSON Pointer of a body; "" if there is none.
func stringAt(body []byte, pointer string) string {
	value, ok := memberOf(body, pointer)
	if !ok {
		return ""
	}
	d := jsontext.NewDecoder(value)
	if text := d.String(); d.End() == nil {
		return text
	}
	return ""
}

// slackVerification answers url_verification with its challenge
// (https://docs.slack.dev/reference/events/url_verification). The answer is JSON, because a page in a
// browser never shows JSON as HTML.
func slackVerification(body []byte, _ func([]byte) []byte) *Answer {
	if len(body) > maxChallenge || !bytes.Contains(body, []byte("url_verification")) ||
		stringAt(body, "/type") != "url_verification" {
		return nil
	}
	text := stringAt(body, "/challenge")
	if text == "" {
		return nil
	}
	return jsonAnswer(append(jsontext.AppendQuote([]byte(`{"challenge":`), text), '}'))
}

// zoomToken has no character that is between the parts of a signed text of Zoom, v0:TIMESTAMP:BODY. So the
// MAC of a token is never the signature of a delivery.
var zoomToken = pattern(`^[A-Za-z0-9+/=_-]{1,256}$`)

// zoomValidation answers endpoint.url_validation with the MAC of its token
// (https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint).
func zoomValidation(body []byte, mac func([]byte) []byte) *Answer {
	if len(body) > maxChallenge || !bytes.Contains(body, []byte("endpoint.url_validation")) ||
		stringAt(body, "/event") != "endpoint.url_validation" {
		return nil
	}
	token := stringAt(body, "/payload/plainToken")
	if mac == nil || !zoomToken().MatchString(token) { // a recipe may name it beside a public key
		return nil
	}
	sum := hex.EncodeToString(mac([]byte(token)))
	return jsonAnswer([]byte(`{"plainToken":"` + token + `","encryptedToken":"` + sum + `"}`))
}

// discordPing answers PING. Of an interaction that is type 1
// (https://discord.com/developers/docs/interactions/overview). Of a webhook event type 1 is an event, which
// has the member event, and PING is type 0 (https://discord.com/developers/docs/events/webhook-events).
func discordPing(body []byte, _ func([]byte) []byte) *Answer {
	if len(body) > maxChallenge || !bytes.Contains(body, []byte(`"type"`)) {
		return nil
	}
	kind, ok := memberOf(body, "/type")
	if _, event := memberOf(body, "/event"); !ok || event {
		return nil
	}
	switch string(kind) {
	case "0":
		return &Answer{Status: http.StatusNoContent, ContentType: "application/json"}
	case "1":
		return jsonAnswer([]byte(`{"type":1}`))
	}
	return nil
}
