package setup_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/setup"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/producer"
)

// bench is a place where commands run now.
func bench(t *testing.T) *clitest.Bench {
	b := clitest.New(t)
	b.Now = time.Now()
	return b
}

// shop makes a home with a producer and a consumer.
func shop(t *testing.T) string {
	t.Helper()
	b := bench(t)
	dir := b.Path("shop")
	b.Must("", "init", "orders", "--source", "https://orders.example/*", "--type", "com.example.order.*",
		"--dir", dir)
	b.Must("", "init", "billing", "--consumer", "--dir", dir)
	return dir
}

func order(id, source string) event.Event {
	ev := event.New()
	ev.SetID(id)
	ev.SetSource(source)
	ev.SetType("com.example.order.placed")
	_ = ev.SetData("application/json", map[string]any{"total": 12.5})
	return ev
}

// world is a home with its producer and consumer, and a bus between them.
type world struct {
	t       *testing.T
	dir     string
	bus     *producer.LocalBus
	c       *consumer.Consumer
	handled []string
	last    consumer.Result
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: shop(t), bus: producer.NewLocalBus(nil)}
	var err error
	if w.c, err = home.Consumer(w.dir, "billing", replay.NewMemory(nil), nil); err != nil {
		t.Fatal(err)
	}
	w.bus.Subscribe(func(ctx context.Context, delivery []byte) error {
		w.last, _ = w.c.Handle(ctx, consumer.Message{Body: delivery, Format: consumer.EventBridge},
			func(_ context.Context, d consumer.Delivery[[]byte]) error {
				w.handled = append(w.handled, d.Event.ID())
				return nil
			})
		return nil
	})
	return w
}

// A program can publish and handle right after init: no key waits for consumers that are not here.
func TestProgramsOfAHome(t *testing.T) {
	w := newWorld(t)
	p, err := home.Producer(w.dir, "", w.bus, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), order("o-1", "https://orders.example/eu")); err != nil {
		t.Fatal(err)
	}
	if len(w.handled) != 1 || w.last.Outcome != consumer.Handled {
		t.Fatalf("handled %v, %v", w.handled, w.last)
	}
	// a producer that is made later is trusted by a consumer that runs
	bench(t).Must("", "init", "stock", "--source", "https://orders.example/stock/*", "--type", "com.example.*",
		"--dir", w.dir)
	later, err := home.Producer(w.dir, "stock", w.bus, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Publish(t.Context(), order("s-1", "https://orders.example/stock/1")); err != nil {
		t.Fatal(err)
	}
	if len(w.handled) != 2 {
		t.Fatalf("handled %v, %v", w.handled, w.last)
	}
}

// A run that is killed after any step is completed by the same command. No key is made twice, and at each
// moment the consumer of the home goes on.
func TestKilledInTheMiddle(t *testing.T) {
	sources, types := []string{"https://orders.example/*"}, []string{"com.example.order.*"}
	initOrders := func(dir string) []string {
		return []string{"init", "orders", "--source", sources[0], "--type", types[0], "--dir", dir}
	}
	for _, extends := range []bool{false, true} {
		for steps := 0; ; steps++ {
			b := bench(t)
			dir := b.Path("shop")
			if extends {
				b.Must("", "init", "billing", "--consumer", "--source", sources[0], "--dir", dir)
			}
			env := ui.NewEnv(nil, io.Discard, io.Discard, ui.System{Now: func() time.Time { return b.Now },
				Getenv: func(string) string { return "" }, Terminal: func(io.Writer) bool { return false }})
			err := setup.InitUntil(t.Context(), env, dir, sources, types, steps)
			if err == nil {
				if steps < 6 {
					t.Fatalf("only %d steps: the test is blind", steps)
				}
				break
			}
			if !errors.Is(err, setup.ErrKilled) {
				t.Fatalf("after %d steps: %v", steps, err)
			}
			if extends { // what was there goes on
				if _, err := home.Consumer(dir, "billing", replay.NewMemory(nil), nil); err != nil {
					t.Errorf("killed after %d steps: %v", steps, err)
				}
			}
			before := secrets(t, dir)
			b.Now = b.Now.Add(time.Minute)
			b.Must("", initOrders(dir)...)
			after := secrets(t, dir)
			for name, content := range before {
				if after[name] != content {
					t.Errorf("killed after %d steps: %s was made twice", steps, name)
				}
			}
			if _, err := home.Producer(dir, "orders", producer.NewLocalBus(nil), nil); err != nil {
				t.Errorf("killed after %d steps, and completed: %v", steps, err)
			}
			if r := b.Run("", initOrders(dir)...); r.Code != ui.ExitUsage {
				t.Errorf("a third time: exit status %d", r.Code)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*", ".*")); err != nil || len(left) > 0 {
				t.Errorf("it leaves %v", left)
			}
		}
	}
}

// secrets are the private files of a home, without what is not finished.
func secrets(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	list, err := os.ReadDir(filepath.Join(dir, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Type().IsRegular() {
			content, err := os.ReadFile(filepath.Join(dir, "secret", e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			files[e.Name()] = string(content)
		}
	}
	return files
}

// Two calls at the same time: one of them says to try again, and nothing is half made.
func TestTwoAtATime(t *testing.T) {
	b := bench(t)
	dir := shop(t)
	h, err := home.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := h.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if r := b.Run("", "init", "mailer", "--consumer", "--dir", dir); r.Code != ui.ExitUnavailable {
		t.Errorf("exit status %d\n%s", r.Code, r.Stderr)
	}
	unlock()
	b.Must("", "init", "mailer", "--consumer", "--dir", dir)
}

// A link in the place of a file or directory is not followed, and nothing is written behind it.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, name := range []string{"secret", "state", "trust", "secret/root.key", "secret/orders.keyring",
		"trust/policy.yaml", "trust/roots.json", "sealbus.yaml"} {
		b := bench(t)
		dir, outside := b.Path("shop"), b.Path("outside")
		for _, err := range []error{os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700),
			os.Mkdir(outside, 0o700), os.Symlink(outside, filepath.Join(dir, name))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		r := b.Run("", "init", "orders", "--source", "https://orders.example/*", "--type", "com.example.*", "--dir", dir)
		if r.Code != ui.ExitUsage {
			t.Errorf("%s: exit status %d\n%s%s", name, r.Code, r.Stdout, r.Stderr)
		}
		if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
			t.Errorf("%s: %v was written behind the link", name, list)
		}
	}
}

// Files that came with a directory are not those of a run that was ended in the middle: with its own policy,
// the author of a repository would be trusted by the user who makes a home in it.
func TestFilesOfOthersAreNotTaken(t *testing.T) {
	made := shop(t)
	for _, name := range []string{"trust/policy.yaml", "trust/keys/orders.pub.json", "trust/roots.json",
		"trust/trust.dsse", "secret/root.key", "secret/orders.keyring"} {
		b := bench(t)
		dir := b.Path("cloned")
		content, err := os.ReadFile(filepath.Join(made, name))
		b.Check(err)
		b.Check(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		b.Check(os.WriteFile(filepath.Join(dir, name), content, 0o600))
		for range 2 { // the refusal does not make it trusted
			r := b.Run("", "init", "stock", "--source", "urn:stock:*", "--type", "com.example.*", "--dir", dir)
			if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "was not made here") {
				t.Errorf("%s: exit status %d\n%s%s", name, r.Code, r.Stdout, r.Stderr)
			}
		}
	}
}

// A copied home in the working directory is not extended, unless it is named.
func TestCopiedHomeIsNotExtended(t *testing.T) {
	dir := shop(t)
	b := bench(t)
	b.Check(os.Remove(filepath.Join(dir, "state", "here"))) // as in a copy, which has another number
	t.Chdir(dir)
	if r := b.Run("", "init", "mailer", "--consumer"); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "add --dir .") {
		t.Errorf("exit status %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	b.Must("", "init", "mailer", "--consumer", "--dir", ".")
}

// Where the directory has a .gitignore of its own, those of secret/ and state/ keep the keys out of git. One
// that came with the directory and does not is refused before there is a key.
func TestIgnoreFilesOfOthers(t *testing.T) {
	for _, c := range []struct{ name, content string }{
		{"secret/.gitignore", "!*\n"}, {"secret/.gitignore", ""}, {"secret/.gitignore", "*\n!*.keyring\n"},
		{"state/.gitignore", "# nothing\n"}, {"secret/.gitignore", "a link"}, {"state/.gitignore", "a link"},
	} {
		b := bench(t)
		dir := b.Path("cloned")
		path := filepath.Join(dir, filepath.FromSlash(c.name))
		b.Check(os.MkdirAll(filepath.Dir(path), 0o755))
		b.Check(os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("node_modules\n"), 0o644))
		if c.content == "a link" { // which git does not follow
			b.Check(os.WriteFile(b.Path("all"), []byte("*\n"), 0o644))
			b.Check(os.Symlink(b.Path("all"), path))
		} else {
			b.Check(os.WriteFile(path, []byte(c.content), 0o644))
		}
		initBilling := []string{"init", "billing", "--consumer", "--source", "urn:shop:*", "--dir", dir}
		for range 2 { // the refusal does not make it good
			if r := b.Run("", initBilling...); r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, path) {
				t.Errorf("%s %q: exit status %d\n%s%s", c.name, c.content, r.Code, r.Stdout, r.Stderr)
			}
		}
		for name := range secrets(t, dir) {
			if name != ".gitignore" {
				t.Errorf("%s %q: there is %s", c.name, c.content, name)
			}
		}
		b.Check(os.Remove(path))
		b.Must("", initBilling...)
		if is, err := os.ReadFile(path); err != nil || string(is) != "*\n" {
			t.Errorf("%s %q: then %q, %v", c.name, c.content, is, err)
		}
	}
}

// A device in the place of .gitignore is not read to its end.
func TestIgnoreFileIsBounded(t *testing.T) {
	b := bench(t)
	dir := b.Path("shop")
	b.Check(os.Mkdir(dir, 0o755))
	if err := os.Symlink("/dev/zero", filepath.Join(dir, ".gitignore")); err != nil || !ui.Exists("/dev/zero") {
		t.Skipf("no such device: %v", err)
	}
	b.Must("", "init", "billing", "--consumer", "--dir", dir)
	if !ui.Exists(filepath.Join(dir, "secret", ".gitignore")) {
		t.Error("the secrets are not kept out of git")
	}
}

// A bundle or timestamp that is gone is not begun anew: its versions and its revocations would be lost.
func TestLostTrustIsNotBegunAnew(t *testing.T) {
	for _, name := range []string{"trust.dsse", "timestamp.dsse"} {
		dir := shop(t)
		b := bench(t)
		b.Check(os.Remove(filepath.Join(dir, "trust", name)))
		r := b.Run("", "init", "mailer", "--consumer", "--dir", dir)
		if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, name+" is missing") ||
			ui.Exists(filepath.Join(dir, "trust", name)) {
			t.Errorf("%s: exit status %d\n%s%s", name, r.Code, r.Stdout, r.Stderr)
		}
	}
}

// A file of a person stays where it is: a bundle in trust/bundles, a draft beside the policy.
func TestFilesOfOthersStay(t *testing.T) {
	dir := shop(t)
	b := bench(t)
	draft := filepath.Join(dir, "trust", "policy.yaml.new")
	b.Check(os.WriteFile(draft, []byte("x"), 0o644))
	kept := filepath.Join(dir, "trust", "bundles", "kept")
	b.Check(os.Mkdir(filepath.Dir(kept), 0o755))
	b.Check(os.WriteFile(kept, []byte("x"), 0o644))
	b.Must("", "init", "mailer", "--consumer", "--dir", dir)
	if list, err := os.ReadDir(filepath.Dir(kept)); err != nil || len(list) != 1 || !ui.Exists(kept) {
		t.Errorf("%v, %v", list, err)
	}
	if !ui.Exists(draft) {
		t.Error("the draft is gone")
	}
}

// TestSharedSourceIsSaid: a second producer that may speak for a source of the first is allowed, and told.
func TestSharedSourceIsSaid(t *testing.T) {
	dir, b := shop(t), bench(t)
	add := func(name, source string) clitest.Ran {
		t.Helper()
		return b.Run("", "init", name, "--source", source, "--type", "com.example.*", "--dir", dir)
	}
	if r := add("crm", "https://crm.example/*"); r.Code != 0 || strings.Contains(r.Stderr, "may both sign") {
		t.Errorf("a source of its own: exit %d\n%s", r.Code, r.Stderr)
	}
	r := add("stock", "https://orders.example/stock/*")
	if r.Code != 0 || strings.Count(r.Stderr, "orders and stock may both sign events of https://orders.example/stock/*") != 1 {
		t.Errorf("a source of another: exit %d\n%s", r.Code, r.Stderr)
	}
}
