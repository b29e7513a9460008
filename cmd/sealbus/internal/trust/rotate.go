package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// rotateFlags are those of `trust root rotate`.
type rotateFlags struct {
	loadkeys.PrivateFlags
	roots, out              string
	root, add, remove       []string
	addStamps, removeStamps []string
	threshold               int
	expires                 ui.DurationValue
	minBundle, minTimestamp int64
	bundle, timestamp       string // evidence
	stolen                  bool
}

func rotateCommand(env *ui.Env) *cobra.Command {
	var f rotateFlags
	cmd := env.Command(ui.Command{
		Use:   "rotate --roots FILE --out FILE [--add PUB]... [--remove KEYID]... [--root FILE]...",
		Short: "Make the roots that follow the newest ones",
		Long: "Make the roots that follow the newest ones, sign them with the root keys at hand, and have the others sign with\n" +
			"`sealbus trust sign`. Publish the file as roots/N beside the bundle, where N is its version: consumers follow it.\n" +
			"It needs the threshold of the old and of the new root keys.\n\n" +
			"A timestamp key is dropped only if consumers forget no revocation with it: give --timestamp and --bundle, which are the newest\n" +
			"published. Timestamps are switched on only if one is published: make it with a draft of the roots (`sealbus trust roots --version N`).",
		Example: "sealbus trust root rotate --roots roots-1.json --add dave.root.pub --remove vM5g2nq8 --expires 400d --root alice.root --out roots-2.dsse",
		Now:     true,
		Run:     func(ctx context.Context, _ []string) error { return trustRotate(ctx, env, &f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.roots, "roots", "", "the newest roots `FILE`")
	flags.StringVar(&f.out, "out", "", "the new `FILE`")
	flags.StringArrayVar(&f.root, "root", nil, "a private root key `FILE` to sign with, old or new")
	flags.StringArrayVar(&f.add, "add", nil, "a new root key: a .pub `FILE`")
	flags.StringArrayVar(&f.remove, "remove", nil, "drop the root key of this `KEYID`; the first 8 characters or more")
	flags.IntVar(&f.threshold, "threshold", 0, "how many of the root keys must sign: `K` (default as before)")
	flags.StringArrayVar(&f.addStamps, "timestamp-key", nil, "a new timestamp `KEY`: a .pub file, or an ARN or alias in KMS")
	flags.StringArrayVar(&f.removeStamps, "remove-timestamp-key", nil, "drop the timestamp key of this `KEYID`")
	flags.Var(&f.expires, "expires", "how long these roots live: 400d (default they do not expire)")
	flags.Int64Var(&f.minBundle, "min-bundle", 0, "refuse bundles of versions lower than `N` (default as before)")
	flags.Int64Var(&f.minTimestamp, "min-timestamp", 0, "refuse timestamps of versions lower than `N` (default as before)")
	flags.StringVar(&f.bundle, "bundle", "", "the newest published bundle: a `FILE`, an https:// URL or s3://BUCKET/KEY")
	flags.StringVar(&f.timestamp, "timestamp", "", "the newest published timestamp, likewise a `FILE` or URL")
	flags.BoolVar(&f.stolen, "timestamp-key-stolen", false,
		"the dropped timestamp key was stolen: consumers forget all its revocations, also the honest ones")
	f.PrivateFlags.Register(cmd)
	return cmd
}

func trustRotate(ctx context.Context, env *ui.Env, f *rotateFlags) error {
	if err := ui.Need(ui.Flag("roots", f.roots), ui.Flag("out", f.out)); err != nil {
		return err
	}
	if ui.Exists(f.out) {
		return ui.FileExists(f.out)
	}
	old, err := loadtrust.ReadRoots(env, f.roots)
	if err != nil {
		return ui.AsNeeded("roots", err)
	}
	next, err := f.next(ctx, env, old)
	if err != nil {
		return err
	}
	if err := f.checkTimestampKeys(ctx, env, old, next); err != nil {
		return err
	}
	doc := append(next.Payload(), '\n')
	if len(f.root) > 0 {
		signers, err := openRootKeys(env, f.root, &f.PrivateFlags)
		if err != nil {
			return err
		}
		if doc, err = trust.SignRoots(ctx, next, signers...); err != nil {
			return err
		}
		doc = append(doc, '\n')
	}
	if err := ui.CreateFile(f.out, doc, ui.PublicFile); err != nil {
		return err
	}
	if f.stolen {
		env.Warnf("consumers forget every revocation of timestamps: the bundle must revoke those keys (docs/trust.md)")
	}
	made := describeRoots(next)
	made.Out, made.SignedBy = f.out, goodSigners(next, doc)
	made.MissingOld, made.MissingNew = missingSignatures(old, doc), missingSignatures(next, doc)
	return env.Emit(made, made.print)
}

// next are the roots that follow.
func (f *rotateFlags) next(ctx context.Context, env *ui.Env, old *trust.Roots) (*trust.Roots, error) {
	added, err := readRootKeys(env, f.add)
	if err != nil {
		return nil, err
	}
	list, err := withoutKeys(old.Keys(), f.remove, f.roots)
	if err != nil {
		return nil, err
	}
	addedStamps, err := timestampKeys(ctx, env, f.addStamps)
	if err != nil {
		return nil, err
	}
	stamps, err := withoutKeys(old.TimestampKeys(), f.removeStamps, f.roots)
	if err != nil {
		return nil, err
	}
	limits := old.Limits()
	switch {
	case f.expires == 0 && !limits.Expires.IsZero():
		return nil, ui.Usage("say how long the next ones live: --expires 400d", "%s expires, and its successor would not", f.roots)
	case f.expires < 0:
		return nil, ui.Usage("write it as 400d", "--expires is in the past")
	case f.minBundle != 0 && f.minBundle < limits.MinBundle || f.minTimestamp != 0 && f.minTimestamp < limits.MinTimestamp:
		return nil, ui.Usage("floors only go up: leave the flag out to keep the one there is",
			"the floors of %s are higher: bundle %d, timestamp %d", f.roots, limits.MinBundle, limits.MinTimestamp)
	}
	if f.expires > 0 {
		limits.Expires = env.Now().Add(time.Duration(f.expires))
	}
	limits.MinBundle, limits.MinTimestamp = max(limits.MinBundle, f.minBundle), max(limits.MinTimestamp, f.minTimestamp)
	threshold := f.threshold
	if threshold == 0 {
		threshold = old.Threshold()
	}
	next, err := trust.NewRoots(old.Version()+1, threshold, append(list, added...)...)
	if err == nil {
		next, err = next.WithTimestampKeys(append(stamps, addedStamps...)...)
	}
	if err == nil {
		next, err = next.WithLimits(limits)
	}
	if err != nil {
		return nil, ui.Usage("correct --add, --remove, --threshold or the timestamp keys", "%w", bundleCause(err))
	}
	return next, nil
}

// withoutKeys are the keys but for those of these IDs.
func withoutKeys(list []*keys.Verifier, removed []string, file string) ([]*keys.Verifier, error) {
	var ids []string
	for _, k := range list {
		ids = append(ids, k.KeyID())
	}
	for _, given := range removed {
		id, err := loadkeys.MatchID(ids, given, file)
		if err != nil {
			return nil, ui.Usage("give 8 characters of its ID or more: `sealbus trust show` lists them", "%w", err)
		}
		list = slices.DeleteFunc(list, func(k *keys.Verifier) bool { return k.KeyID() == id })
	}
	return list, nil
}

// checkTimestampKeys refuses roots under which consumers would forget revocations, or find no timestamp.
func (f *rotateFlags) checkTimestampKeys(ctx context.Context, env *ui.Env, old, next *trust.Roots) error {
	drops := slices.ContainsFunc(old.TimestampKeys(), func(k *keys.Verifier) bool {
		return !slices.ContainsFunc(next.TimestampKeys(), func(n *keys.Verifier) bool { return n.KeyID() == k.KeyID() })
	})
	switchesOn := len(old.TimestampKeys()) == 0 && len(next.TimestampKeys()) > 0
	if f.stolen && !drops {
		return ui.Usage("name the key with --remove-timestamp-key", "no timestamp key is dropped")
	}
	if f.stolen || !drops && !switchesOn {
		return nil
	}
	if f.bundle == "" || f.timestamp == "" {
		return ui.Usage("give --bundle and --timestamp, which are published now, or --timestamp-key-stolen if the key was stolen",
			"what consumers would forget or lack can only be seen in the newest bundle and timestamp")
	}
	plain := unlimited(old) // the floors may be to end what is published
	b, err := readBundle(ctx, env, f.bundle, plain, longAgo)
	if err != nil {
		return err
	}
	doc, err := loadtrust.ReadDocument(ctx, env, f.timestamp, keydoc.MaxTimestamp)
	if err != nil {
		return err
	}
	if switchesOn {
		return f.checkPublished(env, b, doc.Content, next)
	}
	return f.checkTakenOver(b, doc.Content, plain, next)
}

// checkPublished wants a live timestamp of the bundle under the roots that follow.
func (f *rotateFlags) checkPublished(env *ui.Env, b *trust.Bundle, signed []byte, next *trust.Roots) error {
	ts, err := trust.OpenTimestamp(signed, next, env.Now())
	if err != nil {
		return loadtrust.Refused(f.timestamp, err)
	}
	if ts.BundleVersion != b.Version() || ts.BundleSHA256 != sha256.Sum256(b.Payload()) || ts.RootsVersion > next.Version() {
		return ui.Rejected("sign a timestamp of the newest bundle with `sealbus trust timestamp --roots DRAFT`, and publish it",
			"%s does not name the bundle of %s under these roots: consumers would have no bundle", f.timestamp, f.bundle)
	}
	return nil
}

// checkTakenOver wants that the timestamp still counts under the roots that follow, or that the bundle
// decided on all that it revokes.
func (f *rotateFlags) checkTakenOver(b *trust.Bundle, signed []byte, old, next *trust.Roots) error {
	ts, err := openTimestamp(f.timestamp, signed, old)
	if err != nil {
		return err
	}
	if len(next.TimestampKeys()) > 0 {
		if _, err := trust.OpenTimestamp(signed, next, ts.Issued); err == nil {
			return nil
		}
	} else if bytes.Contains(b.Payload(), []byte(`"timestamp":"required"`)) {
		return ui.Rejected("build one that lives for 7 days at most, without timestamps, and publish it first",
			"the bundle of %s counts only with a timestamp", f.bundle)
	}
	var open []string
	for _, id := range slices.Sorted(maps.Keys(ts.Revoked)) {
		if k := b.Key(id); ts.Revoked[id].Since > b.Timestamps() && (k == nil || k.Revoked == nil) {
			open = append(open, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ts.RevokedSessions)) {
		if ts.RevokedSessions[id] > b.Timestamps() && !b.SessionRevoked(id) {
			open = append(open, id)
		}
	}
	if len(open) > 0 {
		return ui.Rejected("publish a bundle that takes them over (`sealbus trust build --timestamp`), or sign a timestamp with a key that stays",
			"consumers would forget that %s is revoked, and %d more", ui.ShortID(open[0]), len(open)-1)
	}
	return nil
}
