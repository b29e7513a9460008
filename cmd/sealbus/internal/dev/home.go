package dev

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// site is what a home has, as far as it is served.
type site struct {
	home      *home.Home
	dir       string // absolute
	producers []string
	consumers map[string][]string // to the sources that each takes
	files     map[string][]byte   // what the bucket serves
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
	return o != nil && s.dir == o.dir && bytes.Equal(s.home.Document(), o.home.Document()) &&
		maps.EqualFunc(s.files, o.files, bytes.Equal)
}

// The files of the trust, as the bucket has them.
const (
	rootsFile  = "roots.json"
	bundleFile = "trust.dsse"
)

// lookAgain is how often the home is looked at.
const lookAgain = time.Second

// follower takes up what changes in the home: consumers, the trust.
type follower struct {
	env     *ui.Env
	world   *world
	watcher *watcher
	now     *site // nil = there is none

	seen    replay.Store // of the judge, also when the trust changes
	renewed time.Time    // when the timestamp was looked at
	fault   string       // why it was not renewed; "" = it was, or is not due
	said    string       // the error that was said last
}

// begin takes up the home, if there is one, and makes the queues of functions.
func (f *follower) begin(ctx context.Context, h *home.Home, functions []function) error {
	f.seen = replay.NewMemory(&replay.MemoryOptions{Now: f.env.Now})
	if h != nil {
		f.renew(ctx, h, func(text string) { f.env.Warnf("%s", text) })
		s, err := readSite(f.env, h)
		if err != nil {
			return err
		}
		if err := f.take(ctx, s); err != nil {
			return err
		}
	}
	for _, fn := range functions {
		if f.now != nil {
			if _, has := f.now.consumers[fn.name]; has {
				continue
			}
		}
		if err := f.world.makeConsumer(ctx, fn.name, nil); err != nil {
			return err
		}
		if f.now != nil {
			f.env.Warnf("the home has no consumer %s: `sealbus init %[1]s --consumer` makes it. Until then every "+
				"event of the bus goes to the queue %[1]s", fn.name)
		}
	}
	return nil
}

// take makes what the home needs, and judges by its trust from now on.
func (f *follower) take(ctx context.Context, s *site) error {
	source, err := s.home.Trust(f.env.Now)
	if err != nil {
		return loadhome.Failed(err)
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
	j, err := newJudge(source, f.seen, s.home.Config(), f.env.Now)
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
	h, err := f.open()
	if err != nil || h == nil {
		return "", err
	}
	f.renew(ctx, h, func(text string) { f.watcher.add(happening{kind: homeChanged, text: text}) })
	s, err := readSite(f.env, h)
	if err != nil || s.same(f.now) {
		return "", err
	}
	old := f.now
	if err := f.take(ctx, s); err != nil {
		return "", err
	}
	if old == nil {
		return "home " + s.describe(), nil
	}
	return changes(old, s), nil
}

// homeDir is "" if there is none.
func (f *follower) homeDir() string {
	if f.now == nil {
		return ""
	}
	return f.now.dir
}

// open opens the home as it is now; nil = there is none.
func (f *follower) open() (*home.Home, error) {
	if f.now == nil {
		return findHome(f.env, "")
	}
	h, err := home.Open(f.now.dir)
	if err != nil {
		return nil, loadhome.Failed(err)
	}
	return h, nil
}

// renewEvery is how often it is asked whether the home's timestamp is due.
const renewEvery = time.Hour

// renew renews the timestamp of the home, if it is due. If that fails, it is said once, and tried again: the
// timestamp lives on for a while, and the rest of the home does not wait for it.
func (f *follower) renew(ctx context.Context, h *home.Home, say func(text string)) {
	now := f.env.Now()
	if !f.renewed.IsZero() && now.Sub(f.renewed) < renewEvery {
		return
	}
	_, err := h.Renew(ctx, now)
	switch {
	case err == nil:
		f.renewed, f.fault = now, ""
	case ctx.Err() == nil && err.Error() != f.fault:
		f.fault = err.Error()
		say("the timestamp was not renewed: " + f.fault)
	}
}

// changes says what is new.
func changes(old, s *site) string {
	var parts []string
	for _, name := range ui.SortedKeys(s.consumers) {
		if _, had := old.consumers[name]; !had {
			text := ", with a queue of that name"
			if !isQueueName(name) {
				text = ", without a queue"
			}
			parts = append(parts, "new consumer "+name+text)
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

// findHome opens the home: that of the flag, of SEALBUS_HOME, or the working directory if it is one; nil =
// there is none.
func findHome(env *ui.Env, flag string) (*home.Home, error) {
	var h *home.Home
	var err error
	if dir := cmp.Or(flag, env.Getenv(home.Variable)); dir != "" {
		h, err = home.Open(dir)
	} else if h, err = home.FindHere(); errors.Is(err, home.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, loadhome.Failed(err)
	}
	return h, nil
}

// readSite reads what is served of a home.
func readSite(env *ui.Env, h *home.Home) (*site, error) {
	dir, err := filepath.Abs(h.Dir())
	if err != nil {
		return nil, ui.WrongFile("check the directory", "%s: %w", h.Dir(), ui.Cause(err))
	}
	c := h.Config()
	s := &site{home: h, dir: dir, consumers: map[string][]string{}, files: map[string][]byte{}}
	for i := range c.Producers {
		s.producers = append(s.producers, c.Producers[i].Name)
	}
	slices.Sort(s.producers)
	for i := range c.Consumers {
		// Without any, its queue gets every event: the consumer says what is missing.
		s.consumers[c.Consumers[i].Name], _ = c.SourcesOf(&c.Consumers[i])
	}
	for _, f := range []struct {
		as, name string
		most     int
	}{
		{rootsFile, c.Trust.Roots, keydoc.MaxRoots}, {bundleFile, c.Trust.Bundle, keydoc.MaxSigned},
		{keydoc.TimestampFile, c.Trust.Timestamp, keydoc.MaxTimestamp},
	} {
		if f.name == "" {
			continue
		}
		path, err := h.Public(f.name)
		if err != nil {
			return nil, loadhome.Failed(err)
		}
		if s.files[f.as], err = env.ReadFile(path, f.most); err != nil {
			return nil, err
		}
	}
	if name := bundleName(s.files[bundleFile]); name != "" {
		s.files[name] = s.files[bundleFile]
	}
	return s, nil
}

// bundleName is where a source that follows a timestamp looks for the bundle; "" = this is no bundle.
func bundleName(signed []byte) string {
	var envelope struct{ Payload []byte }
	if json.Unmarshal(signed, &envelope) != nil || len(envelope.Payload) == 0 {
		return ""
	}
	return fmt.Sprintf("%s%x", keydoc.BundlesDir, sha256.Sum256(envelope.Payload))
}
