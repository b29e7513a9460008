package consumer_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// An event under a tainted key is handled, and the log and the Observer name the key.
func TestTaintedKeyIsCounted(t *testing.T) {
	w, n := watched(t)
	var log bytes.Buffer
	w.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w.want(w.event("1"), consumer.Handled, "")
	if r := n.last(t); r.TaintedKeyID != "" || log.Len() > 0 || w.handled[0].TaintedKeyIDs != nil {
		t.Errorf("not tainted: %+v, %s", r, log.String())
	}
	w.keys[0].Tainted = true
	w.publish(trust.BundleOptions{})
	id := w.keys[0].KeyID()
	w.want(w.event("2"), consumer.Handled, "")
	if r, d := n.last(t), w.handled[1]; r.TaintedKeyID != id || len(d.TaintedKeyIDs) != 1 || d.TaintedKeyIDs[0] != id {
		t.Errorf("%+v, delivered %q", r, d.TaintedKeyIDs)
	}
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "tainted_key="+id) {
		t.Error(text)
	}
	w.want(w.event("2"), consumer.Duplicate, envelope.ReasonReplayed) // still in use, so it is told
	if n.last(t).TaintedKeyID != id {
		t.Errorf("%+v", n.last(t))
	}
}

// A consumer is ready exactly while it has a bundle that may be used, whatever events come.
func TestReady(t *testing.T) {
	w := newWorld(t)
	w.publish(trust.BundleOptions{Expires: start.Add(time.Hour)})
	c := w.consumer()
	check := func(ready bool) {
		t.Helper()
		if err := c.Ready(t.Context()); ready != (err == nil) || !ready && !errors.Is(err, trust.ErrUnavailable) {
			t.Errorf("at %s: %v", w.clock.Now(), err)
		}
	}
	check(true)
	w.want(edit(w.event("1"), "data", "other"), consumer.Quarantined, envelope.ReasonModified)
	check(true)
	w.clock.Advance(time.Hour)
	check(false)
	w.publish(trust.BundleOptions{})
	check(true)
	w.trust.err = trust.ErrUnavailable
	check(false)
	w.trust.bundle, w.trust.err = nil, nil
	check(false)
}

// The consumer warns once of each encryption key that the bundle lists for it and that it lacks.
func TestWarnsOfLackingEncryptionKeys(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	mine, next, after, gone := w.identity(), w.identity(), w.identity(), w.identity()
	var err error
	w.policy.Decrypter, err = envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(mine)})
	if err != nil {
		t.Fatal(err)
	}
	c := w.consumer()
	warned := func(event string, want ...keys.Identity) {
		t.Helper()
		log.Reset()
		result, err := c.Handle(t.Context(), body(w.event(event)), w.handle)
		w.check(result, err, consumer.Handled, "")
		lines := strings.Count(log.String(), "level=WARN")
		for _, i := range want {
			if !strings.Contains(log.String(), i.Recipient().KeyID()) {
				t.Errorf("event %s: no word of %s", event, i.Recipient().KeyID())
			}
		}
		if lines != len(want) {
			t.Errorf("event %s: %s", event, log.String())
		}
	}
	list := func(i keys.Identity, name string, change func(*trust.Key)) {
		k := &trust.Key{Recipient: i.Recipient(), Consumer: name}
		if change != nil {
			change(k)
		}
		w.keys = append(w.keys, k)
	}
	list(mine, "test", nil)
	list(after, "another", nil)
	list(gone, "test", func(k *trust.Key) { k.Schedule.Expired = start })
	w.publish(trust.BundleOptions{})
	warned("1")
	list(next, "test", func(k *trust.Key) { k.Schedule.Active = start.Add(time.Hour) })
	w.publish(trust.BundleOptions{})
	warned("2", next)
	warned("3")
	w.publish(trust.BundleOptions{}) // the same in a newer bundle
	warned("4")
}

func (w *world) identity() keys.Identity {
	w.Helper()
	i, err := keys.GenerateIdentity(keys.X25519)
	if err != nil {
		w.Fatal(err)
	}
	return i
}
