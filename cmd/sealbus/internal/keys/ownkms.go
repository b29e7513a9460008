package keys

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/rotation"
	"github.com/sealbus/sealbus/keys/trust"
)

// kmsKey is a key pair in KMS. Its schedule is that of the trust bundle.
type kmsKey struct {
	keys.PublicKey
	arn string
}

func (o *own) openKMS(ctx context.Context, env *ui.Env, arns []string) error {
	for _, arn := range arns {
		client, err := awscli.KMSClient(ctx, env, arn)
		if err != nil {
			return err
		}
		k := kmsKey{}
		if o.consumer != "" {
			i, err := awskms.NewAgreementIdentity(ctx, client, arn, nil)
			if err != nil {
				return awscli.KMSFailed(err)
			}
			k.arn, k.Recipient, k.Consumer = i.ARN(), i.Recipient(), o.consumer
		} else {
			s, err := awskms.NewSigner(ctx, client, arn, o.producer, nil)
			if err != nil {
				return awscli.KMSFailed(err)
			}
			k.arn, k.Verifier, k.Producer = s.ARN(), s.Verifier(), o.producer
		}
		if slices.ContainsFunc(o.kms, func(was kmsKey) bool { return was.KeyID() == k.KeyID() }) {
			return ui.Usage("name each key once, and the new one last", "two --kms name the same key %s", k.arn)
		}
		o.kms = append(o.kms, k)
	}
	return nil
}

// planKMS plans by the dates of the trust bundle, because a key in KMS has none. A key that the bundle does
// not list is spare: the next rotation takes it instead of making one.
func (o *own) planKMS(b *trust.Bundle, now time.Time, opts *rotation.Options) ([]rotation.Key,
	[]rotation.Step, error) {
	if b == nil {
		return nil, nil, ui.Usage("add --trust BUNDLE and --roots ROOTS",
			"the dates of a key in KMS stand in the trust policy alone")
	}
	var planned []keys.PublicKey
	o.spare = nil
	for i := range o.kms {
		k := &o.kms[i].PublicKey
		if listed := b.Key(k.KeyID()); listed != nil {
			k.Schedule = listed.Schedule
			planned = append(planned, *k)
		} else {
			o.spare = append(o.spare, *k)
		}
	}
	list := rotation.KeysOf(planned, b)
	if len(list) == 0 { // the first key of all
		return list, nil, nil
	}
	var steps []rotation.Step
	for i := range list { // each kind alone, because each has its spare keys
		isOther := func(k rotation.Key) bool { return k.Kind != list[i].Kind }
		if slices.ContainsFunc(list[:i], func(k rotation.Key) bool { return !isOther(k) }) {
			continue
		}
		more, err := rotation.Plan(slices.DeleteFunc(slices.Clone(list), isOther), now, opts)
		if err != nil {
			return nil, nil, err
		}
		steps = append(steps, o.withSpare(planned, more)...)
	}
	slices.SortStableFunc(steps, func(a, b rotation.Step) int { return a.At.Compare(b.At) })
	return list, steps, nil
}

// withSpare has a spare key in place of the one that was to be made. The steps are of one kind of key.
func (o *own) withSpare(planned []keys.PublicKey, steps []rotation.Step) []rotation.Step {
	i := slices.IndexFunc(steps, func(s rotation.Step) bool { return s.Action == rotation.Make })
	if i < 0 {
		return steps
	}
	like := slices.IndexFunc(planned, func(k keys.PublicKey) bool { return k.KeyID() == steps[i].Like })
	id := spareLike(o.spare, &planned[like])
	if id == "" || steps[i].Status != rotation.Due {
		return steps
	}
	for j := range steps {
		s := &steps[j]
		if s.KeyID == "" && s.Action == rotation.Publish { // with the dates
			s.Schedule, s.Reschedule, s.Status = steps[i].Schedule, steps[i].Reschedule, rotation.Due
		}
		if s.KeyID == "" {
			s.KeyID = id
		}
	}
	return slices.Delete(steps, i, i+1)
}

func (o *own) kmsKeyOf(keyID string) *kmsKey {
	for i := range o.kms {
		if o.kms[i].KeyID() == keyID {
			return &o.kms[i]
		}
	}
	return nil
}

// tellKMS says what a person does next. The command itself changes nothing: the keys are in KMS, and their
// dates in the trust policy.
func (o *own) tellKMS(env *ui.Env, f *rotateFlags, steps []rotation.Step) {
	if len(steps) == 0 && len(o.spare) > 0 {
		env.Sayf("the trust bundle lists none of these keys: have one listed, and then plan its rotation")
		o.tellList(env, o.spare[0].KeyID(), keys.Schedule{})
	}
	for i := range steps {
		s := &steps[i]
		k := o.kmsKeyOf(s.KeyID)
		switch {
		case s.Action == rotation.Make && s.Status == rotation.Due:
			like := o.kmsKeyOf(s.Like)
			env.Next("make the next key pair in KMS", "aws kms create-key "+createFlags(&like.PublicKey))
			env.Next("and name it after the others, by its ARN",
				"sealbus keys rotate"+f.ownFlags.flags()+" --kms NEW-ARN"+f.rest())
		case s.Action == rotation.Publish && s.Status == rotation.Due:
			if o.consumer != "" {
				env.Sayf("first give each program of %s %s beside the old one", o.owner(), k.arn)
			}
			o.tellList(env, s.KeyID, s.Schedule)
			for _, id := range slices.Sorted(maps.Keys(s.Reschedule)) {
				end := s.Reschedule[id]
				o.tellList(env, id, keys.Schedule{Retired: end.Retired, Expired: end.Expired})
			}
		case s.Action == rotation.End && s.Status == rotation.Due:
			end := s.Reschedule[s.KeyID]
			o.tellList(env, s.KeyID, keys.Schedule{Retired: end.Retired, Expired: end.Expired})
		case s.Action == rotation.Activate && s.Status == rotation.Done && o.producer != "" &&
			!slices.ContainsFunc(steps, hasRetired):
			env.Sayf("have each program of %s use %s from now on, before the old key retires", o.owner(), k.arn)
		case s.Action == rotation.Retire && s.Status == rotation.Done && o.producer != "":
			env.Sayf("no program may use %s any more: consumers reject what it signs", k.arn)
		case s.Action == rotation.Prune && s.Status == rotation.Due:
			env.Next("nothing of it is accepted any more; this can be undone, scheduling its deletion cannot",
				"aws kms disable-key --key-id "+k.arn)
		}
	}
}

func hasRetired(s rotation.Step) bool {
	return s.Action == rotation.Retire && s.Status == rotation.Done
}

// tellList gives the commands that list a key in the trust policy with these moments.
func (o *own) tellList(env *ui.Env, keyID string, s keys.Schedule) {
	file, use := o.publicFile(keyID), ""
	if o.consumer != "" {
		use = " --use enc"
	}
	env.Next("its public half",
		"sealbus keys new"+use+" --kms "+o.kmsKeyOf(keyID).arn+o.ownerFlag()+" --out "+file)
	moments := ""
	for _, g := range []struct {
		flag string
		at   time.Time
	}{{"activate", s.Active}, {"retire", s.Retired}, {"expire", s.Expired}} {
		if !g.at.IsZero() {
			moments += " --" + g.flag + " " + ui.FormatTime(g.at)
		}
	}
	env.Next("by the people who keep the trust",
		"sealbus trust add --policy policy.yaml"+o.ownerFlag()+moments+" "+file)
}

// createFlags make a key pair in KMS of the kind of another one.
func createFlags(like *keys.PublicKey) string {
	switch {
	case like.Recipient != nil:
		return "--key-usage KEY_AGREEMENT --key-spec ECC_NIST_P256"
	case like.Verifier.Algorithm() == keys.ES256:
		return "--key-usage SIGN_VERIFY --key-spec ECC_NIST_P256"
	case like.Verifier.Algorithm().PostQuantum():
		return "--key-usage SIGN_VERIFY --key-spec ML_DSA_65"
	}
	return "--key-usage SIGN_VERIFY --key-spec ECC_NIST_EDWARDS25519"
}
