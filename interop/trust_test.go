package interop_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"testing"
)

// A trustStep is what a consumer holds after a step of a vector of timestamps: see vectors/README.md.
type trustStep struct {
	Expect          string   `json:"expect"`
	RootsVersion    int64    `json:"roots_version"`
	Version         int64    `json:"version"`
	Expires         string   `json:"expires"`
	Revoked         []string `json:"revoked"`
	RevokedSessions []string `json:"revoked_sessions"`
}

// TestTrustVectors holds the files, which the tests of keys/trust compare with Go, against a verifier that
// was written from section 4.1 of SPEC.md.
func TestTrustVectors(t *testing.T) {
	needPackages(t)
	dir := filepath.Join(vectorDir, "trust")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s: %v", dir, err)
	}
	judged := 0
	for line := range bytes.Lines(node(t, nil, "verifier/trust.mjs", dir)) {
		var got struct {
			File  string
			Steps []trustStep
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		var want struct{ Steps []trustStep }
		if err := json.Unmarshal(read(t, filepath.Join(dir, got.File)), &want); err != nil {
			t.Fatal(err)
		}
		for _, steps := range [][]trustStep{got.Steps, want.Steps} {
			for i := range steps {
				steps[i].Revoked = append([]string{}, steps[i].Revoked...)
				steps[i].RevokedSessions = append([]string{}, steps[i].RevokedSessions...)
			}
		}
		if !reflect.DeepEqual(got.Steps, want.Steps) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", got.File, got.Steps, want.Steps)
		}
		judged++
	}
	if judged != len(files) {
		t.Errorf("the verifier judged %d vectors of %d", judged, len(files))
	}
}
