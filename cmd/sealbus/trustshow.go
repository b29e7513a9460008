package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/spf13/cobra"
)

// bundleShown is the result of `trust show`.
type bundleShown struct {
	Verified        bool       `json:"verified"` // under --roots; everything else is a claim without it
	Version         int64      `json:"version"`
	Issued          string     `json:"issued"`
	Expires         string     `json:"expires"`
	Expired         bool       `json:"expired"`
	RefreshHint     int64      `json:"refresh_hint,omitempty"` // seconds
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
	DaysLeft      *int       `json:"days_left"` // until it stops signing, null = no end

	next string
}

func (a *app) trustShowCommand() *cobra.Command {
	var roots string
	cmd := a.command(commandSpec{
		use: "show [--roots FILE] BUNDLE", short: "Show the keys of a trust bundle and where each stands",
		long: "Show the keys of a trust bundle, where each stands in its life, and what it may speak for.\n" +
			"BUNDLE is a file, an https:// URL or s3://BUCKET/KEY. Without --roots nothing is verified, and the output says so. Exit status 1 if the bundle is not to be trusted.",
		args: exactly("BUNDLE"), now: true,
		run: func(ctx context.Context, args []string) error { return a.trustShow(ctx, args[0], roots) },
	})
	cmd.Flags().StringVar(&roots, "roots", "", "verify the bundle under this pinned roots `FILE`")
	return cmd
}

func (a *app) trustShow(ctx context.Context, file, rootsFile string) error {
	signed, err := a.readSigned(ctx, file)
	if err != nil {
		return err
	}
	if rootsFile == "" {
		return a.showUnverified(file, signed)
	}
	roots, err := a.readRoots(rootsFile)
	if err != nil {
		return asNeeded("roots", err)
	}
	b, err := trust.OpenBundle(signed, roots, &trust.OpenBundleOptions{Now: longAgo}) // an expired one is shown as that
	if err != nil {
		return refused(file, err)
	}
	shown := describeBundle(b, a.now())
	shown.Verified, shown.SignedBy, shown.threshold = true, goodSigners(roots, signed), roots.Threshold()
	if err := a.emit(shown, func(p *printer) { shown.print(p, file, a.now()) }); err != nil {
		return err
	}
	if shown.Expired {
		return ended(exitRejected)
	}
	return nil
}

func (a *app) showUnverified(file string, signed []byte) error {
	e, err := dsse.Parse(signed)
	if err == nil && e.PayloadType != trust.BundleType {
		err = fmt.Errorf("payload type %q is not that of a bundle", e.PayloadType)
	}
	if err != nil {
		return refused(file, err)
	}
	b, err := trust.ParseBundle(e.Payload)
	if err != nil {
		return refused(file, err)
	}
	a.warnf("NOT VERIFIED: anybody may have written this bundle; --roots FILE verifies it")
	shown := describeBundle(b, a.now())
	shown.SignedBy = keyIDs(e)
	return a.emit(shown, func(p *printer) { shown.print(p, file, a.now()) })
}

func describeBundle(b *trust.Bundle, now time.Time) *bundleShown {
	s := &bundleShown{
		Version: b.Version(), Issued: formatTime(b.Issued()), Expires: formatTime(b.Expires()), expires: b.Expires(),
		Expired: !now.Before(b.Expires()), RefreshHint: int64(b.RefreshHint() / time.Second),
		RevokedSessions: b.RevokedSessions(), Keys: []keyShown{}, EncryptionKeys: describeEncryptionKeys(b, now),
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
		Published: formatTime(k.Schedule.Published), Active: formatTime(k.Schedule.Active),
		Retired: formatTime(k.Schedule.Retired), Expired: formatTime(k.Schedule.Expired),
		next: nextStep(&k.Schedule, now),
	}
	if k.Accounts != nil {
		s.Accounts = &k.Accounts
	}
	if end := firstSet(k.Schedule.Retired, k.Schedule.Expired); !end.IsZero() {
		left := daysLeft(end, now)
		s.DaysLeft = &left
	}
	if k.Revoked != nil {
		s.RevokedAt, s.RevokedReason = formatTime(k.Revoked.At), k.Revoked.Reason
		s.next = k.Revoked.Reason
	}
	return s
}

func firstSet(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *bundleShown) print(p *printer, file string, now time.Time) {
	p.hangingf(2, "%s  version %d, issued %s, %s", p.bold(clean(file)), s.Version, s.Issued, s.lifetime(p, now))
	if s.Verified {
		p.linef("%s  signed by %s, %d needed", p.green("verified"), count(len(s.SignedBy), "root key"), s.threshold)
	} else {
		p.linef("%s  claims to be signed by %s", p.red("NOT VERIFIED"), count(len(s.SignedBy), "key"))
	}
	if n := len(s.RevokedSessions); n > 0 {
		p.linef("%s revoked", count(n, "session key"))
	}
	p.linef("")
	t := table{header: []string{"PRODUCER", "KEY", "ALG", "STATE", "NEXT", "SOURCES", "TYPES"}}
	for _, k := range s.Keys {
		k.rows(p, &t)
	}
	if t.fits(p.style) {
		t.print(p)
	} else {
		s.printNarrow(p)
	}
	printEncryptionKeys(p, s.EncryptionKeys)
}

// printNarrow has what a key may speak for below it.
func (s *bundleShown) printNarrow(p *printer) {
	t := table{header: []string{"PRODUCER", "KEY", "ALG", "STATE", "NEXT"}, folds: []int{0, 4}, lists: map[int][][2]string{}}
	for _, k := range s.Keys {
		t.add(k.head(p)...)
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
		t.lists[len(t.rows)] = list
	}
	t.print(p)
}

// accounts are those that the key may be used from; nil = any.
func (k *keyShown) accounts() []string {
	if k.Accounts == nil {
		return nil
	}
	return orNothing(*k.Accounts)
}

func (k *keyShown) head(p *printer) []cell {
	return []cell{{k.Producer, p.bold}, {shortID(k.KeyID), nil}, {k.Alg, nil}, stateCell(p, k.State), {k.next, nil}}
}

func (s *bundleShown) lifetime(p *printer, now time.Time) string {
	if s.Expired {
		return p.red("EXPIRED " + formatDuration(now.Sub(s.expires)) + " ago")
	}
	return "expires in " + formatDuration(s.expires.Sub(now))
}

// rows adds as many rows as the key has patterns.
func (k *keyShown) rows(p *printer, t *table) {
	sources, types := orNothing(k.Sources), orNothing(k.Types)
	head := k.head(p)
	for i := range max(len(sources), len(types)) {
		row := head
		if i > 0 {
			row = make([]cell, len(head))
		}
		t.rows = append(t.rows, append(row[:len(row):len(row)], cell{at(sources, i), nil}, cell{at(types, i), nil}))
	}
	if k.Accounts != nil {
		row := make([]cell, len(head)+1)
		row[len(head)] = cell{"account " + strings.Join(orNothing(*k.Accounts), ", "), p.dim}
		t.rows = append(t.rows, row)
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
