package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/trust"
)

// timestampFlags are those of `trust timestamp`.
type timestampFlags struct {
	loadkeys.PrivateFlags
	key, roots, bundle, previous, out string
	revoke, reasons, revokeSessions   []string
	olderBundles                      []string
	expires                           ui.DurationValue

	olderIDs []string // the key IDs of olderBundles
}

// noPrevious is what --previous says for the first timestamp.
const noPrevious = "none"

// timestampLife is how long a timestamp lives unless --expires says otherwise.
const timestampLife = ui.DurationValue(24 * time.Hour)

func timestampCommand(env *ui.Env) *cobra.Command {
	f := timestampFlags{expires: timestampLife}
	cmd := env.Command(ui.Command{
		Use:   "timestamp --key KMS-ARN|FILE --roots FILE --bundle FILE --previous FILE|none [--revoke KEYID --reason TEXT]... --out FILE",
		Short: "Sign which bundle is the newest, and revoke keys at once",
		Long: "Sign the timestamp of the newest bundle with a timestamp key, which is on line, so that no root key is needed. Consumers\n" +
			"whose roots name timestamp keys use a bundle only with a live timestamp. It can withhold and revoke, never grant.\n\n" +
			"Every revocation of --previous is carried over, unless the bundle took it over or overruled it.\n" +
			"--out is replaced only if it is still --previous, so that a renewal\n" +
			"cannot overwrite an emergency. Both may be s3://BUCKET/KEY. Publish the bundle first, as bundles/SHA256 beside it.",
		Example: "sealbus trust timestamp --key alias/trust-timestamp --roots roots.json --bundle bundle.dsse \\\n  --previous timestamp.dsse --out timestamp.dsse --revoke vM5g2nq8 --reason 'laptop stolen'",
		Now:     true,
		Run:     func(ctx context.Context, _ []string) error { return trustTimestamp(ctx, env, &f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "",
		"the timestamp key: a private key `FILE` that trust root new made, or an ARN or alias in KMS")
	flags.StringVar(&f.roots, "roots", "", "the roots `FILE` that names the timestamp key and the root keys")
	flags.StringVar(&f.bundle, "bundle", "",
		"the newest signed bundle: a `FILE`, an https:// URL or s3://BUCKET/KEY")
	flags.StringVar(&f.previous, "previous", "",
		"the timestamp `FILE` or s3://BUCKET/KEY that this one follows; none = this is the first")
	flags.StringVar(&f.out, "out", "",
		"the `FILE` or s3://BUCKET/KEY to write: a new one, or that of --previous")
	flags.StringArrayVar(&f.revoke, "revoke", nil,
		"revoke the key of this `KEYID`; the first 8 characters or more")
	flags.StringArrayVar(&f.reasons, "reason", nil,
		"the `TEXT` of the reason of each --revoke, in their order, or one for all")
	flags.StringArrayVar(&f.olderBundles, "older-bundle", nil,
		"a signed bundle `FILE` that consumers may still use, whose keys --revoke may name too; may be repeated")
	flags.StringArrayVar(&f.revokeSessions, "revoke-session", nil, "revoke the session key of this `THUMBPRINT`")
	flags.Var(&f.expires, "expires", "how long the timestamp lives: 24h, at most 7d")
	flags.Lookup("expires").DefValue = "1d, in a home 7d"
	f.PrivateFlags.Register(cmd)
	return cmd
}

func (f *timestampFlags) check() error {
	if err := ui.Need(ui.Flag("key", f.key), ui.Flag("roots", f.roots), ui.Flag("bundle", f.bundle),
		ui.Flag("previous", f.previous), ui.Flag("out", f.out)); err != nil {
		return err
	}
	switch life := time.Duration(f.expires); {
	case life < time.Second || life > keydoc.MaxFreshness:
		return ui.Usage("write it as 24h, or as 7d at most", "--expires %s is not within a second and 7 days",
			ui.FormatDuration(life))
	case len(f.reasons) > 1 && len(f.reasons) != len(f.revoke) || len(f.reasons) == 0 && len(f.revoke) > 0 ||
		len(f.reasons) > 0 && len(f.revoke) == 0:
		return ui.Usage("give a --reason for each --revoke, or one for all", "%s and %s",
			ui.Count(len(f.revoke), "--revoke"), ui.Count(len(f.reasons), "--reason"))
	}
	if !loadtrust.IsRemote(f.out) && ui.Exists(f.out) && !sameFile(f.out, f.previous) {
		return ui.Usage("choose another name, or name it as --previous too: the new timestamp then takes its place",
			"%s exists already and is not overwritten", f.out)
	}
	if loadtrust.IsRemote(f.out) && f.previous != noPrevious && f.previous != f.out {
		return ui.Usage("name it as --previous too, or --previous none if nothing is there yet",
			"%s can only be replaced by what follows it", f.out)
	}
	return nil
}

func trustTimestamp(ctx context.Context, env *ui.Env, f *timestampFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	roots, err := loadtrust.ReadRoots(env, f.roots)
	if err != nil {
		return ui.AsNeeded("roots", err)
	}
	b, err := readBundle(ctx, env, f.bundle, roots, env.Now)
	if err != nil {
		return err
	}
	if err := f.readOlder(ctx, env, roots); err != nil {
		return err
	}
	var previous *trust.Timestamp
	old := &loadtrust.Document{}
	if f.previous != noPrevious {
		if old, err = loadtrust.ReadDocument(ctx, env, f.previous, keydoc.MaxTimestamp); err != nil {
			return err
		}
		if previous, err = openTimestamp(f.previous, old.Content, roots); err != nil {
			return err
		}
	}
	ts, err := f.newTimestamp(env, roots, b, previous)
	if err != nil {
		return err
	}
	key, err := openTimestampKey(ctx, env, f.key, &f.PrivateFlags)
	if err != nil {
		return err
	}
	signed, err := trust.SignTimestamp(ctx, ts, key)
	if err != nil {
		if _, ok := errors.AsType[*keys.ServiceError](err); ok {
			return awscli.KMSFailed(err)
		}
		return loadtrust.Refused(f.out, err)
	}
	if _, err := trust.OpenTimestamp(signed, roots, ts.Issued); err != nil {
		return ui.Rejected("give a key that the roots name as a timestamp key (trust roots --timestamp-key)",
			"%s: %w", f.key, bundleCause(err))
	}
	if err := loadtrust.WriteDocument(ctx, env, f.out, old, append(signed, '\n')); err != nil {
		return err
	}
	shown := describeTimestamp(ts, env.Now())
	shown.Verified, shown.SignedBy = true, []string{key.Verifier().KeyID()}
	if err := env.Emit(shown, func(p *ui.Printer) { shown.print(p, f.out, env.Now()) }); err != nil {
		return err
	}
	if left := b.Expires().Sub(env.Now()); left < b.Expires().Sub(b.Issued())/3 {
		env.Warnf("%s expires in %s: build the next one with `sealbus trust build`", f.bundle,
			ui.FormatDuration(left))
	}
	env.Sayf("consumers get the bundle as bundles/%s beside the timestamp", shown.BundleSHA256)
	return nil
}

// readBundle opens a bundle without its timestamp.
func readBundle(ctx context.Context, env *ui.Env, where string, roots *trust.Roots,
	now func() time.Time) (*trust.Bundle, error) {
	signed, err := loadtrust.ReadSigned(ctx, env, where)
	if err != nil {
		return nil, err
	}
	b, err := trust.OpenBundle(signed, roots, &trust.Options{Now: now, UnsafeNoTimestamp: true})
	if err != nil {
		return nil, loadtrust.Refused(where, err)
	}
	return b, nil
}

// readOlder reads the keys of the older bundles, which may have expired.
func (f *timestampFlags) readOlder(ctx context.Context, env *ui.Env, roots *trust.Roots) error {
	for _, where := range f.olderBundles {
		b, err := readBundle(ctx, env, where, roots, longAgo)
		if err != nil {
			return err
		}
		f.olderIDs = append(f.olderIDs, idsOf(b)...)
	}
	return nil
}

func idsOf(b *trust.Bundle) (ids []string) {
	for _, k := range append(b.SigningKeys(), b.EncryptionKeys()...) {
		ids = append(ids, k.KeyID())
	}
	return ids
}

// unlimited are the roots without floors, for documents that others follow: the floors may be why they do.
func unlimited(roots *trust.Roots) *trust.Roots {
	plain, err := roots.WithLimits(trust.RootsLimits{})
	if err != nil { // cannot be: roots without limits are good
		return roots
	}
	return plain
}

// openTimestamp opens a timestamp that another document follows, also if it has expired.
func openTimestamp(where string, signed []byte, roots *trust.Roots) (*trust.Timestamp, error) {
	ts, err := trust.OpenPreviousTimestamp(signed, roots)
	if err != nil {
		return nil, loadtrust.Refused(where, err)
	}
	return ts, nil
}

func (f *timestampFlags) newTimestamp(env *ui.Env, roots *trust.Roots, b *trust.Bundle,
	previous *trust.Timestamp) (*trust.Timestamp, error) {
	now := env.Now().Truncate(time.Second)
	opts := trust.TimestampOptions{Now: now, Lifetime: time.Duration(f.expires),
		Revoke: map[string]trust.Revocation{}, RevokeSessions: f.revokeSessions}
	ids := append(idsOf(b), f.olderIDs...)
	slices.Sort(ids)
	ids = slices.Compact(ids) // a key of both is one key
	for i, given := range f.revoke {
		id, err := loadkeys.MatchID(ids, given, f.bundle)
		if err != nil {
			return nil, ui.Usage("give 8 characters of its ID or more; name a bundle before with --older-bundle FILE "+
				"if that one alone has the key", "%w", err)
		}
		reason := f.reasons[min(i, len(f.reasons)-1)]
		if err := keydoc.CheckRevocation(now, reason); err != nil {
			return nil, ui.Usage("shorten --reason, in one line", "%w", err)
		}
		opts.Revoke[id] = trust.Revocation{At: now, Reason: reason}
	}
	ts, err := trust.NewTimestamp(roots, b, previous, opts)
	if err != nil {
		return nil, loadtrust.Refused(f.bundle, err)
	}
	return ts, nil
}

// openTimestampKey opens a timestamp key: in KMS, or in a file as root keys are.
func openTimestampKey(ctx context.Context, env *ui.Env, name string,
	private *loadkeys.PrivateFlags) (trust.RootSigner, error) {
	if !awscli.IsKMS(name) {
		return openRootKey(env, name, private)
	}
	client, err := awscli.KMSClient(ctx, env, name)
	if err != nil {
		return nil, err
	}
	signer, err := awskms.NewSigner(ctx, client, name, "timestamp", nil)
	if err != nil {
		return nil, awscli.KMSFailed(err)
	}
	return signer, nil
}

// timestampKeys are the public halves of timestamp keys: in files, or in KMS.
func timestampKeys(ctx context.Context, env *ui.Env, names []string) (list []*keys.Verifier, err error) {
	for _, name := range names {
		if awscli.IsKMS(name) {
			signer, err := openTimestampKey(ctx, env, name, nil)
			if err != nil {
				return nil, err
			}
			list = append(list, signer.Verifier())
			continue
		}
		public, err := readPublicKeys(env, []string{name})
		if err != nil {
			return nil, err
		}
		for _, k := range public {
			if k.Verifier == nil || k.Producer != "" {
				return nil, ui.Rejected("give the .pub file that `sealbus trust root new` wrote, or a key in KMS",
					"%s is not a key for timestamps alone", name)
			}
			list = append(list, k.Verifier)
		}
	}
	return list, nil
}

// timestampShown is the result of `trust timestamp`, and of `trust show` of a timestamp.
type timestampShown struct {
	Kind            string         `json:"kind"`     // timestamp
	Verified        bool           `json:"verified"` // under --roots; everything else is a claim without it
	Version         int64          `json:"version"`
	RootsVersion    int64          `json:"roots_version"`
	BundleVersion   int64          `json:"bundle_version"`
	BundleSHA256    string         `json:"bundle_sha256"`
	BundleSince     string         `json:"bundle_since"`
	Issued          string         `json:"issued"`
	Expires         string         `json:"expires"`
	Expired         bool           `json:"expired"`
	SignedBy        []string       `json:"signed_by"` // key IDs; checked if verified
	Revoked         []revokedShown `json:"revoked"`
	RevokedSessions []sessionShown `json:"revoked_sessions"`

	expires time.Time
}

type revokedShown struct {
	KeyID  string `json:"key_id"`
	At     string `json:"at"`
	Reason string `json:"reason"`
	Since  int64  `json:"since"` // the version of the timestamp that revoked it
}

type sessionShown struct {
	KeyID string `json:"key_id"`
	Since int64  `json:"since"`
}

func describeTimestamp(ts *trust.Timestamp, now time.Time) *timestampShown {
	s := &timestampShown{
		Kind: "timestamp", Version: ts.Version, RootsVersion: ts.RootsVersion, BundleVersion: ts.BundleVersion,
		BundleSHA256: hex.EncodeToString(ts.BundleSHA256[:]), BundleSince: ui.FormatTime(ts.BundleSince),
		Issued: ui.FormatTime(ts.Issued), Expires: ui.FormatTime(ts.Expires), Expired: !now.Before(ts.Expires),
		Revoked: []revokedShown{}, RevokedSessions: []sessionShown{}, expires: ts.Expires,
	}
	for _, id := range slices.Sorted(maps.Keys(ts.Revoked)) {
		r := ts.Revoked[id]
		s.Revoked = append(s.Revoked, revokedShown{id, ui.FormatTime(r.At), r.Reason, r.Since})
	}
	for _, id := range slices.Sorted(maps.Keys(ts.RevokedSessions)) {
		s.RevokedSessions = append(s.RevokedSessions, sessionShown{id, ts.RevokedSessions[id]})
	}
	return s
}

func (s *timestampShown) print(p *ui.Printer, file string, now time.Time) {
	life := "expires in " + ui.FormatDuration(s.expires.Sub(now.Truncate(time.Second)))
	if s.Expired {
		life = p.Red("EXPIRED " + ui.FormatDuration(now.Sub(s.expires)) + " ago")
	}
	p.Hangingf(2, "%s  timestamp version %d, of bundle version %d since %s, issued %s, %s",
		p.Bold(ui.Clean(file)), s.Version, s.BundleVersion, s.BundleSince, s.Issued, life)
	if s.Verified {
		p.Linef("%s  signed by a timestamp key", p.Green("verified"))
	} else {
		p.Linef("%s  claims to be signed by %s", p.Red("NOT VERIFIED"), ui.Count(len(s.SignedBy), "key"))
	}
	for _, r := range s.Revoked {
		p.Hangingf(4, "  %s %s  %s", p.Red("revoked"), r.KeyID, ui.Clean(r.Reason))
	}
	for _, r := range s.RevokedSessions {
		p.Linef("  %s session key %s", p.Red("revoked"), r.KeyID)
	}
}

// digestOf is the SHA-256 of a bundle's payload, as a timestamp names it.
func digestOf(b *trust.Bundle) string {
	sum := sha256.Sum256(b.Payload())
	return hex.EncodeToString(sum[:])
}

func showTimestamp(env *ui.Env, file string, signed []byte, roots *trust.Roots) error {
	ts, err := openTimestamp(file, signed, roots)
	if err != nil {
		return err
	}
	shown := describeTimestamp(ts, env.Now())
	shown.Verified, shown.SignedBy = true, claimedSigners(signed)
	if err := env.Emit(shown, func(p *ui.Printer) { shown.print(p, file, env.Now()) }); err != nil {
		return err
	}
	if shown.Expired {
		return ui.Ended(ui.ExitRejected)
	}
	return nil
}

func showUnverifiedTimestamp(env *ui.Env, file string, signed []byte) error {
	e, err := dsse.Parse(signed)
	if err != nil {
		return loadtrust.Refused(file, err)
	}
	ts, err := trust.ParseTimestamp(e.Payload)
	if err != nil {
		return loadtrust.Refused(file, err)
	}
	env.Warnf("NOT VERIFIED: anyone may have written this timestamp; --roots FILE verifies it")
	shown := describeTimestamp(ts, env.Now())
	shown.SignedBy = keyIDs(e)
	return env.Emit(shown, func(p *ui.Printer) { shown.print(p, file, env.Now()) })
}

func claimedSigners(signed []byte) []string {
	e, err := dsse.Parse(signed)
	if err != nil {
		return []string{}
	}
	return keyIDs(e)
}
