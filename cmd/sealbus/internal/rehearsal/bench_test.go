package rehearsal_test

import (
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/rehearsal"
	"github.com/sealbus/sealbus/keys"
)

func BenchmarkRehearse(b *testing.B) {
	p := rotation(b, keys.Schedule{Retired: noon.Add(time.Hour), Expired: noon.Add(40 * time.Hour)},
		keys.Schedule{Active: noon.Add(10 * time.Minute)})
	p.Cache = 5 * time.Minute
	for b.Loop() {
		found, err := rehearsal.Rehearse(b.Context(), p)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(found.Courses), "courses")
		b.ReportMetric(float64(found.Days), "days")
		if len(found.Stories) > 0 {
			b.Error(len(found.Stories))
		}
	}
}
