package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Those who still have the previous bundle look for the next one at the previous one's pace.
func TestAScheduleIsKnownAtThePreviousPace(t *testing.T) {
	slow, fast := "refresh_hint: 15m\ncache: 10m\n", "refresh_hint: 1m\n"
	for name, c := range map[string]struct{ was, is map[string]string }{
		"a key ends":     {map[string]string{"a": "", "b": ""}, map[string]string{"a": "retired: 2026-01-01T00:59:59Z", "b": ""}},
		"a key is new":   {map[string]string{"a": ""}, map[string]string{"a": "", "b": "active: 2026-01-01T00:59:59Z"}},
		"a key moves up": {map[string]string{"a": "active: 2026-01-02T00:00:00Z"}, map[string]string{"a": "active: 2026-01-01T00:59:59Z"}},
	} {
		p := scheduled(t, fast, c.is)
		faults := p.CheckSchedules(listed(t, p), BuildOptions{Now: now, Expires: after(7),
			Previous: built(t, scheduled(t, slow, c.was))})
		if len(faults) != 1 || !faults[0].Earliest.Equal(now.Add(time.Hour)) {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

// A key that moves to another owner is no rotation: who has it speaks for another name from then on. Nor does
// a revocation end by that.
func TestAKeyOfAnotherOwnerIsAWidening(t *testing.T) {
	policyOf := func(orders, mail string) *Policy {
		doc := "version: 1\nproducers:\n"
		for _, o := range []struct{ name, keys string }{{"orders", orders}, {"mail", mail}} {
			doc += "  " + o.name + ":\n    sources: [\"urn:x\"]\n    types: [a]\n    keys:\n"
			for k := range strings.FieldsSeq(o.keys) {
				label, more, _ := strings.Cut(k, "!")
				if doc += "      " + verifier(t, label).KeyID() + ": {"; more != "" {
					doc += revoked
				}
				doc += "}\n"
			}
		}
		return mustParse(t, doc)
	}
	for _, was := range []string{"a", "a!revoked"} {
		is := policyOf("", "a b")
		opts := BuildOptions{Now: now, Expires: after(7), Previous: built(t, policyOf(was, "b"))}
		_, err := is.Build(listed(t, is), opts)
		var wider *WideningError
		if !errors.As(err, &wider) || !slices.Equal(wider.Names(), []string{"mail"}) {
			t.Errorf("%s: %v", was, err)
		}
		opts.Widen = []string{"mail"}
		if _, err := is.Build(listed(t, is), opts); err != nil {
			t.Errorf("%s: %v", was, err)
		}
	}
}

// Two bundles that differ in anything that a consumer or a producer judges by differ in Diff, both ways.
func TestDiffHidesNothing(t *testing.T) {
	at := now.AddDate(0, 0, -3)
	session := verifier(t, "c").KeyID()
	base := func() (trust.BundleOptions, *trust.Key) {
		return trust.BundleOptions{Version: 4, Issued: now, Expires: after(7), RefreshHint: time.Minute, Cache: time.Hour,
				RevokedSessions: []string{session}},
			&trust.Key{Verifier: verifier(t, "a"), Producer: "orders", Sources: []string{"urn:a"}, Types: []string{"a"},
				Accounts: []string{"111122223333"}, Aliases: []string{"old"}, Since: at,
				Schedule: keys.Schedule{Published: at, Active: at, Retired: at.AddDate(0, 0, 8), Expired: at.AddDate(0, 0, 20)},
				Revoked:  &trust.Revocation{At: at, Reason: "lost"}, Tainted: true}
	}
	of := func(change func(*trust.BundleOptions, *trust.Key)) *Grants {
		o, k := base()
		if change != nil {
			change(&o, k)
		}
		b, err := trust.NewBundle(o, k)
		if err != nil {
			t.Fatal(err)
		}
		return GrantsOf(b)
	}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		change          func(*trust.BundleOptions, *trust.Key)
		widens, narrows bool // forth, and back
	}{
		"producer":      {func(_ *trust.BundleOptions, k *trust.Key) { k.Producer = "mail" }, true, true},
		"source":        {func(_ *trust.BundleOptions, k *trust.Key) { k.Sources = []string{"urn:b"} }, true, true},
		"type":          {func(_ *trust.BundleOptions, k *trust.Key) { k.Types = []string{"a", "b"} }, true, false},
		"no type":       {func(_ *trust.BundleOptions, k *trust.Key) { k.Types = nil }, false, true},
		"accounts":      {func(_ *trust.BundleOptions, k *trust.Key) { k.Accounts = nil }, true, false},
		"no account":    {func(_ *trust.BundleOptions, k *trust.Key) { k.Accounts = []string{} }, false, true},
		"alias":         {func(_ *trust.BundleOptions, k *trust.Key) { k.Aliases = []string{"older"} }, true, true},
		"no alias":      {func(_ *trust.BundleOptions, k *trust.Key) { k.Aliases = nil }, false, true},
		"published":     {func(_ *trust.BundleOptions, k *trust.Key) { k.Schedule.Published = at.Add(-day) }, false, false},
		"active":        {func(_ *trust.BundleOptions, k *trust.Key) { k.Schedule.Active = at.Add(day) }, false, false},
		"retired":       {func(_ *trust.BundleOptions, k *trust.Key) { k.Schedule.Retired = at.Add(9 * day) }, false, false},
		"expired":       {func(_ *trust.BundleOptions, k *trust.Key) { k.Schedule.Expired = time.Time{} }, false, false},
		"not revoked":   {func(_ *trust.BundleOptions, k *trust.Key) { k.Revoked = nil }, true, false},
		"revoked later": {func(_ *trust.BundleOptions, k *trust.Key) { k.Revoked.At = now }, true, false},
		"reason":        {func(_ *trust.BundleOptions, k *trust.Key) { k.Revoked.Reason = "found" }, false, false},
		"not tainted":   {func(_ *trust.BundleOptions, k *trust.Key) { k.Tainted = false }, false, false},
		"since":         {func(_ *trust.BundleOptions, k *trust.Key) { k.Since = at.Add(-day) }, false, false},
		"session":       {func(o *trust.BundleOptions, _ *trust.Key) { o.RevokedSessions = nil }, true, false},
		"hint":          {func(o *trust.BundleOptions, _ *trust.Key) { o.RefreshHint = 2 * time.Minute }, false, false},
		"no cache":      {func(o *trust.BundleOptions, _ *trust.Key) { o.Cache = 0 }, false, false},
	} {
		for _, way := range []struct {
			was, is *Grants
			wide    bool
		}{{of(nil), of(c.change), c.widens}, {of(c.change), of(nil), c.narrows}} {
			changes := Diff(way.was, way.is)
			isWide := slices.ContainsFunc(changes, func(c Change) bool { return c.Widening })
			if len(changes) == 0 || isWide != way.wide {
				t.Errorf("%s: %+v", name, changes)
			}
		}
	}
	if changes := Diff(of(nil), of(func(o *trust.BundleOptions, _ *trust.Key) { o.Version, o.Expires = 5, after(8) })); len(changes) > 0 {
		t.Errorf("a renewal: %+v", changes)
	}
}
