package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
)

// The valid ones of the published vectors are reproduced byte for byte: digests, payload, signature,
// envelope.
func TestPublishedReproduced(t *testing.T) {
	doc, err := os.ReadFile("testdata/cloudevents-dsse.json")
	if err != nil {
		t.Fatal(err)
	}
	var published struct {
		Key   json.RawMessage
		Cases []struct {
			Name           string
			Attributes     map[string]string
			Data           []byte `json:"data_base64"`
			SignedExtAttrs []string
			Material       []byte `json:"dssematerial"`
			Expect         string
		}
	}
	if err := json.Unmarshal(doc, &published); err != nil {
		t.Fatal(err)
	}
	signer, err := keys.ParsePrivateJWK(published.Key, "cloudevents")
	if err != nil {
		t.Fatal(err)
	}
	reproduced := 0
	for _, c := range published.Cases {
		if c.Expect != "verified" {
			continue
		}
		reproduced++
		body := publishedPayload(t, c.Attributes, c.Data, c.SignedExtAttrs)
		sig, err := signer.Deterministic().Sign(t.Context(), dsse.PAE(nil, wire.PayloadType, body))
		if err != nil {
			t.Fatal(err)
		}
		env := dsse.Envelope{PayloadType: wire.PayloadType, Payload: body,
			Signatures: []dsse.Signature{{KeyID: "testkey", Sig: sig}}}
		if got := env.Append(nil); !bytes.Equal(got, c.Material) {
			t.Errorf("%s:\n got %s\nwant %s", c.Name, got, c.Material)
		}
	}
	if reproduced != 4 {
		t.Errorf("%d of the published vectors are valid, not 4", reproduced)
	}
}

func publishedPayload(t *testing.T, attributes map[string]string, data []byte, signed []string) []byte {
	t.Helper()
	attributes["data_base64"] = base64.StdEncoding.EncodeToString(data)
	doc, err := json.Marshal(attributes)
	if err != nil {
		t.Fatal(err)
	}
	e, err := wire.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(e.Data)
	p := &wire.Payload{Core: wire.CoreDigest(e, &sum), HasExt: len(signed) > 0, Names: signed}
	var digests []byte
	for _, name := range signed {
		digests = wire.AppendSum(digests, []byte(attributes[name]))
	}
	p.Ext = sha256.Sum256(digests)
	return p.Append(nil)
}
