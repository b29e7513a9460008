package doctor_test

import (
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/doctor"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// TestDoctorSpeaksOfNoEvent: doctor looks at permissions, not at events, whatever KMS answers to a dry run.
func TestDoctorSpeaksOfNoEvent(t *testing.T) {
	const arn = "arn:aws:kms:eu-west-1:111122223333:key/1"
	describe := `{"KeyMetadata":{"Arn":"` + arn +
		`","KeyId":"1","Enabled":true,"KeyState":"Enabled","KeyUsage":"ENCRYPT_DECRYPT","KeySpec":"SYMMETRIC_DEFAULT"}}`
	for code, want := range map[string]struct {
		http   int
		status string
		exit   int
		fix    string
	}{
		"InvalidCiphertextException": {400, doctor.StatusUnknown, ui.ExitUsage,
			"the permission is not known"},
		"IncorrectKeyException": {400, doctor.StatusUnknown, ui.ExitUsage,
			"the permission is not known"},
		"AccessDeniedException": {400, doctor.StatusProblem, ui.ExitDue, "allow kms:Decrypt on " + arn},
		"KMSInternalException":  {500, doctor.StatusUnknown, ui.ExitUnavailable, "run it again"},
		"ThrottlingException":   {400, doctor.StatusUnknown, ui.ExitUnavailable, "run it again"},
		"DisabledException":     {400, doctor.StatusProblem, ui.ExitDue, "enable the key"},
	} {
		t.Run(code, func(t *testing.T) {
			clitest.AwsStub(t, func(action string) (int, string) {
				if action == "DescribeKey" {
					return 200, describe
				}
				return want.http, clitest.AwsError(code)
			})
			b := clitest.New(t)
			found, exit := findings(b, "doctor", "--may-decrypt", arn, "--source", "urn:shop")
			one(t, found, "kms decrypt", want.status, "kms:Decrypt on "+arn)
			fix := found["kms decrypt"][0].Fix
			if exit != want.exit || !strings.Contains(fix, want.fix) || strings.Contains(fix, "event") ||
				strings.Contains(fix, "tried again") {
				t.Errorf("exit %d, want %d; %s", exit, want.exit, fix)
			}
		})
	}
}
