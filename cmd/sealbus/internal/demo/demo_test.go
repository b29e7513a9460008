package demo

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/keys/trust"
)

// The demo must notice when something that should be refused is not, and the other way around.
func TestDemoSurprises(t *testing.T) {
	for name, test := range map[string]struct {
		spoil     func(st *stage)
		surprises []string
	}{
		"the stranger is trusted": {
			func(st *stage) {
				st.trust = trusting(t, st, st.key(st.orders, "https://orders.example/*"),
					st.key(st.stranger, "https://orders.example/*"))
			},
			[]string{"forged, unknown key", "revoked key"},
		},
		"billing may speak for orders": {
			func(st *stage) {
				st.trust = trusting(t, st, st.key(st.orders, "https://orders.example/*"),
					st.key(st.billing, "https://orders.example/*"))
			},
			[]string{"trusted key, foreign source"},
		},
		"no one is trusted": {
			func(st *stage) { st.trust = trusting(t, st, st.key(st.billing, "https://billing.example/*")) },
			[]string{"genuine", "replayed", "data changed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := newStage(t.Context(), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(st.close)
			test.spoil(st)
			results, err := playAll(st)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if slices.Contains(test.surprises, r.Case) && r.Expected {
					t.Errorf("%s: %s %s was taken for expected", r.Case, r.Verdict, r.Reason)
				}
			}
			for _, verbose := range []bool{false, true} {
				var text string
				for _, p := range pages(ui.Style{}, results, verbose) {
					text += p.String()
				}
				if !strings.Contains(text, "✗ "+test.surprises[0]) ||
					!strings.Contains(text, "expected ") || !strings.Contains(text, "otherwise than expected") {
					t.Errorf("the table does not show the surprise:\n%s", text)
				}
				if shown := strings.Contains(text, "\n✓ two members, in the data"); shown != verbose {
					t.Errorf("verbose %t: a case that is no surprise is shown: %t:\n%s", verbose, shown, text)
				}
			}
		})
	}
}

func trusting(t *testing.T, st *stage, list ...*trust.Key) *trust.Bundle {
	t.Helper()
	b, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: st.now,
		Expires: st.now.Add(96 * time.Hour)}, list...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An edit that misses its target must not pass for an attack that failed.
func TestDemoEditsAreReal(t *testing.T) {
	st, err := newStage(t.Context(), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.close)
	if _, err := st.play(edited("", "", `"nowhere"`, `"else"`)); err == nil {
		t.Error("an edit of text that is not there went unnoticed")
	}
	if _, err := st.play(scene{play: func(*act) {}}); err == nil {
		t.Error("a case that delivered nothing went unnoticed")
	}
}

// The tools of the confidential cases make events that are accepted, but for what each case changes: it is
// for that alone that they are refused.
func TestDemoSecretsAreRefusedForWhatTheySay(t *testing.T) {
	st, err := newStage(t.Context(), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.close)
	for name, play := range map[string]func(s *act){
		"sealed again around its own ciphertext": func(s *act) {
			s.deliver(s.transplant(s.orders, s.jweOf(s.secret()), s.sent), reader{})
		},
		"the other producer's own event": func(s *act) { s.deliver(s.publish(s.event(), by{signer: s.rival}), reader{}) },
		"commitment right": func(s *act) {
			ev, key := s.event(), jwe.NewContentKey()
			s.deliver(s.transplant(s.orders, s.jweUnder(ev, key, key), ev), reader{})
		},
		"in the session's last minute": func(s *act) { s.deliver(s.overtime(59*time.Minute), reader{}) },
	} {
		if got, err := st.play(scene{play: play}); err != nil || got != verified() {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
