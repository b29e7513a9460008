package httpsig_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// rfcProfile takes what the RFC's examples cover, which is less than the zero Profile wants.
func rfcProfile(label, tag string) *httpsig.Profile {
	return &httpsig.Profile{Label: label, Tag: tag, UnsafePartial: true, Components: []string{},
		Optional: []string{"date", "@method", "@path", "@query", "@authority", "content-type",
			"content-digest", "content-length", "accept"}}
}

// TestRFCRequests has each request of appendix B.2. Keys for RSA and HMAC do not exist here, so these are
// refused: unknown_key, where the components are read. The parameter of @query-param comes before.
func TestRFCRequests(t *testing.T) {
	for _, c := range []struct {
		file, label, tag string
		want             envelope.Reason
		why              string
	}{
		{"b21_request_signed.txt", "sig-b21", "", envelope.ReasonUnknownKey, "no RSA keys"},
		{"b22_request_signed.txt", "sig-b22", "header-example", envelope.ReasonUnsupported, "@query-param"},
		{"b23_request_signed.txt", "sig-b23", "", envelope.ReasonUnknownKey, "no RSA keys"},
		{"b25_request_signed.txt", "sig-b25", "", envelope.ReasonUnknownKey, "no HMAC keys"},
		{"b26_request_signed.txt", "sig-b26", "", "", "Ed25519"},
	} {
		t.Run(c.file, func(t *testing.T) {
			v, err := webhook.New(httpsig.Scheme(rfcProfile(c.label, c.tag)), "rfc", rfcKeys(t),
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://example.com"}})
			check(t, err)
			r := rfcRequest(t, c.file)
			wantReason(t, v, r, rfcTime, c.want)
			strict, err := webhook.New(httpsig.Scheme(&httpsig.Profile{Label: c.label, Tag: c.tag}), "rfc",
				rfcKeys(t), &webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://example.com"}})
			check(t, err)
			if c.want != envelope.ReasonUnsupported { // none of them covers what the zero Profile wants
				wantReason(t, strict, r, rfcTime, envelope.ReasonUnsigned)
			}
		})
	}
}

// TestRFCKeysAreRefused has the keys of appendix B.1 that are not taken.
func TestRFCKeysAreRefused(t *testing.T) {
	for _, name := range []string{"test-key-rsa.pub", "test-key-rsa-pss.pub", "test-key-ecc-p384.pub",
		"test-shared-secret"} {
		_, err := webhook.New(httpsig.Scheme(nil), "rfc",
			[]webhook.Secret{{Text: strings.TrimSpace(rfcFile(t, name))}},
			&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: baseURL}})
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestRFCResponse is B.2.4, with ECDSA P-256.
func TestRFCResponse(t *testing.T) {
	resp, body := rfcResponse(t, "b24_response_signed.txt")
	p := &httpsig.Profile{Label: "sig-b24", UnsafePartial: true,
		Components: []string{"@status", "content-type", "content-digest", "content-length"}}
	v, err := httpsig.NewResponseVerifier(rfcKeys(t), p)
	check(t, err)
	if id, err := v.Verify(resp, body, rfcTime); err != nil || id != "test-key-ecc-p256" {
		t.Errorf("%q, %v", id, err)
	}
	wantResponseReason(t, v, resp, append(body, '\n'), rfcTime, envelope.ReasonModified)
	resp.StatusCode = http.StatusCreated
	wantResponseReason(t, v, resp, body, rfcTime, envelope.ReasonBadSignature)
}

// TestTransformations has what a proxy may change (appendix B.4), and what it may not.
func TestTransformations(t *testing.T) {
	var file struct {
		Cases []struct {
			Name, Method, Target, Expect string
			Headers                      [][2]string
		}
	}
	check(t, json.Unmarshal([]byte(rfcFile(t, "b4-transformations.json")), &file))
	verified := 0
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			r := webhook.Request{Method: c.Method, Target: c.Target}
			host := "" // the receiver knows by which name it is called
			for _, h := range c.Headers {
				r.Header = append(r.Header, webhook.Field{Name: h[0], Value: h[1]})
				if strings.EqualFold(h[0], "host") {
					host = h[1]
				}
			}
			v, err := webhook.New(httpsig.Scheme(rfcProfile("transform", "")), "rfc", rfcKeys(t),
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://" + host}})
			check(t, err)
			want := envelope.ReasonBadSignature
			if c.Expect == "verified" {
				want, verified = "", verified+1
			}
			wantReason(t, v, r, rfcTime, want)
		})
	}
	if verified != 4 || len(file.Cases) != 8 {
		t.Errorf("%d of %d cases are verified", verified, len(file.Cases))
	}
}
