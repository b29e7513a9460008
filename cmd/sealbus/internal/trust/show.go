package trust

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// bundleShown is the result of `trust show`.
type bundleShown struct {
	Verified        bool       `json:"verified"` // under --roots; everything else is a claim without it
	Version         int64      `json:"version"`
	Issued          string     `json:"issued"`
	Expires         string     `json:"expires"`
	Expired         bool       `json:"expired"`
	RefreshHint     int64      `json:"refresh_hint,omitempty"` // seconds
	Cache           int64      `json:"cache,omitempty"`        // seconds
	SignedBy        []string   `json:"signed_by"`              // key IDs; checked if verified
	RevokedSessions []string   `json:"revoked_sessions,omitempty"`
	Keys            []keyShown `json:"keys"`
	EncryptionKeys  []encShown `json:"encryption_keys"`

	threshold int
	expires   time.Time
}

// keyShown is one key of a bundle.
type keyShown struct {
	KeyID         string     `json:"key_id"`
	Alg           string     `json:"alg"`
	Producer      string     `json:"producer"`
	State         keys.State `json:"state"`
	Sources       []string   `json:"sources"`
	Types         []string   `json:"types"`
	Accounts      *[]string  `json:"accounts,omitempty"` // absent = unchecked
	Published     string     `json:"published,omitempty"`
	Active        string     `json:"active,omitempty"`
	Retired       string     `json:"retired,omitempty"`
	Expired       string     `json:"expired,omitempty"`
	RevokedAt     string     `json:"revoked_at,omitempty"`
	RevokedReason string     `json:"revoked_reason,omitempty"`
	Tainted       bool       `json:"tainted,omitempty"`
	Since         string     `json:"since,omitempty"` // when the grant was first vouched for
	DaysLeft      *int       `json:"days_left"`       // until it stops signing, null = no end

	next string
}

func showCommand(env *ui.Env) *cobra.Command {
	var roots string
	cmd := env.Command(ui.Command{
		Use: "show [--roots FILE] BUNDLE", Short: "Show the keys of a trust bundle and where each stands",
		Long: "Show the keys of a trust bundle, where each stands in its life, and what it may speak for. Or show a timestamp or a roots file.\n" +
			"BUNDLE is a file, an https:// URL or s3://BUCKET/KEY. Without --roots nothing is verified, and the output says so. Exit status 1 if the bundle is not to be trusted.",
		Args: ui.Exactly("BUNDLE"), Now: true,
		Run: func(ctx context.Context, args []string) error { return trustShow(ctx, env, args[0], roots) },
	})
	cmd.Flags().StringVar(&roots, "roots", "", "verify the bundle under this pinned roots `FILE`")
	return cmd
}

func trustShow(ctx context.Context, env *ui.Env, file, rootsFile string) error {
	signed, err := loadtrust.ReadSigned(ctx, env, file)
	if err != nil {
		return err
	}
	isTimestamp := filekind.Of(signed) == filekind.Timestamp
	switch {
	case filekind.Of(signed) == filekind.Roots || filekind.Of(signed) == filekind.SignedRoots:
		return showRoots(env, file, signed, rootsFile)
	case rootsFile == "" && isTimestamp:
		return showUnverifiedTimestamp(env, file, signed)
	case rootsFile == "":
		return showUnverified(ctx, env, file, signed)
	}
	roots, err := loadtrust.ReadRoots(env, rootsFile)
	if err != nil {
		return ui.AsNeeded("roots", err)
	}
	if roots, err = loadtrust.Newest(ctx, env, file, roots); err != nil {
		return err
	}
	if isTimestamp {
		return showTimestamp(env, file, signed, roots)
	}
	// an expired one is shown as that
	b, err := trust.OpenBundle(signed, roots, &trust.Options{Now: longAgo, UnsafeNoTimestamp: true})
	if err != nil {
		return loadtrust.Refused(file, err)
	}
	shown := describeBundle(b, env.Now())
	shown.Verified, shown.SignedBy, shown.threshold = true, goodSigners(roots, signed), roots.Threshold()
	if len(roots.TimestampKeys()) > 0 {
		beside, err := loadtrust.TimestampBeside(ctx, env, file)
		var ts *trust.Timestamp
		if err == nil && beside != nil {
			ts, err = trust.OpenPreviousTimestamp(beside, roots)
		}
		if err != nil {
			env.Warnf("revocations by the timestamp beside it are not shown: %v", err)
		}
		shown.revoke(ts, b)
	}
	if err := env.Emit(shown, func(p *ui.Printer) { shown.print(p, file, env.Now()) }); err != nil {
		return err
	}
	if shown.Expired {
		return ui.Ended(ui.ExitRejected)
	}
	return nil
}

func showUnverified(ctx context.Context, env *ui.Env, file string, signed []byte) error {
	e, b, err := unverifiedBundle(file, signed)
	if err != nil {
		return err
	}
	env.Warnf("NOT VERIFIED: anyone may have written this bundle; --roots FILE verifies it")
	shown := describeBundle(b, env.Now())
	shown.SignedBy = keyIDs(e)
	shown.revoke(unverifiedBeside(ctx, env, file), b)
	return env.Emit(shown, func(p *ui.Printer) { shown.print(p, file, env.Now()) })
}

// unverifiedBeside is the timestamp beside the bundle; nil = there is none that can be read.
func unverifiedBeside(ctx context.Context, env *ui.Env, file string) *trust.Timestamp {
	signed, err := loadtrust.TimestampBeside(ctx, env, file)
	if err != nil || signed == nil {
		return nil
	}
	e, err := dsse.Parse(signed)
	if err != nil {
		return nil
	}
	ts, err := trust.ParseTimestamp(e.Payload)
	if err != nil {
		return nil
	}
	return ts
}

// revoke shows the keys as revoked that the timestamp revokes, unless the bundle decided on that. ts is nil if
// there is none.
func (s *bundleShown) revoke(ts *trust.Timestamp, b *trust.Bundle) {
	if ts == nil {
		return
	}
	by := func(id, at string) (trust.Withdrawal, bool) {
		w, ok := ts.Revoked[id]
		return w, ok && at == "" && w.Since > b.Timestamps()
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		if w, ok := by(k.KeyID, k.RevokedAt); ok {
			k.State, k.RevokedAt, k.RevokedReason, k.DaysLeft = keys.StateRevoked, ui.FormatTime(w.At), w.Reason, nil
			k.next = w.Reason + " (by the timestamp)"
		}
	}
	for i := range s.EncryptionKeys {
		k := &s.EncryptionKeys[i]
		if w, ok := by(k.KeyID, k.RevokedAt); ok {
			k.State, k.RevokedAt, k.RevokedReason = keys.StateRevoked, ui.FormatTime(w.At), w.Reason
			k.next = w.Reason + " (by the timestamp)"
		}
	}
}

// unverifiedBundle reads a signed bundle, and does not look at its signatures.
func unverifiedBundle(file string, signed []byte) (*dsse.Envelope, *trust.Bundle, error) {
	e, err := dsse.Parse(signed)
	if is := filekind.Of(signed); err != nil && is != "" && is != filekind.SignedBundle {
		err = fmt.Errorf("this is %s, not a signed trust bundle", is)
	}
	if err == nil && e.PayloadType != keydoc.BundleType {
		err = errNoBundle(e.PayloadType)
	}
	if err != nil {
		return nil, nil, loadtrust.Refused(file, err)
	}
	b, err := trust.ParseBundle(e.Payload)
	if err != nil {
		return nil, nil, loadtrust.Refused(file, err)
	}
	return e, b, nil
}

func errNoBundle(payloadType string) error {
	return fmt.Errorf("payload type %q is not that of a bundle", keydoc.Clip(payloadType))
}

func describeBundle(b *trust.Bundle, now time.Time) *bundleShown {
	s := &bundleShown{
		Version: b.Version(), Issued: ui.FormatTime(b.Issued()), Expires: ui.FormatTime(b.Expires()),
		expires: b.Expires(),
		Expired: !now.Before(b.Expires()), RefreshHint: int64(b.RefreshHint() / time.Second),
		Cache:           int64(b.Cache() / time.Second),
		RevokedSessions: b.RevokedSessions(), Keys: []keyShown{},
		EncryptionKeys: describeEncryptionKeys(b, now),
	}
	for _, k := range b.SigningKeys() {
		s.Keys = append(s.Keys, describeKey(k, now))
	}
	slices.SortStableFunc(s.Keys, func(x, y keyShown) int { return strings.Compare(x.Producer, y.Producer) })
	return s
}

func describeKey(k *trust.Key, now time.Time) keyShown {
	s := keyShown{
		KeyID: k.KeyID(), Alg: string(k.Verifier.Algorithm()), Producer: k.Producer, State: k.StateAt(now),
		Sources: notNil(k.Sources), Types: notNil(k.Types),
		Published: ui.FormatTime(k.Schedule.Published), Active: ui.FormatTime(k.Schedule.Active),
		Retired: ui.FormatTime(k.Schedule.Retired), Expired: ui.FormatTime(k.Schedule.Expired),
		Tainted: k.Tainted, Since: ui.FormatTime(k.Since), next: nextOf(k, now),
	}
	if k.Accounts != nil {
		s.Accounts = &k.Accounts
	}
	if end := loadkeys.FirstSet(k.Schedule.Retired, k.Schedule.Expired); !end.IsZero() {
		left := ui.DaysLeft(end, now)
		s.DaysLeft = &left
	}
	if k.Revoked != nil {
		s.RevokedAt, s.RevokedReason = ui.FormatTime(k.Revoked.At), k.Revoked.Reason
		s.next = k.Revoked.Reason
	}
	return s
}

// nextOf is what comes next for a key, and that it is tainted.
func nextOf(k *trust.Key, now time.Time) string {
	next := loadkeys.NextStep(&k.Schedule, now)
	switch {
	case k.Tainted && next == "-":
		return "tainted"
	case k.Tainted:
		return "tainted, " + next
	}
	return next
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *bundleShown) print(p *ui.Printer, file string, now time.Time) {
	p.Hangingf(2, "%s  version %d, issued %s, %s", p.Bold(ui.Clean(file)), s.Version, s.Issued,
		s.lifetime(p, now))
	if s.Verified {
		p.Linef("%s  signed by %s, %d needed", p.Green("verified"), ui.Count(len(s.SignedBy), "root key"),
			s.threshold)
	} else {
		p.Linef("%s  claims to be signed by %s", p.Red("NOT VERIFIED"), ui.Count(len(s.SignedBy), "key"))
	}
	if n := len(s.RevokedSessions); n > 0 {
		p.Linef("%s revoked", ui.Count(n, "session key"))
	}
	p.Linef("")
	t := ui.Table{Header: []string{"PRODUCER", "KEY", "ALG", "STATE", "NEXT", "SOURCES", "TYPES"}}
	for _, k := range s.Keys {
		k.rows(p, &t)
	}
	if t.Fits(p.Style) {
		t.Print(p)
	} else {
		s.printNarrow(p)
	}
	printEncryptionKeys(p, s.EncryptionKeys)
}

// printNarrow has what a key may speak for below it.
func (s *bundleShown) printNarrow(p *ui.Printer) {
	t := ui.Table{Header: []string{"PRODUCER", "KEY", "ALG", "STATE", "NEXT"}, Folds: []int{0, 4},
		Lists: map[int][][2]string{}}
	for _, k := range s.Keys {
		t.Add(k.head(p)...)
		var list [][2]string
		for _, part := range []struct {
			name  string
			items []string
		}{{"sources", orNothing(k.Sources)}, {"types", orNothing(k.Types)}, {"accounts", k.accounts()}} {
			for i, item := range part.items {
				name := part.name
				if i > 0 {
					name = ""
				}
				list = append(list, [2]string{name, item})
			}
		}
		t.Lists[len(t.Rows)] = list
	}
	t.Print(p)
}

// accounts are those that the key may be used from; nil = any.
func (k *keyShown) accounts() []string {
	if k.Accounts == nil {
		return nil
	}
	return orNothing(*k.Accounts)
}

func (k *keyShown) head(p *ui.Printer) []ui.Cell {
	return []ui.Cell{ui.Painted(k.Producer, p.Bold), ui.Painted(ui.ShortID(k.KeyID), nil),
		ui.Painted(k.Alg, nil), loadkeys.StateCell(p, k.State), ui.Painted(k.next, nil)}
}

func (s *bundleShown) lifetime(p *ui.Printer, now time.Time) string {
	if s.Expired {
		return p.Red("EXPIRED " + ui.FormatDuration(now.Sub(s.expires)) + " ago")
	}
	return "expires in " + ui.FormatDuration(s.expires.Sub(now))
}

// rows adds as many rows as the key has patterns.
func (k *keyShown) rows(p *ui.Printer, t *ui.Table) {
	sources, types := orNothing(k.Sources), orNothing(k.Types)
	head := k.head(p)
	for i := range max(len(sources), len(types)) {
		row := head
		if i > 0 {
			row = make([]ui.Cell, len(head))
		}
		t.Rows = append(t.Rows, append(row[:len(row):len(row)], ui.Painted(at(sources, i), nil),
			ui.Painted(at(types, i), nil)))
	}
	if k.Accounts != nil {
		row := make([]ui.Cell, len(head)+1)
		row[len(head)] = ui.Painted("account "+strings.Join(orNothing(*k.Accounts), ", "), p.Dim)
		t.Rows = append(t.Rows, row)
	}
}

func orNothing(list []string) []string {
	if len(list) == 0 {
		return []string{"(none)"}
	}
	return list
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}
