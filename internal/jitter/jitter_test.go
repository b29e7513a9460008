package jitter_test

import (
	"testing"

	"github.com/sealbus/sealbus/internal/jitter"
)

func TestDraw(t *testing.T) {
	first := jitter.Draw(t.Context())
	for range 100 {
		n := jitter.Draw(t.Context())
		if n < 0 || n >= 1 || n == first {
			t.Fatalf("%v after %v", n, first)
		}
	}
	ctx := jitter.With(t.Context(), func() float64 { return 0.25 })
	if n := jitter.Draw(ctx); n != 0.25 {
		t.Errorf("%v, although the context says 0.25", n)
	}
}
