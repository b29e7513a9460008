package awssecrets_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awssecrets"
	"github.com/sealbus/sealbus/keys/keystest"
)

// store is a fake Secrets Manager with one secret, spoken to by the real client.
type store struct {
	*secretsmanager.Client
	answer atomic.Pointer[map[string]any] // to GetSecretValue; nil = it fails
}

func newStore(t testing.TB) *store {
	s := &store{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		answer := s.answer.Load()
		if answer == nil || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
			w.WriteHeader(http.StatusBadRequest)
			answer = &map[string]any{"__type": "AccessDeniedException", "Message": "not allowed"}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	s.Client = secretsmanager.New(secretsmanager.Options{BaseEndpoint: &srv.URL, Region: "eu-west-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "hush", "")})
	return s
}

func fetchOf(t testing.TB, s *store) keys.KeyringFetch {
	t.Helper()
	fetch, err := awssecrets.Keyring(s, "orders/keyring")
	if err != nil {
		t.Fatal(err)
	}
	return fetch
}

// The value may be binary, or text in base64.
func TestKeyringFetch(t *testing.T) {
	for _, member := range []string{"SecretBinary", "SecretString"} {
		t.Run(member, func(t *testing.T) {
			keystest.TestKeyringFetch(t, func(t testing.TB, first []byte) (keys.KeyringFetch, func([]byte)) {
				s := newStore(t)
				publish := func(content []byte) {
					if content == nil {
						s.answer.Store(nil)
						return
					}
					s.answer.Store(&map[string]any{"Name": "orders/keyring", member: base64.StdEncoding.EncodeToString(content)})
				}
				publish(first)
				return fetchOf(t, s), publish
			})
		})
	}
}

func TestRefuses(t *testing.T) {
	s := newStore(t)
	fetch := fetchOf(t, s)
	for name, test := range map[string]struct {
		answer *map[string]any
		want   string
	}{
		"denied":   {nil, "orders/keyring: "},
		"no value": {&map[string]any{"Name": "x"}, "has no value"},
		"password": {&map[string]any{"SecretString": "hunter2-hunter2!"}, "neither a keyring in base64 nor in JSON"},
		"too long": {&map[string]any{"SecretString": strings.Repeat("A", 3<<20)}, "more than"},
	} {
		s.answer.Store(test.answer)
		content, err := fetch(t.Context())
		if err == nil || content != nil || !strings.Contains(err.Error(), test.want) ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.answer.Store(&map[string]any{"SecretString": ` {"version":1}`})
	if content, err := fetch(t.Context()); err != nil || string(content) != `{"version":1}` {
		t.Errorf("%s, %v", content, err)
	}
	if _, err := awssecrets.Keyring(nil, "x"); err == nil {
		t.Error("no client")
	}
	if _, err := awssecrets.Keyring(s, ""); err == nil {
		t.Error("no name")
	}
}
