package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys/trust"
)

// limit is an entry of the table that Go, SPEC.md and the verifier in interop are held to.
type limit struct {
	Name      string `json:"name"`
	Value     int64  `json:"value"`
	Reason    Reason `json:"reason"`
	Section   string `json:"section"`
	About     string `json:"about"`
	At        string `json:"at"`
	Beyond    string `json:"beyond"`
	NoVectors string `json:"no_vectors"`
}

func readLimits(t *testing.T) (list []limit) {
	t.Helper()
	doc, err := os.ReadFile("../vectors/limits/limits.json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil || len(list) == 0 {
		t.Fatalf("%d limits: %v", len(list), err)
	}
	return list
}

// goLimits are the constants of Go. One that is 0 has no constant that can be reached from here: its vectors
// hold it.
var goLimits = map[string]int64{
	"event_bytes":            wire.MaxEvent,
	"delivery_bytes":         wire.MaxDelivery,
	"detail_bytes":           wire.MaxEvent,
	"http_header_bytes":      wire.MaxHTTPHeader,
	"http_content_bytes":     wire.MaxEvent,
	"http_line_bytes":        maxHTTPField,
	"http_lines_bytes":       maxHTTPFields,
	"http_material_bytes":    maxHTTPMaterial,
	"material_bytes":         wire.MaxMaterial,
	"attribute_bytes":        wire.MaxAttribute,
	"extensions":             wire.MaxExtensions,
	"name_chars":             wire.MaxName,
	"fraction_digits":        0,
	"depth":                  jsontext.MaxDepth,
	"signatures":             dsse.MaxSignatures,
	"delegated_signatures":   wire.MaxDelegations,
	"cache_seconds":          int64(keydoc.MaxCache / time.Second),
	"roots_bytes":            keydoc.MaxRoots,
	"timestamp_bytes":        keydoc.MaxTimestamp,
	"timestamp_revocations":  keydoc.MaxWithdrawn,
	"timestamp_seconds":      int64(keydoc.MaxFreshness / time.Second),
	"timestamp_skew_seconds": int64(keydoc.TimestampSkew / time.Second),
	"short_life_seconds":     int64(trust.MaxBundleLifetime / time.Second),
	"long_life_seconds":      int64(keydoc.MaxVouchedFor / time.Second),
	"remembered_revocations": keydoc.MaxRemembered,
	"nameless_tries":         maxNamelessTries,
	"session_seconds":        int64(keydoc.MaxSessionLife / time.Second),
	"session_patterns":       wire.MaxPatterns,
	"signed_names":           wire.MaxExtensions,
	"bound_delegations":      wire.MaxDelegations,
	"encrypted_fields":       wire.MaxEncryptedFields,
	"producer_bytes":         wire.MaxProducer,
	"tiny_numbers":           0,
	"ignore_members":         wire.MaxIgnoreMembers,
	"recipients":             jwe.MaxRecipients,
	"header_parameters":      jwe.MaxParameters,
	"header_bytes":           jwe.MaxHeader,
	"encrypted_key_bytes":    jwe.MaxEncryptedKey,
	"protected_chars":        jwe.MaxProtected,
	"bound_bytes":            jwe.MaxBound,
	"jwe_bytes":              jwe.MaxMessage,
	"tries":                  maxTries,
	"service_calls":          maxServiceCalls,
	"service_answers":        mostAnswers,
	"trust_lookups":          1,
	"unwrapped_seconds":      int64(maxUnwrappedAge / time.Second),
	"key_encryptions":        maxKeyEncryptions,
	"key_bytes":              maxKeyBytes,
	"key_seconds":            int64(maxKeyAge / time.Second),
}

// Go has the limits of the table, each of them, and no vector-less one that only vectors could hold.
func TestLimitsOfGo(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range readLimits(t) {
		want, known := goLimits[l.Name]
		switch {
		case !known || seen[l.Name]:
			t.Errorf("%s: no constant is named for it, or it stands there twice", l.Name)
		case want == 0 && l.At == "":
			t.Errorf("%s: neither a constant nor a vector holds it", l.Name)
		case want != 0 && want != l.Value:
			t.Errorf("%s is %d in the table, and %d in Go", l.Name, l.Value, want)
		}
		seen[l.Name] = true
	}
	if len(seen) != len(goLimits) {
		t.Errorf("the table has %d limits, Go has %d", len(seen), len(goLimits))
	}
}

// SPEC.md has the same table, row by row.
func TestLimitsOfSpec(t *testing.T) {
	doc, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "### 1.1 Limits\n")
	text, _, more := strings.Cut(rest, "\n## 2.")
	if !found || !more {
		t.Fatal("SPEC.md has no section 1.1")
	}
	got := regexp.MustCompile("(?m)^\\| `.*$").FindAllString(text, -1)
	var want []string
	for _, l := range readLimits(t) {
		reason := "none"
		if l.Reason != "" {
			reason = "`" + string(l.Reason) + "`"
		}
		want = append(want,
			fmt.Sprintf("| `%s` | %s | %s | %s | %s |", l.Name, withCommas(l.Value), reason, l.Section,
				l.About))
		if heading := regexp.MustCompile(`(?m)^##+ ` + regexp.QuoteMeta(l.Section) +
			`\.? `); !heading.Match(doc) {
			t.Errorf("%s: SPEC.md has no section %s", l.Name, l.Section)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table of SPEC.md differs. It should be:\n%s", strings.Join(want, "\n"))
	}
}

func withCommas(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", withCommas(n/1000), n%1000)
}

// There is a vector at each limit, which passes or fails for another reason, and one beyond it. TestVectors
// runs them.
func TestLimitsOfVectors(t *testing.T) {
	for _, l := range readLimits(t) {
		if l.NoVectors != "" {
			if l.At != "" || l.Beyond != "" {
				t.Errorf("%s: vectors, and a reason for none", l.Name)
			}
			continue
		}
		if _, known := explanations[l.Reason]; !known {
			t.Errorf("%s: no Reason %q", l.Name, l.Reason)
		}
		at, beyond := expectedOf(t, l.At), expectedOf(t, l.Beyond)
		if at == string(l.Reason) || beyond != string(l.Reason) {
			t.Errorf("%s: %s is %s, %s is %s, want %s beyond the limit only", l.Name, l.At, at, l.Beyond,
				beyond,
				l.Reason)
		}
	}
}

func expectedOf(t *testing.T, vector string) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("../vectors", vector+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Expect string `json:"expect"`
	}
	if err := json.Unmarshal(doc, &v); err != nil || v.Expect == "" {
		t.Fatalf("%s: expects %q, %v", vector, v.Expect, err)
	}
	return v.Expect
}
