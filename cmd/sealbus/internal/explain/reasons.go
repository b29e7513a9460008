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
		"equivocate", "no_timestamp", "other_bundle", "newer_roots", "lifetime", "roots", "policy",
		"wrong_passphrase", "not_authentic"}},
}

// reasons has more about each Reason.
var reasons = map[envelope.Reason]more{
	envelope.ReasonMalformed: {
		causes: []string{
			"a program between producer and consumer re-wrote the event: an input transformer, a pipe, a " +
				"proxy",
			"the message is no event of sealbus, and came through a rule or a queue that catches too much",
			"the JSON can be read in two ways: a member that stands twice, data beside data_base64, a " +
				"name that differs from a signed one only in the case of its letters",
			"an attacker made it so, for one program to read another event in it than the next one",
			"another implementation sealed the event, and its payload or its encrypted data has another form",
		},
		cures: []cure{
			{consumerTeam, "run `sealbus inspect` on the message: it names the member that is wrong"},
			{platformTeam, "take input transformers off the rule, and make its pattern match sealed " +
				"events only"},
			{producerTeam, "publish with package producer or `sealbus publish`, which write the one form"},
			{securityTeam, "if the event can be read in two ways, treat it as an attack until you know " +
				"which program wrote it so"},
		},
		elsewhere: "A webhook, a token, a quarantine record or a file of trust is malformed if it cannot " +
			"be read, or can be read in two ways. Hand on each header line and the body exactly as they " +
			"came.",
	},
	envelope.ReasonTooLarge: {
		causes: []string{
			"the event has more bytes, attributes, signatures or recipients than SPEC.md, section 1.1, " +
				"allows",
			"there are more pairs of a recipient and a key of the consumer than one event may cost to try",
			"someone sends large events to keep consumers busy",
		},
		cures: []cure{
			{producerTeam, "put large data into a store, and send its address (the extension dataref) " +
				"with its digest: the signature covers nothing that is in the store"},
			{producerTeam, "name fewer recipients, each by its key ID"},
			{consumerTeam, "give the Decrypter fewer keys, if too many of them are tried"},
			{securityTeam, "find out who put it on the bus, if no producer sends such events"},
		},
		elsewhere: "A webhook has a limit for its body and its headers, a token one of 16 KiB.",
	},
	envelope.ReasonUnsigned: {
		causes: []string{
			"the producer does not seal yet",
			"a program on the way dropped the attribute dssematerial",
			"someone else put an event without a signature on the bus: a forgery",
		},
		cures: []cure{
			{producerTeam, "publish with package producer, or with `sealbus publish`"},
			{securityTeam, "find out who put it on the bus (CloudTrail, PutEvents) if every producer seals"},
			{consumerTeam, "only while producers change over: set consumer.Options.UnsafeMigration until " +
				"a date. Until then its Handle gets forged and changed events, too"},
		},
		elsewhere: "A webhook has no signature, or one that does not cover what it must; a request has no " +
			"token. Check that the provider signs, and that no proxy drops the header. Otherwise it is a " +
			"forgery.",
	},
	envelope.ReasonUnsupported: {
		causes: []string{
			"the producer is newer than the consumer",
			"a signed extension is Binary, or another implementation signed it as a type that it does not " +
				"state",
			"an attribute is a URI that the reader would write in another way",
			"the data is encrypted in a way that this version does not take",
			"the payload of the signature is of another kind: it was moved here from another document",
		},
		cures: []cure{
			{consumerTeam, "update sealbus"},
			{consumerTeam, "declare the type of the extension in Policy.ExtensionTypes"},
			{producerTeam, "write source and dataschema in their normal form"},
			{securityTeam, "if the cause names the payload type, treat it as an attack: someone tried a " +
				"signature of another document"},
		},
		elsewhere: "A webhook or a token is signed by an algorithm that is not taken, such as the SHA-1 " +
			"of Amazon SNS.",
	},

	envelope.ReasonUnknownKey: {
		causes: []string{
			"the producer signs with a new key, and the trust bundle does not have it yet",
			"the consumer follows the bundle of another environment",
			"the platform team took the key out of the trust policy",
			"the producer lost its keyring and made another one",
			"another implementation names no key, and no key that may sign for the source and the type fits",
			"someone without a trusted key made the event",
		},
		cures: []cure{
			{platformTeam, "if the producer confirms that the key is its own, add the public key that the " +
				"producer hands over with `sealbus trust add`, then build and sign the bundle"},
			{producerTeam, "set producer.Options.Trust: a key then signs only when consumers know it"},
			{consumerTeam, "reopen the events from quarantine when the bundle has the key"},
			{securityTeam, "treat it as a forgery if no producer knows the key"},
		},
		elsewhere: "A webhook names a key or a certificate that is not trusted. A token names a key that " +
			"its issuer does not publish. Take no key that the delivery itself brings or leads to.",
	},
	envelope.ReasonBadSignature: {
		causes: []string{
			"the event is a forgery under the key ID of a producer",
			"the attribute dssematerial was changed or damaged on the way",
			"the producer signs with another key than it names: under an alias, the bundle does not have " +
				"it yet",
			"the statement for a session key is not good: it is not bound to the event, or lasts for over " +
				"an hour",
			"this consumer requires a signature by a further algorithm (RequiredAlgorithms), which is not " +
				"there",
		},
		cures: []cure{
			{securityTeam, "treat it as a forgery first: find out who put it on the bus"},
			{consumerTeam, "keep the record in quarantine: it is evidence, and no retry lets it pass"},
			{producerTeam, "if it is yours, seal the event anew, under the key that it names and by each " +
				"algorithm that the consumer requires"},
		},
		elsewhere: "A quarantine record was not written under a key of this consumer's Quarantine, or " +
			"there is none: give it the key and send the record again, or someone without the key wrote " +
			"it. The secret of a webhook is another one, the body changed by a byte (a line break, a " +
			"re-formatted JSON), or it is a forgery: `sealbus webhook verify` says what it finds.",
	},
	envelope.ReasonModified: {
		causes: []string{
			"a rule's input transformer, a pipe or an enrichment edits events",
			"a tracer adds members to the detail, beside the data of the Embedded layout",
			"a library rounds numbers, shortens times or drops signed extensions",
			"an attacker changed the data or an attribute on the way",
			"an attacker took the signature of a genuine event, and put another event around it",
		},
		cures: []cure{
			{platformTeam, "take what edits events off the way; sealbus keeps JSON through re-formatting, " +
				"not through edits"},
			{consumerTeam, "write the message to a file with `sealbus quarantine show --body ID`, run " +
				"`sealbus inspect` on it, and compare it with what the producer sent"},
			{consumerTeam, "name the members that a tracer adds in Policy.IgnoreMembers: the signature " +
				"still decides"},
			{producerTeam, "seal after the edit: the program that changes an event is its producer"},
			{securityTeam, "treat it as an attack if no program on the way edits events"},
		},
		elsewhere: "The signature of an HTTP message is genuine, and another body came.",
	},
	envelope.ReasonRevokedKey: {
		causes: []string{
			"the key was stolen or lost, and the platform team revoked it",
			"a thief of the key sealed the event",
			"the producer still signs with the revoked key, or with a session key that it vouched for",
			"the event was signed before the revocation, and a revocation covers all of a key's signatures",
		},
		cures: []cure{
			{producerTeam, "sign with the new key, and seal again those events that you can vouch for"},
			{securityTeam, "check what the key signed; until then leave these events in quarantine"},
			{platformTeam, "`sealbus trust show` says when and why the key was revoked"},
			{consumerTeam, "leave Unsafe.AcceptBeforeRevocation off: a thief writes any time into an event"},
		},
		elsewhere: "A token is signed by a key whose private half is public.",
	},
	envelope.ReasonKeyNotValid: {
		causes: []string{
			"the producer signed before the key was active, or after it was retired",
			"the key has expired since: it then counts for no event, also for one that was signed in time",
			"the clock of the producer or of the consumer is wrong",
			"a session key was used outside of its time, which is an hour at most, or for an event " +
				"without a time",
			"the event names another producer than the one whose key signed",
			"someone got hold of an old key, and signs with it",
		},
		cures: []cure{
			{platformTeam, "compare the dates of the key in `sealbus trust show` with the time in the cause"},
			{producerTeam, "set the clock, and let producer.Options.Trust or `sealbus keys rotate` choose " +
				"the key"},
			{producerTeam, "seal those events again that are yours, under the key that is active now"},
			{securityTeam, "if the event names a producer to which the key does not belong, treat it as a " +
				"forgery by the key's owner, and ask how it came about"},
			{securityTeam, "if the producer did not seal the event, treat the key as stolen, and have it " +
				"revoked"},
		},
		elsewhere: "The secret or the certificate of a webhook was not valid at that time, or the " +
			"certificate is that of another sender.",
	},

	envelope.ReasonSourceNotAllowed: {
		causes: []string{
			"the producer sends from a source that its key, or its session key, is not listed for",
			"the consumer does not list the source in Policy.Sources",
			"the source has a form that no pattern allows",
			"a trusted producer, or a thief of its key, speaks for a source that is not its own",
		},
		cures: []cure{
			{platformTeam, "if the source belongs to the producer, add it to the trust policy and publish " +
				"a bundle"},
			{consumerTeam, "if you want its events, add the source to Policy.Sources"},
			{producerTeam, "correct the source of the event"},
			{securityTeam, "ask the producer why it sent it, if the source belongs to another one"},
		},
		elsewhere: "A webhook is of another topic or account, a token of another issuer or client. A " +
			"tenant has no such source, or a gateway with tenants no such path. An event for which only " +
			"its caller may not speak goes to no quarantine: the caller is refused.",
	},
	envelope.ReasonTypeNotAllowed: {
		causes: []string{
			"the producer sends a new type that its key, or its session key, is not listed for",
			"the consumer does not list the type in Policy.Types",
			"the rule of the queue matches more types than the consumer handles",
			"a trusted producer, or a thief of its key, sends a type that is not its own",
		},
		cures: []cure{
			{platformTeam, "if the type belongs to the producer, add it to the trust policy and publish a " +
				"bundle"},
			{consumerTeam, "if you want such events, add the type to Policy.Types; else narrow the " +
				"pattern of the rule"},
			{producerTeam, "correct the type of the event"},
			{securityTeam, "ask the producer why it sent it, if the type belongs to another one"},
		},
		elsewhere: "A token is no access token, or no id token where these are asked for. A tenant has no " +
			"such type: its event goes to no quarantine, and the caller is refused.",
	},
	envelope.ReasonAccountMismatch: {
		causes: []string{
			"the producer publishes from a new AWS account",
			"a thief of the key publishes from an account of its own",
			"the message came by a way on which no AWS service names the account",
			"a wrapper hides the account, and consumer.Options.Wrapper does not name it",
		},
		cures: []cure{
			{securityTeam, "find out whose account it is before anything is added"},
			{platformTeam, "add the account to the producer in the trust policy, if it is the producer's"},
			{consumerTeam, "state the account that the service names (Message.Account, `sealbus open " +
				"--account`), and never one that the message claims"},
			{consumerTeam, "name the wrapper, if only AWS can write such messages to the queue"},
			{consumerTeam, "where no service names the account: Unsafe.IgnoreAccount, under which a " +
				"stolen key works from every account"},
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
			"the event was sealed for another bus, and someone moved it here: a rule, a program, an attacker",
			"producer and consumer name the bus in two ways",
			"the event names no audience, and this consumer wants one",
		},
		cures: []cure{
			{producerTeam, "set producer.Options.Audience to the name that the consumers have"},
			{consumerTeam, "set Policy.Audience to the name that the producers seal for, if it is that of " +
				"this bus"},
			{securityTeam, "find out who moved it, if both names are right"},
		},
		elsewhere: "A token or a signed request is for another API. A quarantine record is of another " +
			"consumer: send it to that one's queue. Or it names another quarantine than the one of its key.",
	},
	envelope.ReasonForbidden: {
		causes: []string{
			"the client has not got the scope, or the user is not in the group",
			"no tenant is named for the client, or the token is of another issuer than the tenants",
			"the route is not among those of the authorizer",
			"someone tries more than the token allows",
		},
		cures: []cure{
			{platformTeam, "give the client the scope, the user the group, or the client its tenant, if " +
				"that is meant"},
			{platformTeam, "`sealbus token explain` and `sealbus tenants check` name the rule"},
			{producerTeam, "ask the issuer for the scope, and get a new token"},
			{securityTeam, "find out who calls, if the client does not know of the call"},
		},
		elsewhere: "It is said of a caller, and of no event. The caller is answered 403, and nothing goes " +
			"to quarantine.",
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
		elsewhere: "The signature of an HTTP message has no time (created), or a token no end (exp).",
	},
	envelope.ReasonExpired: {
		causes: []string{
			"the event waited longer than the consumer's window: an outage, a long queue, a dead-letter " +
				"queue",
			"an archive is replayed",
			"an attacker replays an old event",
			"the producer gave the event a short life (expirytime)",
		},
		cures: []cure{
			{consumerTeam, "make sure that the event was not handled when it was fresh; then reopen it " +
				"with `sealbus quarantine reopen`, under a consumer.Permission"},
			{consumerTeam, "set Policy.MaxAge to the longest time that the bus and the queues keep " +
				"trying; a wider window admits again what was handled and is forgotten"},
			{producerTeam, "set a later expirytime, or none, and seal the event anew: no Permission helps " +
				"one that is past it"},
			{securityTeam, "find out who sent it, if no outage and no replay of yours explains it"},
		},
		elsewhere: "A webhook that waited is judged as of its arrival (--now), as your own log has it: it " +
			"may be a replay. A token is renewed. For a trust bundle, build and sign a new one.",
	},
	envelope.ReasonFromFuture: {
		causes: []string{
			"the clock of the producer is ahead",
			"the clock of the consumer is behind",
			"a thief of the key dates an event ahead, so that it is fresh for longer",
		},
		cures: []cure{
			{producerTeam, "synchronise the clock (NTP), and seal the event anew"},
			{consumerTeam, "synchronise the clock, then reopen the events from quarantine"},
			{securityTeam, "treat the key as stolen, if both clocks are right"},
		},
		elsewhere: "The same holds for webhooks, tokens and timestamps of trust.",
	},
	envelope.ReasonReplayed: {
		causes: []string{
			"EventBridge and SQS deliver at least once, so a duplicate is usual",
			"an attacker sends a genuine event again",
			"two consumers share a replay store and a name: only one of them gets each event",
			"the producer gave two events one ID, and they differ in nothing but encrypted data",
		},
		cures: []cure{
			{consumerTeam, "do nothing: a duplicate is acknowledged, counted and not handled"},
			{consumerTeam, "if archived events are to be handled again, replay the archive under a " +
				"consumer.Permission"},
			{consumerTeam, "give each consumer a name of its own; under a new name it does not know what " +
				"it handled"},
			{producerTeam, "give each event an ID of its own (a UUID)"},
		},
		elsewhere: "A webhook that was handled is answered 200, so that the provider stops.",
	},
	envelope.ReasonIDReused: {
		causes: []string{
			"the producer gives two events of one source the same ID",
			"the producer sends a corrected event under the old ID",
			"test and production have a producer and a consumer of one name, and share a replay store",
			"someone else has the key of the producer, and seals another event under the ID",
		},
		cures: []cure{
			{producerTeam, "give each event an ID of its own (a UUID), also a corrected one"},
			{consumerTeam, "give test and production a store each"},
			{securityTeam, "treat the key as stolen, if the producer did not seal both events"},
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
			{securityTeam, "take the data for known to all who read the bus, its archives and its queues"},
			{consumerTeam, "accept clear data (Policy.RequireEncrypted) only if the data may be read on " +
				"the bus"},
		},
	},
	envelope.ReasonNotARecipient: {
		causes: []string{
			"the producer does not encrypt to this consumer",
			"the consumer was given no key to decrypt with, or another one",
			"the producer encrypts to an old key that the consumer no longer has",
			"the trust bundle says that the key of this consumer is revoked or expired",
		},
		cures: []cure{
			{consumerTeam, "give the consumer its keyring or its key in KMS (envelope.NewDecrypter, `open " +
				"--identity`)"},
			{producerTeam, "add the consumer to the recipients"},
			{consumerTeam, "keep old keys in the keyring for as long as events may wait, and reopen the " +
				"events"},
			{platformTeam, "add the new key of the consumer to the bundle, if the old one is revoked or " +
				"expired, and have the producer seal the event anew"},
		},
	},
	envelope.ReasonDecryptFailed: {
		causes: []string{
			"the ciphertext was moved here from another event",
			"the event was sealed anew around an old ciphertext, or by another producer",
			"the ciphertext was damaged before it was signed",
			"the consumer's entry was made under another key than it names, or in KMS for another source",
			"another library encrypted the data, and bound it neither to its key nor to the event",
		},
		cures: []cure{
			{producerTeam, "encrypt and seal in one call: envelope.Seal or package producer"},
			{securityTeam, "treat it as an attack if the producer does that"},
			{consumerTeam, "leave Unsafe.AllowUncommitted off, unless you trust every author of such data"},
		},
	},
	envelope.ReasonSchemaInvalid: {
		causes: []string{
			"the producer changed the data before the schema",
			"the consumer has an older schema, or none for the type or the dataschema",
			"the data does not fit the Go type of consumer.Typed",
			"the handler returned consumer.Unfit",
		},
		cures: []cure{
			{producerTeam, "correct the data, or have the schema reviewed and published first"},
			{consumerTeam, "update the schemas or the Go type, then reopen the events from quarantine"},
			{producerTeam, "set producer.Options.Schemas, so that such data never leaves"},
		},
		elsewhere: "The body of a webhook does not follow the schema. It is answered 400.",
	},

	envelope.ReasonInProgress: {
		causes: []string{
			"the queue delivered the event twice at once, or twice in one batch",
			"a worker died, and its claim has not expired yet",
			"the handler takes longer than the visibility timeout of the queue",
			"another worker took the event over while the handler ran",
			"the clock jumps, or a Permission ended while the event was judged",
		},
		cures: []cure{
			{consumerTeam, "do nothing: the event comes again when the claim ends"},
			{consumerTeam, "make the visibility timeout longer than the handler takes: `sealbus doctor` " +
				"checks it"},
			{consumerTeam, "bind the effect to the IdempotencyKey: the handler may be called again"},
		},
	},
	envelope.ReasonTrustUnavailable: {
		causes: []string{
			"the origin of the bundle does not answer, or refuses the consumer",
			"the bundle or its timestamp has expired, because no job renews it",
			"the bundle is older than one that the consumer has seen, or lacks signatures of the roots",
			"an attacker keeps a newer bundle from the consumer, or serves another one",
			"a newer bundle may accept the event, and the consumer could not look for one",
			"envelope.Open got a Policy that it does not take",
		},
		cures: []cure{
			{platformTeam, "renew the timestamp or the bundle: `sealbus trust timestamp`, `sealbus trust " +
				"build`"},
			{consumerTeam, "check with `sealbus doctor --trust URL --roots FILE` from the consumer's " +
				"network"},
			{consumerTeam, "allow the function to read the address or the object in S3"},
			{securityTeam, "if an old bundle came, or one that the roots did not sign, find out who can " +
				"write the origin; pin no other roots for it to pass"},
		},
		elsewhere: "The certificate of a webhook's provider, or the keys of a token's issuer, could not " +
			"be fetched.",
	},
	envelope.ReasonStoreUnavailable: {
		causes: []string{
			"DynamoDB or Redis does not answer, throttles, or refuses the function",
			"the table does not exist, has another key, or holds something else than claims",
			"the store in memory is full",
			"the clocks of the store and of the consumer are far apart, or one was set back",
			"the event was handled, and the store did not take that down",
		},
		cures: []cure{
			{consumerTeam, "check the table and the permissions with `sealbus doctor --table NAME " +
				"--function NAME`"},
			{consumerTeam, "bind the effect to the IdempotencyKey: the handler may be called again"},
			{platformTeam, "bring the store back with its claims; no event is lost while the queue keeps it"},
			{platformTeam, "do not empty the store or put a backup in its place: events that it forgot " +
				"are handled again"},
		},
		elsewhere: "A receiver answers 503, and the provider sends the webhook again.",
	},
	envelope.ReasonKMSUnavailable: {
		causes: []string{
			"KMS throttles, or cannot be reached from the function's network",
			"the function may not use the key",
			"the key is disabled, is about to be deleted, or was deleted",
			"KMS answered with another key than the event commits to: the endpoint is not that of KMS, or " +
				"the event was signed with a wrong entry",
		},
		cures: []cure{
			{platformTeam, "allow the action on the key, in its policy and by IAM; enable the key"},
			{platformTeam, "cancel the deletion of the key: events encrypted to it cannot be read without " +
				"it"},
			{consumerTeam, "raise the quota, or have producers encrypt to a local key, too"},
			{securityTeam, "find out what answers at the endpoint, if the answers are wrong"},
		},
	},
	envelope.ReasonHandlerFailed: {
		causes: []string{
			"the handler, or the Handle of an UnsafeMigration, returned an error or panicked",
			"something that the handler calls is down",
			"the time of the function ran out",
			"a schema could not be asked, or a caller could not be judged",
		},
		cures: []cure{
			{consumerTeam, "see the error in the log; the event comes again until the queue's last try"},
			{consumerTeam, "return consumer.Unfit for an event that no retry can help, so that it goes to " +
				"quarantine"},
		},
		elsewhere: "A receiver answers 503, and the provider sends the webhook again.",
	},
}
