package eventbridge_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sealbus/sealbus/internal/jsontext"
	sealbus "github.com/sealbus/sealbus/producer/eventbridge"
)

var static = credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")

// service is an HTTP client that keeps the requests of an SDK's client, and checks each. It gives one answer
// after the other, and the last one for ever.
type service struct {
	t       testing.TB
	answers []answer
	got     []*http.Request
	bodies  [][]byte
}

// answer is one of a service. Reads is how much of the request it takes before it answers; 0 = all.
type answer struct {
	status int
	body   string
	reads  int64
}

var accepts = answer{http.StatusOK, `{"FailedEntryCount":0,"Entries":[{"EventId":"e"}]}`, 0}

func (s *service) client() *eventbridge.Client {
	return eventbridge.New(eventbridge.Options{Region: "us-east-1", HTTPClient: s, Credentials: static})
}

func (s *service) Do(r *http.Request) (*http.Response, error) {
	next := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	if next.reads > 0 {
		_, _ = io.CopyN(io.Discard, r.Body, next.reads)
	} else {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(body)) {
			s.t.Errorf("%d bytes of %d, %v", len(body), r.ContentLength, err)
		}
		s.checkSigned(r, body)
		s.got, s.bodies = append(s.got, r), append(s.bodies, body)
	}
	_ = r.Body.Close()
	return &http.Response{StatusCode: next.status, Body: io.NopCloser(strings.NewReader(next.body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amzn-Requestid": {"r-1"}}}, nil
}

// checkSigned signs the request anew, over the bytes that came. A global endpoint has signatures that are
// never the same.
func (s *service) checkSigned(r *http.Request, body []byte) {
	was, sum := r.Header.Get("Authorization"), sha256.Sum256(body)
	if strings.HasPrefix(was, "AWS4-ECDSA-P256-SHA256 ") {
		return
	}
	again := r.Clone(r.Context())
	again.Header.Del("Authorization")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err == nil {
		err = v4.NewSigner().SignHTTP(r.Context(), static.Value, again, hex.EncodeToString(sum[:]), "events",
			"us-east-1", at)
	}
	if got := again.Header.Get("Authorization"); err != nil || got != was {
		s.t.Errorf("signed as %s, want %s, %v", was, got, err)
	}
}

// request is a call as a service sees it, without what is another in each call.
type request struct {
	method, url string
	header      http.Header
	body        any
}

// requests are a call as the SDK writes it and as the bus does.
func requests(t *testing.T, in *eventbridge.PutEventsInput) (sdk, bus request) {
	t.Helper()
	s := &service{t: t, answers: []answer{accepts}}
	client := s.client()
	_, err := client.PutEvents(t.Context(), in)
	_, err2 := client.PutEvents(t.Context(), in, sealbus.ExactSize)
	if err := errors.Join(err, err2); err != nil || len(s.got) != 2 {
		t.Fatalf("%d calls: %v", len(s.got), err)
	}
	var list [2]request
	for i, r := range s.got {
		for _, name := range []string{"Authorization", "X-Amz-Date", "Amz-Sdk-Invocation-Id"} {
			r.Header.Del(name)
		}
		list[i] = request{r.Method, r.URL.String(), r.Header, nil}
		d := jsontext.NewDecoder(s.bodies[i])
		d.SkipValue() // no member stands twice
		if err := errors.Join(d.End(), json.Unmarshal(s.bodies[i], &list[i].body)); err != nil {
			t.Errorf("%v: %q", err, s.bodies[i])
		}
	}
	return list[0], list[1]
}

// TestRequestIsTheSDKs: of random entries, the request means what the SDK's own means.
func TestRequestIsTheSDKs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{`"`, `\`, "\b\f\n\r\t", "\x00\x1f\x7f", `"Detail":""`, `{"Detail":"",`, `,"Detail`,
		`:""`, "é", "\u2028", "😀", "\xff", "\xe2\x82", "<&>", "0123456789", ""}
	text := func() *string {
		if random.IntN(9) == 0 {
			return nil
		}
		var b strings.Builder
		for range random.IntN(12) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return aws.String(b.String())
	}
	for range 500 {
		in := &eventbridge.PutEventsInput{Entries: make([]types.PutEventsRequestEntry, random.IntN(4))}
		if random.IntN(8) == 0 {
			in.EndpointId = aws.String("abcde.veo")
		}
		for i := range in.Entries {
			in.Entries[i] = types.PutEventsRequestEntry{Detail: text(), DetailType: text(), Source: text(),
				EventBusName: text(), TraceHeader: text()}
			if random.IntN(2) == 0 {
				in.Entries[i].Time = aws.Time(time.UnixMilli(random.Int64N(1 << 41)))
				in.Entries[i].Resources = []string{`"Detail":""`}
			}
		}
		before, _ := json.Marshal(in)
		sdk, bus := requests(t, in)
		if !reflect.DeepEqual(sdk, bus) {
			t.Fatalf("the SDK sends %+v\nthe bus sends %+v", sdk, bus)
		}
		if after, _ := json.Marshal(in); !bytes.Equal(after, before) {
			t.Fatalf("the input was %s and is %s", before, after)
		}
	}
}

func atOnce(int, error) (time.Duration, error) { return 0, nil }

// TestRequestIsRepeatedWhole: the SDK repeats a request from its beginning, however much of it was read, and
// signs it again.
func TestRequestIsRepeatedWhole(t *testing.T) {
	detail := `{"a":"` + strings.Repeat(`"\`, 5000) + `"}`
	s := &service{t: t, answers: []answer{{status: 500, reads: 1}, {status: 503, reads: 7000}, accepts}}
	_, err := s.client().PutEvents(t.Context(), &eventbridge.PutEventsInput{
		Entries: []types.PutEventsRequestEntry{{Detail: aws.String(detail), Source: aws.String("s")}}},
		sealbus.ExactSize, func(o *eventbridge.Options) {
			o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(atOnce)
			})
		})
	if err != nil || len(s.got) != 1 {
		t.Fatalf("%d were read, %v", len(s.got), err)
	}
	var got struct {
		Entries []struct{ Detail, Source string }
	}
	if err := json.Unmarshal(s.bodies[0], &got); err != nil || got.Entries[0].Detail != detail ||
		got.Entries[0].Source != "s" || s.got[0].Header.Get("Amz-Sdk-Request") != "attempt=3; max=3" {
		t.Errorf("%v, %v, %d bytes of %d", err, s.got[0].Header, len(got.Entries[0].Detail), len(detail))
	}
}

// TestAnswerIsTheSDKs: answers and errors are read as by the SDK's own call.
func TestAnswerIsTheSDKs(t *testing.T) {
	in := &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{Detail: aws.String("{}")}}}
	once := func(o *eventbridge.Options) { o.RetryMaxAttempts = 1 }
	for _, a := range []answer{accepts,
		{200, `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"ThrottlingException","ErrorMessage":"m"}]}`, 0},
		{200, `{`, 0}, {200, ``, 0},
		{400, `{"__type":"com.amazonaws.events#InternalException","message":"m"}`, 0},
		{400, `{"__type":"ThrottlingException","message":"m"}`, 0}, {413, `too large`, 0}, {500, ``, 0}} {
		client := (&service{t: t, answers: []answer{a}}).client()
		sdk, sdkErr := client.PutEvents(t.Context(), in, once)
		bus, busErr := client.PutEvents(t.Context(), in, once, sealbus.ExactSize)
		if sdk != nil && bus != nil { // it has the time of the answer
			sdk.ResultMetadata = bus.ResultMetadata
		}
		if !reflect.DeepEqual(sdk, bus) || !reflect.DeepEqual(sdkErr, busErr) {
			t.Errorf("%+v: %+v, %v; the SDK has %+v, %v", a, bus, busErr, sdk, sdkErr)
		}
	}
}

// TestOtherProtocolIsKept: also one that is around the SDK's, and would not see the bytes that are sent.
func TestOtherProtocolIsKept(t *testing.T) {
	options := (&service{t: t}).client().Options()
	for _, p := range []smithyhttp.ClientProtocol{nil, struct{ smithyhttp.ClientProtocol }{options.Protocol}} {
		o := eventbridge.Options{Protocol: p}
		if sealbus.ExactSize(&o); !reflect.DeepEqual(o.Protocol, p) {
			t.Errorf("%T became %T", p, o.Protocol)
		}
	}
	own := options.Copy()
	if sealbus.ExactSize(&own); reflect.DeepEqual(own.Protocol, options.Protocol) {
		t.Error("the SDK's own is kept")
	}
}

// TestRequestHasItsSize: a request takes its own bytes, and not several times as many.
func TestRequestHasItsSize(t *testing.T) {
	const size, calls = 1 << 20, 8
	in := &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		Detail: aws.String(`{"a":"` + strings.Repeat(`"`, size/2) + `"}`)}}}
	client := (&service{t: t, answers: []answer{{accepts.status, accepts.body, 1}}}).client()
	var before, after runtime.MemStats
	for i := range calls + 1 {
		if i == 1 { // the first call has other things to make
			runtime.ReadMemStats(&before)
		}
		if _, err := client.PutEvents(t.Context(), in, sealbus.ExactSize); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if per := (after.TotalAlloc - before.TotalAlloc) / calls; per < size || per > size+size/8 {
		t.Errorf("%d bytes for a request of %d", per, size)
	}
}
