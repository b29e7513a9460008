package explain

import "github.com/sealbus/sealbus/envelope"

// role is a team that can cure something.
type role string

// The roles, as the documents have them.
const (
	producerTeam role = "producer team"
	consumerTeam role = "consumer team"
	platformTeam role = "platform team"
	securityTeam role = "security team"
)

// cure is something that one team can do.
type cure struct {
	By role   `json:"by"`
	Do string `json:"do"`
}

// more is what a Reason's one line in package envelope leaves open.
type more struct {
	causes []string
	cures  []cure // the best one first
	// elsewhere is the same word on a webhook, a token or a file of trust; "" = it is of events alone.
	elsewhere string
}

// chapter is a group of words that are explained.
type chapter struct {
	title string
	words []string
}

// chapters are in the order in which a delivery comes upon them.
var chapters = []chapter{
	{"It cannot be read", []string{"malformed", "too_large", "unsigned", "unsupported"}},
	{"Its signature or its key is refused", []string{"unknown_key", "bad_signature", "modified", "revoked_key",
		"key_not_valid"}},
	{"It is genuine, and not allowed here", []string{"source_not_allowed", "type_not_allowed",
		"account_mismatch", "envelope_mismatch", "audience_mismatch", "forbidden"}},
	{"It comes at a wrong time, or twice", []string{"undated", "expired", "from_future", "replayed",
		"id_reused"}},
	{"Its data is refused", []string{"not_encrypted", "not_a_recipient", "decrypt_failed", "schema_invalid"}},
	{"It could not be judged or handled now", []string{"in_progress", "trust_unavailable", "store_unavailable",
		"kms_unavailable", "handler_failed"}},
	{"A file of keys, trust or quarantine is refused", []string{"wrong_type", "threshold", "rollback",
		"equivocate", "no_timestamp", "other_bundle", "newer_roots", "lifetime", "policy", "wrong_passphrase",
		"not_authentic"}},
}

// reasons has more about each Reason.
var reasons = map[envelope.Reason]more{
	envelope.ReasonMalformed: {
		causes: []string{
			"a program between producer and consumer re-wrote the event: an input transformer, a pipe, a proxy",
			"the message is no event of sealbus, and came through a rule or a queue that catches too much",
			"the JSON can be read in two ways: a member that stands twice, data beside data_base64",
		},
		cures: []cure{
			{consumerTeam, "run `sealbus inspect` on the message: it names the member that is wrong"},
			{platformTeam, "take input transformers off the rule, and make its pattern match sealed events only"},
			{producerTeam, "publish with package producer or `sealbus publish`, which write the one form"},
		},
		elsewhere: "A webhook, a token or a file of trust is malformed if it cannot be read, or can be read in " +
			"two ways. Hand on each header line and the body exactly as they came.",
	},
	envelope.ReasonTooLarge: {
		causes: []string{
			"the event has more bytes, attributes, signatures or recipients than a consumer reads",
			"a consumer set a lower limit than producers know of",
		},
		cures: []cure{
			{producerTeam, "put large data into a store and send its address (the extension dataref)"},
			{producerTeam, "name fewer recipients, each by its key ID"},
			{consumerTeam, "compare the limits that you set with those in SPEC.md, section 1.1"},
		},
		elsewhere: "A webhook has a limit for its body and its headers, a token one of 16 KiB.",
	},
	envelope.ReasonUnsigned: {
		causes: []string{
			"the producer does not seal yet",
			"a program on the way dropped the attribute dssematerial",
			"an event without a signature was put on the bus by someone else",
		},
		cures: []cure{
			{producerTeam, "publish with package producer, or with `sealbus publish`"},
			{consumerTeam, "set Options.UnsafeMigration until a date, while producers change over"},
			{securityTeam, "find out who put it on the bus (CloudTrail, PutEvents) if every producer seals"},
		},
		elsewhere: "A webhook has no signature header, or a request has no token. Check that the provider signs, " +
			"and that no proxy drops the header.",
	},
	envelope.ReasonUnsupported: {
		causes: []string{
			"the producer is newer than the consumer",
			"an extension attribute came in a form that loses its type",
			"the payload of the signature is of another kind: it was moved here from another document",
		},
		cures: []cure{
			{consumerTeam, "update sealbus"},
			{consumerTeam, "declare the type of the extension in Policy.ExtensionTypes"},
		},
		elsewhere: "A webhook or a token is signed by an algorithm that is not taken, such as the SHA-1 of Amazon SNS.",
	},

	envelope.ReasonUnknownKey: {
		causes: []string{
			"the producer signs with a new key, and the trust bundle does not have it yet",
			"the consumer follows the bundle of another environment",
			"the producer lost its keyring and made another one",
			"someone without a trusted key made the event",
		},
		cures: []cure{
			{platformTeam, "if the producer is genuine, add its key with `sealbus trust add`, then build " +
				"and sign the bundle"},
			{producerTeam, "set producer.Options.Trust: a key then signs only when consumers know it"},
			{consumerTeam, "reopen the events from quarantine when the bundle has the key"},
			{securityTeam, "treat it as a forgery if no producer knows the key"},
		},
		elsewhere: "A webhook names a key or a certificate that is not trusted. A token names a key that its " +
			"issuer does not publish.",
	},
	envelope.ReasonBadSignature: {
		causes: []string{
			"the event is a forgery under the key ID of a producer",
			"the signature was damaged on the way",
			"this consumer requires a signature by a further algorithm (RequiredAlgorithms), which is not there",
		},
		cures: []cure{
			{securityTeam, "treat it as a forgery first: find out who put it on the bus"},
			{consumerTeam, "keep the record in quarantine: it is evidence, and it can never pass"},
			{producerTeam, "if it is yours, seal the event anew"},
		},
		elsewhere: "The secret of a webhook is another one, or the body changed by a byte: a line break, a " +
			"re-formatted JSON. `sealbus webhook verify` says which.",
	},
	envelope.ReasonModified: {
		causes: []string{
			"a rule's input transformer, a pipe or an enrichment edits events",
			"an attacker changed the data or an attribute on the way",
			"a library rounds numbers, shortens times or drops signed extensions",
		},
		cures: []cure{
			{platformTeam, "take what edits events off the way; sealbus keeps JSON through re-formatting, " +
				"not through edits"},
			{consumerTeam, "run `sealbus inspect` on the record, and compare it with what the producer sent"},
			{producerTeam, "seal after the edit: the program that changes an event is its producer"},
			{securityTeam, "treat it as an attack if no program on the way edits events"},
		},
		elsewhere: "The signature of an HTTP message is genuine, and another body came.",
	},
	envelope.ReasonRevokedKey: {
		causes: []string{
			"the key was stolen or lost, and the platform team revoked it",
			"the producer still signs with the revoked key",
			"the event was signed before the revocation, and a revocation covers all of a key's signatures",
		},
		cures: []cure{
			{producerTeam, "sign with the new key, and seal again those events that you can vouch for"},
			{securityTeam, "check what the key signed; until then leave these events in quarantine"},
			{platformTeam, "`sealbus trust show` says when and why the key was revoked"},
		},
		elsewhere: "A token is signed by a key whose private half is public.",
	},
	envelope.ReasonKeyNotValid: {
		causes: []string{
			"the producer signed before the key was active, or after it was retired or had expired",
			"the clock of the producer is wrong",
			"a session key was used past its hour",
			"the event names another producer than the one whose key signed",
		},
		cures: []cure{
			{platformTeam, "compare the dates of the key in `sealbus trust show` with the time in the cause"},
			{producerTeam, "set the clock, and let producer.Options.Trust or `sealbus keys rotate` choose the key"},
			{producerTeam, "seal the events again under the key that is active now"},
			{securityTeam, "if the event names a producer to which the key does not belong, treat it as a forgery by " +
				"the key's owner, and ask how it came about"},
		},
		elsewhere: "The secret or the certificate of a webhook was not valid at that time.",
	},

	envelope.ReasonSourceNotAllowed: {
		causes: []string{
			"the producer sends from a source that its key is not listed for",
			"the consumer does not list the source in Policy.Sources",
			"a trusted producer speaks for a source that is not its own",
		},
		cures: []cure{
			{platformTeam, "if the source belongs to the producer, add it to the trust policy and publish a bundle"},
			{consumerTeam, "if you want its events, add the source to Policy.Sources"},
			{producerTeam, "correct the source of the event"},
			{securityTeam, "ask the producer why it sent it, if the source belongs to another one"},
		},
		elsewhere: "A webhook is of another topic, a token of another issuer or client, a request from " +
			"another address.",
	},
	envelope.ReasonTypeNotAllowed: {
		causes: []string{
			"the producer sends a new type that its key is not listed for",
			"the consumer does not list the type in Policy.Types",
			"the rule of the queue matches more types than the consumer handles",
		},
		cures: []cure{
			{platformTeam, "if the type belongs to the producer, add it to the trust policy and publish a bundle"},
			{consumerTeam, "add the type to Policy.Types, or narrow the pattern of the rule"},
			{producerTeam, "correct the type of the event"},
		},
		elsewhere: "A token is no access token, or no id token where these are asked for.",
	},
	envelope.ReasonAccountMismatch: {
		causes: []string{
			"the producer publishes from a new AWS account",
			"a thief of the key publishes from an account of its own",
			"the message came by a way on which no AWS service names the account",
		},
		cures: []cure{
			{securityTeam, "find out whose account it is before anything is added"},
			{platformTeam, "add the account to the producer in the trust policy, if it is the producer's"},
			{consumerTeam, "state the account that the service names (Message.Account, `sealbus open --account`)"},
		},
	},
	envelope.ReasonEnvelopeMismatch: {
		causes: []string{
			"a program took the event off the bus and put it back under another source or detail-type",
			"an attacker wants a rule to match that the signed event would not match",
		},
		cures: []cure{
			{platformTeam, "put the event on the bus as it was sealed, under its own source and type"},
			{securityTeam, "find out who put it on the bus if no program re-publishes events"},
		},
	},
	envelope.ReasonAudienceMismatch: {
		causes: []string{
			"the event was sealed for another bus, and was moved here",
			"producer and consumer name the bus in two ways",
			"the event names no audience, and this consumer wants one",
		},
		cures: []cure{
			{producerTeam, "set producer.Options.Audience to the name that the consumers have"},
			{consumerTeam, "set Policy.Audience to the name that the producers seal for"},
			{securityTeam, "find out who moved it, if both names are right"},
		},
		elsewhere: "A token or a signed request is for another API. A quarantine record is of another consumer.",
	},
	envelope.ReasonForbidden: {
		causes: []string{
			"the client has not got the scope, or the user is not in the group",
			"no tenant is named for the client",
			"the client speaks for another tenant",
		},
		cures: []cure{
			{platformTeam, "give the client the scope, the user the group, or the client its tenant, if that is meant"},
			{platformTeam, "`sealbus token explain` and `sealbus tenants check` name the rule"},
			{producerTeam, "ask the issuer for the scope, and get a new token"},
		},
	},

	envelope.ReasonUndated: {
		causes: []string{
			"the producer does not sign recordedtime, and the event has no time",
			"another implementation sealed the event",
		},
		cures: []cure{
			{producerTeam, "seal with package producer or envelope.Seal, which sign recordedtime"},
			{consumerTeam, "only if a replay does no harm: Unsafe.AllowUndated, which gives freshness up"},
		},
		elsewhere: "The signature of a webhook has no time, or a token no end (exp).",
	},
	envelope.ReasonExpired: {
		causes: []string{
			"the event waited longer than the consumer's window: an outage, a long queue, a dead-letter queue",
			"an archive is replayed",
			"an attacker replays an old event",
			"the producer gave the event a short life (expirytime)",
		},
		cures: []cure{
			{consumerTeam, "reopen the events with `sealbus quarantine reopen`, under a consumer.Permission"},
			{consumerTeam, "set Policy.MaxAge to the longest time that the bus and the queues keep trying"},
			{producerTeam, "set a later expirytime, or none"},
		},
		elsewhere: "A webhook that waited is judged as of its arrival (--now). A token is renewed. For a trust " +
			"bundle, build and sign a new one.",
	},
	envelope.ReasonFromFuture: {
		causes: []string{
			"the clock of the producer is ahead",
			"the clock of the consumer is behind",
		},
		cures: []cure{
			{producerTeam, "synchronise the clock (NTP), and seal the event anew"},
			{consumerTeam, "synchronise the clock, then reopen the events from quarantine"},
		},
		elsewhere: "The same holds for webhooks, tokens and timestamps of trust.",
	},
	envelope.ReasonReplayed: {
		causes: []string{
			"EventBridge and SQS deliver at least once, so a duplicate is usual",
			"an attacker sends a genuine event again",
		},
		cures: []cure{
			{consumerTeam, "do nothing: a duplicate is acknowledged, counted and not handled"},
			{consumerTeam, "if archived events are to be handled again, replay the archive under a consumer.Permission"},
		},
		elsewhere: "A webhook that was handled is answered 200, so that the provider stops.",
	},
	envelope.ReasonIDReused: {
		causes: []string{
			"the producer gives two events of one source the same ID",
			"the producer sends a corrected event under the old ID",
			"two consumers share a replay store and a name",
		},
		cures: []cure{
			{producerTeam, "give each event an ID of its own (a UUID), also a corrected one"},
			{consumerTeam, "give each consumer a name of its own"},
		},
		elsewhere: "A webhook has the ID of one that was handled, and another body.",
	},

	envelope.ReasonNotEncrypted: {
		causes: []string{
			"the producer seals without recipients",
			"a field that the consumer wants encrypted came in the clear",
		},
		cures: []cure{
			{producerTeam, "seal with the consumer's key among the recipients (producer.Options.Encrypt)"},
			{consumerTeam, "accept clear data only if the data may be read on the bus"},
		},
	},
	envelope.ReasonNotARecipient: {
		causes: []string{
			"the producer does not encrypt to this consumer",
			"the consumer was given no key to decrypt with, or another one",
			"the producer encrypts to an old key that the consumer no longer has",
		},
		cures: []cure{
			{consumerTeam, "give the consumer its keyring or its key in KMS (envelope.NewDecrypter, `open --identity`)"},
			{producerTeam, "add the consumer to the recipients"},
			{consumerTeam, "keep old keys in the keyring for as long as events may wait, and reopen the events"},
		},
	},
	envelope.ReasonDecryptFailed: {
		causes: []string{
			"the ciphertext was moved here from another event",
			"the event was sealed anew around an old ciphertext, or by another producer",
			"the ciphertext was damaged before it was signed",
		},
		cures: []cure{
			{producerTeam, "encrypt and seal in one call: envelope.Seal or package producer"},
			{securityTeam, "treat it as an attack if the producer does that"},
		},
	},
	envelope.ReasonSchemaInvalid: {
		causes: []string{
			"the producer changed the data before the schema",
			"the consumer has an older schema",
		},
		cures: []cure{
			{producerTeam, "correct the data, or have the schema reviewed and published first"},
			{consumerTeam, "update the schemas, then reopen the events from quarantine"},
			{producerTeam, "set producer.Options.Schemas, so that such data never leaves"},
		},
		elsewhere: "The body of a webhook does not follow the schema. It is answered 400.",
	},

	envelope.ReasonInProgress: {
		causes: []string{
			"the queue delivered the event twice at once",
			"a worker died, and its claim has not expired yet",
			"the handler takes longer than the visibility timeout of the queue",
		},
		cures: []cure{
			{consumerTeam, "do nothing: the event comes again when the claim ends"},
			{consumerTeam, "make the visibility timeout longer than the handler takes: `sealbus doctor` checks it"},
		},
	},
	envelope.ReasonTrustUnavailable: {
		causes: []string{
			"the origin of the bundle does not answer, or refuses the consumer",
			"the bundle or its timestamp has expired, because no job renews it",
			"the bundle is older than one that the consumer has seen, or lacks signatures of the roots",
			"a key is unknown, and the consumer could not look for a newer bundle",
		},
		cures: []cure{
			{platformTeam, "renew the timestamp or the bundle: `sealbus trust timestamp`, `sealbus trust build`"},
			{consumerTeam, "check with `sealbus doctor --trust URL --roots FILE` from the consumer's network"},
			{consumerTeam, "allow the function to read the address or the object in S3"},
		},
		elsewhere: "The certificate of a webhook's provider, or the keys of a token's issuer, could not be fetched.",
	},
	envelope.ReasonStoreUnavailable: {
		causes: []string{
			"DynamoDB or Redis does not answer, throttles, or refuses the function",
			"the table does not exist, or has another key",
			"the store in memory is full",
			"the clocks of the store and of the consumer are far apart",
		},
		cures: []cure{
			{consumerTeam, "check the table and the permissions with `sealbus doctor --table NAME --function NAME`"},
			{platformTeam, "restore the store; no event is lost while the queue keeps it"},
		},
		elsewhere: "A receiver answers 503, and the provider sends the webhook again.",
	},
	envelope.ReasonKMSUnavailable: {
		causes: []string{
			"KMS throttles, or cannot be reached from the function's network",
			"the function may not use the key",
			"the key is disabled, or is about to be deleted",
		},
		cures: []cure{
			{platformTeam, "allow the action on the key, in its policy and by IAM; enable the key"},
			{platformTeam, "cancel the deletion of the key: events encrypted to it cannot be read without it"},
			{consumerTeam, "raise the quota, or decrypt with a local key"},
		},
	},
	envelope.ReasonHandlerFailed: {
		causes: []string{
			"the handler returned an error or panicked",
			"something that the handler calls is down",
			"the time of the function ran out",
		},
		cures: []cure{
			{consumerTeam, "see the error in the log; the event comes again until the queue's last try"},
			{consumerTeam, "return consumer.Unfit for an event that no retry can help, so that it goes to quarantine"},
		},
		elsewhere: "A receiver answers 503, and the provider sends the webhook again.",
	},
}
