package webhook

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// snsTolerance is how old a message of Amazon SNS may be. SNS keeps the Timestamp when it delivers again,
// for up to an hour.
const snsTolerance = 65 * time.Minute

// sns is Amazon SNS over HTTPS:
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html.
//
// Every owner of an AWS account can have SNS sign messages of topics of their own. So the topic must be one
// of SchemeOptions.Topics. Its region decides the host of the certificate.
type sns struct{}

type snsChecker struct {
	x509Signer
	topics     map[string]snsTopic
	unsafeSHA1 bool
}

// snsTopic is what follows from the ARN of a topic.
type snsTopic struct {
	endpoint string   // "https://sns.eu-west-1.amazonaws.com/"
	names    []string // of the certificates for this region
}

var snsTopicARN = pattern(
	`^arn:(aws|aws-cn|aws-us-gov):sns:([a-z]{2}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2})` +
		`:[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?$`)

// snsFile is the name of the certificate's file: one segment, which no reader of URLs could take for more.
var snsFile = pattern(`^[A-Za-z0-9_-]{1,128}\.pem$`)

func (sns) Name() string { return "sns" }

// Open takes no secrets, or certificates in PEM that replace the fetch.
func (sns) Open(secrets []Secret, o SchemeOptions) (Checker, error) {
	signer, err := openX509(secrets, o)
	if err != nil {
		return nil, err
	}
	if len(o.Topics) == 0 {
		return nil, errors.New("no topic: set SchemeOptions.Topics, because every AWS account can sign " +
			"messages " +
			"of its own topics")
	}
	c := &snsChecker{signer, make(map[string]snsTopic), o.UnsafeSHA1}
	for _, arn := range o.Topics {
		topic, err := parseTopic(arn)
		if err != nil {
			return nil, err
		}
		c.topics[arn] = topic
	}
	return c, nil
}

// parseTopic follows the names that SNS has in each region, as the AWS SDK for Java 2 has them
// (SnsHostProvider).
func parseTopic(arn string) (snsTopic, error) {
	parts := snsTopicARN().FindStringSubmatch(arn)
	if parts == nil {
		return snsTopic{}, fmt.Errorf("%.200q is no ARN of a topic: arn:aws:sns:REGION:ACCOUNT:NAME", arn)
	}
	partition, region, suffix := parts[1], parts[2], "amazonaws.com"
	if partition == "aws-cn" {
		suffix = "amazonaws.com.cn"
	}
	names := []string{"sns." + suffix, "sns." + region + "." + suffix, "sns-signing." + region + "." + suffix,
		"sns-" + region + "." + suffix}
	if partition == "aws-us-gov" {
		names = append(names, "sns-us-gov-west-1.amazonaws.com")
	}
	return snsTopic{"https://sns." + region + "." + suffix + "/", names}, nil
}

// snsMessage has the members of a message that are signed, or that say how.
type snsMessage struct {
	Type, MessageID, TopicARN, Subject, Message, Timestamp string
	Token, SubscribeURL                                    string
	SignatureVersion, Signature, SigningCertURL            string

	has map[string]bool // the members that are there
}

// Check also refuses messages that could be read in two ways. A line break in a signed member other than
// Message would move the border between two members, because the signed text has each on a line of its own.
func (c *snsChecker) Check(ctx context.Context, r Request, at time.Time) (Signed, error) {
	m, err := c.read(r)
	if err != nil {
		return Signed{}, err
	}
	topic, ok := c.topics[m.TopicARN]
	if !ok {
		return Signed{}, refuse(envelope.ReasonSourceNotAllowed, "the topic %.200q is not in Topics",
			m.TopicARN)
	}
	file, ok := strings.CutPrefix(m.SigningCertURL, topic.endpoint)
	if !ok || !snsFile().MatchString(file) {
		return Signed{}, refuse(envelope.ReasonUnknownKey, "the SigningCertURL is not %sNAME.pem",
			topic.endpoint)
	}
	signedAt, err := parseUTC(m.Timestamp)
	if err != nil {
		return Signed{}, refuse(envelope.ReasonMalformed, "the Timestamp %w", err)
	}
	signature, err := strict64(m.Signature)
	if err != nil {
		return Signed{}, refuse(envelope.ReasonMalformed, "the Signature is %w", err)
	}
	text := m.signedText()
	id, err := c.signer(ctx, &x509Signature{func(key *rsa.PublicKey) bool {
		return m.verify(key, text, signature)
	}, len(signature), m.SigningCertURL, topic.names}, at)
	if err != nil {
		return Signed{}, err
	}
	answer, err := c.answer(m, topic)
	return Signed{KeyID: id, Head: text, Time: signedAt, Tolerance: snsTolerance, ID: m.MessageID,
		IDSigned: true, Signature: m.Signature, Type: m.Type, Subject: m.TopicARN, WordsSigned: true,
		Answer: answer, members: &members{id: "/MessageId"}}, err
}

// read reads the message, and refuses one whose signature is not of a kind that this checker verifies.
func (c *snsChecker) read(r Request) (*snsMessage, error) {
	kind, err := r.HeaderValue("x-amz-sns-message-type")
	if err != nil {
		return nil, err
	}
	raw, err := r.HeaderValue("x-amz-sns-rawdelivery")
	if err != nil {
		return nil, err
	}
	if raw == "true" {
		return nil, refuse(envelope.ReasonUnsigned, "the subscription delivers raw messages, which SNS "+
			"does not sign: turn RawMessageDelivery off")
	}
	m, err := parseSNS(r.Body)
	if err != nil {
		return nil, refuse(envelope.ReasonMalformed, "the message: %w", err)
	}
	switch {
	case m.Signature == "":
		return nil, refuse(envelope.ReasonUnsigned, "the message has no Signature")
	case kind != "" && kind != m.Type:
		return nil, refuse(envelope.ReasonMalformed, "the header x-amz-sns-message-type is not the Type")
	case m.SignatureVersion == "1" && !c.unsafeSHA1:
		return nil, refuse(envelope.ReasonUnsupported, "SignatureVersion 1 is SHA-1: set the topic's "+
			"attribute SignatureVersion to 2; UnsafeSHA1 takes both")
	case m.SignatureVersion != "1" && m.SignatureVersion != "2":
		return nil, refuse(envelope.ReasonUnsupported, "the SignatureVersion is neither 1 nor 2")
	}
	return m, nil
}

// parseSNS reads a message. Members that are not signed may be there (UnsubscribeURL, MessageAttributes),
// but none that a careless reader could take for a signed one.
func parseSNS(body []byte) (*snsMessage, error) {
	m := &snsMessage{has: make(map[string]bool)}
	fields := map[string]*string{"Type": &m.Type, "MessageId": &m.MessageID, "TopicArn": &m.TopicARN,
		"Subject": &m.Subject, "Message": &m.Message, "Timestamp": &m.Timestamp, "Token": &m.Token,
		"SubscribeURL": &m.SubscribeURL, "SignatureVersion": &m.SignatureVersion, "Signature": &m.Signature,
		"SigningCertURL": &m.SigningCertURL}
	d := jsontext.NewDecoder(body)
	for o := d.Object(); d.Member(&o); {
		name := string(o.Name)
		if field := fields[name]; field != nil {
			*field, m.has[name] = d.String(), true
			continue
		}
		for known := range fields {
			if strings.EqualFold(name, known) {
				d.Failf("the member %.80q is spelled %s", name, known)
			}
		}
		d.SkipValue()
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	return m, m.check()
}

// check refuses a message without a member that must be signed, and one with a member that its Type does
// not sign.
func (m *snsMessage) check() error {
	required := []string{"Message", "MessageId", "Timestamp", "TopicArn", "Type"}
	var unsigned []string
	switch m.Type {
	case "Notification":
		unsigned = []string{"Token", "SubscribeURL"}
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		required = append(required, "Token", "SubscribeURL")
		unsigned = []string{"Subject"}
	default:
		return errors.New("the Type is unknown")
	}
	for _, name := range required {
		if !m.has[name] {
			return fmt.Errorf("the member %s is not there", name)
		}
	}
	for _, name := range unsigned {
		if m.has[name] {
			return fmt.Errorf("the member %s is not signed in a %s", name, m.Type)
		}
	}
	if m.MessageID == "" || len(m.MessageID) > maxID || !isWord(m.MessageID) {
		return fmt.Errorf("the MessageId is no word of at most %d bytes", maxID)
	}
	for _, line := range []string{m.Subject, m.Timestamp, m.TopicARN, m.Token, m.SubscribeURL} {
		if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return errors.New("a member that is one line has a control character")
		}
	}
	return nil
}

// signedText is the text that SNS signs.
func (m *snsMessage) signedText() string {
	lines := []string{"Message", m.Message, "MessageId", m.MessageID}
	if m.Type == "Notification" {
		if m.has["Subject"] {
			lines = append(lines, "Subject", m.Subject)
		}
		lines = append(lines, "Timestamp", m.Timestamp)
	} else {
		lines = append(lines, "SubscribeURL", m.SubscribeURL, "Timestamp", m.Timestamp, "Token", m.Token)
	}
	lines = append(lines, "TopicArn", m.TopicARN, "Type", m.Type, "")
	return strings.Join(lines, "\n")
}

func (m *snsMessage) verify(key *rsa.PublicKey, text string, signature []byte) bool {
	if m.SignatureVersion == "1" {
		sum := sha1.Sum([]byte(text))
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature) == nil
	}
	sum := sha256.Sum256([]byte(text))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
}

// answer is the answer to a SubscriptionConfirmation. Its address is made anew from the topic's region, the
// topic and the token, after a look at the SubscribeURL. An UnsubscribeConfirmation is a delivery: to
// follow its SubscribeURL would subscribe again.
func (c *snsChecker) answer(m *snsMessage, topic snsTopic) (*Answer, error) {
	if m.Type != "SubscriptionConfirmation" {
		return nil, nil
	}
	query, ok := strings.CutPrefix(m.SubscribeURL, topic.endpoint+"?")
	got, err := url.ParseQuery(query)
	want := url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {m.TopicARN}, "Token": {m.Token}}
	if !ok || err != nil || m.Token == "" || got.Encode() != want.Encode() {
		return nil, refuse(envelope.ReasonMalformed, "the SubscribeURL does not confirm this topic at %s",
			topic.endpoint)
	}
	return &Answer{Status: 200, Confirm: func(ctx context.Context) error {
		if err := c.certificates.get(ctx, topic.endpoint+"?"+want.Encode()); err != nil {
			return refuse(envelope.ReasonTrustUnavailable, "the subscription cannot be confirmed: %w", err)
		}
		return nil
	}}, nil
}

var utcText = pattern(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$`)

// parseUTC reads a time of RFC 3339 in UTC, which has one form for each value but for the digits of a
// fraction.
func parseUTC(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil && utcText().MatchString(text) {
		return t, nil
	}
	return time.Time{}, errors.New("is not YYYY-MM-DDThh:mm:ssZ (RFC 3339)")
}
