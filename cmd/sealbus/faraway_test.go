package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

// No command prints the largest or the smallest Duration where two times are too far apart for one.
func TestTimesFarAway(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	for _, at := range []string{"9999-06-01T00:00:00Z", "0002-06-01T00:00:00Z"} {
		sealed := b.must(orderEvent, b.seal("--now", at)...)
		for what, args := range map[string][]string{
			"inspect": {"inspect"}, "open": b.open(orderSource), "open json": b.open(orderSource,
				"--output", "json"),
		} {
			r := b.run(sealed, args...)
			text := r.stdout + r.stderr
			if !strings.Contains(text, "more than 292 years") || saturated(text) {
				t.Errorf("%s of %s: %s", what, at, text)
			}
		}
	}
	b.bundleUntil(9999)
	for _, args := range [][]string{{"trust", "verify"}, {"trust", "show"}, {"doctor"}} {
		args = append(args, "--roots", b.path("roots.json"))
		if args[0] == "doctor" {
			args = append(args, "--trust")
		}
		r := b.run("", append(args, b.path("trust.dsse"))...)
		if text := r.stdout + r.stderr; !strings.Contains(text, "expires in more than 292 years") || saturated(text) {
			t.Errorf("%v: exit %d: %s", args, r.code, text)
		}
	}
	var v struct {
		DaysLeft int `json:"days_left"`
	}
	doc := b.must("", "trust", "verify", "--roots", b.path("roots.json"), "--output", "json",
		b.path("trust.dsse"))
	b.check(json.Unmarshal([]byte(doc), &v))
	if v.DaysLeft != 2911753 {
		t.Errorf("%d days left", v.DaysLeft)
	}
}

// saturated reports whether the text has the longest Duration, in hours or in days.
func saturated(text string) bool {
	return strings.Contains(text, "2562047") || strings.Contains(text, "106751")
}

// bundleUntil signs a bundle that lives until then.
func (b *bench) bundleUntil(year int) {
	b.t.Helper()
	expires := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: b.now, Expires: expires})
	b.check(err)
	b.signTrust(bundle)
}

// formatDuration once called itself for ever.
func TestFormatDurationFarAway(t *testing.T) {
	for d, want := range map[time.Duration]string{
		math.MinInt64: "minus more than 292 years", math.MinInt64 + 1: "minus more than 292 years",
		math.MaxInt64:     "more than 292 years",
		-90 * time.Minute: "-1h30m", 36500 * 24 * time.Hour: "36500d",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
