package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
)

const openMJS = "../examples/confidential/open.mjs"

// opener runs the program of examples/confidential with AWS's SDK for JavaScript, against the fake KMS.
type opener struct {
	t   *testing.T
	dir string
	env []string
}

func newOpener(t *testing.T, url string) *opener {
	t.Helper()
	needPackages(t)
	if _, err := exec.LookPath("node"); err != nil {
		missing(t, "Node.js 20 or later is not installed: install it, then run this test again")
	}
	program, err := os.ReadFile(openMJS)
	ok(t, err)
	if lines := bytes.Count(program, []byte("\n")); lines >= 60 {
		t.Errorf("%s has %d lines", openMJS, lines)
	}
	o := &opener{t: t, dir: t.TempDir()}
	ok(t, os.WriteFile(filepath.Join(o.dir, "open.mjs"), program, 0o600))
	modules, err := filepath.Abs("node_modules")
	ok(t, err)
	ok(t, os.Symlink(modules, filepath.Join(o.dir, "node_modules")))
	o.env = append(os.Environ(), "AWS_ENDPOINT_URL_KMS="+
		url, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	return o
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trust writes whom the program trusts.
func (o *opener) trust(s keys.Signer) {
	o.t.Helper()
	var jwk map[string]any
	ok(o.t, json.Unmarshal(s.Verifier().ThumbprintJWK(), &jwk))
	doc, err := json.Marshal(map[string]any{"producer": s.Producer(),
		"sources": []string{"https://orders.example/"}, "key": jwk})
	ok(o.t, err)
	ok(o.t, os.WriteFile(filepath.Join(o.dir, "trusted.json"), doc, 0o600))
}

// open gives the program an event: what it decrypts, or why it refuses.
func (o *opener) open(doc []byte, arn string) (plain, refusal string) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), "node", "open.mjs", "trusted.json", arn)
	cmd.Dir, cmd.Env, cmd.Stdin = o.dir, o.env, bytes.NewReader(doc)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", stderr.String()
	}
	return stdout.String(), ""
}

// TestOpenWithNode: less than 60 lines of JavaScript verify and decrypt what we seal to a key in KMS, under
// each kind of signature that they know, and refuse an event that was changed, was moved or is another
// producer's, without asking KMS.
func TestOpenWithNode(t *testing.T) {
	server, err := localaws.Start(nil)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close() })
	client := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	made, err := client.CreateKey(t.Context(), nil)
	ok(t, err)
	arn := *made.KeyMetadata.Arn
	to, err := awskms.NewRecipient(client, arn, nil)
	ok(t, err)
	encrypter, err := envelope.NewEncrypter(envelope.EncryptTo{Services: []keys.ServiceRecipient{to}})
	ok(t, err)
	o := newOpener(t, server.URL())
	for _, alg := range []keys.Algorithm{keys.ES256, keys.Ed25519} {
		signer, err := keys.GenerateSigner(alg, "orders")
		ok(t, err)
		o.trust(signer)
		seal := func(data string, opts envelope.SealOptions) []byte { return sealForNode(t, signer, data, opts) }
		const data = `{"card":"4111","total":12.5}`
		doc := seal(data, envelope.SealOptions{Encrypt: encrypter, Expires: time.Hour})
		if got, refusal := o.open(doc, arn); got != data {
			t.Fatalf("%s: decrypted %q: %s", alg, got, refusal)
		}
		asked := server.CallsOf("Decrypt")
		stranger, err := keys.GenerateSigner(alg, "orders")
		ok(t, err)
		replace := func(old, new string) []byte {
			changed := bytes.Replace(doc, []byte(old), []byte(new), 1)
			if bytes.Equal(changed, doc) {
				t.Fatalf("no %q in %s", old, doc)
			}
			return changed
		}
		for want, bad := range map[string][]byte{
			"the data or an attribute was changed": replace(`"iv":"`, `"iv":"A`),
			"an extension was changed":             replace(`"tenant":"acme"`, `"tenant":"evil"`),
			"no signature of the trusted key": sealForNode(t, stranger, data,
				envelope.SealOptions{Encrypt: encrypter}),
			"not encrypted as a whole": seal(`{"card":"4111"}`, envelope.SealOptions{}),
			"not fresh": seal(data,
				envelope.SealOptions{Encrypt: encrypter,
					Now: func() time.Time { return time.Now().Add(-48 * time.Hour) }}),
			"the key may not speak for this source": sealForNode(t, signer, "elsewhere",
				envelope.SealOptions{Encrypt: encrypter}),
		} {
			if got, refusal := o.open(bad, arn); got != "" || !strings.Contains(refusal, "refused: "+want) {
				t.Errorf("%s: want %q, got %q: %s", alg, want, got, refusal)
			}
		}
		if _, refusal := o.open(doc, arn+"0"); !strings.Contains(refusal, "refused: not for this key") {
			t.Errorf("%s: for another key: %s", alg, refusal)
		}
		if n := server.CallsOf("Decrypt"); n != asked {
			t.Errorf("KMS was asked %d times for what was refused", n-asked)
		}
	}
}

// sealForNode seals an order; the data "elsewhere" stands for an order of another source.
func sealForNode(t *testing.T, signer keys.Signer, data string, opts envelope.SealOptions) []byte {
	t.Helper()
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	if data == "elsewhere" {
		ev.SetSource("https://mail.example/eu")
		data = `{}`
	}
	ev.SetType("com.example.order.placed")
	ev.SetTime(time.Now().Truncate(time.Millisecond))
	ev.SetExtension("tenant", "acme")
	ok(t, ev.SetData("application/json", json.RawMessage(data)))
	sealed, err := envelope.Seal(context.Background(), ev, signer, &opts)
	ok(t, err)
	return sealed.JSON()
}
