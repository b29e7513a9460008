package rehearsal_test

import (
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/rehearsal"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// noon is when the new bundle is built.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rotation is a plan in which orders goes from key A to key B.
func rotation(t testing.TB, a, b keys.Schedule) *rehearsal.Plan {
	t.Helper()
	cast := rehearsal.NewCast(t.TempDir())
	key := func(label string, schedule keys.Schedule) policy.Key {
		id, err := cast.Key("orders", label)
		if err != nil {
			t.Fatal(err)
		}
		return policy.Key{ID: id, Schedule: schedule}
	}
	orders := func(list ...policy.Key) *policy.Policy {
		return &policy.Policy{Producers: []policy.Producer{{Name: "orders", Sources: []string{"https://orders.example/*"},
			Types: []string{"com.example.order.*"}, Keys: list}}}
	}
	was := keys.Schedule{Published: a.Published, Active: a.Active}
	return &rehearsal.Plan{
		Start: noon.Add(-time.Hour), Cast: cast,
		Publications: []rehearsal.Publication{
			{Built: noon.Add(-time.Hour), Policy: orders(key("A", was))},
			{Built: noon, Policy: orders(key("A", a), key("B", b))},
		},
	}
}
