package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
)

const passphrase = "correct horse battery staple"

// cheap is a work factor for tests.
var cheap = PrivateFileOptions{ScryptWorkFactor: 2}

func newRing(t testing.TB, opts KeyringOptions) *Keyring {
	t.Helper()
	opts.PrivateFileOptions = cheap
	k, err := CreateKeyring(filepath.Join(t.TempDir(), "ring"), passphrase, "orders", &opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyringComesBack(t *testing.T) {
	ed, es := mustGenerate(t, Ed25519), mustGenerate(t, ES256)
	ring := newRing(t, KeyringOptions{Sources: []string{"https://orders.example/*"}, Types: []string{},
		Key: ed, Schedule: fullSchedule})
	if err := ring.Add(es, Schedule{Active: day(2.5)}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(ring.path)
	if err != nil || !bytes.HasPrefix(raw, []byte("age-encryption.org/v1\n-> scrypt ")) {
		t.Fatalf("not an age file: %.40q, %v", raw, err)
	}
	back, err := OpenKeyring(ring.path, passphrase, nil)
	if err != nil {
		t.Fatal(err)
	}
	if back.Producer() != "orders" || len(back.PublicKeys()) != 2 ||
		back.PublicKeys()[0].Schedule != fullSchedule || back.protection.WorkFactor() != 2 {
		t.Errorf("came back as %v", back)
	}
	for _, s := range []*LocalSigner{ed, es} {
		found, ok := back.Find(s.Verifier().KeyID())
		if !ok || found.Producer() != "orders" {
			t.Fatalf("key %v is not found", s)
		}
		sig, err := found.Sign(t.Context(), []byte("m"))
		if err != nil || !s.Verifier().Verify([]byte("m"), sig) {
			t.Error("the key came back as another", err)
		}
	}
	sources, types := back.Scope()
	if !MatchSource(sources, "https://orders.example/x") || MatchSource(sources, "https://other.example/x") ||
		MatchType(types, "x") {
		t.Error("the scope came back as another")
	}
	if _, ok := back.Find("none"); ok {
		t.Error("a key that is not there is found")
	}
}

func TestScopeThatIsNotRecorded(t *testing.T) {
	ring := newRing(t, KeyringOptions{})
	if sources, types := ring.Scope(); sources != nil || types != nil {
		t.Error("a scope that is not recorded refuses")
	}
}

func TestKeyringSigners(t *testing.T) {
	ring := newRing(t, KeyringOptions{})
	if _, err := ring.Signers(day(0)); !errors.Is(err, ErrNoSigner) ||
		!strings.Contains(err.Error(), "empty") {
		t.Errorf("empty: %v", err)
	}
	var ids []string
	for _, s := range []Schedule{{Active: day(1), Retired: day(4)}, {Active: day(3), Retired: day(5)},
		{Active: day(2), Expired: day(5.5)}, {Active: day(3), Retired: day(3.5)}} {
		signer := mustGenerate(t, Ed25519)
		ids = append(ids, signer.Verifier().KeyID())
		if err := ring.Add(signer, s); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		now  time.Time
		want int
	}{
		{day(0), -1}, {day(1), 0}, {day(2), 2}, {day(3), 3}, {day(3.5), 1}, {day(4), 1}, {day(5), 2},
		{day(5.5), -1}, {day(9), -1},
	} {
		got, err := ring.Signers(c.now)
		if c.want < 0 {
			if !errors.Is(err, ErrNoSigner) || got != nil {
				t.Errorf("%s: %v, %v", c.now, got, err)
			}
			continue
		}
		if err != nil || len(got) != 1 || got[0].Verifier().KeyID() != ids[c.want] {
			t.Errorf("%s: %v, %v, want key %d", c.now, got, err, c.want)
		}
	}
	for now, want := range map[time.Time][]int{day(0): {}, day(1): {0}, day(2): {2, 0}, day(3): {3, 1, 2, 0},
		day(4): {1, 2}, day(5): {2}, day(5.5): {}} {
		due, others := ring.Candidates(now)
		got := []int{}
		for _, s := range due {
			got = append(got, slices.Index(ids, s.Verifier().KeyID()))
		}
		if !slices.Equal(got, want) || len(others) > 0 {
			t.Errorf("%s: candidates %v, others %v", now, got, others)
		}
	}
	if _, err := ring.Signers(day(0)); !strings.Contains(err.Error(), ids[0]) ||
		!strings.Contains(err.Error(), "2026-01-02T00:00:00Z") {
		t.Errorf("the error does not say what comes next: %v", err)
	}
}

func TestKeyringFiles(t *testing.T) {
	ring := newRing(t, KeyringOptions{Key: mustGenerate(t, Ed25519)})
	info, err := os.Stat(ring.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(ring.path)
	if _, err := CreateKeyring(ring.path, passphrase, "orders",
		&KeyringOptions{PrivateFileOptions: cheap}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing keyring: %v", err)
	}
	if after, _ := os.ReadFile(ring.path); !bytes.Equal(before, after) {
		t.Error("an existing keyring was changed")
	}
	if err := ring.Add(mustGenerate(t, ES256), Schedule{}); err != nil {
		t.Fatal(err)
	}
	if info, err = os.Stat(ring.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after Add: mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(ring.path + ".*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeyringAddRefuses(t *testing.T) {
	first := mustGenerate(t, Ed25519)
	ring := newRing(t, KeyringOptions{Key: first})
	other, err := GenerateSigner(Ed25519, "refunds")
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(ring.path)
	for name, err := range map[string]error{
		"there already":    ring.Add(first, Schedule{}),
		"another producer": ring.Add(other, Schedule{}),
		"no key":           ring.Add(nil, Schedule{}),
		"bad schedule":     ring.Add(mustGenerate(t, Ed25519), Schedule{Active: day(2), Retired: day(1)}),
		"key kept outside": ring.Add(outside(t), Schedule{}),
	} {
		if err == nil {
			t.Errorf("%s: added", name)
		}
	}
	if after, _ := os.ReadFile(ring.path); !bytes.Equal(before, after) || len(ring.PublicKeys()) != 1 {
		t.Error("a refused key changed the keyring")
	}
}

// outside is a signer whose private key cannot be exported.
func outside(t *testing.T) *LocalSigner {
	inner := mustGenerate(t, Ed25519).private()
	return mustLocal(t, struct{ opaque }{opaque{inner}})
}

// A keyring that is a link stays one: the file that it points to grows, with its own mode.
func TestKeyringAddThroughALink(t *testing.T) {
	ring := newRing(t, KeyringOptions{Key: mustGenerate(t, Ed25519)})
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(ring.path, link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	linked, err := OpenKeyring(link, passphrase, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := linked.Add(mustGenerate(t, ES256), Schedule{}); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != ring.path {
		t.Errorf("the link was replaced (%q, %v)", to, err)
	}
	info, err := os.Stat(ring.path)
	if err != nil || info.Mode().Perm() != privatefile.Mode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, path := range []string{ring.path, link} {
		if back, err := OpenKeyring(path, passphrase, nil); err != nil || len(back.PublicKeys()) != 2 {
			t.Errorf("%s: %v, %v", path, back, err)
		}
	}
}

func TestKeyringIsNotOverwritten(t *testing.T) {
	ring := newRing(t, KeyringOptions{Key: mustGenerate(t, Ed25519)})
	second, err := OpenKeyring(ring.path, passphrase, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Add(mustGenerate(t, Ed25519), Schedule{}); err != nil {
		t.Fatal(err)
	}
	if err := ring.Add(mustGenerate(t, Ed25519), Schedule{}); err == nil {
		t.Error("a key that another process added was overwritten")
	}
	// A process that was killed left this, and its lock is gone. That two cannot change the file at the same
	// time is a test of package privatefile.
	if err := os.WriteFile(ring.path+".new", []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := second.Add(mustGenerate(t, Ed25519), Schedule{}); err != nil {
		t.Errorf("after a crash: %v", err)
	}
	if back, err := OpenKeyring(ring.path, passphrase, nil); err != nil || len(back.PublicKeys()) != 3 {
		t.Errorf("%v, %v", back, err)
	}
}

func TestKeyringConcurrently(t *testing.T) {
	ring := newRing(t, KeyringOptions{Key: mustGenerate(t, Ed25519)})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := ring.Add(mustGenerate(t, Ed25519), Schedule{}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for range 20 {
				if _, err := ring.Signers(day(0)); err != nil {
					t.Error(err)
				}
				_ = ring.redacted()
			}
		})
	}
	wg.Wait()
	if len(ring.PublicKeys()) != 5 {
		t.Errorf("%d keys", len(ring.PublicKeys()))
	}
}

func TestPassphrases(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ring")
	for name, c := range map[string]struct {
		passphrase string
		opts       PrivateFileOptions
	}{
		"none":        {"", PrivateFileOptions{}},
		"both":        {passphrase, PrivateFileOptions{InsecureNoPassphrase: true}},
		"work factor": {passphrase, PrivateFileOptions{ScryptWorkFactor: 23}},
	} {
		if _, err := CreateKeyring(path, c.passphrase, "orders",
			&KeyringOptions{PrivateFileOptions: c.opts}); err == nil {
			t.Errorf("%s: created", name)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused keyring left a file")
	}
	plain, err := CreateKeyring(path, "", "orders",
		&KeyringOptions{PrivateFileOptions: PrivateFileOptions{InsecureNoPassphrase: true},
			Key: mustGenerate(t, Ed25519)})
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Add(mustGenerate(t, ES256), Schedule{}); err != nil {
		t.Error(err)
	}
	if back, err := OpenKeyring(path, "", &PrivateFileOptions{InsecureNoPassphrase: true}); err != nil ||
		len(back.PublicKeys()) != 2 {
		t.Error(err)
	} else if err := back.Add(mustGenerate(t, ES256), Schedule{}); err != nil {
		t.Error(err)
	}
	ring := newRing(t, KeyringOptions{})
	for name, err := range map[string]error{
		"passphrase for a plain file":   second(OpenKeyring(path, passphrase, nil)),
		"no passphrase for OpenKeyring": second(OpenKeyring(path, "", nil)),
		"no passphrase for an encrypted": second(OpenKeyring(ring.path, "",
			&PrivateFileOptions{InsecureNoPassphrase: true})),
		"missing file": second(OpenKeyring(filepath.Join(dir, "none"), passphrase, nil)),
		"directory":    second(OpenKeyring(dir, passphrase, nil)),
	} {
		if err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := OpenKeyring(ring.path, "wrong", nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
	damaged, _ := os.ReadFile(ring.path)
	damaged[len(damaged)-1] ^= 1
	if err := os.WriteFile(ring.path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(ring.path, passphrase, nil); err == nil || errors.Is(err, ErrPassphrase) {
		t.Errorf("damaged: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// Whatever prints, logs or marshals something that holds a private key does not show the key.
func TestSecretsAreRedacted(t *testing.T) {
	for _, alg := range Algorithms() {
		s := mustGenerate(t, alg)
		ring := newRing(t, KeyringOptions{Key: s})
		jwk, err := s.UnsafePrivateJWK()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parseJWK(jwk)
		if err != nil {
			t.Fatal(err)
		}
		type holder struct {
			s    *LocalSigner
			v    LocalSigner
			ring *Keyring
		}
		h := holder{s, *s, ring}
		for name, v := range map[string]any{
			"signer": s, "signer value": *s, "secret": s.private, "ring": ring, "ring key": ring.keys[0],
			"ring keys":  ring.keys,
			"protection": ring.protection, "struct": h, "pointer to struct": &h, "slice": []any{s, ring},
			"map": map[string]any{"s": s, "r": ring}, "signers": fixedSigners{s},
			"error": fmt.Errorf("with %v and %+v: %w", s, ring, errors.New("x")),
		} {
			for _, text := range secrettest.Prints(v) {
				secrettest.NotShown(t, name, text, parsed.d, passphrase)
			}
		}
	}
}

// Wherever the secret of a private file stands by mistake, the error does not show it.
func TestMisplacedSecretIsNotShown(t *testing.T) {
	ring := newRing(t, KeyringOptions{Key: mustGenerate(t, Ed25519), Schedule: fullSchedule,
		Sources: []string{"urn:a:*"}, Types: []string{"*"}})
	plain, err := ring.plain(ring.keys)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ring.keys[0].signer.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "private")
	open := func(doc []byte, open func() error) error {
		if err := os.WriteFile(path, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		return open()
	}
	secrettest.Misplace(t, plain, func(doc []byte) error {
		return open(doc, func() error { return second(OpenKeyring(path, "", &PrivateFileOptions{InsecureNoPassphrase: true})) })
	})
	secrettest.Misplace(t, private, func(doc []byte) error { return second(ParsePrivateJWK(doc, "orders")) })
	// A value that stands in the place of a name, a number or a time is named by that alone, whatever reads it.
	for _, doc := range []string{`{"version":"5ecret"}`,
		`{"keys":[{"active":"5ecret"}],"producer":"p","version":1}`} {
		if _, err := parseKeyring([]byte(doc)); err == nil || strings.Contains(err.Error(), "5ecret") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// FuzzKeyring: a decrypted keyring that is parsed is written byte for byte as it was; all others are refused,
// and no error shows a private key.
func FuzzKeyring(f *testing.F) {
	consumer := newConsumerRing(f, KeyringOptions{Key: mustIdentity(f, P256), Schedule: fullSchedule})
	identities, err := consumer.plain(consumer.keys)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(identities)
	for _, alg := range Algorithms() {
		ring := newRing(f, KeyringOptions{Key: mustGenerate(f, alg), Schedule: fullSchedule,
			Types: []string{"*"}})
		plain, err := ring.plain(ring.keys)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Add([]byte(`{"keys":[],"producer":"orders","version":1}`))
	f.Fuzz(func(t *testing.T, plain []byte) {
		ring, err := parseKeyring(plain)
		if err != nil {
			return
		}
		if again, err := ring.plain(ring.keys); err != nil || !bytes.Equal(again, plain) {
			t.Fatalf("%q is written as %q (%v)", plain, again, err)
		}
		if !jsontext.Value(plain).IsCanonical() {
			t.Fatalf("%q is not canonical (%v)", plain, err)
		}
	})
}

func TestParseKeyringRefuses(t *testing.T) {
	ring := newRing(t, KeyringOptions{Key: mustGenerate(t, Ed25519), Schedule: Schedule{Active: day(1)},
		Sources: []string{"a"}})
	plain, err := ring.plain(ring.keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseKeyring(plain); err != nil {
		t.Fatal(err)
	}
	good := string(plain)
	entry := good[strings.Index(good, "[")+1 : strings.Index(good, `],"producer"`)]
	for name, c := range map[string]struct{ old, new string }{
		"version 2": {`"version":1`, `"version":2`}, "no version": {`,"version":1`, ``},
		"unknown member": {`"version":1`, `"version":1,"x":1`},
		"no producer":    {`"producer":"orders",`, ``}, "bad producer": {`"orders"`, `"or ders"`},
		"bad scope": {`"sources":["a"]`, `"sources":["*"]`},
		"key twice": {entry, entry + "," + entry}, "no jwk": {`"jwk":`, `"jwks":`},
		"key null":                {entry, `null`},
		"unknown member in a key": {`"active"`, `"a":1,"active"`},
		"bad schedule":            {`"jwk"`, `"expired":"2025-01-01T00:00:00Z","jwk"`},
		"no private half":         {`"d":`, `"dd":`}, "white space": {`{"keys"`, `{ "keys"`},
		"trailing":  {`"version":1}`, `"version":1}x`},
		"duplicate": {`"version":1`, `"version":1,"version":1`},
	} {
		changed := strings.Replace(good, c.old, c.new, 1)
		if changed == good {
			t.Fatalf("%s: nothing changed", name)
		}
		_, err := parseKeyring([]byte(changed))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			secrettest.NotShown(t, name, err.Error(), ring.keys[0].signer.mustSeed(t), passphrase)
		}
	}
}
