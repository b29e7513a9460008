package envelope_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
)

// TestSealHybrid seals with two keys of one producer and opens under a policy that requires both algorithms.
func TestSealHybrid(t *testing.T) {
	bundle := readBundle(t, "bundles/hybrid.json")
	classical, quantum := cast["orders"], cast["mldsa"]
	both := &envelope.Policy{Now: fixed(vectorNow),
		RequiredAlgorithms: []keys.Algorithm{keys.Ed25519, keys.MLDSA65}, Unsafe: unchecked}
	seal := func(signer keys.Signer, co ...keys.Signer) []byte {
		t.Helper()
		sealed, err := envelope.Seal(t.Context(), orderEvent(t), signer,
			&envelope.SealOptions{Now: fixed(vectorSealed), CoSigners: co})
		if err != nil {
			t.Fatal(err)
		}
		return sealed.JSON()
	}
	for _, wire := range [][]byte{seal(classical, quantum), seal(quantum, classical)} {
		opened, err := envelope.Open(t.Context(), wire, bundle, both)
		if err != nil || len(opened.KeyIDs) != 2 || opened.Producer != "orders" {
			t.Errorf("got %v, %v", opened, err)
		}
	}
	for name, wire := range map[string][]byte{"only Ed25519": seal(classical),
		"only ML-DSA-65": seal(quantum)} {
		if _, err := envelope.Open(t.Context(), wire, bundle,
			both); envelope.ReasonOf(err) != envelope.ReasonBadSignature {
			t.Errorf("%s: %v", name, err)
		} else if e, _ := errors.AsType[*envelope.Error](err); !strings.Contains(e.Fix(),
			"have the producer sign by ") {
			t.Errorf("%s: the fix is %q", name, e.Fix())
		}
		if _, err := envelope.Open(t.Context(), wire, bundle,
			&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked}); err != nil {
			t.Errorf("%s, nothing required: %v", name, err)
		}
	}
	_, err := envelope.Seal(t.Context(), orderEvent(t), classical,
		&envelope.SealOptions{CoSigners: []keys.Signer{cast["mldsaother"]}})
	if _, ok := errors.AsType[*envelope.SealError](err); !ok {
		t.Errorf("a co-signer of another producer: %v", err)
	}
}

// cut is a signer whose signatures are too short.
type cut struct{ keys.Signer }

func (c cut) Sign(ctx context.Context, message []byte) ([]byte, error) {
	sig, err := c.Signer.Sign(ctx, message)
	if err != nil {
		return nil, err
	}
	return sig[:64], nil
}

func TestSealRefusesSignaturesOfAnotherSize(t *testing.T) {
	if _, err := envelope.Seal(t.Context(), orderEvent(t), cut{cast["mldsa"]}, nil); err == nil ||
		!strings.Contains(err.Error(), "3309") {
		t.Errorf("got %v", err)
	}
}

// The sizes of dssematerial that SPEC.md gives, of the event in the vectors.
func TestSizesOnTheWire(t *testing.T) {
	spec, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		row  string
		plan mint.Plan
	}{
		{"Ed25519", order("orders")}, {"ES256", order("es256")},
		{"Ed25519 + ES256", order("orders", "es256")},
		{"Ed25519 session key, delegated by Ed25519", delegated("orders", "session")},
		{"Ed25519 session key, delegated by ES256", delegated("es256", "session")},
		{"ML-DSA-65", order("mldsa")}, {"ML-DSA-65, two keys", order("mldsa", "mldsa")},
		{"Ed25519 + ML-DSA-65", order("orders", "mldsa")},
		{"Ed25519 session key, delegated by ML-DSA-65", delegated("mldsa", "session")},
	} {
		material := mint.Unquote(test.plan.Seal().Get("dssematerial"))
		row := "| " + test.row + " | " + thousands(len(material)) + " |"
		if !strings.Contains(string(spec), row) {
			t.Errorf("SPEC.md has no row %q", row)
		}
	}
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	rest := strconv.Itoa(n % 1000)
	return strconv.Itoa(n/1000) + "," + strings.Repeat("0", 3-len(rest)) + rest
}

// TestMLDSALimits: as many signatures of this size as fit below the limit of dssematerial can be sealed and
// opened, and one more can be neither.
func TestMLDSALimits(t *testing.T) {
	const most = 10 // of 3,309 bytes, in base64 twice
	seal := func(n int) (*envelope.Sealed, error) {
		var co []keys.Signer
		for range n - 1 {
			co = append(co, cast["mldsa"])
		}
		return envelope.Seal(t.Context(), orderEvent(t), cast["mldsa"],
			&envelope.SealOptions{Now: fixed(vectorSealed), CoSigners: co})
	}
	sealed, err := seal(most)
	if err != nil {
		t.Fatal(err)
	}
	bundle := readBundle(t, "bundles/hybrid.json")
	if _, err := envelope.Open(t.Context(), sealed.JSON(), bundle,
		&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked}); err != nil {
		t.Error(err)
	}
	if _, err := seal(most + 1); err == nil {
		t.Error("sealed with one more")
	}
	p := order("mldsa")
	for range most {
		p.By = append(p.By, signedBy("mldsa"))
	}
	if material := mint.Unquote(p.Seal().Get("dssematerial")); len(material) <= maxMaterial {
		t.Fatal("the event is not beyond the limit")
	}
	if _, err := envelope.Open(t.Context(), []byte(p.Seal().String()), bundle,
		&envelope.Policy{Now: fixed(vectorNow),
			Unsafe: unchecked}); envelope.ReasonOf(err) != envelope.ReasonTooLarge {
		t.Errorf("got %v", err)
	}
}
