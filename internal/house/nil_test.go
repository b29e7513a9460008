package house

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	holdsqs "github.com/sealbus/sealbus/consumer/awslambda/sqs"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/awssecrets"
	"github.com/sealbus/sealbus/keys/awsssm"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/tinkkeys/tinkawskms"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
	"github.com/sealbus/sealbus/observe/emf"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
	"github.com/sealbus/sealbus/schema"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
	hooklambda "github.com/sealbus/sealbus/webhook/awslambda"
	"github.com/sealbus/sealbus/webhook/entry"
	"github.com/sealbus/sealbus/webhook/gateway"
	"github.com/sealbus/sealbus/webhook/httpsig"
	"github.com/sealbus/sealbus/webhook/ingest"
	"github.com/sealbus/sealbus/webhook/jwt"
	"github.com/sealbus/sealbus/webhook/sender"
	sendredis "github.com/sealbus/sealbus/webhook/sender/redis"
	"github.com/sealbus/sealbus/webhook/tenants"
	"github.com/sealbus/sealbus/webhook/throttle"
	limitredis "github.com/sealbus/sealbus/webhook/throttle/redis"
)

// Nil pointers in interfaces: no comparison with nil finds them.
var (
	nilTrust      trust.Source         = (*struct{ trust.Source })(nil)
	nilStore      replay.Store         = (*struct{ replay.Store })(nil)
	nilSigner     keys.Signer          = (*struct{ keys.Signer })(nil)
	nilRoot       trust.RootSigner     = (*trust.RootKey)(nil)
	nilOrigin     trust.Origin         = (*struct{ trust.Origin })(nil)
	nilIdentity   keys.Identity        = (*struct{ keys.Identity })(nil)
	nilRing       keys.SignerSource    = (*keys.Keyring)(nil)
	nilBus        producer.Bus         = (*producer.LocalBus)(nil)
	nilObserver   consumer.Observer    = (*emf.Observer)(nil)
	nilSchemas    envelope.Validator   = (*schema.Set)(nil)
	nilFiles      fs.FS                = (*struct{ fs.FS })(nil)
	nilQuarantine consumer.Quarantine  = (*struct{ consumer.Quarantine })(nil)
	nilHolder     awslambda.Holder     = (*holdsqs.Holder)(nil)
	nilTransport  http.RoundTripper    = (*http.Transport)(nil)
	nilScheme     webhook.Scheme       = (*struct{ webhook.Scheme })(nil)
	nilKEK        tink.AEADWithContext = (*struct{ tink.AEADWithContext })(nil)
	nilDeliveries sender.BackEnd       = (*struct{ sender.BackEnd })(nil)
	nilEndpoints  sender.Endpoints     = (*struct{ sender.Endpoints })(nil)
	nilSigning    sender.Signing       = (*struct{ sender.Signing })(nil)
	nilAttempts   sender.Observer      = (*struct{ sender.Observer })(nil)
	nilCaller     consumer.Caller      = (*struct{ consumer.Caller })(nil)
	nilLimiter    throttle.Limiter     = (*struct{ throttle.Limiter })(nil)
	nilService    *awskms.Recipient    = nil
	nilLogger                          = slog.New((*slog.JSONHandler)(nil))
	nilPrivate    crypto.Signer        = (*struct{ crypto.Signer })(nil)
)

// The other arguments are valid.
var (
	ctx       = context.Background()
	binKeys   = must(consumer.NewQuarantineKeys("bin", []byte("0123456789abcdef0123456789abcdef")))
	someKey   = must(keys.GenerateSigner(keys.Ed25519, "orders"))
	someTrust = must(trust.NewBundle(trust.BundleOptions{}))
	someRoots = must(trust.NewRoots(1, 1, must(trust.GenerateRootKey(keys.Ed25519)).Verifier()))
	someStore = replay.NewMemory(nil)
	anySource = &envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true}}
	someOwner = tinkkeys.Producer("orders")
	queueURL  = "https://sqs.eu-west-1.amazonaws.com/111122223333/q"
	keyARN    = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

var (
	someVerifier = must(webhook.New(must(webhook.Provider("github")), "e", []webhook.Secret{{Text: "x"}},
		nil))
	someRequest  = must(http.NewRequest(http.MethodPost, "https://hooks.example/", nil))
	someResponse = &http.Response{StatusCode: http.StatusOK, Request: someRequest}
	someNext     = func(context.Context, *webhook.Verified) error { return nil }
)

var (
	someEndpoints = must(sender.NewEndpoints())
	someLocalKey  = must(sender.NewLocalKey("a", []byte("0123456789abcdef0123456789abcdef")))
)

func newSender(o sender.Options) error {
	return errOf(sender.New(sender.NewMemory(nil), someEndpoints, &o))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// errOf drops the value beside an error, which must not be there.
func errOf[T any](_ T, err error) error { return err }

func someEvent() event.Event {
	ev := event.New()
	ev.SetID("1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order")
	return ev
}

func newConsumer(change func(*consumer.Options)) error {
	opts := &consumer.Options{}
	change(opts)
	return errOf(consumer.New("billing", someTrust, someStore, anySource, opts))
}

func sealed() []byte { return must(envelope.Seal(ctx, someEvent(), someKey, nil)).JSON() }

// refused is one argument that is a nil pointer, or holds one, and what the error must say of it.
type refused struct {
	with func() error
	says string
}

func openScheme(s webhook.Scheme) error { return errOf(webhook.New(s, "in", nil, nil)) }

// nilArguments are all arguments of exported functions into which a nil pointer fits unseen.
var nilArguments = map[string]refused{
	"webhook.New scheme": {func() error { return openScheme(nilScheme) }, "no scheme"},
	"webhook.Describe s": {func() error {
		if webhook.Describe(nilScheme) != (webhook.Description{}) {
			return nil
		}
		return errors.New("no description")
	}, "no description"},
	"webhook/httpsig.Sign signer": {func() error {
		return httpsig.Sign(ctx, someRequest, nil, nilSigner, nil, time.Now())
	}, "no signer"},
	"webhook/httpsig.SignResponse signer": {func() error {
		return httpsig.SignResponse(ctx, someResponse, nil, nilSigner, nil, time.Now())
	}, "no signer"},
	"webhook/httpsig.SignResponse resp.Body": {func() error { // is not used
		resp := *someResponse
		resp.Body = (*os.File)(nil)
		return httpsig.SignResponse(ctx, &resp, nil, nilSigner, nil, time.Now())
	}, "no signer"},
	"webhook/authn.FetchKeys opts.Client": {func() error {
		return errOf(authn.FetchKeys("https://issuer.example/jwks.json",
			&authn.KeyOptions{Client: &http.Client{Transport: (*http.Transport)(nil)}}))
	}, "the Transport of Options.Client is a nil *http.Transport"},
	"webhook/authn.Guard next": {func() error {
		return errOf(authn.Guard(new(authn.Verifier), &authn.Need{}, (*http.ServeMux)(nil)))
	}, "the handler is a nil *http.ServeMux"},
	"webhook/authn/clientcredentials.New opts.Client": {func() error {
		return errOf(clientcredentials.New("https://issuer.example/token", "c", "s",
			&clientcredentials.Options{Client: &http.Client{Transport: (*http.Transport)(nil)}}))
	}, "the Transport of Options.Client is a nil *http.Transport"},
	"webhook.WithCaller c": {func() error {
		return webhook.CallerOf(webhook.WithCaller(ctx, nilCaller)).Check("urn:a:b", "a")
	}, "the caller is a nil *struct"},
	"webhook/entry.New next": {func() error {
		return errOf(entry.New((*webhook.Receiver)(nil), nil))
	}, "the receiver is a nil *webhook.Receiver"},
	"webhook/entry.New opts.Limiter": {func() error {
		return errOf(entry.New(new(webhook.Receiver), &entry.Options{Tokens: new(authn.Verifier),
			Tenants: new(tenants.Tenants), Limiter: nilLimiter}))
	}, "Limiter is a nil *struct"},
	"webhook/gateway.New opts.Limiter": {func() error {
		return errOf(gateway.New(ctx, nil, keys.SignWith(someKey), producer.NewLocalBus(nil), someStore,
			&gateway.Options{Limiter: nilLimiter}))
	}, "Limiter is a nil *struct"},
	"webhook/jwt.GooglePubSub opts.Transport": {func() error {
		return openScheme(jwt.GooglePubSub("a", "e", &jwt.Options{Transport: nilTransport}))
	}, "Options.Transport is a nil *http.Transport"},
	"webhook/jwt.Plaid opts.Transport": {func() error {
		return openScheme(jwt.Plaid("a", "s", &jwt.Options{Transport: nilTransport}))
	}, "Options.Transport is a nil *http.Transport"},
	"consumer.New trust": {func() error {
		return errOf(consumer.New("billing", nilTrust, someStore, anySource, nil))
	}, "the trust is a nil *"},
	"consumer.New store": {func() error {
		return errOf(consumer.New("billing", someTrust, nilStore, anySource, nil))
	}, "the replay store is a nil *"},
	"consumer.New opts.Quarantine": {func() error {
		return newConsumer(func(o *consumer.Options) { o.Quarantine = nilQuarantine })
	}, "Options.Quarantine is a nil *"},
	"consumer.New opts.Schemas": {func() error {
		return newConsumer(func(o *consumer.Options) { o.Schemas = nilSchemas })
	}, "Options.Schemas is a nil *schema.Set"},
	"webhook.Validated schemas": {func() error {
		return errOf(webhook.Validated(nilSchemas, someNext))
	}, "the schemas is a nil *schema.Set"},
	"schema.ReadSet fsys": {func() error {
		return errOf(schema.ReadSet(nilFiles, "set.json"))
	}, "the file system is a nil *"},
	"consumer.New opts.Observer": {func() error {
		return newConsumer(func(o *consumer.Options) { o.Observer = nilObserver })
	}, "Options.Observer is a nil *emf.Observer"},
	"consumer.New opts.Logger": {func() error {
		return newConsumer(func(o *consumer.Options) { o.Logger = nilLogger })
	}, "the handler of Options.Logger is a nil *slog.JSONHandler"},
	"consumer.Observers all[]": {func() error {
		return newConsumer(func(o *consumer.Options) {
			o.Observer = consumer.Observers(nil,
				consumer.Observers(nilObserver))
		})
	}, "number 1 of Observers: number 1 of Observers is a nil *emf.Observer"},
	"consumer.NewReadiness trust": {func() error {
		return newConsumer(func(o *consumer.Options) { o.Observer = consumer.Observers(consumer.NewReadiness(nilTrust)) })
	}, "the trust of the Readiness is nil"},
	"consumer/replay.UnsafeFailOpen store": {func() error {
		return errOf(consumer.New("billing", someTrust, replay.UnsafeFailOpen(nilStore, nil), anySource, nil))
	}, "the store of UnsafeFailOpen is a nil *"},
	"consumer/replay.UnsafeFailOpen logger": {func() error {
		return errOf(consumer.New("billing", someTrust, replay.UnsafeFailOpen(someStore, nilLogger),
			anySource, nil))
	}, "the logger of UnsafeFailOpen is a nil *slog.JSONHandler"},
	"consumer/awslambda.SQS opts.Logger": {func() error {
		c := must(consumer.New("billing", someTrust, someStore, anySource, nil))
		return errOf(awslambda.SQS(c, someHandler, &awslambda.Options{Logger: nilLogger})(ctx,
			json.RawMessage(`{"Records":[]}`)))
	}, "Options.Logger is a nil *slog.JSONHandler"},
	"consumer/awslambda.EventBridge opts.Logger": {func() error {
		c := must(consumer.New("billing", someTrust, someStore, anySource, nil))
		return errOf(awslambda.EventBridge(c, someHandler, &awslambda.Options{Logger: nilLogger})(ctx,
			json.RawMessage(`{}`)))
	}, "Options.Logger is a nil *slog.JSONHandler"},
	"consumer/awslambda.SQS opts.Hold": {func() error {
		c := must(consumer.New("billing", someTrust, someStore, anySource, nil))
		return errOf(awslambda.SQS(c, someHandler, &awslambda.Options{Hold: nilHolder})(ctx,
			json.RawMessage(`{"Records":[]}`)))
	}, "Options.Hold is a nil *"},
	"consumer/awslambda.EventBridge opts.Hold": {func() error {
		c := must(consumer.New("billing", someTrust, someStore, anySource, nil))
		return errOf(awslambda.EventBridge(c, someHandler, &awslambda.Options{Hold: nilHolder})(ctx,
			json.RawMessage(`{}`)))
	}, "Options.Hold is a nil *"},
	"consumer/awslambda/sqs.New client": {func() error {
		return errOf(holdsqs.New((*struct{ holdsqs.Client })(nil), queueURL))
	}, "the client is a nil *"},
	"consumer/quarantine/s3.New client": {func() error {
		return errOf(s3.New((*struct{ s3.Client })(nil), "b", binKeys, nil))
	}, "the client is a nil *"},
	"consumer/quarantine/sqs.New client": {func() error {
		return errOf(sqs.New((*struct{ sqs.Client })(nil), queueURL, binKeys, nil))
	}, "the client is a nil *"},
	"consumer/quarantine/sqs.Reopen client": {func() error {
		return sqs.Reopen(ctx, (*struct{ sqs.Sender })(nil), queueURL,
			quarantine.Entry{Record: &consumer.Record{}})
	}, "the client is a nil *"},
	"consumer/replay/dynamodb.New client": {func() error {
		return errOf(dynamodb.New((*struct{ dynamodb.Client })(nil), "t", nil))
	}, "the DynamoDB client is a nil *"},
	"consumer/replay/redis.New client": {func() error {
		return errOf(redis.New((*struct{ redis.Client[redis.Reply] })(nil), nil))
	}, "the Redis client is a nil *"},

	"webhook.Events opts.Logger": {func() error {
		c := must(consumer.New("billing", someTrust, someStore, anySource, nil))
		return errOf(webhook.Events(c, someHandler, &webhook.EventOptions{Logger: nilLogger}))
	}, "the handler of Logger is a nil *slog.JSONHandler"},
	"webhook.AskPermission client": {func() error {
		c := &http.Client{Transport: (*http.Transport)(nil)}
		return errOf(webhook.AskPermission(ctx, c, "https://hooks.example/", "orders.example", 0))
	}, "the Transport of the client is a nil *http.Transport"},
	"webhook.NewReceiver store": {func() error {
		return errOf(webhook.NewReceiver(someVerifier, nilStore, someNext, nil))
	}, "the replay store is a nil *"},
	"webhook.NewReceiver opts.Logger": {func() error {
		return errOf(webhook.NewReceiver(someVerifier, someStore, someNext,
			&webhook.ReceiverOptions{Logger: nilLogger}))
	}, "the handler of Logger is a nil *slog.JSONHandler"},
	"webhook.Handler store": {func() error {
		return errOf(webhook.Handler(someVerifier, nilStore, someNext, nil))
	}, "the replay store is a nil *"},
	"webhook.Handler opts.Logger": {func() error {
		return errOf(webhook.Handler(someVerifier, someStore, someNext,
			&webhook.ReceiverOptions{Logger: nilLogger}))
	}, "the handler of Logger is a nil *slog.JSONHandler"},
	"webhook/awslambda.Handler r": {func() error {
		return errOf(hooklambda.Handler((*webhook.Receiver)(nil), hooklambda.ALB)(ctx, nil))
	}, "the receiver is a nil *webhook.Receiver"},
	"webhook/gateway.New ring": {func() error {
		return errOf(gateway.New(ctx, nil, nilRing, producer.NewLocalBus(nil), someStore, nil))
	}, "the keys to sign with is a nil *keys.Keyring"},
	"webhook/gateway.New bus": {func() error {
		return errOf(gateway.New(ctx, nil, keys.SignWith(someKey), nilBus, someStore, nil))
	}, "the bus is a nil *producer.LocalBus"},
	"webhook/gateway.New store": {func() error {
		return errOf(gateway.New(ctx, nil, keys.SignWith(someKey), producer.NewLocalBus(nil), nilStore, nil))
	}, "the replay store is a nil *"},
	"webhook/gateway.New opts.Pending": {func() error {
		return errOf(gateway.New(ctx, nil, keys.SignWith(someKey), producer.NewLocalBus(nil), someStore,
			&gateway.Options{Pending: nilDeliveries}))
	}, "Pending is a nil *"},
	"webhook/gateway.New opts.Logger": {func() error {
		return errOf(gateway.New(ctx, nil, keys.SignWith(someKey), producer.NewLocalBus(nil), someStore,
			&gateway.Options{Logger: nilLogger}))
	}, "the handler of Logger is a nil *slog.JSONHandler"},
	"webhook/sender.New store": {func() error {
		return errOf(sender.New(nilDeliveries, someEndpoints, nil))
	}, "the store is a nil *"},
	"webhook/sender/redis.New client": {func() error {
		return errOf(sendredis.New((*struct{ redis.Client[redis.Reply] })(nil), nil))
	}, "the Redis client is a nil *"},
	"webhook/throttle/redis.New client": {func() error {
		return errOf(limitredis.New((*struct{ redis.Client[redis.Reply] })(nil), nil))
	}, "the Redis client is a nil *"},
	"webhook/sender.New endpoints": {func() error {
		return errOf(sender.New(sender.NewMemory(nil), nilEndpoints, nil))
	}, "the endpoints is a nil *"},
	"webhook/sender.New opts.Observer": {func() error {
		return newSender(sender.Options{Observer: nilAttempts})
	}, "Options.Observer is a nil *"},
	"webhook/sender.New opts.Logger": {func() error {
		return newSender(sender.Options{Logger: nilLogger})
	}, "Options.Logger is a nil *"},
	"webhook/sender.New opts.UnsafeTransport": {func() error {
		return newSender(sender.Options{UnsafeTransport: nilTransport})
	}, "Options.UnsafeTransport is a nil *"},
	"webhook/sender.NewEndpoints list[].Signing": {func() error {
		return errOf(sender.NewEndpoints(sender.Endpoint{ID: "a", URL: "https://a.example/", Signing: nilSigning}))
	}, "the Signing is a nil *"},
	"webhook/sender.StandardWebhooks signers[]": {func() error {
		return errOf(sender.StandardWebhooks(nil, nilSigner))
	}, "signers[0] is a nil *"},
	"webhook/sender.HTTPSignature signer": {func() error {
		return errOf(sender.HTTPSignature(nilSigner, nil))
	}, "the signer is a nil *"},
	"webhook/sender.SealSecret to": {func() error {
		return errOf(sender.SealSecret(ctx, nilService, "a", webhook.Secret{Text: "x"}))
	}, "the key is a nil *"},
	"webhook/sender.OpenSecret with": {func() error {
		return errOf(sender.OpenSecret(ctx, (*awskms.Identity)(nil), "a", nil))
	}, "the key is a nil *"},
	"webhook/sender.EncryptBodies store": {func() error {
		return errOf(sender.EncryptBodies(nilDeliveries, someLocalKey))
	}, "the store is a nil *"},
	"webhook/ingest.New ring": {func() error {
		return errOf(ingest.New(nilRing, producer.NewLocalBus(nil), "https://hooks.example/x", nil))
	}, "the keys to sign with is a nil *"},
	"webhook/ingest.New bus": {func() error {
		return errOf(ingest.New(keys.SignWith(someKey), nilBus, "https://hooks.example/x", nil))
	}, "the bus is a nil *"},

	"envelope.Open trust": {func() error {
		return errOf(envelope.Open(ctx, sealed(), nilTrust, anySource))
	}, "trust_unavailable: the trust is a nil *"},
	"envelope.OpenHTTP trust": {func() error {
		return errOf(envelope.OpenHTTP(ctx, nil, nil, nilTrust, anySource))
	}, "the trust is a nil *"},
	"envelope.NewOpener trust": {func() error {
		return errOf(envelope.NewOpener(nilTrust, anySource))
	}, "envelope: the trust is a nil *"},
	"envelope.Seal signer": {func() error {
		return errOf(envelope.Seal(ctx, someEvent(), nilSigner, nil))
	}, "the signer is a nil *"},
	"envelope.Seal opts.CoSigners[]": {func() error {
		return errOf(envelope.Seal(ctx, someEvent(), someKey,
			&envelope.SealOptions{CoSigners: []keys.Signer{nilSigner}}))
	}, "CoSigners[0] is a nil *"},
	"envelope.Seal ev.Context": {func() error {
		return errOf(envelope.Seal(ctx, event.Event{Context: (*event.EventContextV1)(nil)}, someKey, nil))
	}, "specversion"},
	"envelope.NewEncrypter to.Recipients[]": {func() error {
		return errOf(envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{nil}}))
	}, "Recipients[0] is a nil *keys.Recipient"},
	"envelope.NewEncrypter to.Services[]": {func() error {
		return errOf(envelope.NewEncrypter(envelope.EncryptTo{Services: []keys.ServiceRecipient{(*awskms.Recipient)(nil)}}))
	}, "Services[0] is a nil *awskms.Recipient"},
	"envelope.NewEncrypter to.Trust": {func() error {
		return errOf(envelope.NewEncrypter(envelope.EncryptTo{Consumers: []string{"billing"},
			Trust: nilTrust}))
	}, "Trust is a nil *"},
	"envelope.NewDecrypter with.Identities": {func() error {
		return errOf(envelope.NewDecrypter(envelope.DecryptWith{Identities: (*keys.Keyring)(nil)}))
	}, "Identities is a nil *keys.Keyring"},
	"envelope.NewDecrypter with.Services[]": {func() error {
		return errOf(envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{(*awskms.Identity)(nil)}}))
	}, "Services[0] is a nil *awskms.Identity"},

	"keys.OpenWith identities[]": {func() error {
		return errOf(envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(nilIdentity)}))
	}, "identities[0] is a nil *"},
	"keys.SignWith signers[]": {func() error {
		return errOf(producer.New(keys.SignWith(someKey, nilSigner), producer.NewLocalBus(nil), nil))
	}, "signers[1] is a nil *"},
	"keys/trust.AddSignature root": {func() error {
		return errOf(trust.AddSignature(ctx, must(trust.SignRoots(ctx, someRoots,
			must(trust.GenerateRootKey(keys.Ed25519)))), nilRoot))
	}, "the root key is a nil *trust.RootKey"},
	"keys/session.Delegate root": {func() error {
		return errOf(session.Delegate(ctx, nilSigner, session.Scope{Sources: []string{"https://a.example/*"},
			Types: []string{"*"}}, time.Hour, nil))
	}, "is a nil *"},
	"keys/trust.FetchFrom origin": {func() error {
		return errOf(trust.FetchFrom(ctx, nilOrigin, someRoots, nil))
	}, "the origin is a nil *"},
	"keys/trust.FetchSigned origin": {func() error {
		return errOf(trust.FetchSigned(ctx, nilOrigin))
	}, "the origin is a nil *"},
	"keys.CreateKeyring opts.Key": {func() error {
		return errOf(keys.CreateKeyring("", "p", "orders",
			&keys.KeyringOptions{Key: (*keys.LocalSigner)(nil)}))
	}, "no key"},
	"keys.CreateConsumerKeyring opts.Key": {func() error {
		return errOf(keys.CreateConsumerKeyring("", "p", "billing",
			&keys.KeyringOptions{Key: (*keys.LocalIdentity)(nil)}))
	}, "no key"},
	"keys.NewLocalSigner private": {func() error {
		return errOf(keys.NewLocalSigner(nilPrivate, "orders"))
	}, "the private key is a nil *"},
	"keys/trust.NewRootKey private": {func() error {
		return errOf(trust.NewRootKey(nilPrivate))
	}, "the private key is a nil *"},
	"keys.NewVerifier public": {func() error {
		return errOf(keys.NewVerifier((*struct{ crypto.PublicKey })(nil)))
	}, "is not supported"},
	"keys/trust.SignBundle roots[]": {func() error {
		return errOf(trust.SignBundle(ctx, publishable(), nilRoot))
	}, "roots[0] is a nil *trust.RootKey"},
	"keys/trust.SignRoots roots[]": {func() error {
		return errOf(trust.SignRoots(ctx, someRoots, nilRoot))
	}, "roots[0] is a nil *trust.RootKey"},
	"keys/trust.FetchBundle opts.Client": {func() error {
		c := &http.Client{Transport: (*http.Transport)(nil)}
		return errOf(trust.FetchBundle(ctx, "https://trust.example/b", someRoots,
			&trust.Options{Client: c}))
	}, "the Transport of Options.Client is a nil *http.Transport"},
	"keys/trust.HTTPSOrigin opts.Client": {func() error {
		return errOf(trust.HTTPSOrigin("https://trust.example/b",
			&trust.Options{Client: &http.Client{Jar: (*struct{ http.CookieJar })(nil)}}))
	}, "the Jar of Options.Client is a nil *"},
	"keys/trust.FetchFrom opts.Client": {func() error {
		return errOf(trust.FetchFrom(ctx, must(trust.HTTPSOrigin("https://trust.example/b", nil)), someRoots,
			&trust.Options{Client: &http.Client{}}))
	}, "Client"}, // none is taken
	"keys/trust.WatchFile opts.Client": {func() error {
		return errOf(trust.WatchFile("b", someRoots, &trust.Options{Client: &http.Client{}}))
	}, "Client"}, // none is taken
	"keys/trust.SignTimestamp key": {func() error {
		return errOf(trust.SignTimestamp(ctx, &trust.Timestamp{}, nilRoot))
	}, "the timestamp key is a nil *trust.RootKey"},
	"keys/trust.OpenBundle opts.Client": {func() error {
		return errOf(trust.OpenBundle([]byte("{}"), someRoots, &trust.Options{Client: &http.Client{}}))
	}, "Client"}, // none is taken
	"keys/trust/awss3.FetchBundle opts.Client": {func() error {
		return errOf(awss3.FetchBundle(ctx, &struct{ awss3.Client }{}, "b", "k", someRoots,
			&trust.Options{Client: &http.Client{}}))
	}, "Client"}, // none is taken
	"keys/trust.NewBundle list[]": {func() error {
		return errOf(trust.NewBundle(trust.BundleOptions{}, nil))
	}, "without a Verifier or a Recipient"},
	"keys/trust.NewRoots list[]": {func() error { return errOf(trust.NewRoots(1, 1, nil)) },
		"a key is missing"},
	"keys/awskms.NewAgreementIdentity client": {func() error {
		return errOf(awskms.NewAgreementIdentity(ctx, (*kms.Client)(nil), keyARN, nil))
	}, "the client of KMS is a nil *"},
	"keys/awskms.NewIdentity client": {func() error {
		return errOf(awskms.NewIdentity((*kms.Client)(nil), keyARN, nil))
	}, "the client of KMS is a nil *"},
	"keys/awskms.NewRecipient client": {func() error {
		return errOf(awskms.NewRecipient((*kms.Client)(nil), keyARN, nil))
	}, "the client of KMS is a nil *"},
	"keys/awskms.NewSigner client": {func() error {
		return errOf(awskms.NewSigner(ctx, (*kms.Client)(nil), keyARN, "orders", nil))
	}, "the client of KMS is a nil *"},
	"keys/awskms.ResolveKey client": {func() error {
		return errOf(awskms.ResolveKey(ctx, (*kms.Client)(nil), keyARN))
	}, "the client of KMS is a nil *"},
	"keys/trust/awss3.FetchBundle client": {func() error {
		return errOf(awss3.FetchBundle(ctx, (*struct{ awss3.Client })(nil), "b", "k", someRoots, nil))
	}, "the client is a nil *"},
	"keys/trust/awss3.Replace client": {func() error {
		return awss3.Replace(ctx, (*struct{ awss3.WriteClient })(nil), "b", "k", "", nil)
	}, "the client is a nil *"},
	"keys/trust/awss3.OpenKeyring client": {func() error {
		return errOf(awss3.OpenKeyring(ctx, (*struct{ awss3.Client })(nil), "b", "k", "p"))
	}, "the client is a nil *"},
	"keys/trust/awss3.Keyring client": {func() error {
		return errOf(awss3.Keyring((*struct{ awss3.Client })(nil), "b", "k"))
	}, "the client is a nil *"},
	"keys/awssecrets.Keyring client": {func() error {
		return errOf(awssecrets.Keyring((*struct{ awssecrets.Client })(nil), "s"))
	}, "the client is a nil *"},
	"keys/awsssm.Keyring client": {func() error {
		return errOf(awsssm.Keyring((*struct{ awsssm.Client })(nil), "p"))
	}, "the client is a nil *"},
	"keys/trust/awss3.Origin client": {func() error {
		o, err := awss3.Origin((*struct{ awss3.Client })(nil), "b", "k")
		if o != nil {
			return errors.New("an Origin beside the error")
		}
		return err
	}, "the client is a nil *"},
	"keys/tinkkeys.Create kek": {func() error {
		return errOf(tinkkeys.Create(ctx, "", nilKEK, someOwner, keys.Ed25519))
	}, "the key encryption key is a nil *"},
	"keys/tinkkeys.LocalKEK aead": {func() error {
		return errOf(tinkkeys.Create(ctx, "", tinkkeys.LocalKEK((*struct{ tink.AEAD })(nil)), someOwner,
			keys.Ed25519))
	}, "no key encryption key"},
	"keys/tinkkeys.Open kek": {func() error {
		return errOf(tinkkeys.Open(ctx, os.DevNull, nilKEK, someOwner))
	}, "the key encryption key is a nil *"},
	"keys/tinkkeys.Read kek": {func() error {
		return errOf(tinkkeys.Read(ctx, strings.NewReader("{}"), nilKEK, someOwner))
	}, "the key encryption key is a nil *"},
	"keys/tinkkeys.Read r": {func() error {
		return errOf(tinkkeys.Read(ctx, (*os.File)(nil), someKEK{}, someOwner))
	}, "the reader is a nil *os.File"},
	"keys/tinkkeys/tinkawskms.KEK client": {func() error {
		return errOf(tinkawskms.KEK(ctx, (*struct{ tinkawskms.Client })(nil), keyARN))
	}, "the client of KMS is a nil *"},

	"producer.New ring": {func() error {
		return errOf(producer.New(nilRing, producer.NewLocalBus(nil), nil))
	}, "the keys to sign with is a nil *keys.Keyring"},
	"producer.New bus": {func() error {
		return errOf(producer.New(keys.SignWith(someKey), nilBus, nil))
	}, "the bus is a nil *producer.LocalBus"},
	"producer.New opts.Trust": {func() error {
		return errOf(producer.New(keys.SignWith(someKey), producer.NewLocalBus(nil),
			&producer.Options{Trust: (*trust.Bundle)(nil)}))
	}, "Trust is a nil *trust.Bundle"},
	"producer.New opts.Schemas": {func() error {
		return errOf(producer.New(keys.SignWith(someKey), producer.NewLocalBus(nil),
			&producer.Options{Schemas: nilSchemas}))
	}, "Schemas is a nil *schema.Set"},
	"producer/eventbridge.New client": {func() error {
		return errOf(eventbridge.New((*struct{ eventbridge.Client })(nil), "central", nil))
	}, "the client is a nil *"},
	"home.Producer bus": {func() error {
		return errOf(home.Producer("", "", nilBus, nil))
	}, "the bus is a nil *"},
	"home.Producer opts.Trust": {func() error {
		return errOf(home.Producer("", "", producer.NewLocalBus(nil), &producer.Options{Trust: nilTrust}))
	}, "Trust is a nil *"},
	"home.Producer opts.Schemas": {func() error {
		return errOf(home.Producer("", "", producer.NewLocalBus(nil), &producer.Options{Schemas: nilSchemas}))
	}, "Schemas is a nil *schema.Set"},
	"home.Consumer store": {func() error {
		return errOf(home.Consumer("", "", nilStore, nil))
	}, "the replay store is a nil *"},
	"home.Consumer opts.Quarantine": {func() error {
		return errOf(home.Consumer("", "", someStore, &consumer.Options{Quarantine: nilQuarantine}))
	}, "Options.Quarantine is a nil *"},
	"home.Consumer opts.Schemas": {func() error {
		return errOf(home.Consumer("", "", someStore, &consumer.Options{Schemas: nilSchemas}))
	}, "Options.Schemas is a nil *schema.Set"},
	"home.Consumer opts.Logger": {func() error {
		return errOf(home.Consumer("", "", someStore, &consumer.Options{Logger: nilLogger}))
	}, "the handler of home: Options.Logger is a nil *slog.JSONHandler"},
	"home.Consumer opts.Observer": {func() error {
		return errOf(home.Consumer("", "", someStore, &consumer.Options{Observer: nilObserver}))
	}, "Options.Observer is a nil *emf.Observer"},
	"observe/emf.New opts.Writer": {func() error {
		return errOf(emf.New(&emf.Options{Writer: (*os.File)(nil)}))
	}, "Options.Writer is a nil *os.File"},
}

func someHandler(context.Context, consumer.Delivery[[]byte]) error { return nil }

type someKEK struct{ tink.AEADWithContext }

func publishable() *trust.Bundle {
	now := time.Now()
	return must(trust.NewBundle(trust.BundleOptions{Version: 1, Issued: now,
		Expires: now.Add(48 * time.Hour)}))
}

// A nil pointer is refused where it is given, by an error that says which argument it is.
func TestNilPointersAreRefused(t *testing.T) {
	for name, c := range nilArguments {
		func() {
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("%s: it panics: %v", name, v)
				}
			}()
			if err := c.with(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: the error is %v, it should say %q", name, err, c.says)
			}
		}()
	}
}

// Every argument of an exported function into which a nil pointer fits unseen is in the table.
func TestNilPointersAreAllKnown(t *testing.T) {
	seen := map[string]bool{}
	for path, pkg := range exported(t) {
		for _, name := range pkg.Scope().Names() {
			f, ok := pkg.Scope().Lookup(name).(*types.Func)
			if !ok || !f.Exported() {
				continue
			}
			params := f.Signature().Params()
			for i := range params.Len() {
				for _, slot := range hides(params.At(i).Name(), params.At(i).Type(), 0) {
					seen[path+"."+name+" "+slot] = true
				}
			}
		}
	}
	for name := range seen {
		if _, ok := nilArguments[name]; !ok {
			t.Errorf("%s: nobody has said what becomes of a nil pointer: refuse it (internal/nilcheck) and add it to the table", name)
		}
	}
	for name := range nilArguments {
		if !seen[name] {
			t.Errorf("%s: there is no such argument", name)
		}
	}
}

// exported are the packages of the module that others can import, by their path in it, as the compiler
// exports them.
func exported(t *testing.T) map[string]*types.Package {
	t.Helper()
	files := packages(t)
	var ours []string
	for path := range files {
		if name, ok := strings.CutPrefix(path, module+"/"); ok && !isPrivate(name) {
			ours = append(ours, name)
		}
	}
	read := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser,
		error) {
		return os.Open(files[path].export)
	})
	imported := map[string]*types.Package{}
	var err error
	for _, name := range ours {
		if imported[name], err = read.Import(module + "/" + name); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if len(imported) < 15 {
		t.Fatalf("only %d packages", len(imported))
	}
	return imported
}

// isPrivate says which packages no other module imports.
func isPrivate(name string) bool {
	for _, part := range strings.Split(name, "/") {
		if strings.HasSuffix(part, "test") {
			return true // it fails the test that uses it
		}
		if part == "internal" || part == "cmd" || part == "examples" || part == "bench" {
			return true
		}
	}
	return false
}

// hides are the places in a parameter of that type where a nil pointer fits unseen: interfaces, the
// elements of lists, and what is in loggers and HTTP clients; also in the fields of a struct.
func hides(name string, t types.Type, depth int) (slots []string) {
	switch t.String() {
	case "context.Context", "error", "any", "testing.TB":
		return nil
	case "*net/http.Request": // net/http makes it
		return nil
	case "*log/slog.Logger", "*net/http.Client":
		return []string{name}
	}
	switch u := types.Unalias(t).Underlying().(type) {
	case *types.Interface:
		if _, generic := types.Unalias(t).(*types.TypeParam); !generic {
			return []string{name}
		}
	case *types.Slice:
		if p, ok := u.Elem().Underlying().(*types.Pointer); ok && strings.Contains(p.String(), module) {
			return []string{name + "[]"}
		}
		return hides(name+"[]", u.Elem(), depth)
	case *types.Pointer:
		if depth == 0 {
			return hides(name, u.Elem(), depth)
		}
	case *types.Struct:
		for i := range u.NumFields() {
			if f := u.Field(i); f.Exported() && depth == 0 {
				slots = append(slots, hides(name+"."+f.Name(), f.Type(), depth+1)...)
			}
		}
	}
	return slots
}
