// Package jitter draws the random part of an interval, which keeps many programs from asking at once.
package jitter

import (
	"context"
	"crypto/rand"
	"encoding/binary"
)

type key struct{}

// With is a context in which Draw takes its numbers from draw, so that a simulation can be played again.
func With(ctx context.Context, draw func() float64) context.Context {
	return context.WithValue(ctx, key{}, draw)
}

// Draw is a number within [0,1).
func Draw(ctx context.Context) float64 {
	if draw, ok := ctx.Value(key{}).(func() float64); ok {
		return draw()
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
}
