package doctor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/doctor"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// A producer that no key signs for is a problem, also among those that are not named one by one.
func TestDoctorManyProducers(t *testing.T) {
	b := clitest.New(t)
	var list []*trust.Key
	for i := range doctor.MostProducers + 1 {
		signer, err := keys.GenerateSigner(keys.Ed25519, fmt.Sprintf("p%02d", i))
		b.Check(err)
		k := &trust.Key{Verifier: signer.Verifier(), Producer: signer.Producer(),
			Sources: []string{clitest.OrderSource},
			Types:   []string{"*"}}
		if k.Schedule.Retired = b.Now.Add(time.Hour); i == doctor.MostProducers {
			k.Schedule.Retired = b.Now.Add(-time.Hour)
		}
		list = append(list, k)
	}
	b.Trust(list...)
	found, code := doctorTrust(b)
	told := found["producer keys"]
	last := told[len(told)-1]
	const want = "and 1 producer more; for 1 of them no key signs now"
	if last.Status != doctor.StatusProblem || last.Cause != want || code != ui.ExitDue {
		t.Errorf("%d findings, exit %d: %s %q, want %q", len(told), code, last.Status, last.Cause, want)
	}
}
