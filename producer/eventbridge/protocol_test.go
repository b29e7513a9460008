package eventbridge_test

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	sealbus "github.com/sealbus/sealbus/producer/eventbridge"
)

// request is a call as a service sees it.
type request struct {
	method, path, target, contentType string
	length                            int64
	body                              any
}

// requests sends a call to a server, as the SDK writes it and as the bus does.
func requests(t *testing.T, in *eventbridge.PutEventsInput) (sdk, bus request) {
	t.Helper()
	var got []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		seen := request{r.Method, r.URL.Path, r.Header.Get("X-Amz-Target"), r.Header.Get("Content-Type"),
			r.ContentLength - int64(len(text)), nil}
		if err == nil {
			err = json.Unmarshal(text, &seen.body)
		}
		if err != nil {
			t.Errorf("%v: %s", err, text)
		}
		got = append(got, seen)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"FailedEntryCount":0,"Entries":[]}`)
	}))
	defer server.Close()
	client := sdkClient(server.URL)
	_, err := client.PutEvents(t.Context(), in)
	if err == nil {
		_, err = client.PutEvents(t.Context(), in, sealbus.ExactSize)
	}
	if err != nil || len(got) != 2 {
		t.Fatalf("%d calls: %v", len(got), err)
	}
	return got[0], got[1]
}

// TestRequestIsTheSDKs: of random entries, the request means what the SDK's own means.
func TestRequestIsTheSDKs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{`"`, `\`, "\b\f\n\r\t", "\x00\x1f\x7f", `"Detail":""`, `{"Detail":"",`, "é", "\u2028",
		"😀", "\xff", "\xe2\x82", "<&>", "0123456789", ""}
	text := func() *string {
		if random.IntN(6) == 0 {
			return nil
		}
		var b strings.Builder
		for range random.IntN(12) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return aws.String(b.String())
	}
	for range 300 {
		in := &eventbridge.PutEventsInput{Entries: make([]types.PutEventsRequestEntry, random.IntN(4))}
		for i := range in.Entries {
			in.Entries[i] = types.PutEventsRequestEntry{Detail: text(), DetailType: text(), Source: text(),
				EventBusName: text(), TraceHeader: text()}
			if random.IntN(2) == 0 {
				in.Entries[i].Time = aws.Time(time.UnixMilli(random.Int64N(1 << 41)))
				in.Entries[i].Resources = []string{`"Detail":""`}
			}
		}
		sdk, bus := requests(t, in)
		if !reflect.DeepEqual(sdk, bus) {
			t.Fatalf("the SDK sends %+v\nthe bus sends %+v", sdk, bus)
		}
	}
}

// TestRequestHasItsSize: a request takes its own bytes, and not several times as many.
func TestRequestHasItsSize(t *testing.T) {
	const size = 1 << 20
	in := &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		Detail: aws.String(`{"a":"` + strings.Repeat(`"`, size/2) + `"}`)}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"FailedEntryCount":0,"Entries":[{"EventId":"e"}]}`)
	}))
	defer server.Close()
	client := sdkClient(server.URL)
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := client.PutEvents(context.Background(), in, sealbus.ExactSize); err != nil {
				b.Fatal(err)
			}
		}
	})
	if per := result.AllocedBytesPerOp(); per > size+size/4 {
		t.Errorf("%d bytes for a request of %d", per, size)
	}
}
