package interop_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sealbus/sealbus/internal/localaws"
)

// sdkChecks is how many checks peers/awssdk.mjs has, so that none is lost.
const sdkChecks = 20

// TestSDKOfJavaScript runs the clients of the AWS SDK of JavaScript on internal/localaws, as it is and with a
// directory. They are another reading of the protocols than the clients of Go, and Node's cryptography is
// another than Go's.
func TestSDKOfJavaScript(t *testing.T) {
	needPackages(t)
	for name, opts := range map[string]*localaws.Options{
		"in memory": nil, "with a directory": {Dir: filepath.Join(t.TempDir(), "dev")},
	} {
		t.Run(name, func(t *testing.T) {
			aws, err := localaws.Start(opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := aws.Close(); err != nil {
					t.Error(err)
				}
			})
			runSDK(t, aws.URL())
		})
	}
}

// runSDK runs the checks on whatever is at the URL.
func runSDK(t *testing.T, url string) {
	t.Helper()
	t.Setenv("AWS_ENDPOINT_URL", url)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "example")
	var results map[string]*string
	if err := json.Unmarshal(node(t, nil, filepath.Join("peers", "awssdk.mjs")), &results); err != nil {
		t.Fatal(err)
	}
	if len(results) != sdkChecks {
		t.Errorf("%d checks were made, want %d", len(results), sdkChecks)
	}
	for _, check := range slices.Sorted(maps.Keys(results)) {
		if wrong := results[check]; wrong != nil {
			t.Errorf("%s: %s", check, *wrong)
		}
	}
}
