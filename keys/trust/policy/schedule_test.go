package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// scheduled is a policy of producer orders, with keys a and b of that text in flow style; "" = it is not
// listed.
func scheduled(t testing.TB, head string, fields map[string]string) *Policy {
	t.Helper()
	doc := "version: 1\n" + head + "producers:\n  orders:\n    sources: [\"urn:orders\"]\n    types: [\"a.*\"]\n    keys:\n"
	for _, label := range []string{"a", "b"} {
		if text, ok := fields[label]; ok {
			doc += "      " + verifier(t, label).KeyID() + ": {" + text + "}\n"
		}
	}
	return mustParse(t, doc)
}

// built is the bundle of the policy that was issued 10 days ago, without rules.
func built(t testing.TB, p *Policy) *trust.Bundle {
	t.Helper()
	var ids []string
	for _, k := range p.allKeys() {
		ids = append(ids, k.ID)
	}
	b, err := p.Build(listed(t, p), BuildOptions{Now: now.AddDate(0, 0, -10), Expires: now, MaxLifetime: 400 * 24 * time.Hour,
		RefreshHint: p.RefreshHint, UnsafeSchedules: ids})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// listed are the public keys of the policy.
func listed(t testing.TB, p *Policy) (list []*keys.Verifier) {
	for _, label := range []string{"a", "b", "c"} {
		if owner, _ := p.find(verifier(t, label).KeyID()); owner != "" {
			list = append(list, verifier(t, label))
		}
	}
	return list
}

const (
	hour = "refresh_hint: 15m\ncache: 10m\n" // consumers know a bundle after an hour
	days = "in_flight: 13d23h55m\n"          // and 5 minutes for clocks
)

// fields are those of each key of a producer, by the label of the key.
type fields = map[string]string

// at is the moment so many hours after now.
func at(h int) string { return now.Add(time.Duration(h) * time.Hour).Format(timeFormat) }

// scheduleCase has one fault at most: its field and the earliest moment, hours after now.
type scheduleCase struct {
	head     string
	was, is  fields // nil = there is no previous bundle
	field    string // "-" = no fault
	earliest int    // -1 = none
	text     string
}

var scheduleCases = map[string]scheduleCase{
	"a new key beside another, at once": {hour, fields{"a": ""}, fields{"a": "", "b": ""}, "active", 1, "it signs at once"},
	"a new key too early": {hour, fields{"a": ""}, fields{"a": "", "b": "active: 2026-01-01T00:59:59Z"}, "active", 1,
		"it signs from 2026-01-01T00:59:59Z, and consumers know it only from 2026-01-01T01:00:00Z on (3 x refresh_hint + cache + 5m for clocks = 1h)"},
	"a new key in time":             {hour, fields{"a": ""}, fields{"a": "", "b": "active: " + at(1)}, "-", 0, ""},
	"a new key, published later":    {hour, fields{"a": ""}, fields{"a": "", "b": "published: " + at(5) + ", active: " + at(5)}, "active", 6, ""},
	"a new key that is over":        {hour, fields{"a": ""}, fields{"a": "", "b": "retired: " + at(-1)}, "-", 0, ""},
	"a new key that is revoked":     {hour, fields{"a": ""}, fields{"a": "", "b": revoked}, "-", 0, ""},
	"the first key of a producer":   {hour, fields{}, fields{"a": "active: " + at(-5)}, "-", 0, ""},
	"the other key is revoked":      {hour, fields{"a": ""}, fields{"a": revoked, "b": ""}, "-", 0, ""},
	"the other key has ended":       {hour, fields{"a": "retired: " + at(-1)}, fields{"a": "retired: " + at(-1), "b": ""}, "-", 0, ""},
	"no previous bundle":            {hour, nil, fields{"a": "", "b": ""}, "-", 0, ""},
	"a policy that says nothing":    {"", fields{"a": ""}, fields{"a": "", "b": ""}, "-", 0, ""},
	"a policy with in_flight alone": {days, fields{"a": ""}, fields{"a": "", "b": ""}, "-", 0, ""},

	"begins earlier, in an hour":   {hour, fields{"a": "active: " + at(9)}, fields{"a": "active: " + at(1)}, "-", 0, ""},
	"begins earlier, now":          {hour, fields{"a": "active: " + at(9)}, fields{"a": "active: " + at(0)}, "active", 1, ""},
	"begins earlier, later known":  {hour, fields{"a": "active: 2026-01-01T00:30:00Z"}, fields{"a": ""}, "active", 0, "2026-01-01T00:30:00Z"},
	"begins earlier, in the past":  {hour, fields{"a": "active: " + at(-5)}, fields{"a": "active: " + at(-9)}, "-", 0, ""},
	"begins later, is in use":      {hour, fields{"a": ""}, fields{"a": "active: " + at(9)}, "active", -1, "at once in the previous bundle"},
	"begins later, soon in use":    {hour, fields{"a": "active: 2026-01-01T00:30:00Z"}, fields{"a": "active: " + at(9)}, "active", -1, "leave it as it was"},
	"begins later, not in use yet": {hour, fields{"a": "active: " + at(5)}, fields{"a": "active: " + at(9)}, "-", 0, ""},

	"ends before signers hear of it": {hour, fields{"a": "", "b": ""}, fields{"a": "retired: 2026-01-01T00:30:00Z", "b": ""}, "retired", 1, ""},
	"ended yesterday":                {hour, fields{"a": "", "b": ""}, fields{"a": "retired: " + at(-24), "b": ""}, "retired", 1, ""},
	"ends in an hour":                {hour, fields{"a": "", "b": ""}, fields{"a": "retired: " + at(1), "b": ""}, "-", 0, ""},
	"expires at once":                {hour, fields{"a": "", "b": ""}, fields{"a": "expired: " + at(0), "b": ""}, "expired", 1, ""},
	"ends earlier than it did": {hour, fields{"a": "retired: 2026-01-01T00:30:00Z", "b": ""},
		fields{"a": "retired: " + at(0), "b": ""}, "retired", 0, "2026-01-01T00:30:00Z"},
	"ends as it did":              {hour, fields{"a": "retired: " + at(-2), "b": ""}, fields{"a": "retired: " + at(-2), "b": ""}, "-", 0, ""},
	"ends before it was in use":   {hour, fields{"a": "", "b": "active: " + at(5)}, fields{"a": "", "b": "active: " + at(5) + ", retired: " + at(6)}, "-", 0, ""},
	"a gap":                       {hour, nil, fields{"a": "retired: " + at(48), "b": "active: " + at(72)}, "retired", 72, "between, no key signs"},
	"a gap after expired":         {hour, nil, fields{"a": "expired: " + at(48), "b": "active: " + at(72)}, "expired", 72, ""},
	"no gap":                      {hour, nil, fields{"a": "retired: " + at(48), "b": "active: " + at(48)}, "-", 0, ""},
	"no gap behind a revoked key": {hour, nil, fields{"a": revoked + ", retired: " + at(48), "b": "active: " + at(72)}, "-", 0, ""},
	"no gap before the first":     {hour, nil, fields{"b": "active: " + at(72)}, "-", 0, ""},
	"a gap that is open":          {hour, nil, fields{"a": "retired: " + at(-1), "b": "active: " + at(72)}, "-", 0, ""},

	"in flight":            {days, nil, fields{"a": "retired: " + at(24) + ", expired: " + at(15*24)}, "-", 0, ""},
	"not for all":          {days, nil, fields{"a": "retired: " + at(24) + ", expired: " + at(15*24-1)}, "expired", 15 * 24, "what is in flight for 13d23h (in_flight, and 5m for clocks)"},
	"expired alone":        {days, nil, fields{"a": "expired: 2026-02-01T00:00:00Z"}, "expired", -1, "add retired, 2026-01-18T00:00:00Z at the latest"},
	"retired alone":        {days, nil, fields{"a": "retired: " + at(24)}, "-", 0, ""},
	"over":                 {days, fields{"a": "retired: " + at(-9) + ", expired: " + at(-8)}, fields{"a": "retired: " + at(-9) + ", expired: " + at(-8)}, "-", 0, ""},
	"over since yesterday": {days, fields{"a": "retired: " + at(-48)}, fields{"a": "retired: " + at(-48) + ", expired: " + at(-1)}, "expired", 12 * 24, ""},
	"said without a rule":  {hour, nil, fields{"a": "retired: " + at(24) + ", expired: " + at(25)}, "-", 0, ""},

	"removed in use":             {hour, fields{"a": "", "b": ""}, fields{"b": ""}, "", -1, "give it retired and expired first"},
	"removed, said without rule": {"", fields{"a": "", "b": ""}, fields{"b": ""}, "-", 0, ""},
	"removed when retired":       {hour, fields{"a": "retired: " + at(-1), "b": ""}, fields{"b": ""}, "-", 0, ""},
	"removed with events in flight": {hour + days, fields{"a": "retired: " + at(-24), "b": ""}, fields{"b": ""}, "", 13 * 24,
		"it may go from 2026-01-14T00:00:00Z on"},
	"removed when expired":    {days, fields{"a": "retired: " + at(-24) + ", expired: " + at(0), "b": ""}, fields{"b": ""}, "-", 0, ""},
	"removed when revoked":    {hour, fields{"a": revoked, "b": ""}, fields{"b": ""}, "-", 0, ""},
	"removed before it began": {hour, fields{"a": "active: " + at(5), "b": ""}, fields{"b": ""}, "-", 0, ""},
}

func TestCheckSchedules(t *testing.T) {
	for name, c := range scheduleCases {
		opts := BuildOptions{Now: now, Expires: after(7)}
		if c.was != nil {
			opts.Previous = built(t, scheduled(t, c.head, c.was))
		}
		p := scheduled(t, c.head, c.is)
		faults := p.CheckSchedules(listed(t, p), opts)
		if c.field == "-" {
			if len(faults) > 0 {
				t.Errorf("%s: %v", name, faults)
			}
			continue
		}
		var want time.Time
		if c.earliest > 0 {
			want = now.Add(time.Duration(c.earliest) * time.Hour)
		} else if c.earliest == 0 { // the text says it
			want, _ = time.Parse(timeFormat, c.text)
		}
		if len(faults) != 1 || faults[0].Field != c.field || !faults[0].Earliest.Equal(want) ||
			!strings.Contains(faults[0].Error(), c.text) {
			t.Errorf("%s: %v, want %s %s", name, faults, c.field, want)
			continue
		}
		_, err := p.Build(listed(t, p), opts)
		var fault *Fault
		if !errors.As(err, &fault) || !reflect.DeepEqual(fault, faults[0]) {
			t.Errorf("%s: built, %v", name, err)
		}
		opts.UnsafeSchedules, opts.Widen = []string{fault.KeyID}, []string{"all"}
		if _, err := p.Build(listed(t, p), opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const revoked = "revoked: {at: 2026-01-01T00:00:00Z, reason: lost}"

// A fault names the line of its key.
func TestFaultNamesItsLine(t *testing.T) {
	p := scheduled(t, hour, map[string]string{"a": "", "b": ""})
	faults := p.CheckSchedules(listed(t, p), BuildOptions{Now: now, Expires: after(7),
		Previous: built(t, scheduled(t, hour, map[string]string{"a": ""}))})
	want := "policy: line 10: key " + verifier(t, "b").KeyID() + " of producer orders: it signs at once, and consumers know " +
		"it only from 2026-01-01T01:00:00Z on (3 x refresh_hint + cache + 5m for clocks = 1h): events between would be rejected; " +
		"the earliest active is 2026-01-01T01:00:00Z"
	if len(faults) != 1 || faults[0].Error() != want {
		t.Errorf("%v, want %s", faults, want)
	}
}

// A consumer's key is accepted by the consumer for as long as producers that have not heard of its end may
// have encrypted to it, and then for as long as that is in flight.
func TestCheckSchedulesOfConsumers(t *testing.T) {
	of := func(fields string) *Policy {
		return mustParse(t, "version: 1\n"+hour+days+"consumers:\n  billing:\n    keys:\n      "+recipient(t).KeyID()+
			": {"+fields+"}\n")
	}
	opts := BuildOptions{Now: now.AddDate(0, 0, -10), Expires: now, MaxLifetime: 400 * 24 * time.Hour,
		Recipients: []*keys.Recipient{recipient(t)}}
	previous, err := of("").Build(nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	for expired, want := range map[string]string{
		"2026-01-15T01:00:00Z": "", "2026-01-15T00:59:59Z": "2026-01-15T01:00:00Z",
	} {
		faults := of("retired: 2025-12-31T00:00:00Z, expired: "+expired).CheckSchedules(nil,
			BuildOptions{Now: now, Previous: previous})
		if want == "" && len(faults) > 0 || want != "" && (len(faults) != 1 || faults[0].Field != "expired" ||
			faults[0].Earliest.Format(timeFormat) != want || faults[0].Owner != "consumer billing") {
			t.Errorf("%s: %v, want %s", expired, faults, want)
		}
	}
}

// With timestamp keys the rules hold although the policy says nothing; then sources look every minute.
func TestCheckSchedulesWithTimestampKeys(t *testing.T) {
	p := scheduled(t, "", map[string]string{"a": "", "b": ""})
	opts := BuildOptions{Now: now, Expires: after(7), TimestampKeys: true,
		Previous: built(t, scheduled(t, "", map[string]string{"a": ""}))}
	for hint, want := range map[time.Duration]time.Duration{0: 8 * time.Minute, time.Minute * 5: 20 * time.Minute} {
		opts.RefreshHint = hint
		if f := p.CheckSchedules(listed(t, p), opts); len(f) != 1 || !f[0].Earliest.Equal(now.Add(want)) {
			t.Errorf("%s: %v", hint, f)
		}
	}
}

// If a moment is refused and an earliest one is named, that one is not refused for this key and field, and
// the second before is. Following the advice leads to a bundle.
func TestRefusalNamesTheEarliestMoment(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 12))
	moment := func() time.Time { return now.Add(time.Duration(random.IntN(60*24)-20*24) * time.Hour) }
	schedule := func() (s keys.Schedule) {
		for {
			s = keys.Schedule{}
			for _, m := range []*time.Time{&s.Published, &s.Active, &s.Retired, &s.Expired} {
				if random.IntN(2) == 0 {
					*m = moment()
				}
			}
			if s.Check() == nil {
				return s
			}
		}
	}
	policyOf := func(labels ...string) *Policy {
		p := &Policy{RefreshHint: time.Duration(1+random.IntN(60)) * time.Minute,
			Cache: time.Duration(random.IntN(3)) * time.Hour, InFlight: time.Duration(random.IntN(3)) * 5 * 24 * time.Hour,
			Producers: []Producer{{Name: "orders", Sources: []string{"urn:orders"}, Types: []string{"a.*"}}}}
		for i, label := range labels {
			p.Producers[0].Keys = append(p.Producers[0].Keys, Key{ID: verifier(t, label).KeyID(), Schedule: schedule(), line: i + 1})
		}
		return p
	}
	refused := 0
	for range 3_000 {
		was, p := policyOf("a", "b"), policyOf("a", "b", "c")
		was.RefreshHint, was.Cache = p.RefreshHint, p.Cache
		if random.IntN(2) == 0 {
			p.Producers[0].Keys[0].Schedule = was.Producers[0].Keys[0].Schedule
		}
		opts := BuildOptions{Now: now, Expires: after(7), Previous: built(t, was), Widen: []string{"all"}}
		for round := 0; ; round++ {
			faults := p.CheckSchedules(listed(t, p), opts)
			if len(faults) == 0 {
				if _, err := p.Build(listed(t, p), opts); err != nil {
					t.Fatalf("no fault, and not built: %v", err)
				}
				break
			}
			refused++
			if round > 20 || !follow(t, p, opts, faults[0]) {
				break
			}
		}
	}
	if refused < 1_000 {
		t.Errorf("only %d schedules were refused", refused)
	}
}

// follow takes the advice of the fault, and checks it. It returns false if there is none.
func follow(t *testing.T, p *Policy, opts BuildOptions, f *Fault) bool {
	t.Helper()
	field := func() *time.Time {
		for i := range p.Producers[0].Keys {
			k := &p.Producers[0].Keys[i]
			if k.ID == f.KeyID {
				return map[string]*time.Time{"active": &k.Schedule.Active, "retired": &k.Schedule.Retired,
					"expired": &k.Schedule.Expired}[f.Field]
			}
		}
		return nil
	}()
	if f.Earliest.IsZero() || field == nil {
		return false
	}
	has := func() bool {
		for _, g := range p.CheckSchedules(listed(t, p), opts) {
			if g.KeyID == f.KeyID && g.Field == f.Field && g.Earliest.Equal(f.Earliest) {
				return true
			}
		}
		return false
	}
	was := *field
	*field = f.Earliest
	for i := range p.Producers[0].Keys {
		if p.Producers[0].Keys[i].Schedule.Check() != nil {
			*field = was
			return false // other moments of the key must move with it
		}
	}
	if has() {
		t.Fatalf("%v: that moment is refused, too", f)
	}
	if *field = f.Earliest.Add(-time.Second); !has() {
		t.Fatalf("%v: a second before is not refused", f)
	}
	*field = f.Earliest
	return true
}

// The order of the faults is that of the file.
func TestFaultsAreSorted(t *testing.T) {
	p := scheduled(t, days, map[string]string{"a": "expired: 2026-02-01T00:00:00Z", "b": "expired: 2026-02-01T00:00:00Z"})
	faults := p.CheckSchedules(listed(t, p), BuildOptions{Now: now})
	if len(faults) != 2 || fmt.Sprint(faults[0].line, faults[1].line) != "8 9" {
		t.Errorf("%v", faults)
	}
}
