package gateway

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sealbus/sealbus/keys"
)

// Work in hand is bounded by bytes: large bodies wait for each other, small ones pass beside each other, and
// a delivery whose sender has gone gives its place back.
func TestWorkIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWork()
		var running atomic.Int64
		hold := make(chan struct{})
		var all sync.WaitGroup
		start := func(ctx context.Context, bytes int, want error) {
			all.Go(func() {
				if err := w.do(ctx, bytes, func() error {
					running.Add(int64(bytes))
					<-hold
					running.Add(int64(-bytes))
					return nil
				}); !errors.Is(err, want) {
					t.Errorf("%d bytes: %v, not %v", bytes, err, want)
				}
			})
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		const small = (workUnits/16 - 1) * workUnit // takes a sixteenth of the units
		for range 16 {
			start(t.Context(), small, nil)
		}
		if running.Load() != 16*small {
			t.Errorf("%d bytes of small bodies run", running.Load())
		}
		start(gone, 8<<20, context.Canceled)    // waits for the small ones
		start(t.Context(), 1, nil)              // waits for its turn
		start(gone, workUnit, context.Canceled) // likewise
		leave()
		synctest.Wait()
		if running.Load() != 16*small {
			t.Errorf("%d bytes run, though no room is left", running.Load())
		}
		close(hold)
		all.Wait()
		hold = make(chan struct{}) // all that read the old one have ended
		start(t.Context(), 1<<20, nil)
		start(t.Context(), 1<<20, nil)
		if running.Load() != 1<<20 {
			t.Errorf("%d bytes of large bodies run at one time", running.Load())
		}
		close(hold)
		all.Wait()
		if len(w.units) != 0 || len(w.turn) != 1 || running.Load() != 0 {
			t.Errorf("%d units and %d turns are left", len(w.units), len(w.turn))
		}
	})
}

// FuzzParse: a configuration is read, or each error has its place; nothing panics, and what is read keeps the
// rules of endpoints.
func FuzzParse(f *testing.F) {
	f.Add([]byte("endpoints: {a: {path: /a, provider: github, secrets: [env:A], source: urn:a}}"))
	f.Add([]byte("endpoints:\n  a: &x\n    path: /a\n  b: *x\n"))
	f.Add([]byte("base_url: [\n"))
	f.Add([]byte("out: {a: {url: 'https://a.example', secrets: [env:A], sources: ['https://b.example/*']}}"))
	f.Add([]byte("out:\n  a:\n    url: https://a.example\n    sign: sealed\n    sources: [urn:a]\n" +
		"    types: ['*']\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := parse(doc)
		if err != nil {
			if _, ok := errors.AsType[*ConfigError](err); !ok {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		paths, sources := map[string]bool{}, map[string]bool{}
		for _, e := range c.endpoints {
			if e.path.value == "" || e.source.value == "" || paths[e.path.value] || sources[e.source.value] ||
				e.at.line < 1 || (e.provider.value == "") == (e.recipe.value == "") || e.burst < 1 {
				t.Errorf("%+v", e)
			}
			paths[e.path.value], sources[e.source.value] = true, true
		}
		for _, e := range c.out {
			if e.url.value == "" || len(e.sources) == 0 || keys.CheckScope(e.sources, e.types) != nil ||
				e.at.line < 1 || checkSign(cmp.Or(e.sign.value, signStandard)) != nil ||
				(len(e.secrets) > 0) != (cmp.Or(e.sign.value, signStandard) == signStandard) {
				t.Errorf("%+v", e)
			}
		}
	})
}
