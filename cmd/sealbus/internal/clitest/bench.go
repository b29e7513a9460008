// Package clitest runs commands in the process of a test, with an organisation, a bus and queues around them.
package clitest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

func OtherIdentity(t *testing.T) string {
	t.Helper()
	i, err := keys.GenerateIdentity(keys.X25519)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := i.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	return string(jwk)
}

// SecretOrg makes an organisation whose producer is shop and whose consumer is billing: keyrings, public
// halves, trust.
func (b *Bench) SecretOrg() *keys.LocalIdentity {
	b.T.Helper()
	_ = os.Remove(b.Path("shop.keyring")) // of an organisation without secrets
	insecure := keys.PrivateFileOptions{InsecureNoPassphrase: true}
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.Check(err)
	_, err = keys.CreateKeyring(b.Path("shop.keyring"), "", "shop",
		&keys.KeyringOptions{PrivateFileOptions: insecure, Key: signer})
	b.Check(err)
	identity, err := keys.GenerateIdentity(keys.P256)
	b.Check(err)
	_, err = keys.CreateConsumerKeyring(b.Path("billing.keyring"), "", "billing",
		&keys.KeyringOptions{PrivateFileOptions: insecure, Key: identity})
	b.Check(err)
	b.Check(os.WriteFile(b.Path("billing.pub.json"), identity.Recipient().JWK(), 0o600))
	b.TrustWith([]*trust.Key{{Recipient: identity.Recipient(), Consumer: "billing"}},
		&trust.Key{Verifier: signer.Verifier(), Producer: "shop", Sources: []string{OrderSource},
			Types: []string{"*"}})
	return identity
}

func (b *Bench) WithTrust(args ...string) []string {
	return append(args, "--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json"))
}

// Bench is a place where commands run, at a fixed time and without a terminal.
type Bench struct {
	T        *testing.T
	Dir      string
	Now      time.Time
	Terminal bool
	Columns  int          // of the terminal; 0 = it does not say
	Client   *http.Client // for https:// URLs
	Env      map[string]string
}

// Ran is how a command ended.
type Ran struct {
	Code           int
	Stdout, Stderr string
}

func New(t *testing.T) *Bench {
	return &Bench{T: t, Dir: t.TempDir(), Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
}

// On is the bench for a subtest.
func (b *Bench) On(t *testing.T) *Bench {
	c := *b
	c.T = t
	return &c
}

func (b *Bench) Path(name string) string { return filepath.Join(b.Dir, name) }

func (b *Bench) Run(stdin string, args ...string) Ran {
	b.T.Helper()
	var stdout, stderr bytes.Buffer
	env := ui.System{
		Now: func() time.Time { return b.Now }, Getenv: func(name string) string { return b.Env[name] },
		Terminal: func(io.Writer) bool { return b.Terminal }, Client: b.Client, WorkFactor: Quick,
		Width: func(io.Writer) int { return b.Columns },
	}
	code := cli.Run(context.Background(), args, strings.NewReader(stdin), &stdout, &stderr, env)
	return Ran{code, stdout.String(), stderr.String()}
}

// Must runs a command that has to succeed, and returns what it wrote.
func (b *Bench) Must(stdin string, args ...string) string {
	b.T.Helper()
	r := b.Run(stdin, args...)
	if r.Code != 0 {
		b.T.Fatalf("%s: exit %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Org makes a keyring of producer shop for these sources, and trust in it.
func (b *Bench) Org(accounts []string, sources ...string) {
	b.T.Helper()
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.Check(err)
	_, err = keys.CreateKeyring(b.Path("shop.keyring"), "", "shop", &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true}, Key: signer,
		Sources: sources,
	})
	b.Check(err)
	b.Trust(&trust.Key{Verifier: signer.Verifier(), Producer: "shop", Sources: sources, Types: []string{"*"},
		Accounts: accounts})
}

// Trust writes a signed bundle of these keys, and its roots.
func (b *Bench) Trust(list ...*trust.Key) {
	b.T.Helper()
	b.TrustWith(nil, list...)
}

// TrustWith is trust that lists encryption keys, too.
func (b *Bench) TrustWith(encryption []*trust.Key, list ...*trust.Key) {
	b.T.Helper()
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: b.Now,
		Expires: b.Now.Add(48 * time.Hour)}, append(encryption, list...)...)
	b.Check(err)
	b.SignTrust(bundle)
}

// SignTrust signs the bundle with a new root key: trust.dsse and roots.json.
func (b *Bench) SignTrust(bundle *trust.Bundle) {
	b.T.Helper()
	root, err := trust.GenerateRootKey(keys.Ed25519)
	b.Check(err)
	signed, err := trust.SignBundle(b.T.Context(), bundle, root)
	b.Check(err)
	roots, err := trust.NewRoots(1, 1, root.Verifier())
	b.Check(err)
	b.Check(os.WriteFile(b.Path("trust.dsse"), signed, 0o600))
	b.Check(os.WriteFile(b.Path("roots.json"), roots.Payload(), 0o600))
}

func (b *Bench) Check(err error) {
	b.T.Helper()
	if err != nil {
		b.T.Fatal(err)
	}
}

// Seal is the arguments of a seal command, and open of an open command.
func (b *Bench) Seal(more ...string) []string {
	return append([]string{"seal", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase"}, more...)
}

func (b *Bench) Open(source string, more ...string) []string {
	return append([]string{"open", "--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json"),
		"--allow-source", source}, more...)
}

// Reformatted is what `jq -S .` makes of a document.
func Reformatted(t *testing.T, doc []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Deliveries are the EventBridge events that come of PutEvents entries.
func Deliveries(t *testing.T, entries, account string) []string {
	t.Helper()
	var list []struct{ Source, DetailType, Detail, Time string }
	if err := json.Unmarshal([]byte(entries), &list); err != nil {
		t.Fatal(err)
	}
	docs := make([]string, len(list))
	for i, e := range list {
		doc, err := json.Marshal(map[string]any{
			"version": "0", "id": "6f1c7d0a-6d1f-4c3e-9d44-0a4b9a4b3c11", "region": "eu-west-1",
			"resources": []string{}, "account": account,
			"time": e.Time, "source": e.Source, "detail-type": e.DetailType,
			"detail": json.RawMessage(e.Detail),
		})
		if err != nil {
			t.Fatal(err)
		}
		docs[i] = string(doc)
	}
	return docs
}

// HeardResult is a line of `sealbus listen --output json`, as programs read it.
type HeardResult struct {
	Time, Verdict              string
	Reason                     envelope.Reason
	Cause, Fix                 string
	Producer, Source, Type, ID string
	Unverified                 *struct{ Source, Type, ID string }
	Forwarded                  bool
	Ignored                    []string
	Encryption                 *struct {
		Fields     []string
		OpenedWith string `json:"opened_with"`
	}
}

// RecordResult is a record of `sealbus quarantine list` and `show` with --output json, as programs read it.
type RecordResult struct {
	ID, Consumer, Quarantine, Format, Account string
	Authentic                                 bool
	ReplayName                                string `json:"replay_name"`
	UnverifiedID                              string `json:"unverified_id"`
	UnverifiedSource                          string `json:"unverified_source"`
	Now                                       *struct {
		Verdict, Cause, Fix, Producer string
		Reason                        envelope.Reason
	}
}

// KeyText is a quarantine's key as its file has it.
func KeyText(key []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(key)) }

const OrderEvent = `{"specversion":"1.0","id":"o-1","source":"https://shop.example/eu","type":"com.example.order.placed",` +
	`"time":"2026-11-21T11:59:00.25Z","subject":"basket/7","tenant":"acme","datacontenttype":"application/json",` +
	`"data":{"total":12.50,"item":"chair"}}`

const OrderSource = "https://shop.example/*"

// Wrapped puts documents, as JSON strings, into the places of format.
func Wrapped(t *testing.T, format string, docs []string) string {
	t.Helper()
	args := make([]any, len(docs))
	for i, d := range docs {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		args[i] = string(text)
	}
	return fmt.Sprintf(format, args...)
}

func Order(id string) string { return strings.Replace(OrderEvent, `"o-1"`, `"`+id+`"`, 1) }

func QuarantineKeys(name string, key []byte) consumer.QuarantineKeys {
	keys, err := consumer.NewQuarantineKeys(name, key)
	if err != nil {
		panic(err)
	}
	return keys
}

// BinKeys are those of the quarantine "bin".
func BinKeys(key []byte) consumer.QuarantineKeys { return QuarantineKeys("bin", key) }

// JSONLines are the lines of JSON that a command wrote.
func JSONLines[T any](t *testing.T, out string) (list []T) {
	t.Helper()
	for line := range strings.Lines(out) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, v)
	}
	return list
}
