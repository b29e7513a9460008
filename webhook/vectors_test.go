package webhook_test

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

// vector is a published delivery.
type vector struct {
	Provider, Secret, URL, Body, Expect string
	PublicKey                           string `json:"public_key"`
	PrivateKey                          string `json:"private_key"`
	Headers                             map[string]string
	Now                                 int64 // 0 = the provider signs no time
}

// readVectors reads both files of published deliveries.
func readVectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("testdata/webhooks*.json")
	if err != nil || len(files) != 2 {
		t.Fatalf("%v (%v)", files, err)
	}
	var all []vector
	for _, name := range files {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Cases []vector }
		if err := json.Unmarshal(doc, &file); err != nil {
			t.Fatal(err)
		}
		all = append(all, file.Cases...)
	}
	return all
}

// request is the vector's delivery, and the time at which it is judged.
func (c *vector) request(t testing.TB) (r webhook.Request, baseURL string, at time.Time) {
	t.Helper()
	u, err := url.Parse(cmp.Or(c.URL, "https://hooks.example/in"))
	if err != nil {
		t.Fatal(err)
	}
	r = webhook.Request{Method: "POST", Target: u.RequestURI(), Body: []byte(c.Body)}
	for name, value := range c.Headers {
		r.Header = append(r.Header, webhook.Field{Name: name, Value: value})
	}
	return r, u.Scheme + "://" + u.Host, time.Unix(cmp.Or(c.Now, 1_700_000_000), 0)
}

// TestPublishedDeliveriesAreVerified: everything that both files have is accepted as it was published.
func TestPublishedDeliveriesAreVerified(t *testing.T) {
	ctx := context.Background()
	for _, c := range readVectors(t) {
		t.Run(c.Provider, func(t *testing.T) {
			scheme, err := webhook.Provider(c.Provider)
			if err != nil {
				t.Fatal(err)
			}
			r, base, at := c.request(t)
			v, err := webhook.New(scheme, "in", []webhook.Secret{{ID: "k1",
				Text: cmp.Or(c.PublicKey, c.Secret)}},
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: base}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := v.Verify(ctx, r, at)
			if err != nil || c.Expect != "verified" {
				t.Fatal(c.Expect, err)
			}
			if got.KeyID != "k1" || got.Provider != c.Provider || string(got.Body) != c.Body {
				t.Errorf("%+v", got)
			}
		})
	}
}
