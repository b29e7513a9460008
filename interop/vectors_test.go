package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

const vectorDir = "../vectors"

// mldsaPackage is the one package that the verifier needs: Node has ML-DSA only from OpenSSL 3.5 on.
const mldsaPackage = "@noble/post-quantum/ml-dsa.js"

// A vector is one file of vectors/: see the README there.
type vector struct {
	Name        string  `json:"name"`
	Form        string  `json:"form"`
	Input       string  `json:"input"`
	InputBase64 []byte  `json:"input_base64"`
	Repeat      *repeat `json:"repeat"`
	Bundle      string  `json:"bundle"`
	Options     options `json:"options"`
	Expect      string  `json:"expect"`
	opened
}

// repeat is what the one U+001F in the input stands for.
type repeat struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

// opened is what a verified event comes with.
type opened struct {
	Event      string            `json:"event"`
	Unverified map[string]string `json:"unverified"`
	Producer   string            `json:"producer"`
	KeyIDs     []string          `json:"key_ids"`
	Encryption *encryption       `json:"encryption"`
}

// encryption is how the data of a verified event was encrypted.
type encryption struct {
	Fields     []string `json:"fields"`
	Recipients []string `json:"recipients"`
	OpenedWith string   `json:"opened_with"`
}

type options struct {
	Now                time.Time         `json:"now"`
	Mode               string            `json:"mode"`
	MaxAgeSeconds      int64             `json:"max_age_seconds"`
	SkewSeconds        int64             `json:"skew_seconds"`
	Sources            []string          `json:"sources"`
	Types              []string          `json:"types"`
	Audience           string            `json:"audience"`
	Account            string            `json:"account"`
	RequiredAlgorithms []keys.Algorithm  `json:"required_algorithms"`
	ExtensionTypes     map[string]string `json:"extension_types"`
	Outer              *struct {
		Source     string `json:"source"`
		DetailType string `json:"detail_type"`
	} `json:"outer"`
	UnsafeIgnoreAccount          bool `json:"unsafe_ignore_account"`
	UnsafeAllowUndated           bool `json:"unsafe_allow_undated"`
	UnsafeAcceptBeforeRevocation bool `json:"unsafe_accept_before_revocation"`

	Identities             []json.RawMessage `json:"identities"`
	RemoteIdentities       []json.RawMessage `json:"remote_identities"`
	Services               []*mint.Service   `json:"services"`
	RequireEncrypted       bool              `json:"require_encrypted"`
	RequireEncryptedFields []string          `json:"require_encrypted_fields"`
	UnsafeAllowUncommitted bool              `json:"unsafe_allow_uncommitted"`
	IgnoreMembers          []string          `json:"ignore_members"`
}

// A finding is what an implementation concludes from a vector: "verified" with the opened event, or a Reason
// without.
type finding struct {
	Verdict string
	opened
}

// TestVectors holds three against each other on every file: the file itself, Go, and the verifier that was
// written from SPEC.md alone. Where they differ, the text of SPEC.md decides which of them to mend.
func TestVectors(t *testing.T) {
	peer := verifierFindings(t, vectorDir)
	vectors := readVectors(t)
	if len(peer) != len(vectors) {
		t.Errorf("the verifier judged %d vectors of %d", len(peer), len(vectors))
	}
	for file, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			want := finding{v.Expect, v.opened}
			compare(t, "Go", goFinding(t, v), want)
			compare(t, "the verifier", peer[file], want)
		})
	}
}

func compare(t *testing.T, who string, got, want finding) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got\n%+v\nwant\n%+v", who, got, want)
	}
}

func readVectors(t *testing.T) map[string]vector {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s: %v", vectorDir, err)
	}
	vectors := make(map[string]vector, len(files))
	for _, file := range files {
		vectors[filepath.Base(file)] = readVector(t, file)
	}
	return vectors
}

// readVector refuses members and options that it does not know, for they may ask for something that is not
// tested here.
func readVector(t *testing.T, file string) vector {
	t.Helper()
	var v struct {
		About string `json:"about"`
		vector
	}
	decoder := json.NewDecoder(bytes.NewReader(read(t, file)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v.vector
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// verifierFindings runs the verifier over all vectors of a directory in one process.
func verifierFindings(t *testing.T, dir string) map[string]finding {
	t.Helper()
	needPackages(t)
	findings := make(map[string]finding)
	for line := range bytes.Lines(node(t, nil, "verifier/run.mjs", dir)) {
		var got struct {
			File    string `json:"file"`
			Verdict string `json:"verdict"`
			Reason  string `json:"reason"`
			opened
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		verdict := got.Reason
		if got.Verdict == "verified" {
			verdict = got.Verdict
		}
		findings[got.File] = finding{verdict, got.opened}
	}
	return findings
}

func goFinding(t *testing.T, v vector) finding {
	t.Helper()
	bundle, err := trust.ParseBundle(bytes.TrimSuffix(read(t, filepath.Join(vectorDir, v.Bundle)),
		[]byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	r := envelope.Received{Body: inputOf(v), Account: v.Options.Account}
	r.EventBridge, r.HTTP = v.Form == "eventbridge", v.Form == "http"
	if o := v.Options.Outer; o != nil { // a transport that states them is EventBridge
		r.Body = []byte(mint.Delivery(o.Source, o.DetailType, r.Account, string(r.Body)).String())
		r.EventBridge = true
	}
	opener, err := envelope.NewOpener(bundle, policyOf(t, v.Options))
	if err != nil {
		t.Fatal(err)
	}
	got, err := opener.Open(t.Context(), r, envelope.Step{})
	if err != nil {
		return finding{Verdict: string(envelope.ReasonOf(err))}
	}
	return finding{"verified", opened{string(got.JSON()), got.Unverified, got.Producer, got.KeyIDs,
		encryptionOf(got)}}
}

func encryptionOf(o *envelope.Opened) *encryption {
	if o.Encryption == nil {
		return nil
	}
	return &encryption{o.Encryption.Fields, o.Encryption.Recipients, o.Encryption.OpenedWith}
}

// decrypterOf is nil without identities and services.
func decrypterOf(t *testing.T, o options) *envelope.Decrypter {
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

func inputOf(v vector) []byte {
	if v.InputBase64 != nil {
		return v.InputBase64
	}
	if v.Repeat != nil {
		return []byte(strings.Replace(v.Input, "\x1f", strings.Repeat(v.Repeat.Text, v.Repeat.Times), 1))
	}
	return []byte(v.Input)
}

// policyOf judges no age where the window is of 0 seconds.
func policyOf(t *testing.T, o options) *envelope.Policy {
	t.Helper()
	modes := map[string]envelope.Mode{"": envelope.Strict, "strict": envelope.Strict,
		"passthrough": envelope.Passthrough, "core-only": envelope.CoreOnly}
	mode, ok := modes[o.Mode]
	if !ok {
		t.Fatalf("unknown mode %q", o.Mode)
	}
	return &envelope.Policy{
		Mode: mode, Sources: o.Sources, Types: o.Types, Audience: o.Audience,
		RequiredAlgorithms: o.RequiredAlgorithms, ExtensionTypes: o.ExtensionTypes,
		MaxAge: time.Duration(o.MaxAgeSeconds) * time.Second,
		Skew:   time.Duration(o.SkewSeconds) * time.Second,
		Now:    func() time.Time { return o.Now },

		Decrypter:              decrypterOf(t, o),
		RequireEncrypted:       o.RequireEncrypted,
		RequireEncryptedFields: o.RequireEncryptedFields,
		IgnoreMembers:          o.IgnoreMembers,
		Unsafe: envelope.Unsafe{
			AnySource:              o.Sources == nil,
			AnyAge:                 o.MaxAgeSeconds == 0,
			IgnoreAccount:          o.UnsafeIgnoreAccount,
			AllowUndated:           o.UnsafeAllowUndated,
			AcceptBeforeRevocation: o.UnsafeAcceptBeforeRevocation,
			AllowUncommitted:       o.UnsafeAllowUncommitted,
		},
	}
}

// TestVerifierIsSmallAndIndependent: only a verifier that is short enough to be read beside the text, and
// that calls no other code, shows that one can be written from the text.
func TestVerifierIsSmallAndIndependent(t *testing.T) {
	// Lines, blank ones included. formats.mjs holds what other languages have libraries for, and much of
	// decrypt.mjs is JWE.
	for file, limit := range map[string]int{"verifier/verify.mjs": 300, "verifier/decrypt.mjs": 250} {
		if lines := strings.Count(string(read(t, file)), "\n"); lines >= limit {
			t.Errorf("%s has %d lines, want fewer than %d", file, lines, limit)
		}
	}
	files, err := filepath.Glob("verifier/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no verifier: %v", err)
	}
	for _, file := range files {
		if err := onlyOwnImports(read(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// anyImport finds what a module of JavaScript gets from others, in any of the ways there are.
var anyImport = regexp.MustCompile(`(?m)(?:^import\b[^'"]*|\bfrom\s*|\bimport\s*\(|\brequire\s*\()['"]([^'"]+)['"]`)

func onlyOwnImports(source []byte) error {
	for _, match := range anyImport.FindAllSubmatch(source, -1) {
		name := string(match[1])
		if !strings.HasPrefix(name, "node:") && name != "./formats.mjs" && name != "./verify.mjs" &&
			name != "./decrypt.mjs" && name != mldsaPackage {
			return fmt.Errorf("imports %q, which is neither of Node's own modules nor of this verifier", name)
		}
	}
	return nil
}

func TestOnlyOwnImportsNoticesOthers(t *testing.T) {
	for _, source := range []string{`import jose from 'jose';`, `import 'jose';`,
		"import {\n  a,\n} from \"jose\";", `await import('jose')`, `require("fs")`} {
		if onlyOwnImports([]byte(source)) == nil {
			t.Errorf("%s passes", source)
		}
	}
}
