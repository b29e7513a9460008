package envelope_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/edtable"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

var update = flag.Bool("update", false, "write the vector files anew")

const (
	vectorDir        = "../vectors"
	formCloudEvent   = "cloudevent"
	formEventBridge  = "eventbridge"
	formHTTP         = "http"
	expectedVerified = "verified"
)

// vector is one file of the vectors directory, whose README describes it.
type vector struct {
	Name        string            `json:"name"`
	About       string            `json:"about"`
	Form        string            `json:"form"`
	Input       string            `json:"input,omitempty"`
	InputBase64 string            `json:"input_base64,omitempty"`
	Repeat      *vectorRepeat     `json:"repeat,omitempty"`
	Bundle      string            `json:"bundle"`
	Options     vectorOptions     `json:"options"`
	Expect      string            `json:"expect"`
	Event       string            `json:"event,omitempty"`
	Unverified  map[string]string `json:"unverified,omitempty"`
	Producer    string            `json:"producer,omitempty"`
	KeyIDs      []string          `json:"key_ids,omitempty"`
	Encryption  *vectorEncryption `json:"encryption,omitempty"`
}

// vectorRepeat is what the one U+001F in Input stands for: inputs at a limit would make large files.
type vectorRepeat struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

const repeatMark = "\x1f"

// vectorEncryption is what a verified event says of how its data was encrypted.
type vectorEncryption struct {
	Fields     []string `json:"fields,omitempty"` // none: all of the data
	Recipients []string `json:"recipients"`       // key IDs, "" = not named
	OpenedWith string   `json:"opened_with"`
}

type vectorOptions struct {
	Now                          string            `json:"now"`
	Mode                         string            `json:"mode,omitempty"`
	Sources                      []string          `json:"sources,omitempty"`
	Types                        []string          `json:"types,omitempty"`
	Audience                     string            `json:"audience,omitempty"`
	Account                      string            `json:"account,omitempty"`
	Outer                        *vectorOuter      `json:"outer,omitempty"`
	MaxAgeSeconds                int               `json:"max_age_seconds,omitempty"`
	SkewSeconds                  int               `json:"skew_seconds,omitempty"`
	RequiredAlgorithms           []keys.Algorithm  `json:"required_algorithms,omitempty"`
	ExtensionTypes               map[string]string `json:"extension_types,omitempty"`
	UnsafeIgnoreAccount          bool              `json:"unsafe_ignore_account,omitempty"`
	UnsafeAllowUndated           bool              `json:"unsafe_allow_undated,omitempty"`
	UnsafeAcceptBeforeRevocation bool              `json:"unsafe_accept_before_revocation,omitempty"`
	Identities                   []json.RawMessage `json:"identities,omitempty"`
	RemoteIdentities             []json.RawMessage `json:"remote_identities,omitempty"`
	Services                     []*mint.Service   `json:"services,omitempty"`
	RequireEncrypted             bool              `json:"require_encrypted,omitempty"`
	RequireEncryptedFields       []string          `json:"require_encrypted_fields,omitempty"`
	UnsafeAllowUncommitted       bool              `json:"unsafe_allow_uncommitted,omitempty"`
	IgnoreMembers                []string          `json:"ignore_members,omitzero"` // an empty one is written
}

type vectorOuter struct {
	Source     string `json:"source"`
	DetailType string `json:"detail_type"`
}

var modes = map[string]envelope.Mode{"": envelope.Strict, "strict": envelope.Strict,
	"passthrough": envelope.Passthrough, "core-only": envelope.CoreOnly}

// policy is the acceptance policy of a vector. A window of 0 seconds judges no age.
func (o *vectorOptions) policy(t testing.TB) *envelope.Policy {
	t.Helper()
	now, err := time.Parse(time.RFC3339Nano, o.Now)
	mode, known := modes[o.Mode]
	if err != nil || !known {
		t.Fatalf("options: %v, mode %q", err, o.Mode)
	}
	p := &envelope.Policy{
		Mode: mode, Sources: o.Sources, Types: o.Types, Audience: o.Audience,
		RequiredAlgorithms: o.RequiredAlgorithms, MaxAge: time.Duration(o.MaxAgeSeconds) * time.Second,
		Skew: time.Duration(o.SkewSeconds) * time.Second, Now: func() time.Time { return now },
		RequireEncrypted: o.RequireEncrypted, RequireEncryptedFields: o.RequireEncryptedFields,
		Decrypter: o.decrypter(t), IgnoreMembers: o.IgnoreMembers, ExtensionTypes: o.ExtensionTypes,
		Unsafe: envelope.Unsafe{
			AnySource: o.Sources == nil, AnyAge: o.MaxAgeSeconds == 0, IgnoreAccount: o.UnsafeIgnoreAccount,
			AllowUndated: o.UnsafeAllowUndated, AcceptBeforeRevocation: o.UnsafeAcceptBeforeRevocation,
			AllowUncommitted: o.UnsafeAllowUncommitted,
		},
	}
	return p
}

// decrypter is nil without identities and services.
func (o *vectorOptions) decrypter(t testing.TB) *envelope.Decrypter {
	t.Helper()
	var list []keys.Identity
	for i, jwk := range slices.Concat(o.Identities, o.RemoteIdentities) {
		identity, err := keys.ParseIdentityJWK(jwk)
		if err != nil {
			t.Fatal(err)
		}
		if i < len(o.Identities) {
			list = append(list, identity)
		} else {
			list = append(list, mint.Elsewhere{Identity: identity})
		}
	}
	with := envelope.DecryptWith{Identities: keys.OpenWith(list...)}
	for _, s := range o.Services {
		// which has answered nothing yet
		with.Services = append(with.Services, &mint.Service{ID: s.ID, Answers: s.Answers})
	}
	if list == nil && with.Services == nil {
		return nil
	}
	d, err := envelope.NewDecrypter(with)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (v *vector) input(t testing.TB) []byte {
	t.Helper()
	if v.Repeat != nil {
		return []byte(strings.Replace(v.Input, repeatMark, strings.Repeat(v.Repeat.Text, v.Repeat.Times), 1))
	}
	if v.InputBase64 == "" {
		return []byte(v.Input)
	}
	in, err := base64.StdEncoding.DecodeString(v.InputBase64)
	if err != nil || v.Input != "" {
		t.Fatalf("input_base64: %v", err)
	}
	return in
}

func (v *vector) setInput(in []byte) {
	v.Input, v.InputBase64 = string(in), ""
	if !utf8.Valid(in) {
		v.Input, v.InputBase64 = "", base64.StdEncoding.EncodeToString(in)
	}
}

// shorten writes the longest run of text in the input as a repetition.
func (v *vector) shorten(text string) {
	from, most := 0, 0
	for at := 0; ; {
		next := strings.Index(v.Input[at:], text)
		if next < 0 {
			break
		}
		at += next
		n := 0
		for strings.HasPrefix(v.Input[at+n*len(text):], text) {
			n++
		}
		if n > most {
			from, most = at, n
		}
		at += n * len(text)
	}
	if most < 1000 || strings.Contains(v.Input, repeatMark) {
		panic("there is nothing to shorten in " + v.Name)
	}
	v.Input = v.Input[:from] + repeatMark + v.Input[from+most*len(text):]
	v.Repeat = &vectorRepeat{text, most}
}

// readVectors reads every file; that there are none is a failure.
func readVectors(t testing.TB) map[string]*vector {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s: %v", vectorDir, err)
	}
	all := make(map[string]*vector, len(files))
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v := &vector{}
		d := json.NewDecoder(bytes.NewReader(doc))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if v.Name+".json" != filepath.Base(file) {
			t.Errorf("%s is named %q", file, v.Name)
		}
		all[v.Name] = v
	}
	return all
}

func readBundle(t testing.TB, name string) *trust.Bundle {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	b, err := trust.ParseBundle(bytes.TrimSuffix(doc, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openVector opens what the vector holds.
func openVector(t testing.TB, v *vector, trust trust.Source, noTables bool) (*envelope.Opened, error) {
	t.Helper()
	r := envelope.Received{Body: v.input(t), Account: v.Options.Account}
	switch v.Form {
	case formCloudEvent:
		if o := v.Options.Outer; o != nil { // a transport that states them is EventBridge
			r.Body = []byte(mint.Delivery(o.Source, o.DetailType, r.Account, string(r.Body)).String())
			r.EventBridge = true
		}
	case formEventBridge:
		r.EventBridge = true
	case formHTTP:
		r.HTTP = true
	default:
		t.Fatalf("form %q", v.Form)
	}
	policy := v.Options.policy(t)
	policy.NoKeyTables = noTables
	return openStep(t.Context(), r, envelope.Step{}, trust, policy)
}

func checkVector(t *testing.T, v *vector, trust trust.Source, noTables bool) {
	opened, err := openVector(t, v, trust, noTables)
	if v.Expect != expectedVerified {
		if got := envelope.ReasonOf(err); string(got) != v.Expect || got.Cause() == "" || opened != nil {
			t.Fatalf("%s: want %s, got %v", v.About, v.Expect, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", v.About, err)
	}
	if got := string(opened.JSON()); got != v.Event {
		t.Errorf("event\n got %s\nwant %s", got, v.Event)
	}
	if opened.Producer != v.Producer || !reflect.DeepEqual(opened.KeyIDs, v.KeyIDs) {
		t.Errorf("got producer %q, keys %q; want %q, %q", opened.Producer, opened.KeyIDs, v.Producer,
			v.KeyIDs)
	}
	if !maps.Equal(opened.Unverified, v.Unverified) {
		t.Errorf("unverified: got %q, want %q", opened.Unverified, v.Unverified)
	}
	if e := encryptionOf(opened); !reflect.DeepEqual(e, v.Encryption) {
		t.Errorf("encryption: got %+v, want %+v", e, v.Encryption)
	}
	if opened.Event.ID() == "" || opened.Event.Validate() != nil {
		t.Errorf("the event of the SDK is not valid: %v", opened.Event.Validate())
	}
}

func encryptionOf(o *envelope.Opened) *vectorEncryption {
	if o.Encryption == nil {
		return nil
	}
	return &vectorEncryption{o.Encryption.Fields, o.Encryption.Recipients, o.Encryption.OpenedWith}
}

// Every vector file gives exactly the Reason, or exactly the event, that it says: with tables of the keys
// that made its signatures, and without.
func TestVectors(t *testing.T) {
	makeTables(t)
	bundles := map[string]*trust.Bundle{}
	for name, v := range readVectors(t) {
		if bundles[v.Bundle] == nil {
			bundles[v.Bundle] = readBundle(t, v.Bundle)
		}
		t.Run(name, func(t *testing.T) {
			checkVector(t, v, bundles[v.Bundle], true)
			checkVector(t, v, bundles[v.Bundle], false)
		})
	}
}

// makeTables has a table made of the key of each Ed25519 signer in the vectors.
func makeTables(t *testing.T) {
	t.Helper()
	for _, signer := range cast {
		if signer.Verifier().Algorithm() != keys.Ed25519 {
			continue
		}
		message := []byte("often")
		sig, err := signer.Sign(t.Context(), message)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(edtable.BuildInterval)
		for range edtable.EvictionWorth + 1 {
			if !signer.Verifier().VerifyOften(message, sig) {
				t.Fatal("a signature does not verify")
			}
		}
	}
}

// The files are what the cases in this package make, byte for byte, and nothing else.
func TestVectorFiles(t *testing.T) {
	want := map[string][]byte{}
	for _, v := range allVectors(t) {
		name := v.Name + ".json"
		if want[name] != nil {
			t.Fatalf("two vectors are called %s", v.Name)
		}
		want[name] = indented(t, v)
	}
	for name, b := range vectorBundles(t) {
		want[name] = append(b.Payload(), '\n')
	}
	if *update {
		writeFiles(t, want)
	}
	have := readFiles(t)
	for name, doc := range want {
		if !bytes.Equal(have[name], doc) {
			t.Errorf("%s differs from what its case makes: go test -run TestVectorFiles -update", name)
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s belongs to no case", name)
	}
}

func indented(t *testing.T, v *vector) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func vectorFiles(t *testing.T) (list []string) {
	for _, dir := range []string{"", "bundles"} {
		files, err := filepath.Glob(filepath.Join(vectorDir, dir, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, files...)
	}
	return list
}

func readFiles(t *testing.T) map[string][]byte {
	have := map[string][]byte{}
	for _, file := range vectorFiles(t) {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		have[strings.TrimPrefix(filepath.ToSlash(file), vectorDir+"/")] = doc
	}
	return have
}

func writeFiles(t *testing.T, want map[string][]byte) {
	for _, file := range vectorFiles(t) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, doc := range want {
		if err := os.WriteFile(filepath.Join(vectorDir, name), doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
