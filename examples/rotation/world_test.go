package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

const (
	testBucket = "trust-bucket"
	testSecret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:orders-keyring"
)

// call is a call that reached AWS: what IAM would be asked.
type call struct{ action, resource string }

// world is an AWS inside the process with the trust of one producer, and a clock of its own.
type world struct {
	*testing.T
	*job
	clock   time.Time
	root    *trust.RootKey
	cloud   http.Handler
	admin   *s3.Client // not through the policies
	vault   *vault
	version int64 // of the bundle
	metrics bytes.Buffer

	mu     sync.Mutex
	calls  []call            // of the function
	denies func(call) bool   // nil = nothing is denied
	before func(call)        // called once, before the first call that wants accepts
	wants  func(c call) bool // see before
	dies   int               // the number of the call, from 1, at which the function is killed; 0 = none
	isDone bool              // that call is carried out first
	isDead bool
}

// newWorld has a first bundle with the producer's key, and a first timestamp, as the root holders make them.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, clock: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.clock }
	server, err := localaws.Start(&localaws.Options{Now: now})
	w.must(err)
	t.Cleanup(func() { server.Close() })
	target, err := url.Parse(server.URL())
	w.must(err)
	objects := gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	w.vault = &vault{versions: map[string][]byte{}, labels: map[string]string{}}
	w.cloud = route(httputil.NewSingleHostReverseProxy(target), w.vault, objects)
	w.job = &job{bucket: testBucket, life: 24 * time.Hour, secret: testSecret, every: 8 * 24 * time.Hour,
		inFlight: 2 * 24 * time.Hour, now: now, out: &w.metrics}
	w.admin, w.job.keys, _ = clients(w.serve(w.cloud))
	_, err = w.admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(testBucket)})
	w.must(err)
	key, err := w.job.keys.CreateKey(t.Context(), &kms.CreateKeyInput{KeyUsage: kmstypes.KeyUsageTypeSignVerify,
		KeySpec: kmstypes.KeySpecEccNistP256})
	w.must(err)
	w.timestampKey = *key.KeyMetadata.Arn
	w.makeTrust()
	w.objects, w.job.keys, w.secrets = clients(w.serve(http.HandlerFunc(w.guard)))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) serve(h http.Handler) string {
	server := httptest.NewServer(h)
	w.Cleanup(server.Close)
	return server.URL
}

func clients(at string) (*s3.Client, *kms.Client, *secretsmanager.Client) {
	key := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", "")
	client := &http.Client{Transport: localaws.Transport{}}
	return s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &at, UsePathStyle: true, Credentials: key,
			RetryMaxAttempts: 1, HTTPClient: client}),
		kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: &at, Credentials: key, RetryMaxAttempts: 1,
			HTTPClient: client}),
		secretsmanager.New(secretsmanager.Options{Region: "us-east-1", BaseEndpoint: &at, Credentials: key,
			RetryMaxAttempts: 1, HTTPClient: client})
}

// makeTrust makes what is there before the function runs for the first time.
func (w *world) makeTrust() {
	w.Helper()
	ctx := w.Context()
	signer, err := awskms.NewSigner(ctx, w.job.keys, w.timestampKey, "timestamp", nil)
	w.must(err)
	w.root, err = trust.GenerateRootKey(keys.Ed25519)
	w.must(err)
	roots, err := trust.NewRoots(1, 1, w.root.Verifier())
	w.must(err)
	w.roots, err = roots.WithTimestampKeys(signer.Verifier())
	w.must(err)
	path := filepath.Join(w.TempDir(), "orders.keyring")
	key, err := keys.GenerateSigner(keys.Ed25519, "orders")
	w.must(err)
	_, err = keys.CreateKeyring(path, "", "orders", &keys.KeyringOptions{Key: key,
		PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true},
		Schedule:           keys.Schedule{Active: w.clock}})
	w.must(err)
	content, err := os.ReadFile(path)
	w.must(err)
	w.vault.store("first", content, current)
	b := w.publishBundle()
	ts, err := trust.NewTimestamp(w.roots, b, nil, trust.TimestampOptions{Now: w.clock})
	w.must(err)
	signed, err := trust.SignTimestamp(ctx, ts, signer)
	w.must(err)
	w.put(timestampFile, signed)
	w.put(fmt.Sprintf("bundles/%x", sha256.Sum256(b.Payload())), w.object(bundleFile))
}

// publishBundle is what the root holders do: a bundle with the keys of the keyring.
func (w *world) publishBundle() *trust.Bundle {
	w.Helper()
	w.version++
	signed, b := w.bundleOf(w.version)
	w.put(bundleFile, signed)
	return b
}

func (w *world) bundleOf(version int64) ([]byte, *trust.Bundle) {
	w.Helper()
	var list []*trust.Key
	for _, k := range w.ring().PublicKeys() {
		list = append(list, &trust.Key{Verifier: k.Verifier, Producer: "orders", Sources: []string{"urn:shop"},
			Types: []string{"*"}, Schedule: k.Schedule})
	}
	b, err := trust.NewBundle(trust.BundleOptions{Version: version, Issued: w.clock, TimestampRequired: true,
		Expires: w.clock.Add(90 * 24 * time.Hour), RefreshHint: 5 * time.Minute}, list...)
	w.must(err)
	signed, err := trust.SignBundle(w.Context(), b, w.root)
	w.must(err)
	return signed, b
}

// ring is the keyring that producers have.
func (w *world) ring() *keys.Keyring {
	w.Helper()
	ring, err := open(w.Context(), func(context.Context) ([]byte, error) {
		return w.vault.labelled(current), nil
	})
	w.must(err)
	return ring
}

func (w *world) put(name string, content []byte) {
	w.Helper()
	_, err := w.admin.PutObject(w.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: &name,
		Body: bytes.NewReader(content)})
	w.must(err)
}

func (w *world) object(name string) []byte {
	w.Helper()
	out, err := w.admin.GetObject(w.Context(), &s3.GetObjectInput{Bucket: aws.String(testBucket), Key: &name})
	w.must(err)
	content, err := io.ReadAll(out.Body)
	w.must(err)
	return content
}

// timestamp is the one that consumers read now. It must be live.
func (w *world) timestamp() *trust.Timestamp {
	w.Helper()
	ts, err := trust.OpenTimestamp(w.object(timestampFile), w.roots, w.clock)
	w.must(err)
	return ts
}

// consumer follows the trust as a consumer does.
func (w *world) consumer() *trust.RemoteSource {
	w.Helper()
	source, err := awss3.FetchBundle(w.Context(), w.admin, testBucket, bundleFile, w.roots,
		&trust.Options{Now: w.now})
	w.must(err)
	return source
}

// tick runs the function once, an hour later.
func (w *world) tick() error {
	w.clock = w.clock.Add(time.Hour)
	w.mu.Lock()
	w.calls, w.isDead = nil, false
	w.mu.Unlock()
	w.metrics.Reset()
	return w.run(w.Context())
}

// measuredAs are the metrics of the last run.
func (w *world) measuredAs() map[string]float64 {
	w.Helper()
	var doc map[string]any
	w.must(json.Unmarshal(w.metrics.Bytes(), &doc))
	found := map[string]float64{}
	for name, v := range doc {
		if n, ok := v.(float64); ok {
			found[name] = n
		}
	}
	return found
}

// route sends a call to its service.
func route(keyService, vault, objects http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch service, _, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); service {
		case "TrentService":
			keyService.ServeHTTP(rw, r)
		case "secretsmanager":
			vault.ServeHTTP(rw, r)
		default:
			objects.ServeHTTP(rw, r)
		}
	})
}

// callOf is what IAM would be asked about the request.
func callOf(r *http.Request, body []byte) call {
	service, action, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in struct{ KeyID, SecretID string }
	_ = json.Unmarshal(body, &in) // of S3 it is no JSON
	switch {
	case !ok:
		verb := map[string]string{http.MethodGet: "s3:GetObject", http.MethodPut: "s3:PutObject"}[r.Method]
		return call{verb, "arn:aws:s3:::" + strings.TrimPrefix(r.URL.Path, "/")}
	case service == "TrentService":
		return call{"kms:" + action, in.KeyID}
	}
	return call{service + ":" + action, in.SecretID}
}

// killAt has the function killed at that call, from 1, of each run; 0 = never. isDone: after it was done.
func (w *world) killAt(call int, isDone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dies, w.isDone = call, isDone
}

// seen is how many calls the last run made, and whether it was killed.
func (w *world) seen() (calls int, isDead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls), w.isDead
}

// guard is AWS as the function sees it: with policies, and with whatever the test lets happen.
func (w *world) guard(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c := callOf(r, body)
	w.mu.Lock()
	w.calls = append(w.calls, c)
	before := w.before
	if before == nil || w.wants != nil && !w.wants(c) {
		before = func(call) {}
	} else {
		w.before = nil
	}
	kills := w.dies > 0 && len(w.calls) == w.dies
	isDead := w.isDead || kills && !w.isDone
	w.isDead = w.isDead || kills
	isDenied := w.denies != nil && w.denies(c)
	w.mu.Unlock()
	before(c)
	switch {
	case isDead:
		panic(http.ErrAbortHandler)
	case isDenied:
		rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, `{"__type":"AccessDeniedException","Message":"no"}`)
	case kills:
		w.cloud.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	default:
		w.cloud.ServeHTTP(rw, r)
	}
}

// vault is an AWS Secrets Manager with one secret.
type vault struct {
	mu       sync.Mutex
	versions map[string][]byte
	labels   map[string]string // the version that has it
}

func (v *vault) store(version string, content []byte, labels ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.versions[version] = slices.Clone(content)
	for _, l := range labels {
		v.labels[l] = version
	}
}

func (v *vault) labelled(label string) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.versions[v.labels[label]])
}

// The errors are those that the service documents.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
func (v *vault) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var in struct {
		SecretID, ClientRequestToken, VersionStage, RemoveFromVersionID, MoveToVersionID string
		SecretBinary                                                                     []byte
		VersionStages                                                                    []string
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	answer, fault := map[string]any{"ARN": testSecret}, ""
	switch _, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); {
	case err != nil || in.SecretID != testSecret:
		fault = "ResourceNotFoundException"
	case action == "GetSecretValue":
		answer["VersionId"], answer["SecretBinary"] = v.labels[current], v.versions[v.labels[current]]
	case action == "PutSecretValue" && in.ClientRequestToken != "" && len(in.VersionStages) > 0:
		v.versions[in.ClientRequestToken] = in.SecretBinary
		for _, l := range in.VersionStages {
			v.labels[l] = in.ClientRequestToken
		}
		answer["VersionId"] = in.ClientRequestToken
	case action != "UpdateSecretVersionStage" || v.labels[in.VersionStage] != in.RemoveFromVersionID:
		fault = "InvalidParameterException"
	case v.versions[in.MoveToVersionID] == nil:
		fault = "ResourceNotFoundException"
	default:
		v.labels["AWSPREVIOUS"] = in.RemoveFromVersionID
		v.labels[in.VersionStage] = in.MoveToVersionID
	}
	rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if fault != "" {
		rw.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"__type": fault, "Message": "no"}
	}
	_ = json.NewEncoder(rw).Encode(answer) // the client may be gone
}
