package interop_test

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// signatureJob is a job of peers/httpsig.mjs.
type signatureJob struct {
	Do      string            `json:"do"`
	JWK     json.RawMessage   `json:"jwk"`
	KeyID   string            `json:"keyid"`
	Alg     string            `json:"alg"`
	Fields  []string          `json:"fields"`
	At      int64             `json:"at"`
	Message signatureMessage  `json:"message"`
	Request *signatureMessage `json:"request,omitempty"`
}

// signatureMessage is a request, or a response with a status.
type signatureMessage struct {
	Method  string            `json:"method,omitempty"`
	URL     string            `json:"url,omitempty"`
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers"`
}

type signatureResult struct {
	Headers  map[string]string `json:"headers"`
	Verified bool              `json:"verified"`
}

func signaturePeer(t *testing.T, jobs []signatureJob) []signatureResult {
	t.Helper()
	needPackages(t)
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	var out []signatureResult
	if err := json.Unmarshal(node(t, in, "peers/httpsig.mjs"), &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != len(jobs) {
		t.Fatalf("%d results of %d jobs", len(out), len(jobs))
	}
	return out
}

const (
	signedURL  = "https://hooks.example/in/orders?tenant=7&note=%C3%BC"
	signedBody = `{"id":"evt_1","text":"ü"}`
)

// signedBy are the algorithms by their names in RFC 9421.
var signedBy = map[string]keys.Algorithm{"ed25519": keys.Ed25519, "ecdsa-p256-sha256": keys.ES256}

// requestFields and responseFields are what is covered, as the package writes it.
var (
	requestFields = []string{"@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path",
		"@query", "content-type", "content-digest"}
	responseFields = []string{"@status", "content-digest", "@method;req", "@target-uri;req",
		"content-digest;req"}
)

func requestProfile() *httpsig.Profile {
	return &httpsig.Profile{Label: "sig", Tag: "app", Components: requestFields,
		Parameters: []string{"alg", "expires", "nonce"}}
}

func responseProfile() *httpsig.Profile {
	return &httpsig.Profile{Label: "sig", Tag: "app", Components: responseFields}
}

func newSignedRequest(t *testing.T, headers map[string]string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, signedURL, strings.NewReader(signedBody))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	return req
}

func flat(h http.Header) map[string]string {
	out := map[string]string{}
	for name := range h {
		out[strings.ToLower(name)] = strings.Join(h[name], ", ")
	}
	return out
}

// digestHeaders are the fields of a message with that body.
func digestHeaders() map[string]string {
	sum := sha512.Sum512([]byte(signedBody))
	return map[string]string{"content-type": "application/json",
		"content-digest": "sha-512=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"}
}

// TestHTTPSignaturesOfNode: the npm package http-message-signatures signs requests, and our verifier takes
// them, and no other.
func TestHTTPSignaturesOfNode(t *testing.T) {
	for alg, algorithm := range signedBy {
		t.Run(alg, func(t *testing.T) {
			signer, private := newPeerKey(t, algorithm)
			message := signatureMessage{Method: "POST", URL: signedURL, Headers: digestHeaders()}
			out := signaturePeer(t, []signatureJob{{Do: "sign", JWK: private, KeyID: "peer", Alg: alg,
				Fields: requestFields, At: webhookNow.Unix(), Message: message}})
			v, err := webhook.New(httpsig.Scheme(requestProfile()), "in",
				[]webhook.Secret{{ID: "peer", Text: string(signer.Verifier().JWK())}},
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}})
			if err != nil {
				t.Fatal(err)
			}
			r := webhook.FromHTTP(newSignedRequest(t, out[0].Headers), []byte(signedBody))
			if _, err := v.Verify(t.Context(), r, webhookNow); err != nil {
				t.Fatalf("%v\n%v", err, r.Header)
			}
			r.Method = http.MethodPut
			_, err = v.Verify(t.Context(), r, webhookNow)
			if webhook.ReasonOf(err) != envelope.ReasonBadSignature {
				t.Error(err)
			}
		})
	}
}

// TestHTTPSignaturesForNode: the package verifies our requests, and refuses each that was changed.
func TestHTTPSignaturesForNode(t *testing.T) {
	for alg, algorithm := range signedBy {
		t.Run(alg, func(t *testing.T) {
			signer, _ := newPeerKey(t, algorithm)
			req := newSignedRequest(t, map[string]string{"Content-Type": "application/json"})
			err := httpsig.Sign(t.Context(), req, []byte(signedBody), signer, requestProfile(), webhookNow)
			if err != nil {
				t.Fatal(err)
			}
			job := signatureJob{Do: "verify", JWK: signer.Verifier().JWK(), KeyID: signer.Verifier().KeyID(),
				Alg: alg, Fields: requestFields, At: webhookNow.Unix(),
				Message: signatureMessage{Method: "POST", URL: signedURL, Headers: flat(req.Header)}}
			jobs := []signatureJob{job, job, job, job}
			jobs[1].Message.Method = "PUT"
			jobs[2].Message.URL += "1"
			jobs[3].At += 1000
			for i, r := range signaturePeer(t, jobs) {
				if r.Verified != (i == 0) {
					t.Errorf("job %d: verified: %t", i, r.Verified)
				}
			}
		})
	}
}

// TestHTTPResponsesWithNode: each side verifies the responses of the other, bound to their request.
func TestHTTPResponsesWithNode(t *testing.T) {
	for alg, algorithm := range signedBy {
		t.Run(alg, func(t *testing.T) {
			signer, private := newPeerKey(t, algorithm)
			id := signer.Verifier().KeyID()
			asked := signatureMessage{Method: "POST", URL: signedURL, Headers: digestHeaders()}
			ours := &http.Response{StatusCode: 202, Request: newSignedRequest(t, asked.Headers)}
			p := responseProfile()
			err := httpsig.SignResponse(t.Context(), ours, []byte(signedBody), signer, p, webhookNow)
			if err != nil {
				t.Fatal(err)
			}
			sign := signatureJob{Do: "sign", JWK: private, KeyID: id, Alg: alg, Fields: responseFields,
				At: webhookNow.Unix(), Request: &asked,
				Message: signatureMessage{Status: 202, Headers: asked.Headers}}
			verify := sign
			verify.Do, verify.JWK, verify.Message.Headers = "verify", signer.Verifier().JWK(), flat(ours.Header)
			verify.Fields = []string{"@status", "content-digest", "@method", "@target-uri"}
			other := verify
			other.Request = &signatureMessage{Method: "PUT", URL: signedURL, Headers: asked.Headers}
			out := signaturePeer(t, []signatureJob{sign, verify, other})
			if !out[1].Verified || out[2].Verified {
				t.Errorf("the package verifies %t, and for another request %t", out[1].Verified, out[2].Verified)
			}
			v, err := httpsig.NewResponseVerifier([]webhook.Secret{{Text: string(signer.Verifier().JWK())}},
				p)
			if err != nil {
				t.Fatal(err)
			}
			theirs := &http.Response{StatusCode: 202, Request: ours.Request, Header: http.Header{}}
			for name, value := range out[0].Headers {
				theirs.Header.Set(name, value)
			}
			if _, err := v.Verify(theirs, []byte(signedBody), webhookNow); err != nil {
				t.Errorf("%v\n%v", err, theirs.Header)
			}
			theirs.StatusCode = 200
			_, err = v.Verify(theirs, []byte(signedBody), webhookNow)
			if webhook.ReasonOf(err) != envelope.ReasonBadSignature {
				t.Error(err)
			}
		})
	}
}

// newPeerKey is a key, and its private JWK for the package.
func newPeerKey(t *testing.T, algorithm keys.Algorithm) (*keys.LocalSigner, []byte) {
	t.Helper()
	signer, err := keys.GenerateSigner(algorithm, "orders")
	if err != nil {
		t.Fatal(err)
	}
	private, err := signer.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	return signer, private
}
