package house

import (
	"fmt"
	"go/types"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/sealbus/sealbus/consumer"
	holdsqs "github.com/sealbus/sealbus/consumer/awslambda/sqs"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
	"github.com/sealbus/sealbus/keys/trust/policy"
	"github.com/sealbus/sealbus/observe/emf"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
	"github.com/sealbus/sealbus/schema"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/authn/apigateway"
	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
	"github.com/sealbus/sealbus/webhook/entry"
	"github.com/sealbus/sealbus/webhook/gateway"
	"github.com/sealbus/sealbus/webhook/httpsig"
	"github.com/sealbus/sealbus/webhook/ingest"
	"github.com/sealbus/sealbus/webhook/sender"
	sendredis "github.com/sealbus/sealbus/webhook/sender/redis"
	"github.com/sealbus/sealbus/webhook/tenants"
	"github.com/sealbus/sealbus/webhook/throttle"
	limitredis "github.com/sealbus/sealbus/webhook/throttle/redis"
)

// wrongCall is a call of a constructor with one thing missing or wrong, and what the error must name: the
// argument, the option or the file, and the value to set where there is one.
type wrongCall struct {
	with func() error
	says string // a regular expression
}

// wrongCalls are of each constructor of the module, by its name and by what is wrong.
var wrongCalls = map[string]map[string]wrongCall{
	"keys.OpenKeyring": {
		"no file": {func() error {
			return errOf(keys.OpenKeyring("no/such.keyring", "p", nil))
		}, `no/such\.keyring`},
		"no path": {func() error { return errOf(keys.OpenKeyring("", "p", nil)) }, `path`},
		"no passphrase": {func() error { return errOf(keys.OpenKeyring(aKeyring(), "", nil)) },
			`InsecureNoPassphrase`},
		"wrong passphrase": {func() error { return errOf(keys.OpenKeyring(aKeyring(), "wrong", nil)) },
			`orders\.keyring`},
		"another file": {func() error {
			return errOf(keys.OpenKeyring(aFile("x.keyring", "{}"), "p", nil))
		},
			`x\.keyring`},
	},
	"keys.CreateKeyring": {
		"no path": {func() error {
			return errOf(keys.CreateKeyring("", "p", "orders", &keys.KeyringOptions{PrivateFileOptions: quick}))
		}, `path`},
		"no passphrase": {func() error {
			return errOf(keys.CreateKeyring("new.file", "", "orders", nil))
		},
			`InsecureNoPassphrase`},
		"no producer": {func() error {
			return errOf(keys.CreateKeyring("new.file", "p", "", &keys.KeyringOptions{PrivateFileOptions: quick}))
		}, `producer`},
		"a file is there": {func() error {
			return errOf(keys.CreateKeyring(aKeyring(), "p", "orders", &keys.KeyringOptions{PrivateFileOptions: quick}))
		},
			`orders\.keyring`},
		"a wrong source": {func() error {
			return errOf(keys.CreateKeyring("new.file", "p", "orders",
				&keys.KeyringOptions{PrivateFileOptions: quick, Sources: []string{"**"}}))
		}, `[Ss]ource`},
	},
	"keys.CreateConsumerKeyring": {
		"no path": {func() error {
			return errOf(keys.CreateConsumerKeyring("", "p", "billing", &keys.KeyringOptions{PrivateFileOptions: quick}))
		}, `path`},
		"no consumer": {func() error {
			return errOf(keys.CreateConsumerKeyring("new.file", "p", "", nil))
		},
			`consumer`},
		"no passphrase": {func() error {
			return errOf(keys.CreateConsumerKeyring("new.file", "", "billing", nil))
		},
			`InsecureNoPassphrase`},
	},
	"keys.GenerateIdentity": {"no curve": {func() error {
		return errOf(keys.GenerateIdentity(""))
	}, `curve`}},
	"keys.GenerateSigner": {
		"no algorithm": {func() error { return errOf(keys.GenerateSigner("", "orders")) }, `algorithm`},
		"no producer": {func() error {
			return errOf(keys.GenerateSigner(keys.Ed25519, ""))
		}, `producer`},
	},
	"keys.NewLocalIdentity": {"no key": {func() error {
		return errOf(keys.NewLocalIdentity(nil))
	}, `private key`}},
	"keys.NewLocalSigner": {"no key": {func() error {
		return errOf(keys.NewLocalSigner(nil, "orders"))
	}, `private key`}},
	"keys.NewRecipient": {"no key": {func() error {
		return errOf(keys.NewRecipient(nil))
	}, `public key`}},
	"keys.NewVerifier": {"no key": {func() error {
		return errOf(keys.NewVerifier(nil))
	}, `public key`}},
	"keys.ParseIdentityJWK": {
		"nothing": {func() error { return errOf(keys.ParseIdentityJWK(nil)) }, `JWK`},
		"no kty":  {func() error { return errOf(keys.ParseIdentityJWK([]byte("{}"))) }, `JWK.*X25519`},
	},
	"keys.ParseJWK": {
		"nothing": {func() error { return errOf(keys.ParseJWK(nil)) }, `JWK`},
		"no kty":  {func() error { return errOf(keys.ParseJWK([]byte("{}"))) }, `kty`},
	},
	"keys.ParseJWKSet": {"no keys": {func() error {
		return errOf(keys.ParseJWKSet([]byte("{}")))
	}, `kty`}},
	"keys.ParseKeyring": {"nothing": {func() error {
		return errOf(keys.ParseKeyring(nil, "p"))
	}, `keyring`},
		"no passphrase": {func() error {
			return errOf(keys.ParseKeyring(must(os.ReadFile(aKeyring())), ""))
		}, `passphrase`}},
	"keys.ParsePrivateJWK": {
		"nothing": {func() error { return errOf(keys.ParsePrivateJWK(nil, "orders")) }, `JWK`},
		"no producer": {func() error {
			return errOf(keys.ParsePrivateJWK(privateJWK(), ""))
		}, `producer`},
	},
	"keys.ParsePublicKey": {"nothing": {func() error {
		return errOf(keys.ParsePublicKey(nil))
	}, `JWK|public key`}},
	"keys.ParseRecipientJWK": {"nothing": {func() error {
		return errOf(keys.ParseRecipientJWK(nil))
	}, `JWK`}},
	"keys.WatchKeyring": {
		"no fetch": {func() error { return errOf(keys.WatchKeyring(ctx, nil, "p", nil)) }, `fetch`},
	},

	"keys/awskms.NewAgreementIdentity": {"no key": {func() error {
		return errOf(awskms.NewAgreementIdentity(ctx, new(kms.Client), "", nil))
	}, `key`}},
	"keys/awskms.NewIdentity": {"no ARN": {func() error {
		return errOf(awskms.NewIdentity(new(kms.Client), "alias/a", nil))
	}, `ARN.*alias/a|alias/a.*ARN`}},
	"keys/awskms.NewRecipient": {"no ARN": {func() error {
		return errOf(awskms.NewRecipient(new(kms.Client), "", nil))
	}, `ARN`}},
	"keys/awskms.NewSigner": {
		"no key": {func() error {
			return errOf(awskms.NewSigner(ctx, new(kms.Client), "", "orders", nil))
		}, `key`},
		"no producer": {func() error {
			return errOf(awskms.NewSigner(ctx, new(kms.Client), keyARN, "", nil))
		},
			`producer`},
	},
	"keys/session.Delegate": {"no sources": {func() error {
		return errOf(session.Delegate(ctx, someKey, session.Scope{Types: []string{"*"}}, time.Hour, nil))
	}, `[Ss]ource`}},
	"keys/tinkkeys.Create": {"no owner": {func() error {
		return errOf(tinkkeys.Create(ctx, "new.file", someKEK{}, tinkkeys.Owner{}, keys.Ed25519))
	}, `owner`}},
	"keys/tinkkeys.Open": {
		"no file": {func() error {
			return errOf(tinkkeys.Open(ctx, "no/such.tink", someKEK{}, someOwner))
		}, `no/such\.tink`},
		"no owner": {func() error {
			return errOf(tinkkeys.Open(ctx, os.DevNull, someKEK{}, tinkkeys.Owner{}))
		}, `owner`},
	},
	"keys/tinkkeys.Read": {"nothing": {func() error {
		return errOf(tinkkeys.Read(ctx, strings.NewReader(""), someKEK{}, someOwner))
	}, `keyset`}},
	"keys/trust.CreateRootKey": {
		"no path": {func() error {
			return errOf(trust.CreateRootKey("", "p", keys.Ed25519, &quick))
		}, `path`},
		"no passphrase": {func() error {
			return errOf(trust.CreateRootKey("new.file", "", keys.Ed25519, nil))
		},
			`InsecureNoPassphrase`},
		"no algorithm": {func() error {
			return errOf(trust.CreateRootKey("new.file", "p", "", nil))
		}, `algorithm`},
	},
	"keys/trust.FetchBundle": {
		"no URL": {func() error { return errOf(trust.FetchBundle(ctx, "", someRoots, nil)) }, `URL`},
		"http": {func() error {
			return errOf(trust.FetchBundle(ctx, "http://a.example/b", someRoots, nil))
		}, `https`},
		"no roots": {func() error {
			return errOf(trust.FetchBundle(ctx, "https://a.example/b", nil, nil))
		},
			`roots`},
	},
	"keys/trust.FetchFrom": {"no origin": {func() error {
		return errOf(trust.FetchFrom(ctx, nil, someRoots, nil))
	}, `origin`}},
	"keys/trust.FetchSigned": {"no origin": {func() error {
		return errOf(trust.FetchSigned(ctx, nil))
	}, `origin`}},
	"keys/trust.GenerateRootKey": {"no algorithm": {func() error {
		return errOf(trust.GenerateRootKey(""))
	},
		`algorithm`}},
	"keys/trust.NewBundle": {"expires before it is issued": {func() error {
		now := time.Now()
		return errOf(trust.NewBundle(trust.BundleOptions{Version: 1, Issued: now, Expires: now.Add(-time.Hour)}))
	}, `[Ee]xpires`}},
	"keys/trust.NewRootKey": {"no key": {func() error {
		return errOf(trust.NewRootKey(nil))
	}, `private key`}},
	"keys/trust.NewRoots": {
		"no keys": {func() error { return errOf(trust.NewRoots(1, 1)) }, `roots: 0 keys`},
		"threshold": {func() error {
			return errOf(trust.NewRoots(1, 2, someKey.Verifier()))
		}, `threshold`},
	},
	"keys/trust.NewTimestamp": {
		"no roots": {func() error {
			return errOf(trust.NewTimestamp(nil, someTrust, nil, trust.TimestampOptions{}))
		}, `roots`},
		"no bundle": {func() error {
			return errOf(trust.NewTimestamp(someRoots, nil, nil, trust.TimestampOptions{}))
		}, `bundle|timestamp key`},
	},
	"keys/trust.OpenBundle": {
		"no roots": {func() error { return errOf(trust.OpenBundle([]byte("{}"), nil, nil)) }, `roots`},
		"nothing":  {func() error { return errOf(trust.OpenBundle(nil, someRoots, nil)) }, `bundle`},
	},
	"keys/trust.OpenPreviousTimestamp": {"nothing": {func() error {
		return errOf(trust.OpenPreviousTimestamp(nil, someRoots))
	}, `timestamp`}},
	"keys/trust.OpenRootKey": {
		"no file": {func() error {
			return errOf(trust.OpenRootKey("no/root.key", "p", nil))
		}, `no/root\.key`},
		"no passphrase": {func() error { return errOf(trust.OpenRootKey(aRootKey(), "", nil)) },
			`InsecureNoPassphrase`},
		"wrong passphrase": {func() error { return errOf(trust.OpenRootKey(aRootKey(), "wrong", nil)) },
			`root\.key`},
	},
	"keys/trust.OpenTimestamp": {"nothing": {func() error {
		return errOf(trust.OpenTimestamp(nil, someRoots, time.Now()))
	}, `timestamp`}},
	"keys/trust.ParseBundle": {"nothing": {func() error {
		return errOf(trust.ParseBundle(nil))
	}, `bundle`}},
	"keys/trust.ParseRoots": {"nothing": {func() error {
		return errOf(trust.ParseRoots(nil))
	}, `roots`}},
	"keys/trust.ParseTimestamp": {"nothing": {func() error {
		return errOf(trust.ParseTimestamp(nil))
	}, `timestamp`}},
	"keys/trust.WatchFile": {
		"no file": {func() error {
			return errOf(trust.WatchFile("no/trust.dsse", someRoots, nil))
		}, `no/trust\.dsse`},
		"no path":  {func() error { return errOf(trust.WatchFile("", someRoots, nil)) }, `path`},
		"no roots": {func() error { return errOf(trust.WatchFile("trust.dsse", nil, nil)) }, `roots`},
	},
	"keys/trust/awss3.FetchBundle": {
		"no bucket": {func() error {
			return errOf(awss3.FetchBundle(ctx, &struct{ awss3.Client }{}, "", "k", someRoots, nil))
		}, `bucket`},
		"no key": {func() error {
			return errOf(awss3.FetchBundle(ctx, &struct{ awss3.Client }{}, "b", "", someRoots, nil))
		}, `key`},
		"no roots": {func() error {
			return errOf(awss3.FetchBundle(ctx, &struct{ awss3.Client }{}, "b", "k", nil, nil))
		}, `roots`},
	},
	"keys/trust/awss3.OpenKeyring": {"no bucket": {func() error {
		return errOf(awss3.OpenKeyring(ctx, &struct{ awss3.Client }{}, "", "k", "p"))
	}, `bucket`}},
	"home.Open": {
		"no directory": {func() error { return errOf(home.Open("")) }, `no directory`},
		"not there":    {func() error { return errOf(home.Open("no/such")) }, `no/such.*sealbus init`},
		"no home":      {func() error { return errOf(home.Open(".")) }, `sealbus\.yaml.*sealbus init`},
	},
	"home.ParseConfig": {
		"nothing":           {func() error { return errOf(home.ParseConfig(nil)) }, `home`},
		"an unknown member": {func() error { return errOf(home.ParseConfig([]byte("producerz: {}\n"))) }, `producerz`},
	},
	"keys/trust/policy.Parse": {
		"nothing": {func() error { return errOf(policy.Parse(nil)) }, `policy`},
		"an unknown member": {func() error { return errOf(policy.Parse([]byte("producerz: []\n"))) },
			`producerz`},
	},

	"envelope.NewDecrypter": {"nothing": {func() error {
		return errOf(envelope.NewDecrypter(envelope.DecryptWith{}))
	},
		`Identities`}},
	"envelope.NewEncrypter": {
		"nothing": {func() error {
			return errOf(envelope.NewEncrypter(envelope.EncryptTo{}))
		}, `Recipients|Consumers`},
		"no trust": {func() error {
			return errOf(envelope.NewEncrypter(envelope.EncryptTo{Consumers: []string{"a"}}))
		}, `Trust`},
	},
	"envelope.NewOpener": {
		"no trust": {func() error { return errOf(envelope.NewOpener(nil, anySource)) }, `trust`},
		"no policy": {func() error {
			return errOf(envelope.NewOpener(someTrust, nil))
		}, `Policy|policy`},
		"no sources": {func() error { return errOf(envelope.NewOpener(someTrust, &envelope.Policy{})) },
			`Sources`},
		"a wrong age": {func() error {
			return errOf(envelope.NewOpener(someTrust, &envelope.Policy{Sources: []string{"https://a.example/*"},
				MaxAge: -1}))
		}, `MaxAge`},
	},
	"envelope.Open": {
		"no trust": {func() error {
			return errOf(envelope.Open(ctx, sealed(), nil, anySource))
		}, `trust`},
		"no policy": {func() error {
			return errOf(envelope.Open(ctx, sealed(), someTrust, nil))
		}, `Policy|policy`},
		"no sources": {func() error {
			return errOf(envelope.Open(ctx, sealed(), someTrust, &envelope.Policy{}))
		}, `Sources`},
	},
	"envelope.OpenHTTP": {"no policy": {func() error {
		return errOf(envelope.OpenHTTP(ctx, nil, nil, someTrust, nil))
	}, `Policy|policy`}},

	"producer.New": {
		"no keys": {func() error {
			return errOf(producer.New(nil, producer.NewLocalBus(nil), nil))
		}, `keys to sign with`},
		"no bus": {func() error {
			return errOf(producer.New(keys.SignWith(someKey), nil, nil))
		}, `bus`},
	},
	"producer/eventbridge.New": {
		"no client": {func() error { return errOf(eventbridge.New(nil, "central", nil)) }, `client`},
		"no bus": {func() error {
			return errOf(eventbridge.New(&struct{ eventbridge.Client }{}, "", nil))
		}, `bus`},
	},

	"consumer.New": {
		"no name": {func() error {
			return errOf(consumer.New("", someTrust, someStore, anySource, nil))
		}, `name`},
		"no trust": {func() error {
			return errOf(consumer.New("billing", nil, someStore, anySource, nil))
		}, `trust`},
		"no store": {func() error {
			return errOf(consumer.New("billing", someTrust, nil, anySource, nil))
		}, `replay store`},
		"no policy": {func() error {
			return errOf(consumer.New("billing", someTrust, someStore, nil, nil))
		},
			`policy|Policy`},
		"no sources": {func() error {
			return errOf(consumer.New("billing", someTrust, someStore, &envelope.Policy{}, nil))
		}, `Sources`},
		"a short lease": {func() error {
			return newConsumer(func(o *consumer.Options) { o.Lease = 1 })
		}, `Lease`},
		"a short memory": {func() error {
			return newConsumer(func(o *consumer.Options) { o.RememberFor = 1 })
		}, `RememberFor`},
		"an unknown wrapper": {func() error {
			return newConsumer(func(o *consumer.Options) { o.Wrapper = "x" })
		},
			`Wrapper is "x": give one of .*"on-failure"`},
		"a permission without an end": {func() error {
			return newConsumer(func(o *consumer.Options) {
				o.Permissions = []consumer.Permission{{ID: "a", ReplayName: "b"}}
			})
		}, `permission "a": From`},
	},
	"consumer.NewQuarantineKeys": {
		"no name": {func() error {
			return errOf(consumer.NewQuarantineKeys("", make([]byte, 32)))
		}, `name`},
		"a short key": {func() error {
			return errOf(consumer.NewQuarantineKeys("bin", []byte("short")))
		}, `key.*32`},
	},
	"consumer/awslambda/sqs.New": {"no URL": {func() error {
		return errOf(holdsqs.New(&struct{ holdsqs.Client }{}, ""))
	}, `URL`}},
	"consumer/quarantine.NewDir": {
		"no path": {func() error { return errOf(quarantine.NewDir("", binKeys)) }, `path|directory`},
		"no keys": {func() error {
			return errOf(quarantine.NewDir(os.TempDir(), consumer.QuarantineKeys{}))
		},
			`NewQuarantineKeys`},
	},
	"consumer/quarantine/s3.New": {
		"no bucket": {func() error {
			return errOf(s3.New(&struct{ s3.Client }{}, "", binKeys, nil))
		}, `bucket`},
		"no keys": {func() error {
			return errOf(s3.New(&struct{ s3.Client }{}, "b", consumer.QuarantineKeys{}, nil))
		}, `NewQuarantineKeys`},
	},
	"consumer/quarantine/sqs.New": {
		"no URL": {func() error {
			return errOf(sqs.New(&struct{ sqs.Client }{}, "", binKeys, nil))
		}, `URL`},
		"no keys": {func() error {
			return errOf(sqs.New(&struct{ sqs.Client }{}, queueURL, consumer.QuarantineKeys{}, nil))
		}, `NewQuarantineKeys`},
	},
	"consumer/replay/dynamodb.New": {
		"no table": {func() error {
			return errOf(dynamodb.New(&struct{ dynamodb.Client }{}, "", nil))
		}, `table`},
	},
	"consumer/replay/redis.New": {"no client": {func() error {
		return errOf(redis.New[redis.Reply](nil, nil))
	}, `Redis client`}},
	"observe/emf.New": {"a wrong namespace": {func() error {
		return errOf(emf.New(&emf.Options{Namespace: strings.Repeat("x", 300)}))
	}, `Namespace`}},
	"schema.NewSet": {"nothing": {func() error { return errOf(schema.NewSet(nil)) }, `Schemas|Options`}},
	"schema.ReadSet": {
		"no file": {func() error {
			return errOf(schema.ReadSet(fstest.MapFS{}, "set.json"))
		}, `set\.json`},
		"no name": {func() error { return errOf(schema.ReadSet(fstest.MapFS{}, "")) }, `name`},
	},

	"webhook.Events": {"no consumer": {func() error {
		return errOf(webhook.Events(nil, someHandler, nil))
	}, `consumer`},
		"no handler": {func() error {
			return errOf(webhook.Events(must(consumer.New("billing", someTrust, someStore, anySource, nil)), nil, nil))
		}, `handler`}},
	"webhook.Handler": {"no verifier": {func() error {
		return errOf(webhook.Handler(nil, someStore, someNext, nil))
	}, `verifier`},
		"no handler": {func() error {
			return errOf(webhook.Handler(someVerifier, someStore, nil, nil))
		}, `next`}},
	"webhook.New": {
		"no endpoint": {func() error {
			return errOf(webhook.New(github(), "", someSecrets(), nil))
		}, `endpoint`},
		"no secret": {func() error { return errOf(webhook.New(github(), "in", nil, nil)) }, `secret`},
		"an empty secret": {func() error {
			return errOf(webhook.New(github(), "in", []webhook.Secret{{}}, nil))
		},
			`secret`},
	},
	"webhook.NewBudget": {"nothing": {func() error {
		return errOf(webhook.NewBudget(-1))
	}, `budget|bytes`}},
	"webhook.NewReceiver": {
		"no verifier": {func() error {
			return errOf(webhook.NewReceiver(nil, someStore, someNext, nil))
		}, `verifier`},
		"no store": {func() error {
			return errOf(webhook.NewReceiver(someVerifier, nil, someNext, nil))
		}, `store`},
		"no handler": {func() error {
			return errOf(webhook.NewReceiver(someVerifier, someStore, nil, nil))
		}, `next`},
	},
	"webhook.ParseRecipe": {"nothing": {func() error {
		return errOf(webhook.ParseRecipe(nil))
	}, `recipe`}},
	"webhook.ParseRecord": {"nothing": {func() error {
		_, _, err := webhook.ParseRecord(nil)
		return err
	}, `record`}},
	"webhook.Provider": {"unknown": {func() error { return errOf(webhook.Provider("githup")) },
		`githup.*Providers|github`}},
	"webhook/authcontext.NewKey": {"a short key": {func() error {
		return errOf(authcontext.NewKey(nil))
	}, `key|secret`}},
	"webhook/authn.FetchKeys": {"no URL": {func() error {
		return errOf(authn.FetchKeys("", nil))
	}, `URL`}},
	"webhook/authn.New": {
		"no issuer": {func() error {
			return errOf(authn.New("", new(authn.Keys), &authn.Options{Audiences: []string{"a"}}))
		}, `issuer`},
		"no keys": {func() error {
			return errOf(authn.New("https://issuer.example", nil, &authn.Options{Audiences: []string{"a"}}))
		}, `keys`},
		"no audience": {func() error {
			return errOf(authn.New("https://issuer.example", someIssuerKeys(), nil))
		},
			`Audiences`},
	},
	"webhook/authn.ParseKeys": {"nothing": {func() error {
		return errOf(authn.ParseKeys(nil))
	}, `key set|JWK`}},
	"webhook/authn.ParseSource": {"unknown": {func() error {
		return errOf(authn.ParseSource("nowhere"))
	}, `nowhere`}},
	"webhook/authn/apigateway.New": {"no verifier": {func() error {
		return errOf(apigateway.New(nil, nil))
	}, `verifier`}},
	"webhook/authn/clientcredentials.New": {
		"no URL": {func() error { return errOf(clientcredentials.New("", "c", "s", nil)) }, `URL`},
		"no client": {func() error {
			return errOf(clientcredentials.New("https://a.example/t", "", "s", nil))
		}, `client ID`},
		"no secret": {func() error {
			return errOf(clientcredentials.New("https://a.example/t", "c", "", nil))
		}, `secret`},
	},
	"webhook/entry.New": {"no receiver": {func() error {
		return errOf(entry.New(nil, nil))
	}, `receiver`},
		"nothing to check": {func() error {
			return errOf(entry.New(new(webhook.Receiver), &entry.Options{Limiter: someLimiter()}))
		},
			`Tenants|Tokens`}},
	"webhook/gateway.New": {
		"no configuration": {func() error {
			return errOf(gateway.New(ctx, nil, keys.SignWith(someKey), producer.NewLocalBus(nil), someStore, nil))
		}, `configuration|endpoints`},
		"no secrets": {func() error {
			return errOf(gateway.New(ctx, []byte("endpoints:\n  gh:\n    path: /a\n    provider: github\n"+
				"    source: https://a.example/b\n"), keys.SignWith(someKey), producer.NewLocalBus(nil), someStore, nil))
		}, `gh.*secret`},
	},
	"webhook/httpsig.NewResponseVerifier": {"no keys": {func() error {
		return errOf(httpsig.NewResponseVerifier(nil, nil))
	}, `key`}},
	"webhook/ingest.New": {"no source": {func() error {
		return errOf(ingest.New(keys.SignWith(someKey), producer.NewLocalBus(nil), "", nil))
	}, `source`}},
	"webhook/sender.New": {
		"no store": {func() error { return errOf(sender.New(nil, someEndpoints, nil)) }, `store`},
		"no endpoints": {func() error {
			return errOf(sender.New(sender.NewMemory(nil), nil, nil))
		}, `endpoints`},
		"a short lease": {func() error { return newSender(sender.Options{Lease: 1}) }, `Lease`},
	},
	"webhook/sender.NewEndpoints": {
		"no ID": {func() error {
			return errOf(sender.NewEndpoints(sender.Endpoint{URL: "https://a.example/"}))
		}, `ID`},
		"no URL": {func() error {
			return errOf(sender.NewEndpoints(sender.Endpoint{ID: "a"}))
		}, `URL|Signing`},
		"no signing": {func() error {
			return errOf(sender.NewEndpoints(sender.Endpoint{ID: "a", URL: "https://a.example/"}))
		}, `Signing`},
	},
	"webhook/sender.NewLocalKey": {
		"no name":     {func() error { return errOf(sender.NewLocalKey("", make([]byte, 32))) }, `name`},
		"a short key": {func() error { return errOf(sender.NewLocalKey("a", nil)) }, `32|key`},
	},
	"webhook/sender.OpenSecret": {"no endpoint": {func() error {
		return errOf(sender.OpenSecret(ctx, must(awskms.NewIdentity(new(kms.Client), keyARN, nil)), "", nil))
	}, `endpoint`}},
	"webhook/sender/redis.New": {"no client": {func() error {
		return errOf(sendredis.New[redis.Reply](nil, nil))
	}, `Redis client`}},
	"webhook/tenants.Parse": {
		"nothing": {func() error { return errOf(tenants.Parse(nil, nil)) }, `tenants`},
		"an unknown member": {func() error {
			return errOf(tenants.Parse([]byte("tenantz: []\n"), nil))
		}, `tenantz`},
	},
	"webhook/throttle.NewAddresses": {"no rate": {func() error {
		return errOf(throttle.NewAddresses(0, 1, time.Now()))
	}, `rate`}},
	"webhook/throttle.NewMemory": {"a wrong size": {func() error {
		return errOf(throttle.NewMemory(&throttle.MemoryOptions{MaxKeys: -1}))
	}, `MaxKeys`}},
	"webhook/throttle/redis.New": {"no client": {func() error {
		return errOf(limitredis.New[redis.Reply](nil, nil))
	}, `Redis client`}},
}

// TestConstructorsNameWhatIsWrong: a person who calls a constructor wrongly is told which argument, option or
// file it is.
func TestConstructorsNameWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, calls := range wrongCalls {
		for what, c := range calls {
			err := recovered(c.with)
			if err == nil {
				t.Errorf("%s, %s: it is taken", name, what)
			} else if says := err.Error(); !regexp.MustCompile(c.says).MatchString(says) {
				t.Errorf("%s, %s: the error names no %s: %s", name, what, c.says, says)
			} else if testing.Verbose() {
				t.Logf("%s, %s: %s", name, what, says)
			}
		}
	}
}

// recovered is what a call returns, or how it panics.
func recovered(call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return call()
}

// TestConstructorsAreAllKnown: each function that makes or opens something and can fail is in the table.
func TestConstructorsAreAllKnown(t *testing.T) {
	makes := regexp.MustCompile(
		`^(New|Open|Parse|Create|Watch|Fetch|Read|Generate|Handler|Events|Provider|Delegate)`)
	seen := map[string]bool{}
	for path, pkg := range exported(t) {
		for _, name := range pkg.Scope().Names() {
			f, isFunc := pkg.Scope().Lookup(name).(*types.Func)
			if !isFunc || !f.Exported() || !makes.MatchString(name) {
				continue
			}
			results := f.Signature().Results()
			if n := results.Len(); n < 2 || results.At(n-1).Type().String() != "error" {
				continue
			}
			seen[path+"."+name] = true
			if wrongCalls[path+"."+name] == nil {
				t.Errorf("%s.%s: add calls with something missing, and what the error must name", path, name)
			}
		}
	}
	for name := range wrongCalls {
		if !seen[name] {
			t.Errorf("%s: there is no such constructor", name)
		}
	}
}

// The test works in an empty directory, in which these make files.

func aFile(name, content string) string {
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		panic(err)
	}
	return name
}

// quick makes scrypt quick.
var quick = keys.PrivateFileOptions{ScryptWorkFactor: 2}

// aKeyring is a keyring of orders under the passphrase "p".
func aKeyring() string {
	if _, err := os.Stat("orders.keyring"); err != nil {
		must(keys.CreateKeyring("orders.keyring", "p", "orders", &keys.KeyringOptions{PrivateFileOptions: quick}))
	}
	return "orders.keyring"
}

// aRootKey is a root key under the passphrase "p".
func aRootKey() string {
	if _, err := os.Stat("root.key"); err != nil {
		must(trust.CreateRootKey("root.key", "p", keys.Ed25519, &quick))
	}
	return "root.key"
}

func privateJWK() []byte {
	return must(must(keys.GenerateSigner(keys.Ed25519, "orders")).UnsafePrivateJWK())
}

func github() webhook.Scheme { return must(webhook.Provider("github")) }

func someSecrets() []webhook.Secret { return []webhook.Secret{{Text: "x"}} }

func someLimiter() throttle.Limiter { return must(throttle.NewMemory(nil)) }

func someIssuerKeys() *authn.Keys {
	public := must(keys.GenerateSigner(keys.Ed25519, "a")).Verifier().JWK()
	return must(authn.ParseKeys([]byte(`{"keys":[` + string(public) + `]}`)))
}
