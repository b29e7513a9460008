package keys

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/rotation"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/trust"
)

func (o *own) openSet(ctx context.Context, env *ui.Env, f *ownFlags) error {
	if err := ui.Need(ui.Flag("keyring", f.Path)); err != nil {
		return err
	}
	if err := loadkeys.CheckPrivateFile(f.Path,
		"check the path; if there never was one, `sealbus keys new --tink-kek` makes it"); err != nil {
		return err
	}
	kek, err := loadkeys.TinkKEK(ctx, env, f.tinkKEK)
	if err != nil {
		return err
	}
	owner := tinkkeys.Producer(f.producer)
	if f.consumer != "" {
		owner = tinkkeys.Consumer(f.consumer)
	}
	o.set, err = tinkkeys.Open(ctx, f.Path, kek, owner)
	if err != nil {
		return loadkeys.TinkFailed(f.Path, err)
	}
	return nil
}

// setKey is a key of a keyset that is planned for.
type setKey struct {
	tinkkeys.Entry
	rotation.Key
}

// planSet plans for a Tink keyset. Its owner has two steps more than that of a keyring: a new key is made
// primary, and a signing key that has retired is disabled.
func (o *own) planSet(b *trust.Bundle, now time.Time, opts *rotation.Options) ([]rotation.Key,
	[]rotation.Step, error) {
	entries, unsaved, spare := o.inUse(b, now)
	o.spare = spare
	var public []keys.PublicKey
	for _, e := range entries {
		public = append(public, e.PublicKey)
	}
	list := rotation.KeysOf(public, b)
	steps, err := rotation.Plan(list, now, opts)
	if err != nil {
		return nil, nil, err
	}
	var all []setKey
	for i := range list {
		all = append(all, setKey{entries[i], list[i]})
	}
	for i := range steps {
		ownSetStep(all, &steps[i])
	}
	if promote, ok := promotion(all, now); ok {
		steps = slices.DeleteFunc(steps, func(s rotation.Step) bool {
			return s.Action == rotation.Activate && s.KeyID == promote.KeyID
		})
		steps = append(steps, promote)
	}
	slices.SortStableFunc(steps, func(a, b rotation.Step) int { return a.At.Compare(b.At) })
	if len(unsaved) > 0 {
		steps = slices.Insert(steps, 0, rotation.Step{Action: rotation.Move, At: now.UTC().Truncate(time.Second),
			KeyID: slices.Sorted(maps.Keys(unsaved))[0], Status: rotation.Due, Reschedule: unsaved})
	}
	return list, steps, nil
}

// inUse are the keys that are planned for. Spare ones were added and have no schedule yet. The trust policy
// may list a key with moments that the keyset lacks: unsaved are the schedules with them.
func (o *own) inUse(b *trust.Bundle, now time.Time) (list []tinkkeys.Entry, unsaved map[string]keys.Schedule,
	spare []keys.PublicKey) {
	unsaved = map[string]keys.Schedule{}
	isLater := false // than the primary key
	for _, e := range o.set.Entries() {
		id, enabled := e.KeyID(), e.Status == keyset.Enabled
		s := heard(e.Schedule, b, id)
		end := s.Retired
		switch {
		case id == "":
		case enabled && isLater && s == keys.Schedule{}:
			spare = append(spare, e.PublicKey)
		case enabled, !end.IsZero() && !now.Before(end):
			if s != e.Schedule {
				unsaved[id] = s
			}
			e.Schedule = s
			list = append(list, e)
		}
		isLater = isLater || e.Primary
	}
	return list, unsaved, spare
}

// heard is the schedule of the key, with what the trust bundle has beside it: a beginning and an end that
// were typed there, or an earlier end.
func heard(s keys.Schedule, b *trust.Bundle, keyID string) keys.Schedule {
	if b == nil {
		return s
	}
	k := b.Key(keyID)
	switch {
	case k == nil:
		return s
	case s == keys.Schedule{}:
		return k.Schedule
	case k.Schedule.Retired.IsZero() || !s.Retired.IsZero() && !k.Schedule.Retired.Before(s.Retired):
		return s
	}
	with := s
	with.Retired = k.Schedule.Retired
	if with.Expired.IsZero() {
		with.Expired = k.Schedule.Expired
	}
	if with.Check() != nil {
		return s
	}
	return with
}

// ownSetStep corrects a step that a keyring does by itself, and a keyset does not.
func ownSetStep(list []setKey, s *rotation.Step) {
	i := slices.IndexFunc(list, func(k setKey) bool { return k.ID == s.KeyID })
	if i < 0 {
		return
	}
	k := &list[i]
	switch {
	case s.Action == rotation.Retire && s.Status == rotation.Done && k.Status == keyset.Enabled && !k.Primary &&
		k.Verifier != nil:
		s.Status = rotation.Due
	case s.Action == rotation.Prune && s.Status == rotation.Due && k.Primary:
		s.Status = rotation.Waiting // for another key to be primary
	}
}

// promotion is the step that makes the newest key of those that are to sign now primary. It waits until
// consumers know the key, if the one that is primary can sign until then.
func promotion(list []setKey, now time.Time) (rotation.Step, bool) {
	i := slices.IndexFunc(list, func(k setKey) bool { return k.Primary })
	if i < 0 {
		return rotation.Step{}, false
	}
	was, best := &list[i], (*setKey)(nil)
	for i := range list {
		k := &list[i]
		if k.Kind == was.Kind && k.Status == keyset.Enabled && k.sound() && k.Key.Schedule.SignsAt(now) &&
			(best == nil || !k.Key.Schedule.Active.Before(best.Key.Schedule.Active)) {
			best = k
		}
	}
	canSign := was.sound() && was.Key.Schedule.SignsAt(now)
	isNext := was.sound() && now.Before(was.Key.Schedule.Active) // it was made primary too early
	if best == nil || best == was || isNext {
		return rotation.Step{}, false
	}
	s := rotation.Step{Action: rotation.Activate, KeyID: best.ID, At: best.Key.Schedule.Active,
		Status: rotation.Due}
	if t := best.Trust; t != nil && canSign && (t.KnownAt.IsZero() || now.Before(t.KnownAt)) {
		s.Status = rotation.Waiting
		if t.KnownAt.After(s.At) {
			s.At = t.KnownAt
		}
	}
	return s, true
}

func (k *setKey) sound() bool { return k.Trust == nil || !k.Trust.Revoked }

// doInSet does a step. Each is one write, or goes on in the next run after a crash between two: a key that
// was added without a schedule is spare, and the next Make takes it.
func (o *own) doInSet(ctx context.Context, s *rotation.Step) (keyID string, err error) {
	switch s.Action {
	case rotation.Make:
		return o.makeInSet(ctx, s)
	case rotation.Activate:
		return s.KeyID, o.set.SetPrimary(ctx, s.KeyID)
	case rotation.Retire:
		return s.KeyID, o.set.Disable(ctx, s.KeyID)
	case rotation.Prune:
		return s.KeyID, o.removeFromSet(ctx, []string{s.KeyID})
	}
	return s.KeyID, o.set.Reschedule(s.Reschedule)
}

// makeInSet adds a key, and then writes when it is active and when the old one ends.
func (o *own) makeInSet(ctx context.Context, s *rotation.Step) (keyID string, err error) {
	public := o.public()
	i := slices.IndexFunc(public, func(k keys.PublicKey) bool { return k.KeyID() == s.Like })
	if i < 0 {
		return "", fmt.Errorf("no key %.64q in the keyset", s.Like)
	}
	like := &public[i]
	keyID = spareLike(o.spare, like)
	switch {
	case keyID != "":
	case like.Recipient != nil:
		keyID, err = o.set.AddIdentity(ctx, like.Recipient.Curve())
	default:
		keyID, err = o.set.Add(ctx, like.Verifier.Algorithm())
	}
	if err != nil {
		return "", err
	}
	schedules := maps.Clone(s.Reschedule)
	if schedules == nil {
		schedules = map[string]keys.Schedule{}
	}
	schedules[keyID] = s.Schedule
	return keyID, o.set.Reschedule(schedules)
}

// spareLike is the first spare key of the kind of another one; "" = there is none.
func spareLike(spare []keys.PublicKey, like *keys.PublicKey) string {
	kind := rotation.KeysOf([]keys.PublicKey{*like}, nil)[0].Kind
	for _, k := range rotation.KeysOf(spare, nil) {
		if k.Kind == kind {
			return k.ID
		}
	}
	return ""
}

// removeFromSet removes keys, and then what the schedule has of them. Tink cannot remove the primary key.
func (o *own) removeFromSet(ctx context.Context, keyIDs []string) error {
	for _, e := range o.set.Entries() {
		if e.Primary && slices.Contains(keyIDs, e.KeyID()) {
			return ui.Usage("run `sealbus keys rotate --apply` first: it makes another one primary",
				"key %s is still primary, so its secret is not removed", ui.ShortID(e.KeyID()))
		}
	}
	for _, id := range keyIDs {
		if err := o.set.Delete(ctx, id); err != nil {
			return err
		}
	}
	return o.set.Reschedule(nil)
}
