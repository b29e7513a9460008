package trust_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

// traffic is what a process asks for in a time, and what it gets.
type traffic struct{ requests, bytes int64 }

// trafficFormula is the formula of docs/operations.md that trafficOf computes.
const trafficFormula = `
    requests = 2 R + B            with timestamps
    requests = 2 R                without
    bytes    = T t + B b          plus the headers of the requests, and the pages of the 404s
`

// trafficOf is what R refreshes cost that find T new timestamps of t bytes and B new bundles of b bytes. The
// first refresh finds a new one of each.
func trafficOf(refreshes, timestamps, t, bundles, b int64) traffic {
	c := traffic{2 * refreshes, timestamps*t + bundles*b}
	if timestamps > 0 {
		c.requests += bundles
	}
	return c
}

// The costs of following the trust are exactly as docs/operations.md states them.
func TestRefreshCost(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil || !strings.Contains(string(doc), trafficFormula) {
		t.Errorf("docs/operations.md has another formula, %v", err)
	}
	const hours, perHour = 6, int(time.Hour / siteHint)
	for name, c := range map[string]struct {
		timestamps   bool
		bundleEvery  int // hours; 0 = it does not change
		wantB, wantT int64
	}{
		"no timestamps, unchanged": {false, 0, 1, 0},
		"no timestamps, changing":  {false, 2, 4, 0},
		"timestamps, unchanged":    {true, 0, 1, 1 + hours},
		"timestamps, changing":     {true, 2, 4, 1 + hours},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.timestamps)
			s.publish(1)
			source, err := s.follow(&trust.Options{})
			s.check(err)
			version := int64(1)
			for i := 1; i <= hours*perHour; i++ {
				s.advance(siteHint)
				switch {
				case i%perHour != 0:
				case c.bundleEvery > 0 && i/perHour%c.bundleEvery == 0:
					version++
					s.publish(version)
				default:
					s.renew()
				}
				s.want(source, version, nil)
			}
			stamp, bundle := int64(len(s.files["timestamp.dsse"])), int64(len(s.signedBundle()))
			want := trafficOf(1+hours*int64(perHour), c.wantT, stamp, c.wantB, bundle)
			if got := s.traffic(); got != want {
				t.Errorf("%+v, and the formula says %+v", got, want)
			}
			t.Logf("a timestamp has %d bytes, a bundle of one key %d", stamp, bundle)
		})
	}
}

// A process that judges an event each second asks at most at 10/9 of the refresh hint's rate, so that many
// do not ask at once; one that judges none asks nothing.
func TestRefreshRate(t *testing.T) {
	s := newSite(t, true)
	s.publish(1)
	source, err := s.follow(&trust.Options{})
	s.check(err)
	for range 2 * 3600 {
		s.advance(time.Second)
		s.want(source, 1, nil)
	}
	least, most := int64(2*time.Hour/siteHint), int64(2*time.Hour/(siteHint*9/10))
	if got := s.traffic().requests/2 - 1; got < least || got > most {
		t.Errorf("%d refreshes in two hours, not %d to %d", got, least, most)
	}
	before := s.traffic()
	s.advance(12 * time.Hour)
	if got := s.traffic(); got != before {
		t.Errorf("%+v without a use, after %+v", got, before)
	}
}
