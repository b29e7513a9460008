// Package orderstest runs the functions of the examples as Lambda does, against an AWS inside the process:
// for their tests, here and in module interop.
//
//	w := orderstest.New(t, nil)
//	billing := w.Start("examples/orders/billing", w.ConsumerEnv())
//	answer, err := billing.Invoke(ctx, payload)
package orderstest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// The account, the region and the names of the World. The account is that of the fake, which believes every
// caller.
const (
	Account  = "000000000000"
	Region   = "us-east-1"
	Producer = "orders"
	Source   = "https://orders.example/eu"
	Type     = "com.example.order.placed"
	Audience = "central"

	trustBucket      = "trust"
	quarantineBucket = "quarantine"
	quarantineKey    = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01"
	keyringSecret    = "orders-keyring"
	keySecret        = "quarantine-key"
	replayTable      = "replay"
	ledgerTable      = "ledger"
)

// World is the AWS that the functions see, with the keys and the trust of one producer.
type World struct {
	Bus    *localaws.Server // EventBridge and SQS
	Tables *Tables          // DynamoDB; nil if Options name another
	Ring   *keys.Keyring    // the producer's
	Bundle []byte           // as it is in the bucket

	t       testing.TB
	root    string // the directory that functions are started in
	objects *awss3.Client
	s3      string
	secrets secrets
	vault   string // the URL of the secrets
	dynamo  string
	opts    Options
}

// Options adjust a World. The zero value has everything inside the process and delivers each event once.
type Options struct {
	Delivery localaws.Delivery
	Dynamo   string // the URL of a DynamoDB that has both tables; "" = a small one inside the process
	// The producer, and the patterns for which the bundle trusts its key; nothing = Producer and its orders.
	Producer       string
	Sources, Types []string
}

// TableNames are the tables that a DynamoDB of Options has. The key of both is the string "id".
func TableNames() []string { return []string{replayTable, ledgerTable} }

// New makes a World, which ends with the test.
func New(t testing.TB, opts *Options) *World {
	t.Helper()
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Producer == "" {
		o.Producer, o.Sources, o.Types = Producer, []string{"https://orders.example/*"},
			[]string{"com.example.order.*"}
	}
	w := &World{t: t, root: t.TempDir(), dynamo: o.Dynamo, opts: o}
	bus, err := localaws.Start(&localaws.Options{Account: Account, Region: Region, Delivery: o.Delivery})
	w.must(err)
	t.Cleanup(func() { bus.Close() })
	w.Bus = bus
	w.s3 = w.serve(gofakes3.New(s3mem.New()).Server())
	w.objects = awss3.New(awss3.Options{
		Region: Region, BaseEndpoint: &w.s3, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""),
	})
	for _, name := range []string{trustBucket, quarantineBucket} {
		_, err := w.objects.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name})
		w.must(err)
	}
	if w.dynamo == "" {
		w.Tables = &Tables{items: make(map[string]attributes)}
		w.dynamo = w.serve(w.Tables)
		t.Cleanup(func() {
			for _, request := range w.Tables.misunderstood() {
				t.Errorf("the tables did not understand %s", request)
			}
		})
	}
	w.vault = w.serve(&w.secrets)
	w.secrets.Store(keyringSecret, w.makeTrust())
	w.secrets.Store(keySecret, []byte(quarantineKey))
	return w
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *World) serve(h http.Handler) string {
	server := httptest.NewServer(h)
	w.t.Cleanup(server.Close)
	return server.URL
}

// makeTrust makes the producer's keyring, and a bundle that one root signed.
func (w *World) makeTrust() (keyring []byte) {
	w.t.Helper()
	signer, err := keys.GenerateSigner(keys.Ed25519, w.opts.Producer)
	w.must(err)
	path := filepath.Join(w.t.TempDir(), "orders.keyring")
	w.Ring, err = keys.CreateKeyring(path, "", w.opts.Producer, &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true}, Key: signer,
	})
	w.must(err)
	keyring, err = os.ReadFile(path)
	w.must(err)
	root, err := trust.GenerateRootKey(keys.Ed25519)
	w.must(err)
	roots, err := trust.NewRoots(1, 1, root.Verifier())
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.root, "roots.json"), roots.Payload(), 0o600))
	now := time.Now()
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: now,
		Expires: now.Add(48 * time.Hour)}, &trust.Key{
		Verifier: signer.Verifier(), Producer: w.opts.Producer, Sources: w.opts.Sources, Types: w.opts.Types,
		Accounts: []string{Account},
	})
	w.must(err)
	w.Bundle, err = trust.SignBundle(w.t.Context(), bundle, root)
	w.must(err)
	w.PutBundle(w.Bundle)
	return keyring
}

// QuarantineKey is the key of every quarantine, as it is in its secret.
func (w *World) QuarantineKey() string { return quarantineKey }

// QuarantineBucket is the bucket of every quarantine.
func (w *World) QuarantineBucket() string { return quarantineBucket }

// TrustBucket is the bucket with the bundle, trust.dsse.
func (w *World) TrustBucket() string { return trustBucket }

// KeyringSecret is the name of the secret with the producer's keyring.
func (w *World) KeyringSecret() string { return keyringSecret }

// PutSecret puts a text into AWS Secrets Manager, under a name or an ARN.
func (w *World) PutSecret(id, text string) { w.secrets.Store(id, text) }

// Trust replaces the roots that functions start with, the bundle and the producer's keyring.
func (w *World) Trust(roots, bundle, keyring []byte) {
	w.t.Helper()
	w.must(os.WriteFile(filepath.Join(w.root, "roots.json"), roots, 0o600))
	w.PutBundle(bundle)
	w.secrets.Store(keyringSecret, keyring)
}

// PutBundle publishes a bundle; nil takes the one away that is there.
func (w *World) PutBundle(signed []byte) {
	w.t.Helper()
	key := aws.String("trust.dsse")
	if signed == nil {
		_, err := w.objects.DeleteObject(w.t.Context(),
			&awss3.DeleteObjectInput{Bucket: aws.String(trustBucket), Key: key})
		w.must(err)
		return
	}
	_, err := w.objects.PutObject(w.t.Context(), &awss3.PutObjectInput{Bucket: aws.String(trustBucket),
		Key: key, Body: bytes.NewReader(signed)})
	w.must(err)
}

// TakeQuarantineAway deletes the bucket of the quarantine, so that nothing can be put there.
func (w *World) TakeQuarantineAway() {
	w.t.Helper()
	bucket := aws.String(quarantineBucket)
	list, err := w.objects.ListObjectsV2(w.t.Context(), &awss3.ListObjectsV2Input{Bucket: bucket})
	w.must(err)
	for _, o := range list.Contents {
		_, err := w.objects.DeleteObject(w.t.Context(), &awss3.DeleteObjectInput{Bucket: bucket, Key: o.Key})
		w.must(err)
	}
	_, err = w.objects.DeleteBucket(w.t.Context(), &awss3.DeleteBucketInput{Bucket: bucket})
	w.must(err)
}

// ConsumerEnv is the environment of a consumer, as consumer.yaml gives it.
func (w *World) ConsumerEnv() []string {
	return []string{
		"TRUST_BUCKET=" + trustBucket, "TRUST_KEY=trust.dsse", "ALLOWED_SOURCES=https://orders.example/*",
		"AUDIENCE=" + Audience,
		"REPLAY_TABLE=" + replayTable, "LEDGER_TABLE=" + ledgerTable, "QUARANTINE_BUCKET=" + quarantineBucket,
		"QUARANTINE_KEY_SECRET=" + keySecret, "MAX_AGE=26h5m", "QUEUE_RETENTION=432h",
	}
}

// ProducerEnv is the environment of the producer, as producer.yaml gives it.
func (w *World) ProducerEnv(bus string) []string {
	return []string{"CENTRAL_BUS=" + bus, "KEYRING_SECRET=" + keyringSecret}
}

// Dir is the directory that functions are started in: it has the roots.
func (w *World) Dir() string { return w.root }

// AWSEnv is what leads the SDK to this AWS and to no other.
func (w *World) AWSEnv() []string {
	return []string{
		"AWS_REGION=" + Region, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL=http://127.0.0.1:1", // nothing listens there
		"AWS_ENDPOINT_URL_S3=" + w.s3, "AWS_ENDPOINT_URL_SECRETS_MANAGER=" +
			w.vault, "AWS_ENDPOINT_URL_DYNAMODB=" + w.dynamo,
		"AWS_ENDPOINT_URL_EVENTBRIDGE=" + w.Bus.URL(), "AWS_ENDPOINT_URL_SQS=" + w.Bus.URL(),
	}
}

// Delivered is a genuine order as EventBridge delivers it.
func (w *World) Delivered(id string, data any) []byte {
	w.t.Helper()
	return w.DeliveredAt(time.Now(), id, data)
}

// DeliveredAt is Delivered for an order that the producer signed at another time.
func (w *World) DeliveredAt(signed time.Time, id string, data any) []byte {
	w.t.Helper()
	return awslambdatest.EventBridge(w.t, w.entry(signed, id, data), &envelopetest.Delivered{Account: Account})
}

// Entry is a genuine order as it is put on a bus.
func (w *World) Entry(id string, data any) *envelope.Entry {
	w.t.Helper()
	return w.entry(time.Now(), id, data)
}

func (w *World) entry(signed time.Time, id string, data any) *envelope.Entry {
	w.t.Helper()
	signers, err := w.Ring.Signers(time.Now())
	w.must(err)
	ev := event.New()
	ev.SetID(id)
	ev.SetSource(Source)
	ev.SetType(Type)
	w.must(ev.SetData("application/json", data))
	sealed, err := envelope.Seal(w.t.Context(), ev, signers[0], &envelope.SealOptions{
		Audience: Audience, Now: func() time.Time { return signed },
	})
	w.must(err)
	entry, err := sealed.EventBridge(envelope.Structured)
	w.must(err)
	return entry
}

// Refused are the authentic records in the quarantine of the consumer of that name.
func (w *World) Refused(name string) []quarantine.Entry {
	w.t.Helper()
	key, err := base64.StdEncoding.DecodeString(quarantineKey)
	w.must(err)
	keys, err := consumer.NewQuarantineKeys(name, key)
	w.must(err)
	store, err := s3.New(w.objects, quarantineBucket, keys, &s3.Options{Prefix: name})
	w.must(err)
	var entries []quarantine.Entry
	for e, err := range store.List(w.t.Context(), nil) {
		w.must(err)
		w.must(e.Err)
		entries = append(entries, e)
	}
	return entries
}

// Reasons are why the records in the quarantine of a consumer are there.
func (w *World) Reasons(consumer string) map[envelope.Reason]int {
	w.t.Helper()
	reasons := make(map[envelope.Reason]int)
	for _, e := range w.Refused(consumer) {
		reasons[e.Record.Reason]++
	}
	return reasons
}

// secrets is an AWS Secrets Manager that only knows GetSecretValue.
type secrets struct{ sync.Map }

func (s *secrets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ID string `json:"SecretId"`
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	value, known := s.Load(in.ID)
	if err != nil || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" || !known {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"__type": "ResourceNotFoundException"})
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	member := "SecretBinary"
	if _, isText := value.(string); isText {
		member = "SecretString"
	}
	json.NewEncoder(w).Encode(map[string]any{"Name": in.ID, member: value})
}
