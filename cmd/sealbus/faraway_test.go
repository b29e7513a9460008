package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/keys/trust"
)

// No command prints the largest or the smallest Duration where two times are too far apart for one.
func TestTimesFarAway(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	for _, at := range []string{"9999-06-01T00:00:00Z", "0002-06-01T00:00:00Z"} {
		sealed := b.Must(clitest.OrderEvent, b.Seal("--now", at)...)
		for what, args := range map[string][]string{
			"inspect": {"inspect"}, "open": b.Open(clitest.OrderSource),
			"open json": b.Open(clitest.OrderSource,
				"--output", "json"),
		} {
			r := b.Run(sealed, args...)
			text := r.Stdout + r.Stderr
			if !strings.Contains(text, "more than 292 years") || saturated(text) {
				t.Errorf("%s of %s: %s", what, at, text)
			}
		}
	}
	bundleUntil(b, 9999)
	for _, args := range [][]string{{"trust", "verify"}, {"trust", "show"}, {"doctor"}} {
		args = append(args, "--roots", b.Path("roots.json"))
		if args[0] == "doctor" {
			args = append(args, "--trust")
		}
		r := b.Run("", append(args, b.Path("trust.dsse"))...)
		if text := r.Stdout + r.Stderr; !strings.Contains(text, "expires in more than 292 years") ||
			saturated(text) {
			t.Errorf("%v: exit %d: %s", args, r.Code, text)
		}
	}
	var v struct {
		DaysLeft int `json:"days_left"`
	}
	doc := b.Must("", "trust", "verify", "--roots", b.Path("roots.json"), "--output", "json",
		b.Path("trust.dsse"))
	b.Check(json.Unmarshal([]byte(doc), &v))
	if v.DaysLeft != 2911753 {
		t.Errorf("%d days left", v.DaysLeft)
	}
}

// saturated reports whether the text has the longest Duration, in hours or in days.
func saturated(text string) bool {
	return strings.Contains(text, "2562047") || strings.Contains(text, "106751")
}

// bundleUntil signs a bundle that lives until then.
func bundleUntil(b *clitest.Bench, year int) {
	b.T.Helper()
	expires := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: b.Now, Expires: expires})
	b.Check(err)
	b.SignTrust(bundle)
}
