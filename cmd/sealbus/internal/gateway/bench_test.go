package gateway

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer/eventbridge"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/gateway"
)

const benchSecret = "whsec_c2VhbGJ1cyBsb2FkIHRlc3Qgc2VjcmV0IDAxMjM="

// BenchmarkDelivery is a delivery of 1020 KiB on its way through the gateway to an endpoint of EventBridge
// that takes everything. Signing it, as its provider does, is not measured.
func BenchmarkDelivery(b *testing.B) {
	for _, c := range []struct{ name, line string }{
		{"canonical", `{"price":12.5,"qty":2,"sku":"A/1",` +
			`"text":"a thing of an order, with a name of some length"},`},
		{"github", `{"id":1296269,"node_id":"MDEwOlJlcG9zaXRvcnkx","name":"Hello-World","private":false,` +
			`"owner":{"login":"octocat","id":1,"url":"https://api.github.com/users/octocat","site_admin":false}},`},
	} {
		const size = 1020 << 10
		lines := strings.Repeat(c.line, (size-16)/len(c.line))
		body := `{"lines":[` + strings.TrimSuffix(lines, ",") + `]}`
		body += strings.Repeat(" ", size-len(body))
		b.Run(c.name, func(b *testing.B) { benchDelivery(b, []byte(body)) })
	}
}

func benchDelivery(b *testing.B, body []byte) {
	buffers := sync.Pool{New: func() any { return make([]byte, 64<<10) }}
	null := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		room := buffers.Get()
		defer buffers.Put(room)
		for {
			if _, err := r.Body.Read(room.([]byte)); err != nil {
				break
			}
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`)
	}))
	defer null.Close()
	client := awseventbridge.New(awseventbridge.Options{Region: "us-east-1", BaseEndpoint: aws.String(null.URL),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	bus, err := eventbridge.New(client, "central", nil)
	if err != nil {
		b.Fatal(err)
	}
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if err := os.WriteFile(dir+"/load.secret", []byte(benchSecret), 0o600); err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(b.Context(), []byte(`endpoints:
  load:
    path: /hooks/load
    provider: standardwebhooks
    secrets: ["file:load.secret"]
    source: https://shop.example/eu/github
`), keys.SignWith(signer), bus, replay.NewMemory(nil), &gateway.Options{Dir: dir,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	front := httptest.NewServer(g)
	defer front.Close()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		signed, err := webhook.Sign(fmt.Sprintf("d-%d", i), time.Now(), body,
			[]webhook.Secret{{Text: benchSecret}})
		if err != nil {
			b.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, front.URL+"/hooks/load", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for _, f := range signed {
			r.Header.Set(f.Name, f.Value)
		}
		b.StartTimer()
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
	}
}
