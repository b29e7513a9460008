package envelope_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// carried is a request that net/http wrote and read again.
func carried(t *testing.T, header http.Header, content []byte) (http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "https://hooks.example/", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.Header, body
}

// httpTexts are what header lines have to be careful with.
var httpTexts = []string{" ", "\"", "%", "%41", "\\", ",", ";", ":", "a", "é", "日", "😀", "\u00ad",
	"=?utf-8?q?x?=", "+", "'"}

func httpText(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(6) {
		b.WriteString(httpTexts[r.IntN(len(httpTexts))])
	}
	return b.String()
}

// randomSealed is an event with odd texts and any data, sealed in one of the ways there are.
func randomSealed(t *testing.T, r *rand.Rand, to *envelope.Encrypter) *envelope.Sealed {
	t.Helper()
	ev, opts := orderEvent(t), &envelope.SealOptions{Now: fixedNow}
	ev.SetSubject(httpText(r) + "x")
	ev.SetID("x" + httpText(r)) // the SDK takes no blank one
	ev.SetExtension("tenant", httpText(r))
	value := randomValue(r, 4)
	jsonData(written(r, value))(&ev)
	switch r.IntN(6) {
	case 0:
		opts.Exact = true
	case 1:
		ev.DataEncoded = nil
	case 2:
		data := make([]byte, r.IntN(64))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		if err := ev.SetData("application/octet-stream", data); err != nil {
			t.Fatal(err)
		}
	case 3:
		opts.Encrypt = to
	case 4:
		opts.Encrypt, opts.EncryptFields = to, someFields(r, value)
	}
	sealed, err := envelope.Seal(t.Context(), ev, cast["orders"], opts)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// Any sealed event opens to the same event from binary mode, over net/http, as from structured mode.
func TestHTTPOpensToTheSameEvent(t *testing.T) {
	seed, bundle := rand.Uint64(), bundleOf(t, "orders")
	to, err := envelope.NewEncrypter(envelope.EncryptTo{Recipients: recipientsOf("x25519")})
	if err != nil {
		t.Fatal(err)
	}
	policy := &envelope.Policy{Now: fixedNow, Decrypter: openBoth(t), Unsafe: unchecked}
	opened, refused := 0, 0
	for i := range cases.Of(2000) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		sealed := randomSealed(t, r, to)
		want, err := envelope.Open(t.Context(), sealed.JSON(), bundle, policy)
		if err != nil {
			t.Fatal(err)
		}
		header, content, err := sealed.HTTP()
		if _, tooLong := errors.AsType[*envelope.SealError](err); tooLong { // many encrypted fields
			refused++
			continue
		}
		header, content = carried(t, header, content)
		got, err := envelope.OpenHTTP(t.Context(), header, content, bundle, policy)
		if err != nil || !bytes.Equal(got.JSON(), want.JSON()) {
			t.Fatalf("seed %d, %d: %v: %q\n%s\nwant\n%s", seed, i, err, header, got.JSON(), want.JSON())
		}
		structured := map[string][]string{"content-type": {"application/CloudEvents+json; charset=\"UTF-8\""}}
		if got, err = envelope.OpenHTTP(t.Context(), structured, sealed.JSON(), bundle, policy); err != nil ||
			!bytes.Equal(got.JSON(), want.JSON()) {
			t.Fatalf("structured: %v", err)
		}
		opened++
	}
	if opened < 9*refused {
		t.Errorf("%d opened, %d could not be written", opened, refused)
	}
}

// Any changed byte of a header line's name, of its value or of the content is refused, unless the event is
// the same all the same.
func TestHTTPRefusesEachChange(t *testing.T) {
	bundle, policy := bundleOf(t, "orders"), &envelope.Policy{Now: fixedNow, Unsafe: unchecked}
	header, content := orderHTTP(t)
	message := envelope.HTTPMessage(header, content)
	open := func(message []byte) (*envelope.Opened, error) {
		return openHTTP(t.Context(), message, bundle, policy)
	}
	want, err := open(message)
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for i := range message {
		for _, with := range []byte{0, '\n', '\r', ' ', '"', '%', ':', 'A', 'b', '0', message[i] ^ 1,
			message[i] ^ 0x20, message[i] ^ 0x80} {
			if with == message[i] {
				continue
			}
			changed := bytes.Clone(message)
			changed[i] = with
			got, err := open(changed)
			switch {
			case err == nil && !bytes.Equal(got.JSON(), want.JSON()):
				t.Fatalf("byte %d is %q, and another event is verified: %s", i, with, got.JSON())
			case err == nil:
				same++
			case got != nil || envelope.ReasonOf(err).Class() != envelope.Permanent:
				t.Fatalf("byte %d: %v, %v", i, got, err)
			}
		}
	}
	// Letters of names, white space, and traceparent, which is not signed.
	if all := 12 * len(message); same == 0 || same > all/10 {
		t.Errorf("%d of %d changes make no difference", same, all)
	}
}

// Sealing says that binary mode would not pass, and by which line.
func TestHTTPSaysWhatDoesNotFit(t *testing.T) {
	with := func(change func(ev *event.Event), opts envelope.SealOptions) (http.Header, error) {
		t.Helper()
		ev := orderEvent(t)
		change(&ev)
		opts.Now = fixedNow
		signer := keys.Signer(cast["orders"])
		if opts.CoSigners != nil {
			signer, opts.CoSigners = opts.CoSigners[0], opts.CoSigners[1:]
		}
		sealed, err := envelope.Seal(t.Context(), ev, signer, &opts)
		if err != nil {
			t.Fatal(err)
		}
		header, _, err := sealed.HTTP()
		return header, err
	}
	nothing := func(*event.Event) {}
	by := func(names ...string) (opts envelope.SealOptions) {
		for _, name := range names {
			opts.CoSigners = append(opts.CoSigners, cast[name])
		}
		return opts
	}
	subject := func(n int) func(*event.Event) {
		return func(ev *event.Event) { ev.SetSubject(strings.Repeat("s", n)) }
	}
	longest := 8190 - len("Ce-Subject: \r\n")
	header, err := with(nothing, envelope.SealOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rest := 0
	for name, values := range header {
		rest += len(name) + len(": \r\n") + len(values[0])
	}
	room := 9216 - rest - len("Ce-X: \r\n")
	for name, c := range map[string]struct {
		change func(*event.Event)
		opts   envelope.SealOptions
		fits   bool
	}{
		"Ed25519":         {nothing, envelope.SealOptions{}, true},
		"ES256":           {nothing, by("es256"), true},
		"ML-DSA-65":       {nothing, by("mldsa"), false},
		"both":            {nothing, by("orders", "mldsa"), false},
		"the longest sum": {extension("x", strings.Repeat("x", room-signedName)), by("orders"), true},
		"a longer sum":    {extension("x", strings.Repeat("x", room)), envelope.SealOptions{}, false},
		"a long line":     {subject(longest + 1), envelope.SealOptions{}, false},
		"percent":         {extension("x", strings.Repeat("é", 1400)), envelope.SealOptions{}, false},
		"structured": {func(ev *event.Event) { ev.SetDataContentType("application/cloudevents+json") },
			envelope.SealOptions{}, false},
		"Unicode in the type": {func(ev *event.Event) { ev.SetDataContentType("application/json; x=é") },
			envelope.SealOptions{}, false},
	} {
		_, err := with(c.change, c.opts)
		_, refused := errors.AsType[*envelope.SealError](err)
		if refused == c.fits || err != nil && !refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := (&envelope.Sealed{}).HTTP(); err == nil {
		t.Error("an empty Sealed has no error")
	}
}

// signedName is room for what a further signed extension adds to dssematerial: its name and type, base64
// twice.
const signedName = 100

// orderHTTP is the order event, sealed, in binary mode.
func orderHTTP(t *testing.T) (header map[string][]string, content []byte) {
	t.Helper()
	sealed, err := envelope.Seal(t.Context(), orderEvent(t), cast["orders"],
		&envelope.SealOptions{Now: fixedNow})
	if err != nil {
		t.Fatal(err)
	}
	header, content, err = sealed.HTTP()
	if err != nil {
		t.Fatal(err)
	}
	return header, content
}

// An HTTP message has the event's own lines, and nothing can add one.
func TestHTTPMessage(t *testing.T) {
	header := map[string][]string{
		"Authorization": {"Bearer secret"}, "Cookie": {"secret"}, "Cee": {"x"},
		"Content-Type": {"text/plain"}, "ce-ID": {"1", "2"}, "CE-a\r\nce-b": {"x"}, "Ce-C: d": {"x"},
		"Ce-D": {"x\r\nce-e: y\n\r\n"}, "Ce-F": {},
	}
	const want = "CE-a\x00\x00ce-b: x\r\nCe-C\x00 d: x\r\nCe-D: x\x00\x00ce-e: y\x00\x00\x00\r\n" +
		"Content-Type: text/plain\r\nce-ID: 1\r\nce-ID: 2\r\n\r\ndata\r\n"
	if got := envelope.HTTPMessage(header, []byte("data\r\n")); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A second line, a batch and another format are refused with their Reason, also in an http.Header that was
// made by hand.
func TestOpenHTTPRefuses(t *testing.T) {
	bundle, policy := bundleOf(t, "orders"), &envelope.Policy{Now: fixedNow, Unsafe: unchecked}
	header, content := orderHTTP(t)
	const structured = "application/cloudevents+json"
	typed := func(contentType ...string) map[string][]string {
		return map[string][]string{"Content-Type": contentType}
	}
	plus := func(name string, values ...string) map[string][]string {
		other := maps.Clone(header)
		other[name] = values
		return other
	}
	for name, c := range map[string]struct {
		header map[string][]string
		want   envelope.Reason
	}{
		"two values":            {plus("Ce-Id", "1", "1"), envelope.ReasonMalformed},
		"two spellings":         {plus("ce-id", "1"), envelope.ReasonMalformed},
		"a forged attribute":    {plus("Ce-Subject", "forged"), envelope.ReasonModified},
		"no lines":              {nil, envelope.ReasonMalformed},
		"a batch":               {typed("application/cloudevents-batch+json"), envelope.ReasonMalformed},
		"another format":        {typed("application/cloudevents+avro"), envelope.ReasonMalformed},
		"another charset":       {typed(structured + "; charset=utf-16"), envelope.ReasonMalformed},
		"two types":             {typed(structured, "application/json"), envelope.ReasonMalformed},
		"a broken parameter":    {typed(structured + "; charset"), envelope.ReasonMalformed},
		"structured, data only": {typed(structured), envelope.ReasonMalformed},
	} {
		opened, err := envelope.OpenHTTP(t.Context(), c.header, content, bundle, policy)
		if opened != nil || envelope.ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	_, err := envelope.OpenHTTP(t.Context(), header, content, nil, policy)
	if envelope.ReasonOf(err) != envelope.ReasonTrustUnavailable {
		t.Errorf("without trust: %v", err)
	}
}

func openHTTP(ctx context.Context, message []byte, trust trust.Source, p *envelope.Policy) (
	*envelope.Opened, error,
) {
	return openStep(ctx, envelope.Received{Body: message, HTTP: true}, envelope.Step{}, trust, p)
}

// FuzzOpenHTTP: nothing but the vectors and the victims is ever verified, and nothing makes it panic.
func FuzzOpenHTTP(f *testing.F) { fuzzOpen(f, formHTTP, openHTTP) }

// Of the vectors' event, Seal writes the lines that mint writes, which shares no code with it.
func TestHTTPIsWrittenAsTheVectorsAre(t *testing.T) {
	plan := order("orders")
	ev := event.New()
	if err := ev.UnmarshalJSON([]byte(plan.Event.Del("recordedtime").String())); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return moment(vectorSealed) }
	sealed, err := envelope.Seal(t.Context(), ev, cast["orders"], &envelope.SealOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	header, content, err := sealed.HTTP()
	if err != nil {
		t.Fatal(err)
	}
	lines, want := mint.HTTP(plan.Seal())
	var got []string
	for name, values := range header {
		if strings.HasPrefix(name, "Ce-") {
			name = strings.ToLower(name)
		}
		got = append(got, name+": "+values[0])
	}
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) || string(content) != want {
		t.Errorf("got %q, %q\nwant %q, %q", got, content, lines, want)
	}
}
