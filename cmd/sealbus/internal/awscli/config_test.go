package awscli

import (
	"path/filepath"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// The timeouts of AWS_DEFAULTS_MODE reach the client below ours.
func TestDefaultsModeHasItsTimeouts(t *testing.T) {
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, filepath.Join(t.TempDir(), "none"))
	}
	t.Setenv("AWS_PROFILE", "")
	for mode, want := range map[string]time.Duration{
		"legacy":    awshttp.NewBuildableClient().GetDialer().Timeout,
		"standard":  3100 * time.Millisecond,
		"in-region": 1100 * time.Millisecond,
	} {
		t.Setenv("AWS_DEFAULTS_MODE", mode)
		cfg, err := Read(t.Context(), "us-east-1")
		if err != nil {
			t.Fatal(err)
		}
		client, ok := cfg.HTTPClient.(ownBody).client.(*awshttp.BuildableClient)
		if !ok {
			t.Fatalf("%T", cfg.HTTPClient.(ownBody).client)
		}
		if got := client.GetDialer().Timeout; got != want {
			t.Errorf("%s: connecting may take %s", mode, got)
		}
		if got := client.GetTransport().TLSHandshakeTimeout; mode != "legacy" && got != want {
			t.Errorf("%s: TLS may take %s", mode, got)
		}
	}
}
