package keys

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/rotation"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/trust"
)

// ownFlags name the keys of one owner: a keyring, a Tink keyset, or key pairs in KMS.
type ownFlags struct {
	loadkeys.KeyringFlags
	kms                         []string // in the order in which they were made; nil = a file
	tinkKEK, producer, consumer string
}

func (f *ownFlags) register(cmd *cobra.Command) {
	f.KeyringFlags.Register(cmd)
	f.registerTink(cmd)
}

func (f *ownFlags) registerTink(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.tinkKEK, "tink-kek", "",
		"the keyring is a Tink keyset, encrypted under the key in KMS of this `ARN`")
	cmd.Flags().StringVar(&f.producer, "producer", "", "of a Tink keyset or of keys in KMS: the producer's `NAME`")
	cmd.Flags().StringVar(&f.consumer, "consumer", "", "of a Tink keyset or of keys in KMS: the consumer's `NAME`")
}

func (f *ownFlags) registerKMS(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.kms, "kms", nil,
		"instead of a keyring: the `ARN` of a key pair in KMS; the next one is named after it, with --kms again")
}

// flags open the keys again, in a command to run next.
func (f *ownFlags) flags() (flags string) {
	for _, arn := range f.kms {
		flags += " --kms " + ui.ShellQuote(arn)
	}
	if f.Path != "" {
		flags = flagsOf(&f.KeyringFlags)
	}
	for _, g := range []struct{ name, value string }{
		{"tink-kek", f.tinkKEK}, {"producer", f.producer}, {"consumer", f.consumer},
	} {
		if g.value != "" {
			flags += " --" + g.name + " " + ui.ShellQuote(g.value)
		}
	}
	return flags
}

// own are the keys of one owner. One of ring, set and kms has them.
type own struct {
	path               string // "" = in KMS
	producer, consumer string
	ring               *keys.Keyring
	set                *tinkkeys.Keyset
	kms                []kmsKey
	spare              []keys.PublicKey // found by plan: new keys that have no schedule yet
}

func openOwn(ctx context.Context, env *ui.Env, f *ownFlags) (*own, error) {
	isKMS, isTink := f.kms != nil, f.tinkKEK != ""
	switch {
	case isKMS && (f.Path != "" || isTink || f.PassphraseFile != "" || f.Insecure):
		return nil, ui.Usage("drop one of the two", "--kms is instead of --keyring, --tink-kek and passphrases")
	case isTink && (f.PassphraseFile != "" || f.Insecure):
		return nil, ui.Usage("drop it", "a Tink keyset is under a key of KMS, and not under a passphrase")
	case (isKMS || isTink) && (f.producer == "") == (f.consumer == ""):
		return nil, ui.Usage("add --producer NAME or --consumer NAME, as the trust policy has it",
			"whose keys they are, neither KMS nor a Tink keyset says")
	case !isKMS && !isTink && f.producer+f.consumer != "":
		return nil, ui.Usage("drop it", "--producer and --consumer are for --tink-kek and --kms: a keyring says whose it is")
	}
	o := &own{path: f.Path, producer: f.producer, consumer: f.consumer}
	var err error
	switch {
	case isKMS:
		err = o.openKMS(ctx, env, f.kms)
	case isTink:
		err = o.openSet(ctx, env, f)
	default:
		if o.ring, err = loadkeys.OpenKeyring(env, &f.KeyringFlags); err == nil {
			o.producer, o.consumer = o.ring.Producer(), o.ring.Consumer()
		}
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// owner says whose keys they are.
func (o *own) owner() string {
	if o.consumer != "" {
		return "consumer " + o.consumer
	}
	return "producer " + o.producer
}

// public are the public halves, in the order in which the keys were added.
func (o *own) public() (list []keys.PublicKey) {
	switch {
	case o.ring != nil:
		return o.ring.PublicKeys()
	case o.set != nil:
		for _, e := range o.set.Entries() {
			if e.KeyID() != "" { // else it is destroyed
				list = append(list, e.PublicKey)
			}
		}
		return list
	}
	for _, k := range o.kms {
		list = append(list, k.PublicKey)
	}
	return list
}

// used are the public halves of the keys that are used by their schedule, now or later. In a Tink keyset of a
// producer, a key without a schedule is used only while it is primary.
func (o *own) used(now time.Time) (list []keys.PublicKey) {
	if o.set == nil {
		return o.public()
	}
	entries, _, _ := o.inUse(nil, now)
	for _, e := range entries {
		signs := e.Primary || e.Schedule != keys.Schedule{}
		if e.Status == keyset.Enabled && (signs || o.consumer != "") {
			list = append(list, e.PublicKey)
		}
	}
	return list
}

// stateDisabled is the state of a key that was disabled in Tink before its schedule ended.
const stateDisabled keys.State = "disabled"

// stateAt is the state of a key of public, by its schedule and by where it is.
func (o *own) stateAt(k *keys.PublicKey, now time.Time) keys.State {
	is := func(p keys.PublicKey) bool { return p.KeyID() == k.KeyID() }
	isDisabled := func(e tinkkeys.Entry) bool { return is(e.PublicKey) && e.Status == keyset.Disabled }
	spare := o.spare
	if o.set != nil {
		_, _, spare = o.inUse(nil, now)
	}
	switch {
	case k.Schedule == keys.Schedule{} && slices.ContainsFunc(spare, is):
		return keys.StatePending
	case o.set != nil && k.Schedule.SignsAt(now) && slices.ContainsFunc(o.set.Entries(), isDisabled):
		return stateDisabled
	}
	return k.Schedule.StateAt(now)
}

func (o *own) find(given string) (keys.PublicKey, error) {
	return loadkeys.FindPublic(o.public(), given, o.place())
}

func (o *own) place() string {
	if o.set != nil {
		return "the keyset"
	}
	return "the keyring"
}

// plan is the plan, and the keys that it is about, with their schedule.
func (o *own) plan(b *trust.Bundle, now time.Time, opts *rotation.Options) ([]rotation.Key,
	[]rotation.Step, error) {
	switch {
	case o.set != nil:
		return o.planSet(b, now, opts)
	case o.kms != nil:
		return o.planKMS(b, now, opts)
	}
	list := rotation.KeysOf(o.ring.PublicKeys(), b)
	steps, err := rotation.Plan(list, now, opts)
	return list, steps, err
}

// nextDue is rotation.NextDue, with the steps that only a Tink keyset has its owner do: then they are due.
func nextDue(steps []rotation.Step) (rotation.Step, bool) {
	for i := range steps {
		s := &steps[i]
		if s.Status == rotation.Due && (s.Action == rotation.Activate || s.Action == rotation.Retire) {
			return *s, true
		}
	}
	return rotation.NextDue(steps)
}

// do does a step that is due. keyID is the key that it is about.
func (o *own) do(ctx context.Context, s *rotation.Step) (keyID string, err error) {
	if o.set != nil {
		keyID, err = o.doInSet(ctx, s)
		return keyID, o.failed(err)
	}
	c, keyID, err := s.Prepare(o.ring)
	if err != nil {
		return "", err
	}
	return keyID, o.failed(o.ring.Apply(c))
}

// reschedule gives the key another schedule.
func (o *own) reschedule(keyID string, s keys.Schedule) error {
	schedules := map[string]keys.Schedule{keyID: s}
	if o.set != nil {
		return o.failed(o.set.Reschedule(schedules))
	}
	return o.failed(o.ring.Apply(&keys.Change{Reschedule: schedules}))
}

// remove removes private halves for good.
func (o *own) remove(ctx context.Context, keyIDs []string) error {
	if o.set != nil {
		return o.failed(o.removeFromSet(ctx, keyIDs))
	}
	return o.failed(o.ring.Apply(&keys.Change{Remove: keyIDs}))
}

func (o *own) failed(err error) error {
	_, isTold := errors.AsType[*ui.Error](err)
	switch {
	case err == nil:
		return nil
	case isTold:
		return err
	case o.set != nil:
		return loadkeys.TinkFailed(o.path, err)
	}
	return loadkeys.PrivateFailed(o.path, err)
}

// ownerFlag names the owner to another command.
func (o *own) ownerFlag() string {
	if o.consumer != "" {
		return " --consumer " + o.consumer
	}
	return " --producer " + o.producer
}

// publicFile is the name of a file for the public half of that key.
func (o *own) publicFile(keyID string) string {
	return cmp.Or(o.producer, o.consumer) + "-" + keyID[:loadkeys.MinPrefix] + ".pub.json"
}
