package loadhome_test

import (
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/home"
)

// Each flag of the table is one that its command has: a renamed flag would be filled in no more.
func TestTableNamesFlags(t *testing.T) {
	root := cli.Root(ui.NewEnv(nil, io.Discard, io.Discard, ui.System{Getenv: os.Getenv,
		Terminal: func(io.Writer) bool { return false }}))
	for path, flags := range loadhome.Flags() {
		cmd, _, err := root.Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range append(flags, "home") {
			if cmd.Flags().Lookup(flag) == nil && !slices.Contains(loadhome.MayLack, flag) {
				t.Errorf("%s has no --%s", path, flag)
			}
		}
	}
}

const order = `{"specversion":"1.0","id":"o-1","source":"https://orders.example/eu",` +
	`"type":"com.example.order.placed","data":{"order":"o-1"}}`

// newHome is a home, and a bus beside it.
func newHome(t *testing.T) (b *clitest.Bench, url, dir string) {
	b, bus := clitest.NewShop(t, nil)
	b.Now = time.Now()
	dir = b.Path("home")
	b.Must("", "init", "orders", "--source", "https://orders.example/*", "--type", "com.example.order.*", "--dir", dir)
	b.Must("", "init", "billing", "--consumer", "--dir", dir)
	return b, bus.URL, dir
}

// A key of a new home publishes at once, and a revoked one never.
func TestPublishByHome(t *testing.T) {
	b, url, dir := newHome(t)
	publish := []string{"publish", "--home", dir, "--bus", "central", "--endpoint", url}
	if out := b.Must(order, publish...); !strings.Contains(out, "published 1 of 1") {
		t.Errorf("%s", out)
	}
	ring := b.Must("", "keys", "list", "--home", dir, "--output", "json")
	id, err := clitest.JSONMember(ring, "keys.0.key_id")
	b.Check(err)
	b.Must("", "trust", "timestamp", "--home", dir, "--revoke="+id, "--reason", "stolen")
	r := b.Run(order, append(publish, "--output", "json")...)
	if r.Code == ui.ExitDone || !strings.Contains(r.Stdout, "revoked_key") {
		t.Errorf("exit status %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	// without its trust, a home sends nothing
	b.Check(os.Remove(b.Path("home/trust/timestamp.dsse")))
	if r := b.Run(order, publish...); r.Code == ui.ExitDone {
		t.Errorf("published without trust\n%s", r.Stdout)
	}
}

// Of a home, only its own trust lets a new key sign at once: the consumers of one that flags name are
// elsewhere, and may not know the key yet.
func TestForeignTrustWaits(t *testing.T) {
	b, url, dir := newHome(t)
	elsewhere := b.Path("elsewhere")
	b.Check(os.CopyFS(elsewhere, os.DirFS(dir+"/trust")))
	publish := []string{"publish", "--home", dir, "--bus", "central", "--endpoint", url, "--output", "json"}
	foreign := append(slices.Clone(publish), "--trust", elsewhere+"/trust.dsse",
		"--roots", elsewhere+"/roots.json")
	if r := b.Run(order, foreign...); r.Code == ui.ExitDone ||
		!strings.Contains(r.Stdout, "with what it may do, from") {
		t.Errorf("by the trust of others: exit status %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	b.Must(order, publish...)
}

// A timestamp that is about to expire is renewed by whatever command judges by it.
func TestCommandsRenew(t *testing.T) {
	b, _, dir := newHome(t)
	sealed := b.Must(order, "seal", "--home", dir)
	b.Now = b.Now.Add(3 * 24 * time.Hour)
	if r := b.Run(sealed, "inspect", "--short", "--home", dir); r.Code != ui.ExitDone || strings.Contains(r.Stderr, "renewed") {
		t.Errorf("too early: exit status %d, %s", r.Code, r.Stderr)
	}
	b.Now = b.Now.Add(30 * 24 * time.Hour)
	r := b.Run(sealed, "open", "--home", dir, "--max-age", "60d")
	if r.Code != ui.ExitDone || !strings.Contains(r.Stderr, "renewed trust/timestamp.dsse") {
		t.Errorf("exit status %d\n%s", r.Code, r.Stderr)
	}
}

// A copied home is refused where it was only found, and a broken one does not stop a command that is of use
// without it.
func TestCopiedHome(t *testing.T) {
	b, _, dir := newHome(t)
	sealed := b.Must(order, "seal", "--home", dir)
	b.Check(os.Remove(dir + "/state/here")) // as in a copy, which has another number
	t.Chdir(dir)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{ui.ExitUsage, "was not made here", []string{"open"}},
		{ui.ExitUsage, "was not made here", []string{"seal"}},
		{ui.ExitUsage, "was not made here", []string{"trust", "build"}},
		{ui.ExitUsage, "was not made here", []string{"trust", "show"}},
		{ui.ExitDone, "the home is not used", []string{"inspect", "--short"}},
		{ui.ExitDone, "verified", []string{"open", "--home", "."}},
	} {
		if r := b.Run(sealed, c.args...); r.Code != c.code || !strings.Contains(r.Stderr, c.says) {
			t.Errorf("%v: exit status %d\n%s", c.args, r.Code, r.Stderr)
		}
	}
}

// A command that changes the trust of a home has its lock: otherwise a renewal could put a timestamp without
// the revocation in the place of one that has it.
func TestTrustCommandsLock(t *testing.T) {
	b, _, dir := newHome(t)
	h, err := home.Open(dir)
	b.Check(err)
	unlock, err := h.Lock()
	b.Check(err)
	defer unlock()
	for _, args := range [][]string{{"trust", "timestamp"}, {"trust", "build"}, {"trust", "sign"}} {
		r := b.Run("", append(args, "--home", dir)...)
		if r.Code != ui.ExitUnavailable || !strings.Contains(r.Stderr, "another command is changing the home") {
			t.Errorf("%v: exit status %d\n%s%s", args, r.Code, r.Stdout, r.Stderr)
		}
	}
}

// In a clone there is no state/, for git ignores it. A command that changes the trust makes it, and has the
// lock as elsewhere: an init at the same moment could otherwise drop a revocation.
func TestTrustCommandsLockInAClone(t *testing.T) {
	b, _, dir := newHome(t)
	b.Check(os.RemoveAll(dir + "/state"))
	id, err := clitest.JSONMember(b.Must("", "keys", "list", "--home", dir, "--output", "json"), "keys.0.key_id")
	b.Check(err)
	b.Must("", "trust", "timestamp", "--home", dir, "--revoke="+id, "--reason", "stolen")
	info, err := os.Stat(dir + "/state")
	if err != nil || info.Mode().Perm() != 0o700 && runtime.GOOS != "windows" {
		t.Errorf("there was no lock: %v, %v", info, err)
	}
}

// A key that left the keyring stays in the file of public keys while the policy lists it: its public half is
// nowhere else, and no bundle can be built without it.
func TestPublicHalvesStay(t *testing.T) {
	b, _, dir := newHome(t)
	ring := b.Must("", "keys", "list", "--home", dir, "--output", "json")
	old, err := clitest.JSONMember(ring, "keys.0.key_id")
	b.Check(err)
	b.Must("", "keys", "rotate", "--home", dir, "--at", "now", "--apply")
	b.Must("", "trust", "add", "--home", dir)
	b.Must("", "trust", "build", "--home", dir, "--insecure-schedule", "orders")
	b.Now = b.Now.Add(90 * 24 * time.Hour)
	b.Must("", "keys", "prune", "--home", dir, "--yes")
	if out := b.Must("", "keys", "list", "--home", dir, "--output", "json"); strings.Contains(out, old) {
		t.Fatal("the key is not gone: the test is blind")
	}
	b.Must("", "trust", "add", "--home", dir)
	public, err := os.ReadFile(dir + "/trust/keys/orders.pub.json")
	if err != nil || !strings.Contains(string(public), old) {
		t.Errorf("the public key is gone: %v", err)
	}
	b.Must("", "trust", "build", "--home", dir, "--insecure-schedule", "orders")
}
