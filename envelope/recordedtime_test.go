package envelope_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
)

// sdkEventOf is an event as the command line reads it.
func sdkEventOf(t testing.TB, doc string) event.Event {
	t.Helper()
	in, err := wire.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	ev, err := in.ToSDK()
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

const recordedEvent = `{"specversion":"1.0","id":"r-1","source":"https://orders.example/eu","type":"a","time":"2026-11-21T10:00:00Z",EXTRA"data":{"c":21}}`

// A forwarder keeps when an event was recorded first, and freshness is judged by when it was sealed.
func TestKeepRecordedTime(t *testing.T) {
	signer := testSigner(t, keys.Ed25519, "orders")
	trust := trusting(t, keyOf(signer, "https://orders.example/*"))
	for _, test := range []struct{ name, extra, kept string }{
		{"plain", `"recordedtime":"2019-05-01T10:05:00Z",`, "2019-05-01T10:05:00Z"},
		{"zone and fraction", `"recordedtime":"2019-05-01T12:05:00.987654321+02:00",`,
			"2019-05-01T10:05:00Z"},
		{"in the future", `"recordedtime":"2036-05-01T10:05:00Z",`, "2036-05-01T10:05:00Z"},
		{"forwarded before",
			`"recordedtime":"2026-11-20T00:00:00Z","originalrecordedtime":"2019-05-01T10:05:00Z",`,
			"2019-05-01T10:05:00Z"},
		{"original only", `"originalrecordedtime":"2019-05-01T10:05:00Z",`, "2019-05-01T10:05:00Z"},
		{"none", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ev := sdkEventOf(t, strings.Replace(recordedEvent, "EXTRA", test.extra, 1))
			sealed, err := envelope.Seal(t.Context(), ev, signer,
				&envelope.SealOptions{Now: fixedNow, KeepRecordedTime: true})
			if err != nil {
				t.Fatal(err)
			}
			opened, err := envelope.Open(t.Context(), sealed.JSON(), trust,
				&envelope.Policy{Now: fixedNow, MaxAge: time.Minute, Unsafe: anySource})
			if err != nil {
				t.Fatal(err)
			}
			if !opened.SignedAt.Equal(testNow.Truncate(time.Second)) {
				t.Errorf("sealed at %s", opened.SignedAt)
			}
			want := `"recordedtime":"2026-11-21T12:00:00Z"`
			if test.kept != "" {
				want = `"originalrecordedtime":"` + test.kept + `",` + want
			}
			if got := string(opened.JSON()); !strings.Contains(got, want) ||
				strings.Count(got, "recordedtime") != strings.Count(want, "recordedtime") {
				t.Errorf("opened %s, want %s in it", got, want)
			}
		})
	}
}

// Without the option an event that was recorded before is refused, with it one that was sealed before.
func TestKeepRecordedTimeRefuses(t *testing.T) {
	signer := testSigner(t, keys.Ed25519, "orders")
	for _, test := range []struct {
		name, extra     string
		keep            bool
		member, problem string
	}{
		{"without the option", `"recordedtime":"2019-05-01T10:05:00Z",`, false, "recordedtime",
			"KeepRecordedTime"},
		{"no timestamp", `"recordedtime":"yesterday",`, true, "recordedtime", "originalrecordedtime"},
		{"original is none", `"originalrecordedtime":"yesterday",`, true, "originalrecordedtime",
			"as Timestamp"},
		{"sealed already", `"recordedtime":"2019-05-01T10:05:00Z","dssematerial":"AAAA",`, true,
			"dssematerial", "sealed already"},
		{"with recipients", `"recordedtime":"2019-05-01T10:05:00Z","jwerecipients":"[]",`, true,
			"jwerecipients", "sealed already"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ev := sdkEventOf(t, strings.Replace(recordedEvent, "EXTRA", test.extra, 1))
			_, err := envelope.Seal(t.Context(), ev, signer,
				&envelope.SealOptions{Now: fixedNow, KeepRecordedTime: test.keep})
			e, _ := errors.AsType[*envelope.SealError](err)
			if e == nil || e.Member != test.member || !strings.Contains(e.Problem, test.problem) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Two forwardings of two publications of one event are duplicates, and no reuse of its ID.
func TestOriginalRecordedTimeIsNoContent(t *testing.T) {
	signer := testSigner(t, keys.Ed25519, "orders")
	trust := trusting(t, keyOf(signer, "https://orders.example/*"))
	digest := func(extra string) [32]byte {
		ev := sdkEventOf(t, strings.Replace(recordedEvent, "EXTRA", extra, 1))
		sealed, err := envelope.Seal(t.Context(), ev, signer,
			&envelope.SealOptions{Now: fixedNow, KeepRecordedTime: true})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := envelope.Open(t.Context(), sealed.JSON(), trust,
			&envelope.Policy{Now: fixedNow, Unsafe: unchecked})
		if err != nil {
			t.Fatal(err)
		}
		return opened.ContentDigest()
	}
	first := digest(`"recordedtime":"2019-05-01T10:05:00Z",`)
	if first != digest(`"recordedtime":"2019-05-01T10:06:00Z",`) || first != digest("") {
		t.Error("the time of the first recording is in the digest of the content")
	}
	if first == digest(`"subject":"x",`) {
		t.Error("the subject is not")
	}
}

// A verdict says that digits changed where the signed evidence shows it, and that they may have where it does
// not.
func TestModifiedSaysDigits(t *testing.T) {
	const general = "the data or a core attribute is not what was signed"
	const anew = "; digits of a number are what changed: something on the way prints numbers anew"
	const maybe = "; digits of a number may be what changed: there are numbers of 15 digits and more, and some relays print those anew"
	signer := testSigner(t, keys.Ed25519, "orders")
	trust := trusting(t, keyOf(signer, "https://orders.example/*"))
	sealed, err := envelope.Seal(t.Context(), sdkEventOf(t,
		`{"specversion":"1.0","id":"r-1","source":"https://orders.example/eu","type":"a",`+
			`"time":"2026-11-21T10:00:59.999987654Z","data":{"big":9007199254740993,"small":0.1,"sum":0.30000000000000004}}`), signer, &envelope.SealOptions{Now: fixedNow})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, old, with, cause string }{
		{"a fraction cut", "59.999987654Z", "59.999Z",
			`time was signed as "2026-11-21T10:00:59.999987654Z" and came as "2026-11-21T10:00:59.999Z"`},
		{"a fraction rounded up", "10:00:59.999987654Z", "10:01:00Z", general +
			`; time was signed as "2026-11-21T10:00:59.999987654Z" and came as "2026-11-21T10:01:00Z"` +
			maybe},
		{"another second", "10:00:59.999987654Z", "10:00:57Z", general +
			`; time was signed as "2026-11-21T10:00:59.999987654Z" and came as "2026-11-21T10:00:57Z"` +
			maybe},
		{"another fraction", "59.999987654Z", "59.999987655Z",
			`time was signed as "2026-11-21T10:00:59.999987654Z" and came as "2026-11-21T10:00:59.999987655Z"`},
		{"17 digits of a shorter number", `"small":0.1`, `"small":0.10000000000000001`, general + anew},
		{"a rounded integer", "9007199254740993", "9007199254740992", general + maybe},
		{"a number as text", `"small":0.1`, `"small":"0.1"`, general + maybe},
		{"no long numbers left", `{"big":9007199254740993,"small":0.1,"sum":0.30000000000000004}`,
			`{"big":1}`, general},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc := replace(test.old, test.with)(string(sealed.JSON()))
			_, err := envelope.Open(t.Context(), []byte(doc), trust,
				&envelope.Policy{Now: fixedNow, Unsafe: unchecked})
			e, _ := errors.AsType[*envelope.Error](err)
			if e == nil || e.Reason != envelope.ReasonModified || e.Cause != test.cause {
				t.Errorf("got  %v\nwant %s", err, test.cause)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	signer := testSigner(t, keys.Ed25519, "orders")
	const digits, numbers = "digits of a fraction of a second", "numbers of 17 digits"
	for _, test := range []struct {
		name, time, data string
		exact            bool
		want             []string
	}{
		{"nothing", "10:00:00.123Z", `{"n":12.5,"m":9007199254740992,"o":-9007199254740992}`, false, nil},
		{"nanoseconds", "10:00:00.123456789Z", `1`, false, []string{digits}},
		{"zeros at the end", "10:00:00.123000000Z", `1`, false, nil},
		{"17 digits", "10:00:00Z", `[0.30000000000000004]`, false, []string{numbers}},
		{"16 digits", "10:00:00Z", `[0.3000000000000004]`, false, nil},
		{"beyond 2^53", "10:00:00Z", `-9007199254740993`, false, []string{numbers}},
		{"a round number", "10:00:00Z", `1e20`, false, []string{numbers}},
		{"in a text", "10:00:00Z", `"0.30000000000000004"`, false, nil},
		{"exact", "10:00:00Z", `0.30000000000000004`, true, nil},
		{"both", "10:00:00.1234Z", `1.7976931348623157e308`, false, []string{digits, numbers}},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc := `{"specversion":"1.0","id":"1","source":"https://orders.example/eu","type":"a","time":"2026-11-21T` + test.time + `","data":` + test.data + `}`
			sealed, err := envelope.Seal(t.Context(), sdkEventOf(t, doc), signer,
				&envelope.SealOptions{Now: fixedNow, Exact: test.exact})
			if err != nil {
				t.Fatal(err)
			}
			got := sealed.Warnings()
			if len(got) != len(test.want) {
				t.Fatalf("got %q, want %q", got, test.want)
			}
			for i := range got {
				if !strings.Contains(got[i], test.want[i]) {
					t.Errorf("got %q, want %q", got[i], test.want[i])
				}
			}
		})
	}
}
