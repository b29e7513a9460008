package jwt

import (
	"context"
	"testing"
	"time"
)

// TestKeysAreFetchedAnewAfterTheClockWasSetBack: otherwise no new key would be found until the clock gets
// there.
func TestKeysAreFetchedAnewAfterTheClockWasSetBack(t *testing.T) {
	d := document[int]{value: 1, fetched: time.Now().Add(24 * time.Hour).Round(0),
		fetch: func(context.Context) (int, error) { return 2, nil }}
	for range 2 {
		if got, err := d.get(t.Context(), maxAge); got != 2 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
	}
}
