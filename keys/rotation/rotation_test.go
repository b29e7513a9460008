package rotation_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/rotation"
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func day(n float64) time.Time { return start.Add(time.Duration(n * 24 * float64(time.Hour))) }

func plan(t *testing.T, now time.Time, opts *rotation.Options, list ...rotation.Key) []rotation.Step {
	t.Helper()
	for i := range list {
		list[i].Kind = "signing"
	}
	steps, err := rotation.Plan(list, now, opts)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// told is the plan in words: action, key, days from the start, status.
func told(steps []rotation.Step) string {
	var list []string
	for _, s := range steps {
		list = append(list, fmt.Sprintf("%s %s %g %s", s.Action, s.KeyID, s.At.Sub(start).Hours()/24, s.Status))
	}
	return strings.Join(list, ", ")
}

// The story of one rotation, without and with a trust bundle.
func TestPlan(t *testing.T) {
	known := func(d float64) *rotation.Listed { return &rotation.Listed{KnownAt: day(d)} }
	unlisted := &rotation.Listed{}
	o := rotation.Options{Known: 12 * time.Hour, Overlap: 24 * time.Hour, InFlight: 10*24*time.Hour - 5*time.Minute}
	begin := o
	begin.Begin = true
	next := keys.Schedule{Published: day(0), Active: day(2.5)}
	old := keys.Schedule{Retired: day(3.5), Expired: day(13.5)}
	for name, test := range map[string]struct {
		now  float64
		opts rotation.Options
		keys []rotation.Key
		want string
	}{
		"one key": {0, o, []rotation.Key{{ID: "a"}}, ""},
		"to begin": {0, begin, []rotation.Key{{ID: "a"}},
			"make  0 due, publish  0 waiting, activate  2.5 waiting, retire a 3.5 waiting, prune a 13.5 waiting"},
		"made": {0, begin, []rotation.Key{{ID: "a", Schedule: old}, {ID: "b", Schedule: next}},
			"publish b 0 unchecked, activate b 2.5 waiting, retire a 3.5 waiting, prune a 13.5 waiting"},
		"made, and a bundle is looked at": {0, begin, []rotation.Key{{ID: "a", Schedule: old, Trust: known(-9)},
			{ID: "b", Schedule: next, Trust: unlisted}},
			"publish b 0 due, known b 2 waiting, activate b 2.5 waiting, retire a 3.5 waiting, prune a 13.5 waiting"},
		"not published in time": {2.2, begin, []rotation.Key{{ID: "a", Schedule: old, Trust: known(-9)},
			{ID: "b", Schedule: next, Trust: unlisted}},
			"publish b 0 late, activate b 2.5 waiting, retire a 3.5 waiting, prune a 13.5 waiting"},
		"published": {1, begin, []rotation.Key{{ID: "a", Schedule: old, Trust: known(-9)},
			{ID: "b", Schedule: next, Trust: known(1.5)}},
			"publish b 0 done, known b 1.5 waiting, activate b 2.5 waiting, retire a 3.5 waiting, prune a 13.5 waiting"},
		"both may sign": {3, begin, []rotation.Key{{ID: "a", Schedule: old}, {ID: "b", Schedule: next}},
			"activate b 2.5 done, retire a 3.5 waiting, prune a 13.5 waiting"},
		"to prune": {14, begin, []rotation.Key{{ID: "a", Schedule: old}, {ID: "b", Schedule: next}},
			"activate b 2.5 done, retire a 3.5 done, prune a 13.5 due"},
		"pruned": {14, o, []rotation.Key{{ID: "b", Schedule: next}}, ""},
		"an old key without end": {1, o, []rotation.Key{{ID: "a"}, {ID: "b", Schedule: next}},
			"publish b 0 unchecked, end a 1 due, activate b 2.5 waiting, retire a 3.5 waiting, prune a 13.5 waiting"},
		"an old key that is the only one known": {3, o, []rotation.Key{{ID: "a", Trust: known(-9)},
			{ID: "b", Schedule: next, Trust: known(4)}},
			"publish b 0 done, activate b 2.5 done, retire a 3.5 waiting, known b 4 late, end a 4 waiting, prune a 13.5 waiting"},
		"no key": {0, o, []rotation.Key{{ID: "a", Schedule: keys.Schedule{Retired: day(-1), Expired: day(1)}}},
			"retire a -1 done, make  0 due, publish  0 waiting, activate  0.5 waiting, prune a 1 waiting"},
		"it will end": {0, o, []rotation.Key{{ID: "a", Schedule: keys.Schedule{Retired: day(9), Expired: day(20)}}},
			"make  6.5 waiting, publish  6.5 waiting, activate  9 waiting, retire a 9 waiting, prune a 20 waiting"},
		"it ends too soon": {8, o, []rotation.Key{{ID: "a", Schedule: keys.Schedule{Retired: day(9), Expired: day(20)}}},
			"make  6.5 due, publish  8 waiting, activate  9 waiting, retire a 9 waiting, prune a 20 waiting"},
		"tainted": {0, o, []rotation.Key{{ID: "a", Trust: &rotation.Listed{KnownAt: day(-9), Tainted: true}}},
			"make  0 due, publish  0 waiting, known  0 waiting, activate  0.5 waiting, retire a 1.5 waiting, prune a 11.5 waiting"},
		"revoked": {0, o, []rotation.Key{{ID: "a", Trust: &rotation.Listed{KnownAt: day(-9), Revoked: true}}},
			"make  0 due, publish  0 waiting, known  0 waiting, activate  0.5 waiting"},
	} {
		if got := told(plan(t, day(test.now), &test.opts, test.keys...)); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, test.want)
		}
	}
	every := o
	every.Every = 90 * 24 * time.Hour
	if got := told(plan(t, day(0), &every, rotation.Key{ID: "a", Schedule: keys.Schedule{Active: day(-10)}})); !strings.HasPrefix(
		got, "make  77.5 waiting, publish  77.5 waiting, activate  80 waiting, retire a 81 waiting") {
		t.Errorf("every 90 days: %s", got)
	}
}

// The private half of an encryption key stays as long as the bundle lets producers encrypt to it, and lets
// the consumer open it: the people who keep the trust may not have listed the new key, or its end.
func TestPlanKeepsWhatOpens(t *testing.T) {
	old := keys.Schedule{Retired: day(3), Expired: day(13)}
	next := keys.Schedule{Published: day(0), Active: day(2)}
	o := &rotation.Options{InFlight: 10*24*time.Hour - 5*time.Minute}
	for name, test := range map[string]struct {
		now  float64
		old  rotation.Listed
		want string
	}{
		"no end in the bundle":       {99, rotation.Listed{KnownAt: day(-9)}, "prune a 13 waiting"},
		"a later end":                {14, rotation.Listed{KnownAt: day(-9), Expired: day(20)}, "prune a 20 waiting"},
		"that has passed":            {20, rotation.Listed{KnownAt: day(-9), Expired: day(20)}, "prune a 20 due"},
		"retired later":              {14, rotation.Listed{KnownAt: day(-9), Until: day(8)}, "prune a 18 waiting"},
		"an earlier end":             {12, rotation.Listed{KnownAt: day(-9), Expired: day(9)}, "prune a 13 waiting"},
		"revoked":                    {14, rotation.Listed{KnownAt: day(-9), Revoked: true}, "prune a 13 due"},
		"taken out of the bundle":    {14, rotation.Listed{}, "prune a 13 due"},
		"as the bundle has it, also": {13, rotation.Listed{KnownAt: day(-9), Expired: day(13)}, "prune a 13 due"},
	} {
		steps, err := rotation.Plan([]rotation.Key{
			{ID: "a", Kind: "encryption on P-256", Schedule: old, Trust: &test.old},
			{ID: "b", Kind: "encryption on P-256", Schedule: next, Trust: &rotation.Listed{}},
		}, day(test.now), o)
		if err != nil || !strings.Contains(told(steps), test.want) {
			t.Errorf("%s: %s, %v", name, told(steps), err)
		}
	}
}

// A retirement of long ago that was written down late leaves the events in flight their time.
func TestLateEndIsNotAtOnceOver(t *testing.T) {
	o := &rotation.Options{InFlight: 10*24*time.Hour - 5*time.Minute}
	steps := plan(t, day(0), o, rotation.Key{ID: "a", Schedule: keys.Schedule{Retired: day(-90)}},
		rotation.Key{ID: "b", Schedule: keys.Schedule{Active: day(-100)}})
	if got := told(steps); !strings.Contains(got, "prune a 10 waiting") {
		t.Errorf("%s", got)
	}
}

// --at moves a key that is not active yet, as far as consumers accept it; and no gap is planned.
func TestPlanAt(t *testing.T) {
	next := keys.Schedule{Published: day(0), Active: day(2)}
	old := keys.Schedule{Retired: day(3), Expired: day(33)}
	later, bound := &rotation.Options{At: day(5)}, &rotation.Listed{KnownAt: day(-9), Until: day(4)}
	listed := &rotation.Listed{KnownAt: day(-9)}
	two := func(a, b *rotation.Listed) []rotation.Key {
		return []rotation.Key{{ID: "a", Schedule: old, Trust: a, Kind: "k"}, {ID: "b", Schedule: next, Trust: b, Kind: "k"}}
	}
	steps, err := rotation.Plan(two(listed, &rotation.Listed{}), day(1), later)
	if err != nil {
		t.Fatal(err)
	}
	move := steps[slices.IndexFunc(steps, func(s rotation.Step) bool { return s.Action == rotation.Move })]
	if a, b := move.Reschedule["a"], move.Reschedule["b"]; !a.Retired.Equal(day(6)) || !a.Expired.Equal(day(36).Add(5*time.Minute)) ||
		!b.Active.Equal(day(5)) || !b.Published.Equal(day(0)) {
		t.Errorf("moved to %v and %v", a, b)
	}
	var wrong *rotation.MomentError
	for name, list := range map[string][]rotation.Key{"the policy may have its end": two(nil, nil),
		"the bundle has its end": two(bound, &rotation.Listed{})} {
		if _, err := rotation.Plan(list, day(1), later); !errors.As(err, &wrong) || wrong.KeyID != "a" || !wrong.Late {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := rotation.Plan(two(listed, &rotation.Listed{KnownAt: day(1), From: day(2)}), day(1),
		&rotation.Options{At: day(1.5)}); !errors.As(err, &wrong) || !wrong.Possible.Equal(day(2)) ||
		wrong.Late {
		t.Errorf("too early: %v", err)
	}
	ends := []rotation.Key{{ID: "a", Kind: "k", Schedule: old}}
	if _, err := rotation.Plan(ends, day(1), &rotation.Options{Begin: true, At: day(9)}); !errors.As(err, &wrong) ||
		!wrong.Possible.Equal(day(3)) {
		t.Errorf("a gap: %v", err)
	}
}

// world is a keyring whose owner does the due step now and then.
type world struct {
	*rand.Rand
	keys  []rotation.Key
	now   time.Time
	made  int
	story []string
}

// TestPlanKeepsSigning: whatever the keyring, whenever its owner looks, and wherever a run was killed, some
// key signs at every moment; none signs before it is active and known; and no key goes that may be needed.
func TestPlanKeepsSigning(t *testing.T) {
	for seed := range uint64(cases.Of(1000)) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), now: start}
		w.begin()
		o := &rotation.Options{Known: w.upTo(2), Overlap: w.upTo(3), InFlight: w.upTo(20), Review: w.upTo(3)}
		if err := w.live(o); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(w.story, "\n"))
		}
	}
}

func (w *world) upTo(days float64) time.Duration {
	return time.Duration(1+w.Float64()*days*24*3600) * time.Second
}

// begin makes up to four keys, of which one signs now.
func (w *world) begin() {
	for range 1 + w.IntN(4) {
		var s keys.Schedule
		if w.IntN(2) == 0 {
			s.Active = start.Add(-w.upTo(30))
		}
		if w.IntN(3) == 0 {
			s.Retired = start.Add(w.upTo(30) - w.upTo(10))
		}
		if w.IntN(3) == 0 {
			s.Expired = start.Add(w.upTo(60))
		}
		if w.made == 0 { // it signs for some time at least
			s.Retired, s.Expired = time.Time{}, time.Time{}
			if w.IntN(2) == 0 {
				s.Retired = start.Add(w.upTo(40))
			}
		}
		if s.Check() == nil {
			w.add(s)
		}
	}
}

func (w *world) add(s keys.Schedule) {
	w.made++
	w.keys = append(w.keys, rotation.Key{ID: fmt.Sprint("k", w.made), Kind: "k", Schedule: s})
}

// live runs for many turns, not more than an hour apart.
func (w *world) live(o *rotation.Options) error {
	for range 400 {
		o.Begin = w.IntN(50) == 0
		o.At = time.Time{}
		if w.IntN(20) == 0 {
			o.At = w.now.Add(w.upTo(9))
		}
		if err := w.turn(o); err != nil {
			return err
		}
		next := w.now.Add(w.upTo(0.04) + time.Duration(w.IntN(30)/29)*5*24*time.Hour)
		if o.At = (time.Time{}); next.Sub(w.now) > 24*time.Hour { // away: the plan must have been done by then
			if err := w.doAll(o); err != nil {
				return err
			}
			next = w.now.Add(min(next.Sub(w.now), o.Known))
		}
		if err := w.signsUntil(next); err != nil {
			return err
		}
		w.now = next
	}
	return nil
}

func (w *world) doAll(o *rotation.Options) error {
	for range 5 {
		if err := w.turn(o); err != nil {
			return err
		}
	}
	return nil
}

// turn does the due step, or is killed before or after the one write that it is.
func (w *world) turn(o *rotation.Options) error {
	steps, err := rotation.Plan(w.keys, w.now, o)
	if wrong := (*rotation.MomentError)(nil); errors.As(err, &wrong) {
		return nil // refused, and nothing changes
	}
	if err != nil {
		return err
	}
	s, ok := rotation.NextDue(steps)
	if !ok || w.IntN(3) == 0 {
		return nil // killed before
	}
	w.story = append(w.story, fmt.Sprintf("%v %s %s %v %v", w.now, s.Action, s.KeyID, s.Schedule, s.Reschedule))
	c := s.Change()
	for i := range w.keys {
		k := &w.keys[i]
		next, moved := c.Reschedule[k.ID]
		if slices.Contains(c.Remove, k.ID) && (k.Schedule.Expired.IsZero() || w.now.Before(k.Schedule.Expired)) {
			return fmt.Errorf("%s is removed before it expired", k.ID)
		}
		if !moved {
			continue
		}
		if err := next.Check(); err != nil {
			return err
		}
		if k.Schedule.SignsAt(w.now) && k.Schedule.Active != next.Active {
			return fmt.Errorf("%s signs already, and becomes active at another time", k.ID)
		}
		k.Schedule = next
	}
	w.keys = slices.DeleteFunc(w.keys, func(k rotation.Key) bool { return slices.Contains(c.Remove, k.ID) })
	if s.Action == rotation.Make {
		if err := s.Schedule.Check(); err != nil {
			return err
		}
		w.add(s.Schedule)
	}
	return nil
}

// signsUntil wants a key that signs at each moment at which a schedule changes, up to that time.
func (w *world) signsUntil(end time.Time) error {
	moments := []time.Time{w.now, end}
	for _, k := range w.keys {
		moments = append(moments, k.Schedule.Active, k.Schedule.Retired, k.Schedule.Expired)
	}
	for _, at := range moments {
		if at.Before(w.now) || at.After(end) {
			continue
		}
		if !slices.ContainsFunc(w.keys, func(k rotation.Key) bool { return k.Schedule.SignsAt(at) }) {
			return fmt.Errorf("at %v no key signs: %v", at, w.keys)
		}
	}
	return nil
}

// A key that has ended is the model of the next one of its kind, which is made before the old one is removed:
// without any, the kind would be forgotten.
func TestAKindThatHasEndedGoesOn(t *testing.T) {
	list := []rotation.Key{
		{ID: "a", Kind: "signing"},
		{ID: "b", Kind: "post-quantum signing", Schedule: keys.Schedule{Retired: day(-3), Expired: day(-2)}},
		{ID: "c", Kind: "post-quantum signing", Schedule: keys.Schedule{Retired: day(-2), Expired: day(-1)}},
	}
	steps, err := rotation.Plan(list, day(0), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := rotation.NextDue(steps); !ok || s.Action != rotation.Make || s.Like != "c" {
		t.Errorf("%+v of %s", s, told(steps))
	}
}

// TestPrepare: the new key is of the kind of the one that it takes over from.
func TestPrepare(t *testing.T) {
	private := keys.PrivateFileOptions{InsecureNoPassphrase: true}
	producer, err := keys.CreateKeyring(filepath.Join(t.TempDir(), "p"), "", "orders", &keys.KeyringOptions{
		PrivateFileOptions: private, Key: keystest.Signer(t, keys.ES256, "orders", "a")})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := keys.GenerateIdentity(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := keys.CreateConsumerKeyring(filepath.Join(t.TempDir(), "c"), "", "billing",
		&keys.KeyringOptions{PrivateFileOptions: private, Key: identity})
	if err != nil {
		t.Fatal(err)
	}
	for _, ring := range []*keys.Keyring{producer, consumer} {
		steps, err := rotation.Plan(rotation.KeysOf(ring.PublicKeys(), nil), start, &rotation.Options{Begin: true})
		if err != nil {
			t.Fatal(err)
		}
		due, _ := rotation.NextDue(steps)
		c, keyID, err := due.Prepare(ring)
		if err == nil {
			err = ring.Apply(c)
		}
		public := ring.PublicKeys()
		if err != nil || len(public) != 2 || public[1].KeyID() != keyID {
			t.Fatalf("%v, %v", err, public)
		}
		if keysOf := rotation.KeysOf(public, nil); keysOf[0].Kind != keysOf[1].Kind {
			t.Errorf("%+v", keysOf)
		}
		end := rotation.Step{Action: rotation.Prune, KeyID: keyID}
		if c, id, err := end.Prepare(ring); err != nil || id != keyID || c.Add != nil || len(c.Remove) != 1 {
			t.Errorf("%+v, %s, %v", c, id, err)
		}
	}
}

// The first key of all signs while consumers get to know it: there is no other that could. Beside another one
// that is late.
func TestFirstKeyIsNotLate(t *testing.T) {
	first := rotation.Key{ID: "a", Kind: "signing", Trust: &rotation.Listed{KnownAt: day(1)}}
	other := rotation.Key{ID: "b", Kind: "signing", Schedule: keys.Schedule{Active: day(-9), Retired: day(9)},
		Trust: &rotation.Listed{KnownAt: day(-9)}}
	newest := first
	newest.Schedule.Active = day(-1)
	for want, list := range map[rotation.Status][]rotation.Key{
		rotation.Waiting: {first}, rotation.Late: {other, newest},
	} {
		steps, err := rotation.Plan(list, day(0), nil)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(steps, func(s rotation.Step) bool { return s.Action == rotation.Known })
		if i < 0 || steps[i].Status != want {
			t.Errorf("want %s: %s", want, told(steps))
		}
	}
}
