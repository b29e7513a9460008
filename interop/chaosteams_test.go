package interop_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
)

// team is how a producer seals.
type team struct {
	signs   keys.SignerSource
	encrypt *envelope.Encrypter // nil = in clear
	fields  []string
}

// elsewhere is encryption to a key that the consumer does not have.
var elsewhere = func() *envelope.Encrypter {
	other, err := keys.GenerateIdentity(keys.P256)
	if err != nil {
		panic(err)
	}
	e, err := envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{other.Recipient()}})
	if err != nil {
		panic(err)
	}
	return e
}()

// makeTeams gives each producer a way to seal, and returns the further keys that the bundle has for it.
func (c *chaos) makeTeams() []*trust.Key {
	c.Helper()
	for i := range chaosProducers {
		c.teams = append(c.teams, team{signs: keys.SignWith(c.signers[i])})
	}
	c.config.Secret = map[string]bool{producerSource(1) + "orders": true, producerSource(2) + "orders": true}

	// Encrypted to a key in KMS.
	c.teams[1].encrypt = c.encryptTo(envelope.EncryptTo{Services: []keys.ServiceRecipient{c.makeKMSKey()}})

	// A session key, and a field encrypted to a private key of the consumer.
	identity, err := keys.GenerateIdentity(keys.X25519)
	c.must(err)
	jwk, err := identity.UnsafePrivateJWK()
	c.must(err)
	c.config.Identity = filepath.Join(c.TempDir(), "identity.jwk")
	c.must(os.WriteFile(c.config.Identity, jwk, 0o600))
	session, err := session.Delegate(c.ctx, c.signers[2],
		session.Scope{Sources: []string{producerSource(2) + "*"}, Types: []string{"com.example.*"}},
		time.Minute, nil)
	c.must(err)
	c.teams[2] = team{signs: session, fields: []string{"/customer", "/lines/0/sku"},
		encrypt: c.encryptTo(envelope.EncryptTo{Recipients: []*keys.Recipient{identity.Recipient()}})}

	// Two signatures, one of which a quantum computer does not forge.
	pq, err := keys.GenerateSigner(keys.MLDSA65, producerName(3))
	c.must(err)
	c.teams[3].signs = keys.SignWith(c.signers[3], pq)
	return []*trust.Key{{Verifier: pq.Verifier(), Producer: producerName(3),
		Sources: []string{producerSource(3) + "*"}, Types: []string{"com.example.*"}}}
}

func (c *chaos) encryptTo(to envelope.EncryptTo) *envelope.Encrypter {
	c.Helper()
	e, err := envelope.NewEncrypter(to)
	c.must(err)
	return e
}

func (c *chaos) makeKMSKey() *awskms.Recipient {
	c.Helper()
	client := kms.New(kms.Options{Region: "eu-west-1", BaseEndpoint: aws.String(c.aws.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("chaos", "chaos", "")})
	for {
		made, err := client.CreateKey(c.ctx, nil)
		if err != nil {
			continue // the KMS fails now and then
		}
		c.config.KMSKey = *made.KeyMetadata.Arn
		r, err := awskms.NewRecipient(client, c.config.KMSKey, nil)
		c.must(err)
		return r
	}
}

// publish publishes a batch, and again what could not be sealed as KMS did not answer.
func (c *chaos) publish(p *producer.Producer, batch []event.Event) error {
	for {
		_, err := p.Publish(context.WithoutCancel(c.ctx), batch...)
		failed, ok := errors.AsType[*producer.PublishError](err)
		if !ok {
			return err
		}
		var again []event.Event
		for i, r := range failed.Results {
			if r.Err == nil {
				continue
			}
			if _, ok := errors.AsType[*keys.ServiceError](r.Err); !ok {
				return err
			}
			again = append(again, batch[i])
		}
		batch = again
		time.Sleep(time.Second) // so long a service rests after an error
	}
}
