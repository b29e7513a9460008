package trust

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// addFlags are those of `trust add`.
type addFlags struct {
	policy, producer, consumer, key string
	loadkeys.ScheduleFlags
	sources, types []string
}

// policyChanged is what an edit did to the policy file.
type policyChanged struct {
	Policy  string   `json:"policy"`
	Changed bool     `json:"changed"`
	Changes []string `json:"changes"`
	KeyIDs  []string `json:"key_ids"`
}

func addCommand(env *ui.Env) *cobra.Command {
	var f addFlags
	cmd := env.Command(ui.Command{
		Use:   "add --policy FILE (--producer|--consumer NAME) PUB.json",
		Short: "List a public key and its schedule in the policy file",
		Long: "List public keys under a producer or consumer in the policy file, which is created if there is none, with the\n" +
			"schedule that the keyring has for them: `sealbus keys export` writes it into PUB.json. Only key IDs and schedules\n" +
			"are written. A listed key without an end gets the one that its keyring has for it. The change is then reviewed like\n" +
			"code; it may take as long as it takes, since the moments do not move.\n\n" +
			"--publish, --activate, --retire and --expire are for keys of other tools, or change a key that is listed already. An\n" +
			"--activate later than the keyring's is refused: consumers would reject what the key signs in between.",
		Example: "sealbus trust add --policy policy.yaml --producer orders --source 'https://orders.example/*' \\\n  --type 'com.example.order.*' orders.pub.json",
		Args:    ui.Exactly("PUB.json"), Now: true,
		Run: func(_ context.Context, args []string) error { return trustAdd(env, &f, args[0]) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.policy, "policy", "", "the policy `FILE`")
	flags.StringVar(&f.producer, "producer", "", "`NAME` whose signing key it is")
	flags.StringVar(&f.consumer, "consumer", "", "`NAME` whose encryption key it is")
	flags.StringVar(&f.key, "key", "", "only this key of PUB.json: its `ID` or the first characters of it")
	flags.StringVar(&f.Publish, "publish", "",
		"verifiers may know it from this `TIME` on: RFC 3339, a date, now, or +7d")
	flags.StringVar(&f.Activate, "activate", "", "it signs from this `TIME` on")
	flags.StringVar(&f.Retire, "retire", "", "it signs until this `TIME`")
	flags.StringVar(&f.Expire, "expire", "", "what it signed is accepted until this `TIME`")
	flags.StringArrayVar(&f.sources, "source", nil, "a source `PATTERN` that a new producer may speak for")
	flags.StringArrayVar(&f.types, "type", nil, "a type `PATTERN` that a new producer may send")
	return cmd
}

func trustAdd(env *ui.Env, f *addFlags, pub string) error {
	schedule, err := checkAdd(env, f)
	if err != nil {
		return err
	}
	public, all, err := submitted(env, f, pub)
	if err != nil {
		return err
	}
	var doc []byte
	var listed []string
	parsed := &policy.Policy{}
	if ui.Exists(f.policy) {
		if doc, parsed, err = ReadPolicy(env, f.policy); err != nil {
			return err
		}
		listed = listedIDs(parsed)
	}
	if err = checkMeant(listed, public, f); err != nil {
		return err
	}
	edited, changes, err := f.edit(doc, schedulesOf(parsed), public, schedule)
	if err != nil {
		return policyRefused(f.policy, err)
	}
	if err := checkKeyrings(env, f, edited, all, pub); err != nil {
		return err
	}
	var ids []string
	for _, k := range public {
		ids = append(ids, k.KeyID())
	}
	changed, err := writePolicy(env, f.policy, doc, edited, policyChanged{Changes: changes, KeyIDs: ids})
	if err != nil {
		return err
	}
	warnScope(env, edited, f.producer)
	if changed {
		tellReview(env, f.policy)
	}
	return nil
}

func checkAdd(env *ui.Env, f *addFlags) (keys.Schedule, error) {
	var none keys.Schedule
	if err := ui.Need(ui.Flag("policy", f.policy)); err != nil {
		return none, err
	}
	switch {
	case (f.producer == "") == (f.consumer == ""):
		return none, ui.Usage("say whose key it is", "exactly one of --producer and --consumer is needed")
	case f.consumer != "" && (f.sources != nil || f.types != nil):
		return none, ui.Usage("leave them out", "--source and --type are for producers")
	}
	if err := keys.CheckProducer(f.producer + f.consumer); err != nil {
		return none, ui.Usage("correct the name", "%w", err)
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return none, ui.Usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such",
			"%w", err)
	}
	return loadkeys.ParseSchedule(env, f.ScheduleFlags)
}

// submitted are the keys in the file that --key leaves, and all of them, which must be for the use that is
// asked for.
func submitted(env *ui.Env, f *addFlags, pub string) (chosen, all []keys.PublicKey, err error) {
	all, err = readPublicKeys(env, []string{pub})
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	for _, k := range all {
		if (k.Verifier != nil) != (f.producer != "") {
			is, flag := "a signing key", "--consumer"
			if k.Verifier == nil {
				is, flag = "an encryption key", "--producer"
			}
			return nil, nil, ui.Rejected("signing keys go with --producer, encryption keys with --consumer",
				"%s: key %s is %s, which is not for %s", pub, k.KeyID(), is, flag)
		}
		ids = append(ids, k.KeyID())
	}
	if f.key == "" {
		return all, all, nil
	}
	id, err := loadkeys.MatchID(ids, f.key, pub)
	for _, k := range all {
		if k.KeyID() == id {
			chosen = append(chosen, k)
		}
	}
	return chosen, all, err
}

// checkMeant refuses to put a schedule that is meant for a new key on one that is listed beside it.
func checkMeant(listed []string, public []keys.PublicKey, f *addFlags) error {
	if len(public) == 1 || f.ScheduleFlags == (loadkeys.ScheduleFlags{}) {
		return nil
	}
	for _, k := range public {
		if slices.Contains(listed, k.KeyID()) {
			return ui.Usage("name the key that the schedule is for: --key ID",
				"several keys are given, and %s is listed already", k.KeyID())
		}
	}
	return nil
}

// warnLoneKey says what an export with a single key of a producer cannot show: whether the keyring stops
// signing with it when the policy ends it.
func warnLoneKey(env *ui.Env, f *addFlags, public []keys.PublicKey, pub string) {
	if f.Retire == "" && f.Expire == "" || len(public) != 1 || public[0].Verifier == nil ||
		public[0].Producer == "" {
		return
	}
	if s := public[0].Schedule; s.Retired.IsZero() && s.Expired.IsZero() {
		env.Warnf("nothing in %s says that the keyring stops signing with this key, and consumers would reject what it signs after "+
			"that moment (key_not_valid): make the next key first, with `sealbus keys new --activate TIME`, and export both", pub)
	}
}

// checkKeyrings refuses a schedule by which consumers would reject what the keyring signs.
func checkKeyrings(env *ui.Env, f *addFlags, edited []byte, public []keys.PublicKey, pub string) error {
	p, err := policy.Parse(edited)
	if err == nil {
		err = p.CheckKeyrings(public, env.Now())
	}
	switch {
	case err == nil:
		warnLoneKey(env, f, public, pub)
		return nil
	case f.Activate != "" || f.Publish != "":
		return ui.Usage("leave --activate and --publish out: the schedule is taken from "+pub, "%w", err)
	case f.Retire != "" || f.Expire != "":
		return ui.Usage("correct the moment, or revoke the key if it must not sign any more", "%w", err)
	}
	return policyRefused(f.policy, err)
}

func (f *addFlags) edit(doc []byte, listed map[string]keys.Schedule, public []keys.PublicKey,
	given keys.Schedule) ([]byte, []string, error) {
	add, name := policy.AddProducerKey, f.producer
	if f.consumer != "" {
		add, name = policy.AddConsumerKey, f.consumer
	}
	edited, changes := doc, []string(nil)
	for _, k := range public {
		schedule := merged(k.Schedule, given)
		if was, ok := listed[k.KeyID()]; ok {
			schedule = merged(missingEnds(was, k.Schedule), given)
		}
		next, more, err := add(edited, name, k.KeyID(), schedule)
		if err != nil {
			return nil, nil, err
		}
		edited = next
		more = slices.DeleteFunc(more, isScopeNote)
		changes = append(changes, more...)
	}
	return f.fillScope(edited, changes)
}

// schedulesOf are the schedules of the listed keys, by key ID.
func schedulesOf(p *policy.Policy) map[string]keys.Schedule {
	m := map[string]keys.Schedule{}
	for _, o := range p.Producers {
		for _, k := range o.Keys {
			m[k.ID] = k.Schedule
		}
	}
	for _, o := range p.Consumers {
		for _, k := range o.Keys {
			m[k.ID] = k.Schedule
		}
	}
	return m
}

// missingEnds are the ends that a key got in its keyring, for example by a rotation, and that the policy
// lacks.
func missingEnds(listed, keyring keys.Schedule) (s keys.Schedule) {
	if listed.Retired.IsZero() && listed.Expired.IsZero() {
		s.Retired, s.Expired = keyring.Retired, keyring.Expired
	}
	return s
}

// merged is the schedule that the keyring has, with the moments that are given.
func merged(keyring, given keys.Schedule) keys.Schedule {
	for _, m := range []struct{ to, from *time.Time }{
		{&keyring.Published, &given.Published}, {&keyring.Active, &given.Active},
		{&keyring.Retired, &given.Retired}, {&keyring.Expired, &given.Expired},
	} {
		if !m.from.IsZero() {
			*m.to = *m.from
		}
	}
	return keyring
}

// isScopeNote finds the note on an empty scope, which is told as a warning, and only if it stays empty.
func isScopeNote(change string) bool { return strings.Contains(change, "which allows nothing") }

// warnScope warns of a producer that is trusted for nothing.
func warnScope(env *ui.Env, doc []byte, producer string) {
	p, err := policy.Parse(doc)
	if err != nil || producer == "" {
		return
	}
	for _, field := range []string{"sources", "types"} {
		if list := scopeOf(p, producer, field); list != nil && len(*list) == 0 {
			env.Warnf("producer %s has no %s, which allows nothing: fill them in", producer, field)
		}
	}
}

// writePolicy puts the edited policy file in place and tells what changed, if anything did.
func writePolicy(env *ui.Env, path string, old, edited []byte,
	result policyChanged) (changed bool, err error) {
	result.Policy, result.Changed = path, string(old) != string(edited)
	if result.Changes == nil {
		result.Changes = []string{}
	}
	switch {
	case !result.Changed:
	case len(old) == 0:
		err = ui.CreateFile(path, edited, ui.PublicFile)
	default:
		err = ui.ReplaceFile(path, old, edited)
	}
	if err != nil {
		return false, err
	}
	return result.Changed, env.Emit(result, result.print)
}

// tellReview says what follows a change of the policy file.
func tellReview(env *ui.Env, path string) {
	env.Sayf("next: have the change of %s reviewed, then sealbus trust build", path)
}

func (r policyChanged) print(p *ui.Printer) {
	if !r.Changed {
		p.Linef("%s  nothing to change", p.Bold(ui.Clean(r.Policy)))
		return
	}
	p.Linef("%s", p.Bold(ui.Clean(r.Policy)))
	for _, change := range r.Changes {
		mark := p.Green("+")
		switch {
		case strings.Contains(change, ": revoked"):
			mark = p.Red("-")
		case strings.Contains(change, ", was "):
			mark = p.Yellow("~")
		}
		p.Linef("  %s %s", mark, ui.Clean(r.shorten(change)))
	}
}

// shorten cuts the key IDs, except where a key is added: what a reviewer compares is whole there.
func (r policyChanged) shorten(change string) string {
	if strings.HasSuffix(change, " added") {
		return change
	}
	for _, id := range r.KeyIDs {
		change = strings.ReplaceAll(change, id, ui.ShortID(id))
	}
	return change
}
