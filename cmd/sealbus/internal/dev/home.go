package dev

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys/trust"
)

// site is what a home has, as far as it is served.
type site struct {
	dir       string // absolute
	audience  string
	producers []string
	consumers map[string][]string // to the sources that each takes
	bundle    string              // the file of the trust bundle
	files     map[string][]byte   // what the bucket serves, and what a change is seen by
}

func (s *site) describe() string {
	text := s.dir
	if len(s.producers) > 0 {
		text += ", " + named("producer", s.producers)
	}
	if len(s.consumers) > 0 {
		text += ", " + named("consumer", ui.SortedKeys(s.consumers))
	}
	return text
}

// named is "producer a", "producers a, b".
func named(what string, names []string) string {
	if len(names) > 1 {
		what += "s"
	}
	return what + " " + strings.Join(names, ", ")
}

// same reports whether nothing changed.
func (s *site) same(o *site) bool {
	return o != nil && s.dir == o.dir && s.audience == o.audience && slices.Equal(s.producers, o.producers) &&
		maps.EqualFunc(s.consumers, o.consumers, slices.Equal[[]string]) &&
		maps.EqualFunc(s.files, o.files, bytes.Equal)
}

// The files of the trust, as the bucket has them.
const (
	rootsFile  = "roots.json"
	bundleFile = "trust.dsse"
)

// trustFiles reads the files of the trust. A timestamp need not be there.
func trustFiles(env *ui.Env, roots, bundle, timestamp string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, f := range []struct {
		name, path string
		most       int
	}{
		{rootsFile, roots, keydoc.MaxRoots}, {bundleFile, bundle, keydoc.MaxSigned},
		{keydoc.TimestampFile, timestamp, keydoc.MaxTimestamp},
	} {
		if f.path == "" {
			continue
		}
		data, err := env.ReadFile(f.path, f.most)
		if err != nil {
			return nil, err
		}
		files[f.name] = data
	}
	return files, nil
}

// lookAgain is how often the home is looked at.
const lookAgain = time.Second

// follower takes up what changes in the home: consumers, the trust.
type follower struct {
	env     *ui.Env
	home    string // the directory; "" = none was named, and the working directory was none at first
	world   *world
	watcher *watcher
	now     *site // nil = there is none

	seen replay.Store // of the judge, also when the trust changes
	said string       // the error that was said last
}

// begin takes up the home, if there is one, and makes the queues of functions.
func (f *follower) begin(ctx context.Context, functions []function) error {
	f.seen = replay.NewMemory(&replay.MemoryOptions{Now: f.env.Now})
	if f.home != "" {
		s, err := readSite(f.env, f.home)
		if err != nil {
			return err
		}
		if err := f.take(ctx, s); err != nil {
			return err
		}
	}
	for _, fn := range functions {
		if f.now != nil && f.now.consumers[fn.name] != nil {
			continue
		}
		if err := f.world.makeConsumer(ctx, fn.name, nil); err != nil {
			return err
		}
		if f.now != nil {
			f.env.Warnf("the home has no consumer %s: `sealbus init %[1]s --consumer` makes it. Until then every event "+
				"of the bus goes to the queue %[1]s", fn.name)
		}
	}
	return nil
}

// take makes what the home needs, and judges by its trust from now on.
func (f *follower) take(ctx context.Context, s *site) error {
	roots, err := trust.ParseRoots(s.files[rootsFile])
	if err != nil {
		return ui.WrongFile("check the files of the home", "the roots of %s: %w", s.dir, err)
	}
	source, err := trust.WatchFile(s.bundle, roots, &trust.Options{Now: f.env.Now})
	if err != nil {
		return ui.WrongFile("look at it with `sealbus trust show --home "+ui.ShellQuote(s.dir)+"`",
			"the trust bundle of %s: %w", s.dir, err)
	}
	for _, name := range ui.SortedKeys(s.consumers) {
		if !isQueueName(name) {
			f.env.Warnf("consumer %q gets no queue: its name cannot be one", name)
			continue
		}
		if err := f.world.makeConsumer(ctx, name, s.consumers[name]); err != nil {
			return err
		}
	}
	if err := f.world.serveTrust(ctx, s.files); err != nil {
		return err
	}
	j, err := newJudge(source, f.seen, s.audience, f.env.Now)
	if err != nil {
		return err
	}
	f.watcher.judge.Store(j)
	f.now = s
	return nil
}

// follow looks for changes until ctx ends. A home that cannot be read is said once; the last good one counts
// meanwhile.
func (f *follower) follow(ctx context.Context) {
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		text, err := f.lookAt(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && err.Error() != f.said:
			f.said = err.Error()
			f.watcher.add(happening{kind: homeChanged, text: "the home cannot be taken up: " + err.Error()})
		case err == nil && text != "":
			f.said = ""
			f.watcher.add(happening{kind: homeChanged, text: text})
		}
	}
}

// lookAt takes up what changed, and says what that is; "" = nothing.
func (f *follower) lookAt(ctx context.Context) (string, error) {
	dir := f.home
	if dir == "" {
		var err error
		if dir, err = findHome(f.env, ""); err != nil || dir == "" {
			return "", err
		}
	}
	s, err := readSite(f.env, dir)
	if err != nil || s.same(f.now) {
		return "", err
	}
	old := f.now
	if err := f.take(ctx, s); err != nil {
		return "", err
	}
	f.home = dir
	if old == nil {
		return "home " + s.describe(), nil
	}
	return changes(old, s), nil
}

// changes says what is new.
func changes(old, s *site) string {
	var parts []string
	for _, name := range ui.SortedKeys(s.consumers) {
		if _, had := old.consumers[name]; !had {
			parts = append(parts, "new consumer "+name+", with a queue of that name")
		}
	}
	for _, name := range s.producers {
		if !slices.Contains(old.producers, name) {
			parts = append(parts, "new producer "+name)
		}
	}
	if !maps.EqualFunc(s.files, old.files, bytes.Equal) {
		parts = append(parts, "new trust, by which events are judged from now on")
	}
	if parts == nil {
		parts = []string{"changed"}
	}
	return "home: " + strings.Join(parts, "; ")
}

// homeFile is the file that makes a directory a home.
const homeFile = "sealbus.yaml"

// findHome is the directory of the home, absolute: that of the flag, of SEALBUS_HOME, or the working
// directory if it is one; "" = there is none.
func findHome(env *ui.Env, flag string) (string, error) {
	dir := flag
	if dir == "" {
		dir = env.Getenv("SEALBUS_HOME")
	}
	if dir == "" {
		if _, err := os.Lstat(homeFile); errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		dir = "."
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", ui.WrongFile("check the directory", "--home %s: %w", flag, ui.Cause(err))
	}
	return dir, nil
}
