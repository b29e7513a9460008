package envelope_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// The distance of times that are further apart than a Duration reaches is said in words.
func TestTimesFarAway(t *testing.T) {
	c := newConfidential(t)
	for year, want := range map[int]struct {
		reason envelope.Reason
		says   string
	}{
		9999: {envelope.ReasonFromFuture, "9999-06-01T00:00:00Z, which is more than 292 years from now"},
		2400: {envelope.ReasonFromFuture, "2400-06-01T00:00:00Z, which is more than 292 years from now"},
		2300: {envelope.ReasonFromFuture, "2300-06-01T00:00:00Z, which is 23"},
		1700: {envelope.ReasonExpired, "1700-06-01T00:00:00Z, more than 292 years ago; the window is 1h0m0s"},
		2:    {envelope.ReasonExpired, "0002-06-01T00:00:00Z, more than 292 years ago; the window is 1h0m0s"},
	} {
		sealed := func() time.Time { return time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) }
		doc := c.seal(orderEvent(t), envelope.SealOptions{Now: sealed}).JSON()
		opts := &envelope.Policy{Now: fixedNow, MaxAge: time.Hour, Unsafe: anySource}
		_, err := envelope.Open(t.Context(), doc, c.trust, opts)
		wantReason(t, err, want.reason)
		if text := err.Error(); !strings.Contains(text, want.says) || strings.Contains(text, "2562047") {
			t.Errorf("year %d: %s", year, text)
		}
	}
}

func TestBundleLifetimesFarAway(t *testing.T) {
	at := func(year int) time.Time { return time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) }
	for _, years := range [][2]int{{9999, 2}, {2026, 1700}, {2026, 2026}} {
		opts := trust.BundleOptions{Version: 1, Issued: at(years[0]), Expires: at(years[1]),
			RefreshHint: time.Hour}
		_, err := trust.NewBundle(opts)
		if err == nil || strings.Contains(err.Error(), "2562047") ||
			!strings.Contains(err.Error(), "not later") {
			t.Errorf("%v: %v", years, err)
		}
	}
}
