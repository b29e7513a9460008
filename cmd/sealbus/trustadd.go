package main

import (
	"context"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/policy"
	"github.com/spf13/cobra"
)

// trustAddFlags are those of `trust add`.
type trustAddFlags struct {
	policy, producer, consumer, key string
	scheduleFlags
	sources, types []string
}

// policyChanged is what an edit did to the policy file.
type policyChanged struct {
	Policy  string   `json:"policy"`
	Changed bool     `json:"changed"`
	Changes []string `json:"changes"`
	KeyIDs  []string `json:"key_ids"`
}

func (a *app) trustAddCommand() *cobra.Command {
	var f trustAddFlags
	cmd := a.command(commandSpec{
		use: "add --policy FILE (--producer|--consumer NAME) PUB.json", short: "List a public key and its schedule in the policy file",
		long: "List public keys under a producer or consumer in the policy file, which is created if there is none, and set their\n" +
			"schedule. Only the key IDs are written. The change is then reviewed like code. Of a key that is listed already,\n" +
			"the moments that are given are changed.",
		example: "sealbus trust add --policy policy.yaml --producer orders --source 'https://orders.example/*' \\\n  --type 'com.example.order.*' --activate +1d orders.pub.json",
		args:    exactly("PUB.json"), now: true,
		run: func(_ context.Context, args []string) error { return a.trustAdd(&f, args[0]) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.policy, "policy", "", "the policy `FILE`")
	flags.StringVar(&f.producer, "producer", "", "`NAME` whose signing key it is")
	flags.StringVar(&f.consumer, "consumer", "", "`NAME` whose encryption key it is")
	flags.StringVar(&f.key, "key", "", "only this key of PUB.json: its `ID` or the first characters of it")
	flags.StringVar(&f.publish, "publish", "", "verifiers may know it from this `TIME` on: RFC 3339, a date, now, or +7d")
	flags.StringVar(&f.activate, "activate", "", "it signs from this `TIME` on")
	flags.StringVar(&f.retire, "retire", "", "it signs until this `TIME`")
	flags.StringVar(&f.expire, "expire", "", "what it signed is accepted until this `TIME`")
	flags.StringArrayVar(&f.sources, "source", nil, "a source `PATTERN` that a new producer may speak for")
	flags.StringArrayVar(&f.types, "type", nil, "a type `PATTERN` that a new producer may send")
	return cmd
}

func (a *app) trustAdd(f *trustAddFlags, pub string) error {
	schedule, err := a.checkAdd(f)
	if err != nil {
		return err
	}
	ids, err := a.submittedIDs(f, pub)
	if err != nil {
		return err
	}
	var doc []byte
	if exists(f.policy) {
		if doc, _, err = a.readPolicy(f.policy); err != nil {
			return err
		}
	}
	if ids, err = chooseKeys(doc, ids, f); err != nil {
		return err
	}
	edited, changes, err := f.edit(doc, ids, schedule)
	if err != nil {
		return policyRefused(f.policy, err)
	}
	changed, err := a.writePolicy(f.policy, doc, edited, policyChanged{Changes: changes, KeyIDs: ids})
	if err != nil {
		return err
	}
	a.warnScope(edited, f.producer)
	if changed {
		a.tellReview(f.policy)
	}
	return nil
}

func (a *app) checkAdd(f *trustAddFlags) (keys.Schedule, error) {
	var none keys.Schedule
	if err := need(required{"policy", f.policy}); err != nil {
		return none, err
	}
	switch {
	case (f.producer == "") == (f.consumer == ""):
		return none, usage("say whose key it is", "exactly one of --producer and --consumer is needed")
	case f.consumer != "" && (f.sources != nil || f.types != nil):
		return none, usage("leave them out", "--source and --type are for producers")
	}
	if err := keys.CheckProducer(f.producer + f.consumer); err != nil {
		return none, usage("correct the name", "%w", err)
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return none, usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such", "%w", err)
	}
	return a.schedule(f.scheduleFlags)
}

// submittedIDs are the IDs of the keys in the file that --key leaves, all of which must be for the use that is asked for.
func (a *app) submittedIDs(f *trustAddFlags, pub string) ([]string, error) {
	public, err := a.readPublicKeys([]string{pub})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, k := range public {
		if (k.signing != nil) != (f.producer != "") {
			return nil, rejected("signing keys go with --producer, encryption keys with --consumer", "%s: key %s is for another use", pub, k.id)
		}
		ids = append(ids, k.id)
	}
	if f.key == "" {
		return ids, nil
	}
	id, err := matchID(ids, f.key, pub)
	return []string{id}, err
}

// chooseKeys refuses to put a schedule that is meant for a new key on one that is listed beside it.
func chooseKeys(doc []byte, ids []string, f *trustAddFlags) ([]string, error) {
	if len(ids) == 1 || f.scheduleFlags == (scheduleFlags{}) {
		return ids, nil
	}
	for _, id := range ids {
		if strings.Contains(string(doc), id) {
			return nil, usage("name the key that the schedule is for: --key ID", "several keys are given, and %s is listed already", id)
		}
	}
	return ids, nil
}

func (f *trustAddFlags) edit(doc []byte, ids []string, schedule keys.Schedule) (edited []byte, changes []string, err error) {
	kind, name := policy.KindProducer, f.producer
	if f.consumer != "" {
		kind, name = policy.KindConsumer, f.consumer
	}
	edited = doc
	for _, id := range ids {
		var more []string
		if edited, more, err = policy.AddKey(edited, kind, name, id, schedule); err != nil {
			return nil, nil, err
		}
		more = slices.DeleteFunc(more, isScopeNote)
		changes = append(changes, more...)
	}
	return f.fillScope(edited, changes)
}

// isScopeNote finds the note on an empty scope, which is told as a warning, and only if it stays empty.
func isScopeNote(change string) bool { return strings.Contains(change, "which allows nothing") }

// warnScope warns of a producer that is trusted for nothing.
func (a *app) warnScope(doc []byte, producer string) {
	p, err := policy.Parse(doc)
	if err != nil || producer == "" {
		return
	}
	for _, field := range []string{"sources", "types"} {
		if list := scopeOf(p, producer, field); list != nil && len(*list) == 0 {
			a.warnf("producer %s has no %s, which allows nothing: fill them in", producer, field)
		}
	}
}

// writePolicy puts the edited policy file in place and tells what changed, if anything did.
func (a *app) writePolicy(path string, old, edited []byte, result policyChanged) (changed bool, err error) {
	result.Policy, result.Changed = path, string(old) != string(edited)
	if result.Changes == nil {
		result.Changes = []string{}
	}
	switch {
	case !result.Changed:
	case len(old) == 0:
		err = createFile(path, edited, publicFile)
	default:
		err = replaceFile(path, old, edited)
	}
	if err != nil {
		return false, err
	}
	return result.Changed, a.emit(result, result.print)
}

// tellReview says what follows a change of the policy file.
func (a *app) tellReview(path string) {
	a.sayf("next: have the change of %s reviewed, then sealbus trust build", path)
}

func (r policyChanged) print(p *printer) {
	if !r.Changed {
		p.linef("%s  nothing to change", p.bold(clean(r.Policy)))
		return
	}
	p.linef("%s", p.bold(clean(r.Policy)))
	for _, change := range r.Changes {
		mark := p.green("+")
		switch {
		case strings.Contains(change, ": revoked"):
			mark = p.red("-")
		case strings.Contains(change, ", was "):
			mark = p.yellow("~")
		}
		p.linef("  %s %s", mark, clean(r.shorten(change)))
	}
}

// shorten cuts the key IDs, except where a key is added: what a reviewer compares is whole there.
func (r policyChanged) shorten(change string) string {
	if strings.HasSuffix(change, " added") {
		return change
	}
	for _, id := range r.KeyIDs {
		change = strings.ReplaceAll(change, id, shortID(id))
	}
	return change
}
