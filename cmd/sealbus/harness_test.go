package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// bench is a place where commands run, at a fixed time and without a terminal.
type bench struct {
	t        *testing.T
	dir      string
	now      time.Time
	terminal bool
	columns  int          // of the terminal; 0 = it does not say
	client   *http.Client // for https:// URLs
}

// ran is how a command ended.
type ran struct {
	code           int
	stdout, stderr string
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) run(stdin string, args ...string) ran {
	b.t.Helper()
	var stdout, stderr bytes.Buffer
	env := environment{
		now: func() time.Time { return b.now }, getenv: func(string) string { return "" },
		terminal: func(io.Writer) bool { return b.terminal }, client: b.client, workFactor: quick, width: func(io.Writer) int { return b.columns },
	}
	code := run(context.Background(), args, strings.NewReader(stdin), &stdout, &stderr, env)
	return ran{code, stdout.String(), stderr.String()}
}

// must runs a command that has to succeed, and returns what it wrote.
func (b *bench) must(stdin string, args ...string) string {
	b.t.Helper()
	r := b.run(stdin, args...)
	if r.code != 0 {
		b.t.Fatalf("%s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// org makes a keyring of producer shop for these sources, and trust in it.
func (b *bench) org(accounts []string, sources ...string) {
	b.t.Helper()
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.check(err)
	_, err = keys.CreateKeyring(b.path("shop.keyring"), "", "shop", &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true}, Key: signer, Sources: sources,
	})
	b.check(err)
	b.trust(&keys.Key{Verifier: signer.Verifier(), Producer: "shop", Sources: sources, Types: []string{"*"}, Accounts: accounts})
}

// trust writes a signed bundle of these keys, and its roots.
func (b *bench) trust(list ...*keys.Key) {
	b.t.Helper()
	b.trustWith(nil, list...)
}

// trustWith is trust that lists encryption keys, too.
func (b *bench) trustWith(encryption []*keys.EncryptionKey, list ...*keys.Key) {
	b.t.Helper()
	bundle, err := keys.NewBundle(keys.BundleOptions{Version: 1, Issued: b.now, Expires: b.now.Add(48 * time.Hour), EncryptionKeys: encryption}, list...)
	b.check(err)
	b.signTrust(bundle)
}

// signTrust signs the bundle with a new root key: trust.dsse and roots.json.
func (b *bench) signTrust(bundle *keys.Bundle) {
	b.t.Helper()
	root, err := keys.GenerateRootKey(keys.Ed25519)
	b.check(err)
	signed, err := keys.SignBundle(b.t.Context(), bundle, root)
	b.check(err)
	roots, err := keys.NewRoots(1, 1, root.Verifier())
	b.check(err)
	b.check(os.WriteFile(b.path("trust.dsse"), signed, 0o600))
	b.check(os.WriteFile(b.path("roots.json"), roots.Payload(), 0o600))
}

func (b *bench) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// seal is the arguments of a seal command, and open of an open command.
func (b *bench) seal(more ...string) []string {
	return append([]string{"seal", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase"}, more...)
}

func (b *bench) open(source string, more ...string) []string {
	return append([]string{"open", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"), "--allow-source", source}, more...)
}

// reformatted is what `jq -S .` makes of a document.
func reformatted(t *testing.T, doc []byte) string {
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

// deliveries are the EventBridge events that come of PutEvents entries.
func deliveries(t *testing.T, entries, account string) []string {
	t.Helper()
	var list []struct{ Source, DetailType, Detail, Time string }
	if err := json.Unmarshal([]byte(entries), &list); err != nil {
		t.Fatal(err)
	}
	docs := make([]string, len(list))
	for i, e := range list {
		doc, err := json.Marshal(map[string]any{
			"version": "0", "id": "6f1c7d0a-6d1f-4c3e-9d44-0a4b9a4b3c11", "region": "eu-west-1", "resources": []string{}, "account": account,
			"time": e.Time, "source": e.Source, "detail-type": e.DetailType, "detail": json.RawMessage(e.Detail),
		})
		if err != nil {
			t.Fatal(err)
		}
		docs[i] = string(doc)
	}
	return docs
}

// heardResult is a line of `sealbus listen --output json`, as programs read it.
type heardResult struct {
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

// recordResult is a record of `sealbus quarantine list` and `show` with --output json, as programs read it.
type recordResult struct {
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

// keyText is a quarantine's key as its file has it.
func keyText(key []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(key)) }

const orderEvent = `{"specversion":"1.0","id":"o-1","source":"https://shop.example/eu","type":"com.example.order.placed",` +
	`"time":"2026-11-21T11:59:00.25Z","subject":"basket/7","tenant":"acme","datacontenttype":"application/json",` +
	`"data":{"total":12.50,"item":"chair"}}`

const orderSource = "https://shop.example/*"
