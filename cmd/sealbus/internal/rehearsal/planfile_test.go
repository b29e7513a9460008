package rehearsal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/rehearsal"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

var values = rehearsal.Values{Duration: ui.ParseDuration, Moment: ui.ParseMoment}

func TestReadPlan(t *testing.T) {
	p := rotation(t, keys.Schedule{}, keys.Schedule{Active: noon.Add(time.Hour)})
	err := p.Read([]byte("refresh 2m # a comment\n\ncache 10m\nskew 0s\ntimestamps yes\nseed -7\n"+
		"at +3h rotate orders expired +5d\nat +4h widen orders com.example.refund.*\n"+
		"at +4h rival orders com.example.note.*\nat 2026-03-02 outage 5m\nat +30h revoke orders\n"), noon, values)
	if err != nil {
		t.Fatal(err)
	}
	if p.Refresh != 2*time.Minute || p.Cache != 10*time.Minute || p.Skew >= 0 || !p.Timestamps || p.Seed != -7 ||
		len(p.Publications) != 5 || len(p.Outages) != 1 || len(p.Revocations) != 1 {
		t.Errorf("%+v", p)
	}
	if rival := p.Publications[4]; !rival.Rival || len(rival.Policy.Producers[0].Types) != 2 ||
		len(rival.Merged.Producers[0].Types) != 3 {
		t.Errorf("the rival: %+v", rival)
	}
}

func TestReadPlanRefuses(t *testing.T) {
	for _, line := range []string{"coffee 2", "cache", "cache 10m 11m", "cache -1m", "refresh 0s", "refresh 1ms",
		"consumers 0", "consumers 51", "courses 10001", "seed x", "timestamps maybe", "in-flight 31d", "at", "at +1h",
		"at +1h dance", "at yesterday withhold", "at 2020-01-01 withhold", "at +500d withhold", "at +1h outage",
		"at +1h revoke sales", "at +1h rotate sales", "at +1h rotate orders ended +2h",
		"at +1h rotate orders retired +1h expired +30m", "at +1h widen orders a*b", "at +1h widen sales com.example.*",
		strings.Repeat("# ", 40<<10)} {
		p := rotation(t, keys.Schedule{}, keys.Schedule{Active: noon.Add(time.Hour)})
		if err := p.Read([]byte(line), noon, values); err == nil {
			t.Errorf("%.60q is read", line)
		}
	}
}

func FuzzReadPlan(f *testing.F) {
	f.Add([]byte("refresh 2m\ncache 10m\nat +3h rotate orders active +5m\n"))
	f.Add([]byte("at +1h widen orders com.example.*\nat +1h rival orders x\nat +2h revoke orders\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p := rotation(t, keys.Schedule{}, keys.Schedule{Active: noon.Add(time.Hour)})
		p.Courses = 1
		if p.Read(doc, noon, values) != nil {
			return
		}
		if len(p.Publications) > 102 || p.Consumers > 50 || p.Producers > 50 {
			t.Errorf("%+v", p)
		}
	})
}
