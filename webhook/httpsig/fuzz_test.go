package httpsig_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// FuzzVerify gives the verifier hostile fields beside a genuine signature: no panic, a Reason, and nothing is
// verified but what was signed.
func FuzzVerify(f *testing.F) {
	signer := newSigner(f, keys.Ed25519)
	p := &httpsig.Profile{Components: []string{"@method", "@target-uri", "content-digest", "x-note"},
		Optional: []string{"content-type", "@query"}}
	v := newVerifier(f, keysOf(signer), p)
	req, err := http.NewRequest(http.MethodPost, baseURL+target, nil)
	check(f, err)
	req.Header.Set("X-Note", "a, b")
	check(f, httpsig.Sign(f.Context(), req, []byte(body), signer, p, now))
	genuine := webhook.FromHTTP(req, []byte(body))
	input, signature := req.Header.Get("Signature-Input"), req.Header.Get("Signature")
	f.Add("", "", "", "", uint8(0))
	f.Add(input, signature, req.Header.Get("Content-Digest"), "a, b", uint8(1))
	f.Add(input+", a=()", signature+", a=:AA==:", "sha-256=:AA==:", "a", uint8(2))
	f.Add(`sig1=("@method";req "@query-param";name="a");created=1;keyid="x";expires=?1`, "sig1=:AA==:",
		"md5=1.5", "\n", uint8(1))
	f.Fuzz(func(t *testing.T, input, signature, digest, note string, how uint8) {
		r := genuine
		fields := []webhook.Field{{Name: "Signature-Input", Value: input},
			{Name: "signature", Value: signature}, {Name: "CONTENT-DIGEST", Value: digest},
			{Name: "X-Note", Value: note}}
		if how%2 == 0 { // beside the genuine fields
			fields = append(fields, genuine.Header...)
		}
		if how%3 == 0 {
			r.Target = note
		}
		r.Header = fields
		out, err := v.Verify(t.Context(), r, now)
		switch {
		case err != nil:
			if reason := webhook.ReasonOf(err); reason.Class() == "" || out != nil {
				t.Errorf("%v has no Reason", err)
			}
		case r.Target != target || !strings.Contains(noteOf(r), "a, b") || !out.Time.Equal(now):
			t.Errorf("%+v is verified", r)
		}
	})
}

// noteOf is the covered field as it stands in the base.
func noteOf(r webhook.Request) string {
	var values []string
	for _, f := range r.Header {
		if strings.EqualFold(f.Name, "x-note") {
			values = append(values, strings.Trim(f.Value, " \t"))
		}
	}
	if all := strings.Join(values, ", "); all == "a, b" {
		return all
	}
	return ""
}

// FuzzResponse is FuzzVerify for responses, and profiles that no check stands before.
func FuzzResponse(f *testing.F) {
	signer := newSigner(f, keys.ES256)
	v, err := httpsig.NewResponseVerifier(keysOf(signer), nil)
	check(f, err)
	f.Add(`sig1=("@status" "@method";req "@target-uri";req "content-digest");created=1790000000;keyid="a"`,
		"sig1=:AA==:", "@status", 200)
	f.Add("sig1", "sig1", "@method;req", 0)
	f.Fuzz(func(t *testing.T, input, signature, component string, status int) {
		req, err := http.NewRequest(http.MethodPost, baseURL, nil)
		check(t, err)
		resp := &http.Response{StatusCode: status, Request: req, Header: http.Header{
			"Signature-Input": {input}, "Signature": {signature}, "Content-Digest": {digestOf("")}}}
		if id, err := v.Verify(resp, nil, time.Unix(1_790_000_000, 0)); err == nil || id != "" {
			t.Errorf("%q %q is verified", input, signature)
		}
		p := &httpsig.Profile{Components: []string{component}, UnsafePartial: true}
		if httpsig.SignResponse(t.Context(), resp, nil, signer, p, now) != nil {
			return
		}
		partial, err := httpsig.NewResponseVerifier(keysOf(signer), p)
		check(t, err)
		if _, err := partial.Verify(resp, nil, now); err != nil {
			t.Errorf("%q was signed, and is refused: %v", component, err)
		}
	})
}
