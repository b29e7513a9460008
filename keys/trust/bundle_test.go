package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
)

func testKey(t testing.TB, alg keys.Algorithm, change func(*Key)) *Key {
	t.Helper()
	k := &Key{Verifier: mustGenerate(t, alg).Verifier(), Producer: "orders",
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.*"}}
	if change != nil {
		change(k)
	}
	return k
}

func encEntry(t testing.TB) *Key {
	t.Helper()
	r, err := keys.ParseRecipientJWK([]byte(goodX25519))
	if err != nil {
		t.Fatal(err)
	}
	return &Key{Recipient: r, Consumer: "billing", Schedule: keys.Schedule{Published: day(0)}}
}

func fullBundle(t testing.TB) *Bundle {
	t.Helper()
	enc := encEntry(t)
	enc.Tainted, enc.Since = true, day(-20)
	b, err := NewBundle(BundleOptions{
		Version: 7, Issued: day(0), Expires: day(7), RefreshHint: 5 * time.Minute, Cache: time.Hour,
		RevokedSessions: []string{thumbprintOf([]byte("b")), thumbprintOf([]byte("a"))},
	},
		enc,
		testKey(t, keys.Ed25519, func(k *Key) { k.Schedule, k.Since = fullSchedule, day(0); k.Aliases = []string{"old", "shared"} }),
		testKey(t, keys.ES256, func(k *Key) {
			k.Revoked = &Revocation{At: day(3), Reason: "stolen \"é\""}
			k.Accounts = []string{}
			k.Tainted = true
		}),
		testKey(t, keys.ES256, func(k *Key) {
			k.Producer = "refunds"
			k.Sources, k.Types = nil, []string{}
			k.Accounts = []string{"111122223333"}
			k.Aliases = []string{"shared"}
			k.Before = &Grant{Accounts: []string{}}
		}),
		testKey(t, keys.Ed25519, func(k *Key) {
			k.Accounts = []string{"111122223333"}
			k.Before = &Grant{fullSchedule, []string{"urn:orders"}, []string{"*"}, []string{"111122223333"}}
		}))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBundleComesBack(t *testing.T) {
	b := fullBundle(t)
	payload := b.Payload()
	if !jsontext.Value(payload).IsCanonical() {
		t.Fatalf("%s is not canonical", payload)
	}
	back, err := ParseBundle(payload)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.Payload(), payload) {
		t.Errorf("written as %s, then as %s", payload, back.Payload())
	}
	if back.Version() != 7 || !back.Issued().Equal(day(0)) || !back.Expires().Equal(day(7)) ||
		back.RefreshHint() != 5*time.Minute || back.Cache() != time.Hour {
		t.Errorf("head: %d %s %s %s", back.Version(), back.Issued(), back.Expires(), back.RefreshHint())
	}
	if !back.SessionRevoked(thumbprintOf([]byte("a"))) || back.SessionRevoked(thumbprintOf([]byte("c"))) ||
		len(back.RevokedSessions()) != 2 {
		t.Error("revoked sessions are not what they were")
	}
	if len(back.SigningKeys()) != 4 || len(back.Lookup("shared")) != 2 || len(back.Lookup("old")) != 1 ||
		back.Lookup("none") != nil {
		t.Error("keys are not found")
	}
	for i, k := range back.SigningKeys() {
		if found := back.Lookup(k.KeyID()); len(found) != 1 || found[0] != k {
			t.Errorf("key %s is not found under its ID", k.KeyID())
		}
		want := b.SigningKeys()[i].append(nil, new(keydoc.Object))
		if got := k.append(nil, new(keydoc.Object)); !bytes.Equal(got, want) {
			t.Errorf("key %s came back as %s", want, got)
		}
	}
}

// Nil and empty lists mean different things for accounts, and survive.
// An entry has what keys.PublicKey writes of the key, and what the bundle adds.
func TestEntryHasThePublicKey(t *testing.T) {
	full := fullBundle(t)
	list := append(full.SigningKeys(), full.EncryptionKeys()...)
	for _, k := range append(list, testKey(t, keys.MLDSA65, func(k *Key) { k.Schedule = fullSchedule })) {
		var entry, public map[string]any
		jwk, err := keys.PublicKey{Verifier: k.Verifier, Recipient: k.Recipient, Producer: k.Producer,
			Consumer: k.Consumer, Schedule: k.Schedule}.MarshalJSON()
		if err = errors.Join(err, json.Unmarshal(jwk, &public),
			json.Unmarshal(k.append(nil, new(keydoc.Object)), &entry)); err != nil {
			t.Fatal(err)
		}
		for _, added := range []string{"accounts", "aliases", "sources", "types", "revoked", "since", "tainted", "before"} {
			delete(entry, added)
		}
		if !reflect.DeepEqual(entry, public) {
			t.Errorf("the entry has %v, the public key %v", entry, public)
		}
	}
}

func TestAbsentIsNotEmpty(t *testing.T) {
	b, err := ParseBundle(fullBundle(t).Payload())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range b.SigningKeys() {
		switch {
		case k.Revoked != nil:
			if k.Accounts == nil || k.AllowsAccount("111122223333") {
				t.Error("empty accounts became absent")
			}
		case k.Producer == "orders" && k.Before == nil:
			if k.Accounts != nil {
				t.Error("absent accounts became empty")
			}
		case k.Producer == "orders":
		case k.Before.Accounts == nil || k.Before.Sources != nil:
			t.Error("empty accounts of before became absent, or absent sources empty")
		case k.Sources != nil || k.Types == nil || keys.MatchSource(k.Sources, "https://orders.example/x") ||
			keys.MatchType(k.Types, "com.example.x"):
			t.Error("absent sources or empty types changed, or allow something")
		}
	}
}

func TestBundleIsImmutable(t *testing.T) {
	k := testKey(t, keys.Ed25519, func(k *Key) { k.Revoked, k.Before = &Revocation{At: day(1)}, &Grant{Types: []string{"*"}} })
	b, err := NewBundle(BundleOptions{}, k)
	if err != nil {
		t.Fatal(err)
	}
	before := b.Payload()
	k.Sources[0], k.Types[0], k.Revoked.Reason, k.Producer = "x", "y", "z", "evil"
	k.Before.Types[0], k.Before.Sources = "x", []string{"y"}
	b.SigningKeys()[0] = nil
	if !bytes.Equal(before, b.Payload()) {
		t.Error("changing the caller's key changed the bundle")
	}
}

// sharing are keys of one alias.
func sharing(t *testing.T, n int) (list []*Key) {
	for range n {
		list = append(list, testKey(t, keys.Ed25519, func(k *Key) { k.Aliases = []string{"a"} }))
	}
	return list
}

func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("a", i))
	}
	return list
}

func TestNewBundleRefuses(t *testing.T) {
	one := testKey(t, keys.Ed25519, nil)
	id := one.KeyID()
	enc := encEntry(t)
	encID := enc.KeyID()
	key := func(change func(*Key)) []*Key { return []*Key{one, testKey(t, keys.ES256, change)} }
	for name, c := range map[string]struct {
		opts BundleOptions
		keys []*Key
	}{
		"nil key":               {keys: []*Key{nil}},
		"no verifier":           {keys: []*Key{{Producer: "p"}}},
		"same key twice":        {keys: []*Key{one, one}},
		"no producer":           {keys: key(func(k *Key) { k.Producer = "" })},
		"bad source":            {keys: key(func(k *Key) { k.Sources = []string{"https://example.com:*"} })},
		"source twice":          {keys: key(func(k *Key) { k.Sources = []string{"a", "b", "a"} })},
		"bad type":              {keys: key(func(k *Key) { k.Types = []string{"a*"} })},
		"bad account":           {keys: key(func(k *Key) { k.Accounts = []string{"1111"} })},
		"account twice":         {keys: key(func(k *Key) { k.Accounts = []string{"111122223333", "111122223333"} })},
		"schedule":              {keys: key(func(k *Key) { k.Schedule = keys.Schedule{Active: day(2), Retired: day(1)} })},
		"revoked at no time":    {keys: key(func(k *Key) { k.Revoked = &Revocation{Reason: "x"} })},
		"reason with a newline": {keys: key(func(k *Key) { k.Revoked = &Revocation{At: day(1), Reason: "x\ny"} })},
		"alias is an ID":        {keys: key(func(k *Key) { k.Aliases = []string{id} })},
		"alias is an enc ID":    {keys: append(key(func(k *Key) { k.Aliases = []string{encID} }), enc)},
		"alias is its own ID":   {keys: key(func(k *Key) { k.Aliases = []string{k.KeyID()} })},
		"alias twice":           {keys: key(func(k *Key) { k.Aliases = []string{"a", "a"} })},
		"empty alias":           {keys: key(func(k *Key) { k.Aliases = []string{""} })},
		"long alias":            {keys: key(func(k *Key) { k.Aliases = []string{strings.Repeat("a", maxAlias+1)} })},
		"alias not UTF-8":       {keys: key(func(k *Key) { k.Aliases = []string{"\xff"} })},
		"too many aliases":      {keys: key(func(k *Key) { k.Aliases = numbered(maxAliases + 1) })},
		"too shared alias":      {keys: sharing(t, maxSharedAlias+1)},
		"too many sources":      {keys: key(func(k *Key) { k.Sources = numbered(keydoc.MaxPatterns + 1) })},
		"hint as the lifetime": {opts: BundleOptions{Issued: day(0), Expires: day(1),
			RefreshHint: 24 * time.Hour}},
		"negative version":       {opts: BundleOptions{Version: -1}},
		"version beyond 2^53":    {opts: BundleOptions{Version: maxBundleVersion + 1}},
		"expires before issued":  {opts: BundleOptions{Issued: day(2), Expires: day(1)}},
		"hint of half a second":  {opts: BundleOptions{RefreshHint: time.Second / 2}},
		"negative hint":          {opts: BundleOptions{RefreshHint: -time.Second}},
		"cache of half a second": {opts: BundleOptions{Cache: time.Second / 2}},
		"negative cache":         {opts: BundleOptions{Cache: -time.Second}},
		"cache of more":          {opts: BundleOptions{Cache: 7*24*time.Hour + time.Second}},
		"since after issued":     {opts: BundleOptions{Issued: day(1)}, keys: key(func(k *Key) { k.Since = day(1.1) })},
		"since, never issued":    {keys: key(func(k *Key) { k.Since = day(1) })},
		"before, bad source":     {keys: key(func(k *Key) { k.Before = &Grant{Sources: []string{"https://example.com:*"}} })},
		"before, type twice":     {keys: key(func(k *Key) { k.Before = &Grant{Types: []string{"a", "a"}} })},
		"before, bad account":    {keys: key(func(k *Key) { k.Before = &Grant{Accounts: []string{"1111"}} })},
		"before, schedule": {keys: key(func(k *Key) {
			k.Before = &Grant{Schedule: keys.Schedule{Active: day(2), Retired: day(1)}}
		})},
		"before, too many types": {keys: key(func(k *Key) { k.Before = &Grant{Types: numbered(keydoc.MaxPatterns + 1)} })},
		"before, of a reader":    {keys: []*Key{{Recipient: enc.Recipient, Consumer: enc.Consumer, Before: &Grant{}}}},
		"since before year 1":    {keys: key(func(k *Key) { k.Since = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) })},
		"session no thumbprint":  {opts: BundleOptions{RevokedSessions: []string{"x"}}},
		"session twice":          {opts: BundleOptions{RevokedSessions: []string{id, id}}},
	} {
		if _, err := NewBundle(c.opts, c.keys...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestNewBundleTakes: the limits themselves are within them.
func TestNewBundleTakes(t *testing.T) {
	for name, list := range map[string][]*Key{
		"shared alias": sharing(t, maxSharedAlias),
		"aliases":      {testKey(t, keys.Ed25519, func(k *Key) { k.Aliases = numbered(maxAliases) })},
		"none":         nil,
		"repeated pattern": {testKey(t, keys.Ed25519,
			func(k *Key) { k.Sources, k.Types = []string{"a"}, []string{"a"} })},
	} {
		if _, err := NewBundle(BundleOptions{}, list...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A hint is judged when a bundle is made, by its lifetime; consumers read what is published.
func TestRefreshHintAndLifetime(t *testing.T) {
	b, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(1),
		RefreshHint: 24*time.Hour - time.Second}, testKey(t, keys.Ed25519, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBundle(BundleOptions{RefreshHint: keydoc.MaxRefreshHint}); err != nil {
		t.Errorf("a bundle that never expires: %v", err)
	}
	longer := bytes.Replace(b.Payload(), []byte(`"refresh_hint":86399`), []byte(`"refresh_hint":604800`), 1)
	if read, err := ParseBundle(longer); err != nil || read.RefreshHint() != keydoc.MaxRefreshHint {
		t.Errorf("a published one: %v", err)
	}
}

func TestTooManyKeys(t *testing.T) {
	k := testKey(t, keys.Ed25519, nil)
	if _, err := NewBundle(BundleOptions{}, slices.Repeat([]*Key{k}, keydoc.MaxKeys+1)...); err == nil ||
		!strings.Contains(err.Error(), "20000") {
		t.Errorf("%v", err)
	}
	doc := `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{},`, keydoc.MaxKeys+1), ",") + `]}`
	wantWhy(t, "many keys", parseErr(doc), WhyMalformed)
	wantWhy(t, "16 MiB", parseErr(strings.Repeat(" ", keydoc.MaxBundle+1)), WhyTooLarge)
}

func parseErr(payload string) error { _, err := ParseBundle([]byte(payload)); return err }

func wantWhy(t *testing.T, name string, err error, want BundleWhy) {
	t.Helper()
	var e *BundleError
	if !errors.As(err, &e) || e.Why != want {
		t.Errorf("%s: %v, want %s", name, err, want)
	}
}

func TestParseBundleRefuses(t *testing.T) {
	b, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7), RefreshHint: time.Minute},
		testKey(t, keys.Ed25519, func(k *Key) { k.Schedule.Active = day(1) }))
	if err != nil {
		t.Fatal(err)
	}
	good := string(b.Payload())
	if err := parseErr(good); err != nil {
		t.Fatal(err)
	}
	entry := good[strings.Index(good, "[")+1 : strings.Index(good, `],"refresh_hint"`)]
	id := b.SigningKeys()[0].KeyID()
	for name, c := range map[string]struct{ old, new string }{
		"unknown member":               {`"version":1`, `"version":1,"x":1`},
		"unknown member in before":     {`"kid":`, `"before":{"w":1},"kid":`},
		"a producer in before":         {`"kid":`, `"before":{"producer":"orders"},"kid":`},
		"before is null":               {`"kid":`, `"before":null,"kid":`},
		"before is a list":             {`"kid":`, `"before":[],"kid":`},
		"a part of a second in before": {`"crv":`, `"before":{"active":"2026-01-02T00:00:00.5Z"},"crv":`},
		"no order in before":           {`"crv":`, `"before":{"types":["*"],"sources":["urn:x"]},"crv":`},
		"unknown member in a key":      {`"use":"sig"`, `"use":"sig","w":1`},
		"a restriction of later":       {`"use":"sig"`, `"regions":["eu"],"use":"sig"`},
		"private member":               {`"kid":`, `"d":"AAAA","kid":`},
		"private of another type":      {`"kid":`, `"k":"AAAA","kid":`},
		"kid is not the ID":            {id, thumbprintOf(nil)},
		"no kid":                       {`"kid":"` + id + `",`, ``},
		"no use":                       {`,"use":"sig"`, ``},
		"another use":                  {`"use":"sig"`, `"use":"tls"`},
		"no alg":                       {`"alg":"Ed25519",`, ``},
		"old alg":                      {`"alg":"Ed25519"`, `"alg":"EdDSA"`},
		"no version":                   {`,"version":1`, ``},
		"version 0":                    {`"version":1`, `"version":0`},
		"version 1.0":                  {`"version":1`, `"version":1.0`},
		"version 1e0":                  {`"version":1`, `"version":1e0`},
		"version beyond":               {`"version":1`, `"version":9007199254740992`},
		"no expires":                   {`"expires":"2026-01-08T00:00:00Z",`, ``},
		"no issued":                    {`"issued":"2026-01-01T00:00:00Z",`, ``},
		"expires before issued":        {`2026-01-08`, `2025-01-08`},
		"offset":                       {`2026-01-08T00:00:00Z`, `2026-01-08T00:00:00+00:00`},
		"another offset":               {`2026-01-08T00:00:00Z`, `2026-01-08T01:00:00+01:00`},
		"fraction":                     {`2026-01-08T00:00:00Z`, `2026-01-08T00:00:00.0Z`},
		"lower case":                   {`2026-01-08T00:00:00Z`, `2026-01-08t00:00:00z`},
		"no such day":                  {`2026-01-08`, `2026-02-30`},
		"the zero time":                {`2026-01-02`, `0001-01-01`},
		"refresh_hint 0":               {`"refresh_hint":60`, `"refresh_hint":0`},
		"cache 0":                      {`{"expires"`, `{"cache":0,"expires"`},
		"cache of 8 days":              {`{"expires"`, `{"cache":604801,"expires"`},
		"since after issued":           {`"sources"`, `"since":"2026-01-01T00:00:01Z","sources"`},
		"since is empty":               {`"sources"`, `"since":"","sources"`},
		"tainted false":                {`"types"`, `"tainted":false,"types"`},
		"tainted 1":                    {`"types"`, `"tainted":1,"types"`},
		"tainted text":                 {`"types"`, `"tainted":"true","types"`},
		"empty revoked_sessions":       {`"version":1`, `"revoked_sessions":[],"version":1`},
		"white space":                  {`{"expires"`, `{ "expires"`},
		"escape":                       {`"orders"`, `"\u006frders"`},
		"duplicate member":             {`"version":1`, `"version":1,"version":1`},
		"same key twice":               {entry, entry + "," + entry},
		"key is null":                  {entry, `null`},
		"keys is an object":            {`"keys":[` + entry + `]`, `"keys":{}`},
		"alias is its ID":              {`"alg":"Ed25519",`, `"alg":"Ed25519","aliases":["` + id + `"],`},
		"empty aliases":                {`"alg":"Ed25519",`, `"alg":"Ed25519","aliases":[],`},
		"sources null":                 {`"sources":["https://orders.example/*"]`, `"sources":null`},
		"bad pattern":                  {`https://orders.example/*`, `https://*`},
		"revoked true":                 {`"sources"`, `"revoked":true,"sources"`},
		"revoked empty":                {`"sources"`, `"revoked":{},"sources"`},
		"revoked unknown member": {`"sources"`,
			`"revoked":{"at":"2026-01-01T00:00:00Z","reason":"","x":1},"sources"`},
		"trailing":         {`"version":1}`, `"version":1}{}`},
		"x of another key": {`"x":"`, `"x":"A`},
	} {
		changed := strings.Replace(good, c.old, c.new, 1)
		if changed == good {
			t.Fatalf("%s: nothing was changed in %s", name, good)
		}
		wantWhy(t, name, parseErr(changed), WhyMalformed)
	}
}

// KnownAt is counted from when the grant was first vouched for: by the bundle before, by the timestamp, or by
// the bundle itself.
func TestKnownAt(t *testing.T) {
	old := testKey(t, keys.Ed25519, func(k *Key) { k.Since = day(-30) })
	fresh := testKey(t, keys.Ed25519, nil)
	made := func(o BundleOptions) *Bundle {
		b, err := NewBundle(o, old, fresh)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	full := BundleOptions{Version: 1, Issued: day(0), Expires: day(7), RefreshHint: 5 * time.Minute,
		Cache: time.Hour}
	b := made(full)
	if got, want := b.KnownAt(b.Key(old.KeyID())), day(-30).Add(80*time.Minute); !got.Equal(want) {
		t.Errorf("since: %s, want %s", got, want)
	}
	if got, want := b.KnownAt(b.Key(fresh.KeyID())), day(0).Add(80*time.Minute); !got.Equal(want) {
		t.Errorf("issued: %s, want %s", got, want)
	}
	full.RefreshHint, full.Cache = 0, 0
	if got, want := made(full).KnownAt(fresh), day(0).Add(3*defaultRefresh+timestampSkew); !got.Equal(want) {
		t.Errorf("default refresh: %s, want %s", got, want)
	}
	old.Since = time.Time{}
	if got := made(BundleOptions{}).KnownAt(fresh); !got.IsZero() {
		t.Errorf("made in the program: %s", got)
	}
}

// With timestamps, a grant without since counts from the bundle_since of the timestamp. If the timestamp
// names a later bundle, it counts from then, because the bundle in use was named before.
func TestKnownAtWithTimestamps(t *testing.T) {
	b := fullBundle(t)
	var fresh *Key
	for _, k := range b.SigningKeys() {
		if k.Since.IsZero() {
			fresh = k
		}
	}
	ts := &Timestamp{Version: 1, RootsVersion: 1, BundleVersion: b.version, BundleSHA256: seenOf(b).digest,
		BundleSince: day(2), Issued: day(3), Expires: day(4)}
	h := newTimed(t).nothing()
	h.bundle, h.seen, h.timestamp, h.until = b, seenOf(b), ts, day(4)
	known := 80 * time.Minute
	h.look()
	if got := h.view.KnownAt(fresh); !got.Equal(day(2).Add(known)) {
		t.Errorf("named by the timestamp: %s", got)
	}
	later := *ts
	later.BundleVersion, later.BundleSince, later.Issued = b.version+1, day(3), day(3)
	h.timestamp = &later
	h.look()
	if got := h.view.KnownAt(fresh); !got.Equal(day(3).Add(known)) || h.view.stamp != nil {
		t.Errorf("the timestamp names another bundle: %s", got)
	}
}

func TestJWKS(t *testing.T) {
	b := fullBundle(t)
	var all, some jose.JSONWebKeySet
	if err := json.Unmarshal(b.JWKS(nil), &all); err != nil || len(all.Keys) != 4 {
		t.Fatalf("%d keys, %v", len(all.Keys), err)
	}
	if err := json.Unmarshal(b.JWKS(func(k *Key) bool { return k.Verifier.Algorithm() == keys.ES256 && k.Revoked == nil }), &some); err != nil || len(some.Keys) != 1 {
		t.Fatalf("%d keys, %v", len(some.Keys), err)
	}
	if bytes.Contains(b.JWKS(nil), []byte("orders")) {
		t.Error("a plain set has members of ours")
	}
	if got := string(b.JWKS(func(*Key) bool { return false })); got != `{"keys":[]}` {
		t.Error(got)
	}
}

type roots3 struct {
	keys  [3]*RootKey
	roots *Roots // 2 of 3
}

func newRoots3(t testing.TB) (r roots3) {
	t.Helper()
	for i := range r.keys {
		r.keys[i] = mustRoot(t)
	}
	var err error
	if r.roots, err = NewRoots(1, 2, r.keys[0].Verifier(), r.keys[1].Verifier(),
		r.keys[2].Verifier()); err != nil {
		t.Fatal(err)
	}
	return r
}

func mustRoot(t testing.TB) *RootKey {
	t.Helper()
	k, err := GenerateRootKey(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (r roots3) sign(t testing.TB, b *Bundle, which ...int) []byte {
	t.Helper()
	var signers []RootSigner
	for _, i := range which {
		signers = append(signers, r.keys[i])
	}
	signed, err := SignBundle(context.Background(), b, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func at(now time.Time) *Options {
	return &Options{Now: func() time.Time { return now }}
}

func TestOpenBundle(t *testing.T) {
	r, b := newRoots3(t), fullBundle(t)
	for _, which := range [][]int{{0, 1}, {1, 2}, {2, 0}, {0, 1, 2}} {
		back, err := OpenBundle(r.sign(t, b, which...), r.roots, at(day(1)))
		if err != nil || !bytes.Equal(back.Payload(), b.Payload()) {
			t.Errorf("roots %v: %v", which, err)
		}
	}
	signed := r.sign(t, b, 0, 1)
	for name, c := range map[string]struct {
		signed []byte
		opts   Options
		want   BundleWhy
	}{
		"one of two":           {r.sign(t, b, 0), *at(day(1)), WhyThreshold},
		"same root twice":      {doubled(t, r.sign(t, b, 0)), *at(day(1)), WhyThreshold},
		"unknown root":         {r.sign(t, b, 0), *at(day(1)), WhyThreshold},
		"payload changed":      {tamper(t, signed), *at(day(1)), WhyThreshold},
		"at its end":           {signed, *at(day(7)), WhyExpired},
		"lower version":        {signed, Options{Now: at(day(1)).Now, MinVersion: 8}, WhyRollback},
		"other payload type":   {resign(t, "application/json", b.Payload(), r), *at(day(1)), WhyType},
		"a roots file":         {resign(t, keydoc.RootsType, r.roots.Payload(), r), *at(day(1)), WhyType},
		"signed but no bundle": {resign(t, keydoc.BundleType, []byte(`{}`), r), *at(day(1)), WhyMalformed},
		"not signed":           {b.Payload(), *at(day(1)), WhyMalformed},
		"no signatures": {bytes.Replace(signed,
			signed[bytes.Index(signed, []byte(`"signatures":[`)):], []byte(`"signatures":[]}`), 1),
			*at(day(1)), WhyMalformed},
		"more signatures": {many(t, signed), *at(day(1)), WhyTooLarge},
		"more bytes": {append(bytes.Clone(signed), bytes.Repeat([]byte(" "), keydoc.MaxSigned)...),
			*at(day(1)), WhyTooLarge},
		"key IDs interchanged":  {swapped(t, signed), *at(day(1)), WhyThreshold},
		"an enc key ID as root": {renamed(t, signed, "x"), *at(day(1)), WhyThreshold},
		"no key IDs":            {renamed(t, signed, ""), *at(day(1)), WhyThreshold},
	} {
		_, err := OpenBundle(c.signed, r.roots, &c.opts)
		wantWhy(t, name, err, c.want)
	}
	if _, err := OpenBundle(signed, nil, nil); err == nil {
		t.Error("no roots: accepted")
	}
	if _, err := OpenBundle(signed, r.roots, &Options{Now: at(day(7).Add(-1)).Now,
		MinVersion: 7}); err != nil {
		t.Error(err)
	}
}

// edit parses a signed document, changes it and writes it.
func edit(t testing.TB, signed []byte, change func(*dsse.Envelope)) []byte {
	t.Helper()
	e, err := dsse.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	change(e)
	return e.Append(nil)
}

func doubled(t testing.TB, signed []byte) []byte {
	return edit(t, signed, func(e *dsse.Envelope) { e.Signatures = append(e.Signatures, e.Signatures[0]) })
}

func tamper(t testing.TB, signed []byte) []byte {
	return edit(t, signed, func(e *dsse.Envelope) {
		e.Payload = bytes.Replace(e.Payload, []byte(`"version":7`), []byte(`"version":8`), 1)
	})
}

func many(t testing.TB, signed []byte) []byte {
	return edit(t, signed, func(e *dsse.Envelope) { e.Signatures = slices.Repeat(e.Signatures, dsse.MaxSignatures) })
}

func swapped(t testing.TB, signed []byte) []byte {
	return edit(t, signed, func(e *dsse.Envelope) {
		e.Signatures[0].KeyID, e.Signatures[1].KeyID = e.Signatures[1].KeyID, e.Signatures[0].KeyID
	})
}

func renamed(t testing.TB, signed []byte, id string) []byte {
	return edit(t, signed, func(e *dsse.Envelope) { e.Signatures[0].KeyID = id })
}

func resign(t testing.TB, payloadType string, payload []byte, r roots3) []byte {
	t.Helper()
	signed, err := signPayload(context.Background(), payloadType, payload, []RootSigner{r.keys[0], r.keys[1]})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestAddSignature(t *testing.T) {
	r, b := newRoots3(t), fullBundle(t)
	one := r.sign(t, b, 0)
	two, err := AddSignature(t.Context(), one, r.keys[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBundle(two, r.roots, at(day(1))); err != nil {
		t.Error(err)
	}
	again, err := AddSignature(t.Context(), two, r.keys[1])
	if err != nil || !bytes.Equal(again, two) {
		t.Errorf("signing again changes the document (%v)", err)
	}
	_, err = AddSignature(t.Context(), resign(t, "application/json", []byte(`{}`), r), r.keys[2])
	wantWhy(t, "something else", err, WhyType)
	_, err = AddSignature(t.Context(), resign(t, keydoc.BundleType, []byte(`{}`), r), r.keys[2])
	wantWhy(t, "no bundle", err, WhyMalformed)
}

func TestSignBundleRefuses(t *testing.T) {
	r := newRoots3(t)
	for name, opts := range map[string]BundleOptions{
		"no version": {Issued: day(0), Expires: day(1)}, "no issued": {Version: 1, Expires: day(1)},
		"no expires": {Version: 1, Issued: day(1)},
	} {
		b, err := NewBundle(opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := SignBundle(t.Context(), b, r.keys[0]); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := SignBundle(t.Context(), fullBundle(t)); err == nil {
		t.Error("signed by nobody")
	}
}

// A root key that lives elsewhere is any keys.Signer.
var _ RootSigner = keys.Signer(nil)

// FuzzBundle: what is parsed is written byte for byte as it was: everything that is not in the one canonical
// form is refused.
func FuzzBundle(f *testing.F) {
	f.Add(fullBundle(f).Payload())
	f.Add([]byte(`{"expires":"2026-01-08T00:00:00Z","issued":"2026-01-01T00:00:00Z","keys":[],"version":1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := ParseBundle(payload)
		if err != nil {
			if e := (*BundleError)(nil); !errors.As(err, &e) {
				t.Fatalf("not a BundleError: %v", err)
			}
			return
		}
		if !bytes.Equal(b.Payload(), payload) {
			t.Fatalf("%s is written as %s", payload, b.Payload())
		}
		if !jsontext.Value(payload).IsCanonical() {
			t.Fatalf("%s is not canonical (%v)", payload, err)
		}
		for _, k := range b.SigningKeys() {
			sum := sha256.Sum256(k.Verifier.ThumbprintJWK())
			if found := b.Lookup(base64.RawURLEncoding.EncodeToString(sum[:])); len(found) != 1 ||
				found[0] != k {
				t.Errorf("key %s is not found", k.KeyID())
			}
		}
	})
}
