package trust

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// buildFlags are those of `trust build`.
type buildFlags struct {
	loadkeys.PrivateFlags
	policy, previous, out, roots   string
	timestamp, timestampKey        string
	keys, root, revokeSessions     []string
	overrule, widen, unsafe        []string
	expires, refreshHint, lifetime ui.DurationValue

	expiresGiven bool
	live         bool             // the schedules are held to when consumers know of them
	pinned       *trust.Roots     // of roots; nil = none
	takeOver     *trust.Timestamp // of timestamp; nil = none
}

// The longest and the usual life of a bundle that needs a timestamp.
const (
	longLife  = keydoc.MaxVouchedFor
	usualLife = 90 * 24 * time.Hour
)

func buildCommand(env *ui.Env) *cobra.Command {
	f := buildFlags{expires: ui.DurationValue(trust.MaxBundleLifetime)}
	cmd := env.Command(ui.Command{
		Use: "build --policy FILE --keys FILE... --root FILE... --out FILE [--previous FILE] [--roots FILE] [--expires DURATION]", Short: "Build and sign the trust bundle",
		Long: "Build the trust bundle from the reviewed policy file and the public keys that it lists, and sign it with the root\n" +
			"keys at hand; the others sign with `sealbus trust sign`. A key that the policy does not list is refused, and so is one\n" +
			"that it lists and that was not submitted.\n\n" +
			"A bundle lives for 7 days: until it ends an attacker may withhold the next one, and with it a revocation. The command\n" +
			"refuses a longer life, unless --insecure-max-lifetime allows it. Consumers do not check that.\n" +
			"--previous is the bundle that this one follows; --out may be the same file, and is no other file that exists.\n\n" +
			"Where --roots names timestamp keys, a bundle lives for 90 days, and for at most 400; consumers refuse a longer life. --timestamp is the newest\n" +
			"timestamp: each key that it revokes must be revoked in the policy as well, or be named by --overrule. Where the root\n" +
			"keys and the timestamp key are on one machine, --timestamp-key signs the next timestamp into that file.\n\n" +
			"Refused are a policy that allows more than --previous, unless --widen names the producer or consumer, and a schedule\n" +
			"by which events would be lost; the error says from when on it is not refused (docs/trust.md).",
		Example: "sealbus trust build --policy policy.yaml --keys orders.pub.json --root alice.root \\\n  --previous trust.dsse --expires 7d --out trust.dsse",
		Now:     true,
		Run:     func(ctx context.Context, _ []string) error { return trustBuild(ctx, env, &f) },
	})
	cmd.PreRun = func(cmd *cobra.Command, _ []string) { f.expiresGiven = cmd.Flags().Changed("expires") }
	flags := cmd.Flags()
	flags.StringVar(&f.policy, "policy", "", "the reviewed policy `FILE`")
	flags.StringArrayVar(&f.keys, "keys", nil,
		"public keys of every listed key, a `FILE` that sealbus keys export wrote; repeat for several files")
	flags.StringArrayVar(&f.root, "root", nil, "a private root key `FILE` to sign with")
	flags.StringVar(&f.previous, "previous", "", "the signed bundle `FILE` that this one follows")
	flags.StringVar(&f.roots, "roots", "",
		"the pinned roots `FILE`: checks --previous, and says what signatures are missing")
	flags.StringVar(&f.timestamp, "timestamp", "",
		"the newest timestamp `FILE`, whose revocations the bundle takes over")
	flags.StringVar(&f.timestampKey, "timestamp-key", "",
		"then sign the next timestamp with this key, a `FILE` or ARN, and put it in the place of --timestamp")
	flags.StringArrayVar(&f.overrule, "overrule", nil,
		"let the key of this `KEYID` count again although --timestamp revokes it")
	flags.StringArrayVar(&f.widen, "widen", nil,
		"the producer or consumer of this `NAME` may get more than in --previous; all = each of them")
	flags.StringArrayVar(&f.unsafe, "insecure-schedule", nil,
		"events of the key of this `KEYID` may be lost by its schedule; a producer's name = each of its keys")
	flags.StringVar(&f.out, "out", "", "the `FILE` to write: a new one, or that of --previous")
	flags.Var(&f.expires, "expires", "how long the bundle lives: 7d, 36h")
	flags.Lookup("expires").DefValue = "7d, with timestamp keys 90d"
	flags.Var(&f.lifetime, "insecure-max-lifetime", "allow --expires up to this instead of 7d")
	flags.Var(&f.refreshHint, "refresh-hint", "how often consumers should look for a newer bundle")
	flags.StringArrayVar(&f.revokeSessions, "revoke-session", nil,
		"revoke the session key of this `THUMBPRINT`")
	f.PrivateFlags.Register(cmd)
	return cmd
}

func trustBuild(ctx context.Context, env *ui.Env, f *buildFlags) error {
	if err := ui.Need(ui.Flag("policy", f.policy), ui.Flag("out", f.out)); err != nil {
		return err
	}
	if err := f.readTimestamp(env); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	_, p, err := ReadPolicy(env, f.policy)
	if err != nil {
		return err
	}
	f.live = f.hasTimestampKeys() || p.RefreshHint > 0 || p.Cache > 0
	public, err := readPublicKeys(env, f.keys)
	if err != nil {
		return err
	}
	roots, err := openRootKeys(env, f.root, &f.PrivateFlags)
	if err != nil {
		return err
	}
	// A check of a policy, as in a pull request, builds with a key that counts nowhere: that is no error here.
	if err := checkRootKeys(ctx, env, f.roots, f.pinned, f.out, f.root, roots); err != nil {
		env.Warnf("%v", err)
	}
	previous, old, err := previousBundle(env, f, roots)
	if err != nil {
		return err
	}
	bundle, err := buildBundle(env, f, p, public, previous)
	if err != nil {
		return err
	}
	signed, err := trust.SignBundle(ctx, bundle, roots...)
	if err != nil {
		return ui.Rejected("correct what it names", "%w", err)
	}
	if missing := f.missing(signed); missing > 0 && f.timestampKey != "" {
		return ui.Usage("leave --timestamp-key out; when all have signed, use `sealbus trust timestamp`",
			"the bundle would lack %s, so that no timestamp may name it", ui.Count(missing, "signature"))
	}
	if err := f.write(old, signed); err != nil {
		return err
	}
	if err := tellBuilt(env, f, bundle, previous, signed); err != nil || f.timestampKey == "" {
		return err
	}
	return trustTimestamp(ctx, env, f.nextTimestamp())
}

// nextTimestamp are the flags of the timestamp that names the bundle.
func (f *buildFlags) nextTimestamp() *timestampFlags {
	previous := f.timestamp
	if f.takeOver == nil {
		previous = noPrevious
	}
	return &timestampFlags{PrivateFlags: f.PrivateFlags, key: f.timestampKey, roots: f.roots, bundle: f.out,
		previous: previous, out: f.timestamp, expires: timestampLife}
}

// missing counts the signatures that the bundle lacks, as far as --roots tells.
func (f *buildFlags) missing(signed []byte) int {
	if f.pinned == nil {
		return 0
	}
	return missingSignatures(f.pinned, signed)
}

func (f *buildFlags) check() error {
	if f.expires <= 0 {
		return ui.Usage("write it as 7d or 36h", "--expires must be more than nothing")
	}
	most := cmp.Or(time.Duration(f.lifetime), trust.MaxBundleLifetime)
	if f.hasTimestampKeys() {
		most = longLife // consumers accept no longer one
	}
	if time.Duration(f.expires) > most {
		return ui.Usage("use --expires "+ui.FormatDuration(most)+
			" or less; --insecure-max-lifetime allows more",
			"--expires %s is too long: an attacker can withhold a revocation until the bundle expires",
			ui.FormatDuration(time.Duration(f.expires)))
	}
	if f.refreshHint >= f.expires {
		return ui.Usage("use a shorter --refresh-hint: without it, consumers choose",
			"--refresh-hint %s is not shorter than --expires %s",
			ui.FormatDuration(time.Duration(f.refreshHint)), ui.FormatDuration(time.Duration(f.expires)))
	}
	if ui.Exists(f.out) && !sameFile(f.out, f.previous) {
		return ui.Usage("choose another name, or name it as --previous too: the new bundle then follows it and takes its place",
			"%s exists already and is not overwritten", f.out)
	}
	return nil
}

// readTimestamp reads the roots, and the timestamp that the bundle takes over.
func (f *buildFlags) readTimestamp(env *ui.Env) (err error) {
	if f.roots != "" {
		if f.pinned, err = loadtrust.ReadRoots(env, f.roots); err != nil {
			return err
		}
	}
	if f.hasTimestampKeys() && !f.expiresGiven {
		f.expires = ui.DurationValue(usualLife)
	}
	switch {
	case f.timestamp == "" && len(f.overrule) > 0:
		return ui.Usage("add --timestamp FILE", "--overrule needs the timestamp that it overrules")
	case f.timestamp == "" && f.timestampKey != "":
		return ui.Usage("add --timestamp FILE", "--timestamp-key needs the file that it writes")
	case f.timestamp == "":
		return nil
	case !f.hasTimestampKeys():
		return ui.Usage("add --roots FILE, which names the timestamp keys",
			"--timestamp cannot be verified without the timestamp keys")
	case f.timestampKey != "" && f.previous == "" && !ui.Exists(f.timestamp):
		return nil // both are the first
	}
	signed, err := env.ReadFile(f.timestamp, keydoc.MaxTimestamp)
	if err != nil {
		return err
	}
	if f.takeOver, err = openTimestamp(f.timestamp, signed, f.pinned); err != nil {
		return err
	}
	ids := slices.AppendSeq(slices.Collect(maps.Keys(f.takeOver.Revoked)), maps.Keys(f.takeOver.RevokedSessions))
	for i, given := range f.overrule {
		if f.overrule[i], err = loadkeys.MatchID(ids, given, f.timestamp); err != nil {
			return err
		}
	}
	return nil
}

func (f *buildFlags) hasTimestampKeys() bool {
	return f.pinned != nil && len(f.pinned.TimestampKeys()) > 0
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, other := os.Stat(b)
	return err == nil && other == nil && os.SameFile(first, second)
}

// previousBundle opens the bundle that this one follows: its version and revoked sessions are carried on, so
// it must be signed as well, by one of the roots at hand or, with --roots, as consumers want it. That it has
// expired does not matter.
func previousBundle(env *ui.Env, f *buildFlags, signers []trust.RootSigner) (*trust.Bundle, []byte, error) {
	if f.previous == "" {
		return nil, nil, nil
	}
	roots, err := rootsOfPrevious(env, f, signers)
	if err != nil {
		return nil, nil, err
	}
	signed, err := env.ReadFile(f.previous, keydoc.MaxSigned)
	if err != nil {
		return nil, nil, err
	}
	b, err := trust.OpenBundle(signed, unlimited(roots), &trust.Options{Now: longAgo, UnsafeNoTimestamp: true})
	if err != nil {
		return nil, nil, loadtrust.Refused(f.previous, err)
	}
	return b, signed, nil
}

// longAgo is a clock at which no bundle has expired.
func longAgo() time.Time { return time.Time{} }

func rootsOfPrevious(env *ui.Env, f *buildFlags, signers []trust.RootSigner) (*trust.Roots, error) {
	if f.pinned != nil {
		return f.pinned, nil
	}
	verifiers := make([]*keys.Verifier, len(signers))
	for i, s := range signers {
		verifiers[i] = s.Verifier()
	}
	roots, err := trust.NewRoots(1, 1, verifiers...)
	if err != nil {
		return nil, ui.Usage("name each root key once", "%w", bundleCause(err))
	}
	return roots, nil
}

// bundleCause leaves out the word for programs.
func bundleCause(err error) error {
	var b *trust.BundleError
	if errors.As(err, &b) {
		return b.Err
	}
	return err
}

func buildBundle(env *ui.Env, f *buildFlags, p *policy.Policy, public []keys.PublicKey,
	previous *trust.Bundle) (*trust.Bundle, error) {
	now := env.Now().Truncate(time.Second)
	opts := policy.BuildOptions{
		Now: now, Expires: now.Add(time.Duration(f.expires)), Previous: previous,
		MaxLifetime: time.Duration(f.lifetime), RefreshHint: time.Duration(f.refreshHint),
		RevokedSessions: f.revokeSessions,
		TimestampKeys:   f.hasTimestampKeys(), Timestamp: f.takeOver, Overrule: f.overrule,
		Widen: f.widen,
	}
	for _, given := range f.unsafe {
		if ids := idsOfProducer(p, given); ids != nil {
			opts.UnsafeSchedules = append(opts.UnsafeSchedules, ids...)
			continue
		}
		id, err := loadkeys.MatchID(knownIDs(p, previous), given, f.policy)
		if err != nil {
			return nil, err
		}
		opts.UnsafeSchedules = append(opts.UnsafeSchedules, id)
	}
	var signing []*keys.Verifier
	for _, k := range public {
		if k.Verifier != nil {
			signing = append(signing, k.Verifier)
		} else {
			opts.Recipients = append(opts.Recipients, k.Recipient)
		}
	}
	if err := p.CheckKeyrings(public, now); err != nil {
		return nil, &ui.Error{Code: ui.ExitRejected, Reason: "policy", Err: ui.InFile(f.policy, err),
			Fix: "correct the policy file and have the change reviewed: no moment before the keyring's is a danger"}
	}
	b, err := p.Build(signing, opts)
	if err != nil {
		return nil, &ui.Error{Code: ui.ExitRejected, Reason: "policy", Err: ui.InFile(f.policy, err),
			Fix: fixBuild(err)}
	}
	return b, nil
}

// fixBuild is what to do when the policy and the keys give no bundle.
func fixBuild(err error) string {
	var wider *policy.WideningError
	var fault *policy.Fault
	switch {
	case errors.As(err, &fault):
		return "correct the moment in the policy file and have the change reviewed; " +
			"--insecure-schedule KEYID builds all the same, and loses events"
	case errors.As(err, &wider):
		return "if that is meant, add --widen " + strings.Join(wider.Names(), " --widen ")
	}
	return "correct the policy file, or submit exactly the public keys that it lists"
}

// idsOfProducer are the listed keys of the producer of this name; nil = there is none.
func idsOfProducer(p *policy.Policy, name string) (ids []string) {
	for _, o := range p.Producers {
		for _, k := range o.Keys {
			if o.Name == name {
				ids = append(ids, k.ID)
			}
		}
	}
	return ids
}

// knownIDs are the keys of the policy and of the previous bundle, which may be nil.
func knownIDs(p *policy.Policy, previous *trust.Bundle) []string {
	ids := listedIDs(p)
	if previous != nil {
		for _, k := range previous.SigningKeys() {
			if !slices.Contains(ids, k.KeyID()) {
				ids = append(ids, k.KeyID())
			}
		}
	}
	return ids
}

// write puts the bundle in place of the previous one, or into a new file.
func (f *buildFlags) write(old, signed []byte) error {
	signed = append(signed, '\n')
	if ui.Exists(f.out) {
		return ui.ReplaceFile(f.out, old, signed)
	}
	return ui.CreateFile(f.out, signed, ui.PublicFile)
}

// bundleBuilt is the result of `trust build`.
type bundleBuilt struct {
	Out      string       `json:"out"`
	Version  int64        `json:"version"`
	Issued   string       `json:"issued"`
	Expires  string       `json:"expires"`
	Keys     int          `json:"keys"`
	Readers  int          `json:"encryption_keys"`
	SignedBy []string     `json:"signed_by"`
	Missing  int          `json:"signatures_missing"` // 0 also without --roots
	Changes  []keyChanged `json:"changes"`
}

func tellBuilt(env *ui.Env, f *buildFlags, b, previous *trust.Bundle, signed []byte) error {
	signers, err := signersOf(signed)
	if err != nil {
		return err
	}
	r := bundleBuilt{
		Out: f.out, Version: b.Version(), Issued: ui.FormatTime(b.Issued()),
		Expires: ui.FormatTime(b.Expires()),
		Keys:    len(b.SigningKeys()), Readers: len(b.EncryptionKeys()), SignedBy: signers,
		Changes: changedKeys(previous, b),
	}
	f.warnEarly(env, b, previous)
	if previous != nil && f.hasTimestampKeys() && f.takeOver == nil {
		env.Warnf("no --timestamp says since when %s is in use: producers that follow the bundle wait as if its keys "+
			"were new", f.previous)
	}
	if previous == nil {
		env.Warnf("this is version 1; consumers that already have a bundle refuse it; to make the next version, give --previous FILE")
	}
	if r.Missing = f.missing(signed); r.Missing > 0 {
		env.Warnf("%s still needs %s: sealbus trust sign --root FILE %s", f.out,
			ui.Count(r.Missing, "signature"), f.out)
	}
	if err := env.Emit(r, func(p *ui.Printer) { r.print(p, env.Now()) }); err != nil {
		return err
	}
	if f.hasTimestampKeys() && f.timestampKey == "" {
		env.Sayf("next: publish it as bundles/%s too; then sealbus trust timestamp has consumers use it",
			digestOf(b))
	}
	if f.roots == "" {
		env.Sayf("next: sealbus trust verify --roots roots.json %s says whether enough root keys have signed; then publish it", f.out)
	}
	return nil
}

// warnEarly tells of new keys that may sign before consumers know them. Build lets them, because their
// producers have no other key.
func (f *buildFlags) warnEarly(env *ui.Env, b, previous *trust.Bundle) {
	if previous == nil || !f.live {
		return
	}
	for _, k := range b.SigningKeys() {
		if known := b.KnownAt(k); k.Revoked == nil && previous.Key(k.KeyID()) == nil && k.Schedule.Active.Before(known) {
			env.Warnf("key %s of %s is new and signs before consumers know it: if this bundle is published at once, "+
				"they know it from %s on", ui.ShortID(k.KeyID()), k.Producer, ui.FormatTime(known))
		}
	}
}

func (r *bundleBuilt) print(p *ui.Printer, now time.Time) {
	expires, _ := time.Parse(time.RFC3339, r.Expires) // written above
	holds := ui.Count(r.Keys, "signing key")
	if r.Readers > 0 {
		holds += ", " + ui.Count(r.Readers, "encryption key")
	}
	p.Linef("%s  version %d, %s, signed by %s, expires in %s", p.Bold(ui.Clean(r.Out)), r.Version, holds,
		ui.Count(len(r.SignedBy), "root key"), ui.FormatDuration(expires.Sub(now.Truncate(time.Second))))
	for _, c := range r.Changes {
		c.print(p)
	}
}

// keyChanged is what became of one key since the previous bundle.
type keyChanged struct {
	KeyID    string `json:"key_id"`
	Producer string `json:"producer,omitempty"`
	Consumer string `json:"consumer,omitempty"` // of an encryption key
	What     string `json:"change"`             // added, removed, revoked, tainted or changed
}

func (c keyChanged) print(p *ui.Printer) {
	mark := map[string]string{"added": p.Green("+"), "removed": p.Yellow("-"), "revoked": p.Red("-"),
		"changed": p.Yellow("~"), "tainted": p.Yellow("~")}[c.What]
	p.Linef("  %s %s  %s  %s", mark, ui.ShortID(c.KeyID), ui.Clean(c.Producer+c.Consumer), c.What)
}

// changedKeys compares two bundles; without a previous one, all keys are new.
func changedKeys(previous, b *trust.Bundle) []keyChanged {
	if previous == nil {
		previous = &trust.Bundle{}
	}
	return append(changes(previous.SigningKeys(), b.SigningKeys()),
		changes(previous.EncryptionKeys(), b.EncryptionKeys())...)
}

// changes compares the keys of one use.
func changes(previous, now []*trust.Key) []keyChanged {
	list := []keyChanged{}
	note := func(k *trust.Key, what string) {
		if what != "" {
			list = append(list, keyChanged{KeyID: k.KeyID(), Producer: k.Producer, Consumer: k.Consumer,
				What: what})
		}
	}
	was := map[string]*trust.Key{}
	for _, k := range previous {
		was[k.KeyID()] = k
	}
	for _, k := range now {
		note(k, changeOf(was[k.KeyID()], k))
		delete(was, k.KeyID())
	}
	for _, k := range previous {
		if was[k.KeyID()] != nil {
			note(k, "removed")
		}
	}
	return list
}

// changeOf is what is different of a key, in one word; "" = nothing.
func changeOf(was, is *trust.Key) string {
	switch {
	case was == nil:
		return "added"
	case was.Revoked == nil && is.Revoked != nil:
		return "revoked"
	case is.Tainted && !was.Tainted:
		return "tainted"
	case was.Producer != is.Producer, was.Tainted != is.Tainted, was.Consumer != is.Consumer, was.Schedule != is.Schedule,
		(was.Revoked == nil) != (is.Revoked == nil),
		!slices.Equal(was.Sources, is.Sources), !slices.Equal(was.Types, is.Types),
		!slices.Equal(was.Accounts, is.Accounts), (was.Accounts == nil) != (is.Accounts == nil):
		return "changed"
	}
	return ""
}
