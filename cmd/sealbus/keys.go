package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/spf13/cobra"
)

func (a *app) keysCommand() *cobra.Command {
	return a.group("keys", "Make, list and export a producer's signing keys",
		"A keyring is a producer's own private keys. The public halves are exported, for the people who keep the trust.",
		a.keysNewCommand(), a.keysListCommand(), a.keysExportCommand())
}

// keysNewFlags are those of `keys new`.
type keysNewFlags struct {
	keyringFlags
	producer, alg    string
	sources, types   []string
	activate, retire string
}

type keyMade struct {
	KeyID    string          `json:"key_id"`
	Alg      string          `json:"alg"`
	Producer string          `json:"producer"`
	Keyring  string          `json:"keyring"`
	Created  bool            `json:"keyring_created"`
	Public   json.RawMessage `json:"public"`
}

func (a *app) keysNewCommand() *cobra.Command {
	var f keysNewFlags
	cmd := a.command(commandSpec{
		use: "new --producer NAME --keyring FILE", short: "Make a signing key, and its keyring if there is none yet",
		long: "Make a signing key. The keyring is created if there is none yet, else the key is added to it.\n" +
			"--source and --type record what the producer signs for; `sealbus seal` then refuses the rest at once. What\n" +
			"consumers accept is decided by the trust policy alone.",
		example: "sealbus keys new --producer orders --source 'https://orders.example/*' --type 'com.example.order.*' --keyring orders.keyring",
		now:     true,
		run:     func(context.Context, []string) error { return a.keysNew(&f) },
	})
	cmd.Flags().StringVar(&f.producer, "producer", "", "the producer's `NAME`, as the trust policy has it")
	cmd.Flags().StringVar(&f.alg, "alg", string(keys.Ed25519), "signature `ALGORITHM`: Ed25519 or ES256")
	cmd.Flags().StringArrayVar(&f.sources, "source", nil, "a source `PATTERN` that the producer signs for")
	cmd.Flags().StringArrayVar(&f.types, "type", nil, "a type `PATTERN` that the producer signs for")
	cmd.Flags().StringVar(&f.activate, "activate", "", "sign with it from this `TIME` on: RFC 3339, a date, or +7d (default at once)")
	cmd.Flags().StringVar(&f.retire, "retire", "", "sign with it until this `TIME` (default for ever)")
	f.keyringFlags.register(cmd)
	return cmd
}

func (a *app) keysNew(f *keysNewFlags) error {
	if err := need(required{"keyring", f.path}); err != nil {
		return err
	}
	schedule, err := a.schedule(scheduleFlags{activate: f.activate, retire: f.retire})
	if err != nil {
		return err
	}
	if alg := keys.Algorithm(f.alg); alg != keys.Ed25519 && alg != keys.ES256 {
		return usage("use --alg Ed25519 or --alg ES256", "no algorithm %q", f.alg)
	}
	created := !exists(f.path)
	add := a.addToRing
	if created {
		add = a.createRing
	}
	key, err := add(f, schedule)
	if err != nil {
		return err
	}
	return a.tellNewKey(f, key, created)
}

// createRing makes the keyring with its first key.
func (a *app) createRing(f *keysNewFlags, schedule keys.Schedule) (*keys.LocalSigner, error) {
	if err := need(required{"producer", f.producer}); err != nil {
		return nil, err
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return nil, usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such", "%w", err)
	}
	key, err := keys.GenerateSigner(keys.Algorithm(f.alg), f.producer)
	if err != nil {
		return nil, usage("correct --producer", "%w", err)
	}
	pass, err := a.passphrase(&f.privateFlags, f.path, true)
	if err != nil {
		return nil, err
	}
	_, err = keys.CreateKeyring(f.path, pass, f.producer, &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: f.insecure},
		Sources:            f.sources, Types: f.types, Key: key, Schedule: schedule,
	})
	if err != nil {
		return nil, privateFailed(f.path, err)
	}
	return key, nil
}

// addToRing adds a key to a keyring that exists.
func (a *app) addToRing(f *keysNewFlags, schedule keys.Schedule) (*keys.LocalSigner, error) {
	if f.sources != nil || f.types != nil {
		return nil, usage("leave --source and --type out, or make a new keyring", "%s exists: its scope was recorded when it was made", f.path)
	}
	ring, err := a.openKeyring(&f.keyringFlags)
	if err != nil {
		return nil, err
	}
	if f.producer != "" && f.producer != ring.Producer() {
		return nil, usage("give each producer a keyring of its own", "%s is the keyring of producer %s, not of %s", f.path, ring.Producer(), f.producer)
	}
	f.producer = ring.Producer()
	key, err := keys.GenerateSigner(keys.Algorithm(f.alg), f.producer)
	if err == nil {
		err = ring.Add(key, schedule)
	}
	if err != nil {
		return nil, privateFailed(f.path, err)
	}
	return key, nil
}

func (a *app) tellNewKey(f *keysNewFlags, key *keys.LocalSigner, created bool) error {
	v := key.Verifier()
	what := "added an " + f.alg + " key of producer " + f.producer + " to " + f.path
	if created {
		what = "made " + f.path + " with an " + f.alg + " key of producer " + f.producer
	}
	a.sayf("%s", what)
	if f.insecure {
		a.warnf("%s is not encrypted: whoever can read it can sign as %s", f.path, f.producer)
	}
	a.sayf("next: sealbus keys export --keyring %s --out %s.pub.json, for the people who keep the trust", f.path, f.producer)
	return a.emit(
		keyMade{KeyID: v.KeyID(), Alg: f.alg, Producer: f.producer, Keyring: f.path, Created: created, Public: v.JWK()},
		func(p *printer) { p.linef("%s", v.KeyID()) })
}

// keyListed is one key of `keys list`.
type keyListed struct {
	KeyID     string     `json:"key_id"`
	Alg       string     `json:"alg"`
	State     keys.State `json:"state"`
	SignsNow  bool       `json:"signs_now"` // the one that seal uses
	Published string     `json:"published,omitempty"`
	Active    string     `json:"active,omitempty"`
	Retired   string     `json:"retired,omitempty"`
	Expired   string     `json:"expired,omitempty"`

	schedule keys.Schedule
}

type keysListed struct {
	Producer string      `json:"producer"`
	Sources  []string    `json:"sources,omitempty"`
	Types    []string    `json:"types,omitempty"`
	Keys     []keyListed `json:"keys"`
}

func (a *app) keysListCommand() *cobra.Command {
	var f keyringFlags
	cmd := a.command(commandSpec{
		use: "list --keyring FILE", short: "List the keys of a keyring and which of them signs now", now: true,
		run: func(context.Context, []string) error {
			ring, err := a.openKeyring(&f)
			if err != nil {
				return err
			}
			list := listKeys(ring, a.now())
			return a.emit(list, func(p *printer) { list.print(p, a.now()) })
		},
	})
	f.register(cmd)
	return cmd
}

func listKeys(ring *keys.Keyring, now time.Time) keysListed {
	list := keysListed{Producer: ring.Producer(), Sources: ring.Sources(), Types: ring.Types(), Keys: []keyListed{}}
	signing := ""
	if s, err := ring.Signers(now); err == nil {
		signing = s[0].Verifier().KeyID()
	}
	for _, k := range ring.Keys() {
		list.Keys = append(list.Keys, keyListed{
			KeyID: k.KeyID(), Alg: string(k.Algorithm()), State: k.StateAt(now), SignsNow: k.KeyID() == signing,
			Published: formatTime(k.Schedule.Published), Active: formatTime(k.Schedule.Active),
			Retired: formatTime(k.Schedule.Retired), Expired: formatTime(k.Schedule.Expired), schedule: k.Schedule,
		})
	}
	return list
}

func (l *keysListed) print(p *printer, now time.Time) {
	p.linef("producer  %s", p.bold(l.Producer))
	printList(p, "sources   ", l.Sources)
	printList(p, "types     ", l.Types)
	p.linef("")
	t := table{header: []string{"", "KEY", "ALG", "STATE", "NEXT"}}
	for _, k := range l.Keys {
		mark := ""
		if k.SignsNow {
			mark = "*"
		}
		t.add(cell{mark, p.green}, cell{k.KeyID, p.bold}, cell{k.Alg, nil}, stateCell(p, k.State), cell{nextStep(&k.schedule, now), nil})
	}
	t.print(p)
	p.linef("\n%s", p.dim("* signs now"))
}

func printList(p *printer, label string, list []string) {
	for _, item := range list {
		p.linef("%s%s", label, clean(item))
		label = fmt.Sprintf("%*s", len(label), "")
	}
}

// stateCell paints a key's state by how much it matters.
func stateCell(p *printer, s keys.State) cell {
	paint := p.dim
	switch s {
	case keys.StateActive:
		paint = p.green
	case keys.StatePending, keys.StatePublished:
		paint = p.cyan
	case keys.StateRetired:
		paint = p.yellow
	case keys.StateRevoked:
		paint = p.red
	}
	return cell{string(s), paint}
}

// nextStep says what the schedule brings next, and when.
func nextStep(s *keys.Schedule, now time.Time) string {
	for _, step := range []struct {
		verb string
		at   time.Time
	}{{"published", s.Published}, {"active", s.Active}, {"retires", s.Retired}, {"expires", s.Expired}} {
		if now.Before(step.at) {
			return step.verb + " in " + formatDuration(step.at.Sub(now))
		}
	}
	return "-"
}

// keysExported is the result of an export into a file.
type keysExported struct {
	Out      string   `json:"out"`
	Producer string   `json:"producer"`
	KeyIDs   []string `json:"key_ids"`
}

func (a *app) keysExportCommand() *cobra.Command {
	var f keyringFlags
	var keyID, out string
	cmd := a.command(commandSpec{
		use: "export --keyring FILE [--key ID] [--out FILE]", short: "Write the public halves as a JWK Set, for the people who keep the trust",
		run: func(context.Context, []string) error { return a.keysExport(&f, keyID, out) },
	})
	cmd.Flags().StringVar(&keyID, "key", "", "only this key: its `ID` or the first characters of it")
	cmd.Flags().StringVar(&out, "out", "", "a new `FILE` to write (default standard output)")
	f.register(cmd)
	return cmd
}

func (a *app) keysExport(f *keyringFlags, keyID, out string) error {
	if out != "" && exists(out) {
		return fileExists(out)
	}
	ring, err := a.openKeyring(f)
	if err != nil {
		return err
	}
	chosen := ring.Keys()
	if keyID != "" {
		key, err := findKey(ring, keyID)
		if err != nil {
			return err
		}
		chosen = []keys.KeyringKey{key}
	}
	if out == "" {
		return a.writeOut(jwkSet(chosen))
	}
	if err := createFile(out, jwkSet(chosen), publicFile); err != nil {
		return err
	}
	result := keysExported{Out: out, Producer: ring.Producer()}
	for _, k := range chosen {
		result.KeyIDs = append(result.KeyIDs, k.KeyID())
	}
	a.sayf("wrote %s: %s of producer %s", out, count(len(chosen), "public key"), ring.Producer())
	if !a.json {
		return nil
	}
	return a.writeJSON(result)
}

// jwkSet is a JWK Set (RFC 7517 section 5) with one key a line, for reviews.
func jwkSet(list []keys.KeyringKey) []byte {
	var lines [][]byte
	for _, k := range list {
		lines = append(lines, append([]byte("  "), k.JWK()...))
	}
	return fmt.Appendf(nil, "{\"keys\":[\n%s\n]}\n", bytes.Join(lines, []byte(",\n")))
}

// count is "1 key", "2 keys".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// scheduleFlags are moments as they were typed.
type scheduleFlags struct{ publish, activate, retire, expire string }

// schedule reads the moments, relative ones from a.now().
func (a *app) schedule(f scheduleFlags) (keys.Schedule, error) {
	var s keys.Schedule
	for _, m := range []struct {
		flag, text string
		at         *time.Time
	}{
		{"publish", f.publish, &s.Published}, {"activate", f.activate, &s.Active},
		{"retire", f.retire, &s.Retired}, {"expire", f.expire, &s.Expired},
	} {
		if m.text == "" {
			continue
		}
		t, err := parseMoment(m.text, a.now())
		if err != nil {
			return s, flagFailed(m.flag, err)
		}
		*m.at = t.Truncate(time.Second)
	}
	if err := s.Check(); err != nil {
		return s, usage("correct the moments: published, active, retired, expired follow each other", "%w", err)
	}
	return s, nil
}
