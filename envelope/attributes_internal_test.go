package envelope

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/wire"
)

// The text of an attribute is the one text of what is hashed of it, in every type: only Timestamps have
// others.
func TestAsDocumentedGivesTheOneText(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	texts := []string{"true", "false", "0", "-7", "2147483647", "urn:x", "/a?b#c", "", "2026-03-01T12:00:00Z",
		"2026-03-01T13:00:00.000+01:00", "2026-03-01t12:00:00z", "1e3", "/w==", "/x==", "AA=", "YQ"}
	for range 300 {
		b := make([]byte, random.IntN(300))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		zone := time.FixedZone("", (random.IntN(47)-23)*1800)
		texts = append(texts, base64.StdEncoding.EncodeToString(b),
			time.Unix(random.Int64N(1<<32), 0).In(zone).Format(time.RFC3339))
	}
	for _, text := range texts {
		for of := wire.Boolean; of <= wire.Timestamp; of++ {
			hashed, err := wire.AppendHashed(nil, of, text)
			want := string(hashed)
			if of == wire.Binary {
				want = base64.StdEncoding.EncodeToString(hashed)
			}
			got, failed := asDocumented(wire.Attribute{Name: "x", Type: of, Value: text})
			if err == nil && failed == nil && got.Value != want || err != nil && failed == nil {
				t.Errorf("%s %q became %q, want %q (%v, %v)", of, text, got.Value, want, failed, err)
			}
		}
	}
}

// Another implementation may sign its extensions in any order. The content is the same.
func TestContentDigestIgnoresTheOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	r := &Opened{Foreign: true}
	for _, name := range []string{"a", "audience", "b", "recordedtime", "tenant"} {
		r.content.Extensions = append(r.content.Extensions, wire.Attribute{Name: name, Value: name + "1"})
	}
	want := r.ContentDigest()
	for range 50 {
		exts := slices.Clone(r.content.Extensions)
		random.Shuffle(len(exts), func(i, j int) { exts[i], exts[j] = exts[j], exts[i] })
		shuffled := &Opened{Foreign: true, content: wire.Event{Extensions: slices.Clone(exts)}}
		if shuffled.ContentDigest() != want || !slices.Equal(shuffled.content.Extensions, exts) {
			t.Fatalf("%v: another digest, or the event was changed", exts)
		}
	}
}
