package clientcredentials_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// FuzzAnswer: whatever the token endpoint answers, a token is the one text that stands there, harmless in a
// header, and an error has no text of the answer.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"2YotnFZFEjr1","token_type":"Bearer","expires_in":3600}`)
	f.Add(200, "application/json; charset=utf-8",
		`{"access_token":"a","token_type":"bearer","expires_in":"1","scope":"x"}`)
	f.Add(200, "text/plain", `access_token=a&token_type=Bearer`)
	f.Add(401, "application/json", `{"error":"invalid_client","error_description":"unknown"}`)
	f.Add(307, "application/json", `{"access_token":"a","token_type":"Bearer","Access_token":"b"}`)
	f.Fuzz(func(t *testing.T, status int, media, body string) {
		if status < 100 || status > 999 {
			return // net/http gives no other
		}
		i := newIssuer()
		i.answer = func(int, *http.Request) (*http.Response, error) { return answered(status, media, body), nil }
		got, err := i.source(t, nil).Token(t.Context())
		if err != nil {
			if len(err.Error()) > 300 {
				t.Errorf("a long error: %v", err)
			}
			return
		}
		var says struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(body), &says); err != nil || says.Token != got.AccessToken {
			t.Errorf("%v: %q is not the token of %q", err, got.AccessToken, body)
		}
		if strings.ContainsAny(got.AccessToken, " \r\n\t\",;") || !got.Expiry.After(i.now) || status > 299 {
			t.Errorf("a token %q, good until %s, by %d", got.AccessToken, got.Expiry, status)
		}
	})
}
