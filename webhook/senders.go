package webhook

// goSchemes are the schemes in Go of this package: their signatures cannot be described by a recipe.
func goSchemes() []Scheme { return []Scheme{adyen{}, paypal{}, sns{}, twilio{}} }

// Describe describes the scheme.
func (adyen) Describe() Description {
	return Description{Title: "Adyen",
		See:       "https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures",
		Signature: "body, additionalData.hmacSignature of each item",
		Signed: `pspReference ":" originalReference ":" merchantAccountCode ":" merchantReference ":" ` +
			`value ":" currency ":" eventCode ":" success`,
		Algorithm: "HMAC-SHA256 base64", Secret: "hexadecimal", Time: "none", ID: "none"}
}

// Describe describes the scheme.
func (paypal) Describe() Description {
	return Description{Title: "PayPal", See: "https://developer.paypal.com/api/rest/webhooks/rest/",
		Signature: "PAYPAL-TRANSMISSION-SIG", Signed: `id "|" time "|" webhook ID "|" CRC-32 of the body`,
		Algorithm: "RSA SHA-256 base64", Secret: "none; or a certificate in PEM, in the place of " +
			"PAYPAL-CERT-URL",
		Time: "PAYPAL-TRANSMISSION-TIME, 262800 s", ID: "PAYPAL-TRANSMISSION-ID"}
}

// Describe describes the scheme.
func (sns) Describe() Description {
	return Description{Title: "Amazon SNS",
		See:       "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
		Signature: "body /Signature",
		Signed:    "Message, MessageId, Subject, Timestamp, TopicArn, Type, each on a line",
		Algorithm: "RSA SHA-256 base64", Secret: "none; or a certificate in PEM, in the place of " +
			"SigningCertURL",
		Time: "body /Timestamp, 3900 s", ID: "body /MessageId"}
}

// Describe describes the scheme.
func (twilio) Describe() Description {
	return Description{Title: "Twilio", See: "https://www.twilio.com/docs/usage/security",
		Signature: "X-Twilio-Signature", Signed: "url, then the names and values of a form; or url with " +
			"bodySHA256",
		Algorithm: "HMAC-SHA1 base64", Secret: "text", Time: "none",
		ID: "I-Twilio-Idempotency-Token, not signed"}
}
