package howlong

import (
	"math"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {90 * time.Second, "1m30s"}, {-90*time.Second - time.Millisecond, "1m30s"},
		{48 * time.Hour, "48h0m0s"},
		{now.Sub(now.AddDate(-290, 0, 0)), "2542080h0m0s"},
		{now.Sub(now.AddDate(-293, 0, 0)), FarText}, {now.Sub(now.AddDate(293, 0, 0)), FarText},
		{now.Sub(time.Time{}), FarText}, {math.MinInt64, FarText}, {math.MaxInt64, FarText},
		{time.Duration(math.MaxInt64).Truncate(time.Second), FarText},
		{time.Duration(math.MinInt64).Round(time.Hour), FarText},
	} {
		if got := Text(c.d); got != c.want {
			t.Errorf("%v: %s, want %s", c.d, got, c.want)
		}
	}
}
