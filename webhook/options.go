package webhook

import (
	"fmt"
	"net/url"
	"time"
)

// Options are optional settings of a Verifier.
type Options struct {
	// Tolerance is how far the signed time may be from the judging time, both ways; 0 = that of the scheme.
	// It does nothing where the provider signs no time.
	Tolerance time.Duration
	MaxBody   int           // bytes; 0 = DefaultMaxBody
	Scheme    SchemeOptions // what single schemes need
}

// SchemeOptions are settings that single schemes need. A scheme refuses to open without those that it needs.
type SchemeOptions struct {
	// BaseURL is the scheme and the authority that the provider called, such as "https://hooks.example". It
	// is needed where the URL is signed. It is never taken from a header of the request.
	BaseURL string

	// Topics are the ARNs of the topics that may deliver. Amazon SNS needs them: every AWS account can have
	// SNS sign messages of its own topics.
	Topics []string
	// UnsafeSHA1 also takes messages of Amazon SNS with SignatureVersion 1, which is SHA-1; false = refuse
	// them.
	UnsafeSHA1 bool
	// WebhookID is the ID of the webhook, which PayPal signs and needs.
	WebhookID string
	// Certificates fetches the certificates of SNS and PayPal; nil = one of its own, with the roots of the
	// system.
	Certificates *Certificates
}

// checkBaseURL refuses what is not exactly scheme and authority.
func checkBaseURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		u.Scheme+"://"+u.Host != text {
		return fmt.Errorf(`BaseURL is %.80q: it must be the scheme and the authority that the provider `+
			`calls, such as "https://hooks.example"`, text)
	}
	return nil
}
