package trust

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

type rootsMade struct {
	Out       string   `json:"out"`
	Version   int64    `json:"version"`
	Threshold int      `json:"threshold"`
	KeyIDs    []string `json:"key_ids"`
	Timestamp []string `json:"timestamp_key_ids,omitempty"`

	Expires      string `json:"expires,omitempty"`
	MinBundle    int64  `json:"min_bundle,omitempty"`
	MinTimestamp int64  `json:"min_timestamp,omitempty"`

	// of `trust root rotate`, and of `trust show`
	SignedBy   []string `json:"signed_by,omitempty"` // their own root keys
	MissingOld int      `json:"missing_old_signatures,omitempty"`
	MissingNew int      `json:"missing_new_signatures,omitempty"`
}

func describeRoots(roots *trust.Roots) *rootsMade {
	limits := roots.Limits()
	r := &rootsMade{Version: roots.Version(), Threshold: roots.Threshold(), Expires: ui.FormatTime(limits.Expires),
		MinBundle: limits.MinBundle, MinTimestamp: limits.MinTimestamp}
	for _, k := range roots.Keys() {
		r.KeyIDs = append(r.KeyIDs, k.KeyID())
	}
	for _, k := range roots.TimestampKeys() {
		r.Timestamp = append(r.Timestamp, k.KeyID())
	}
	return r
}

func (r *rootsMade) print(p *ui.Printer) {
	p.Linef("%s  version %d, %d of %s must sign", p.Bold(ui.Clean(r.Out)), r.Version, r.Threshold,
		ui.Count(len(r.KeyIDs), "root key"))
	ui.PrintList(p, "  ", r.KeyIDs)
	if len(r.Timestamp) > 0 {
		p.Linef("bundles count only with a timestamp, signed by one of %s",
			ui.Count(len(r.Timestamp), "timestamp key"))
		ui.PrintList(p, "  ", r.Timestamp)
	}
	if r.Expires != "" {
		p.Linef("expires %s", r.Expires)
	}
	if r.MinBundle > 0 {
		p.Linef("refuses bundles below version %d", r.MinBundle)
	}
	if r.MinTimestamp > 0 {
		p.Linef("refuses timestamps below version %d", r.MinTimestamp)
	}
	if r.MissingOld > 0 || r.MissingNew > 0 {
		p.Linef("still to sign: %d of the old root keys, %d of the new ones", r.MissingOld, r.MissingNew)
	}
}

func rootsCommand(env *ui.Env) *cobra.Command {
	var threshold int
	var version int64
	var out string
	var timestamps []string
	var expires string
	cmd := env.Command(ui.Command{
		Use: "roots [--threshold K] [--timestamp-key PUB|KMS-ARN]... [--expires DURATION|TIME] PUB... --out FILE", Short: "Write the roots file that consumers pin",
		Long: "Write the roots file that consumers pin: the public root keys, and how many of them must sign a bundle.\n" +
			"Consumers get it by a way that they trust, such as their own source code.",
		Example: "sealbus trust roots --threshold 2 --expires 400d alice.root.pub bob.root.pub carol.root.pub --out roots.json",
		Args:    ui.AtLeastOne("PUB"), Now: true,
		Run: func(ctx context.Context, args []string) error {
			stamps, err := timestampKeys(ctx, env, timestamps)
			if err != nil {
				return err
			}
			end, err := rootsEnd(env, expires)
			if err != nil {
				return err
			}
			return trustRoots(env, args, stamps, version, threshold, end, out)
		},
	})
	cmd.Flags().StringArrayVar(&timestamps, "timestamp-key", nil,
		"a `KEY` that signs timestamps: a .pub file, or an ARN or alias in KMS; bundles then count only with a timestamp")
	cmd.Flags().IntVar(&threshold, "threshold", 0,
		"how many of the root keys must sign: `K`; mandatory for several keys")
	cmd.Flags().Int64Var(&version, "version", 1,
		"the version `N`: one more than that of the roots file it succeeds")
	cmd.Flags().StringVar(&expires, "expires", "",
		"nothing counts under them after this `TIME`, or so long from now: 400d, a date, RFC 3339 (default they do not expire)")
	cmd.Flags().StringVar(&out, "out", "", "the new `FILE`")
	return cmd
}

// rootsEnd is when the roots expire: a moment, or a duration from now; zero = never.
func rootsEnd(env *ui.Env, text string) (end time.Time, err error) {
	if text == "" {
		return end, nil
	}
	now := env.Now().Truncate(time.Second)
	var d ui.DurationValue
	if d.Set(text) == nil {
		end = now.Add(time.Duration(d))
	} else if end, err = ui.ParseMoment(text, now); err != nil {
		return end, ui.FlagFailed("expires", err)
	}
	if !end.After(now) {
		return end, ui.Usage("give a later moment, such as 400d", "--expires %s is not in the future", text)
	}
	return end, nil
}

func trustRoots(env *ui.Env, pubs []string, timestamps []*keys.Verifier, version int64, threshold int,
	end time.Time, out string) error {
	if err := ui.Need(ui.Flag("out", out)); err != nil {
		return err
	}
	verifiers, err := readRootKeys(env, pubs)
	if err != nil {
		return err
	}
	roots, err := trust.NewRoots(version, threshold, verifiers...)
	if err == nil {
		roots, err = roots.WithTimestampKeys(timestamps...)
	}
	if err == nil && !end.IsZero() {
		roots, err = roots.WithLimits(trust.RootsLimits{Expires: end})
	}
	if err != nil {
		return ui.Usage("correct --threshold, --version or the list of keys", "%w", bundleCause(err))
	}
	if err := ui.CreateFile(out, append(roots.Payload(), '\n'), ui.PublicFile); err != nil {
		return err
	}
	result := describeRoots(roots)
	result.Out = out
	if roots.Threshold() == 1 {
		env.Warnf("one root key can sign a bundle alone: an attacker who steals it controls the trust")
	}
	return env.Emit(result, result.print)
}

// showRoots shows a roots file. Under pinned roots it is verified if it is the same, or follows them.
func showRoots(env *ui.Env, file string, doc []byte, pinnedFile string) error {
	pinned, err := pinnedRoots(env, pinnedFile)
	if err != nil {
		return err
	}
	roots, err := trust.ParseRoots(payloadOf(doc))
	switch {
	case err != nil:
	case pinned == nil:
		env.Warnf("NOT VERIFIED: anyone may have written these roots; --roots FILE verifies those that follow it")
	case string(pinned.Payload()) != string(roots.Payload()):
		_, err = pinned.Next(doc)
	}
	if err != nil {
		return loadtrust.Refused(file, err)
	}
	shown := describeRoots(roots)
	shown.Out, shown.SignedBy = file, goodSigners(roots, doc)
	if err := env.Emit(shown, shown.print); err != nil {
		return err
	}
	if end := roots.Limits().Expires; !end.IsZero() && !env.Now().Before(end) {
		env.Warnf("they have expired: nothing counts under them, except the roots that follow")
		return ui.Ended(ui.ExitRejected)
	}
	return nil
}

// payloadOf is the payload of a signed document, and the document itself if it is not signed.
func payloadOf(doc []byte) []byte {
	if e, err := dsse.Parse(doc); err == nil {
		return e.Payload
	}
	return doc
}

// readRootKeys reads the public halves of root keys.
func readRootKeys(env *ui.Env, pubs []string) (verifiers []*keys.Verifier, err error) {
	public, err := readPublicKeys(env, pubs)
	if err != nil {
		return nil, err
	}
	for _, k := range public {
		if k.Verifier == nil {
			return nil, ui.Rejected("give the .pub files that `sealbus trust root new` wrote",
				"key %s is for encryption and cannot sign", k.KeyID())
		}
		if k.Producer != "" {
			return nil, ui.Usage("give the .pub files that `sealbus trust root new` wrote",
				"key %s is a signing key of producer %s: its holder could change the trust",
				ui.ShortID(k.KeyID()), k.Producer)
		}
		verifiers = append(verifiers, k.Verifier)
	}
	return verifiers, nil
}
