package awsssm_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awsssm"
	"github.com/sealbus/sealbus/keys/keystest"
)

// store is a fake Parameter Store with one parameter, spoken to by the real client.
type store struct {
	*ssm.Client
	answer atomic.Pointer[map[string]any] // to GetParameter; nil = it fails
}

func newStore(t testing.TB) *store {
	s := &store{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		answer := s.answer.Load()
		if answer == nil || r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" {
			w.WriteHeader(http.StatusBadRequest)
			answer = &map[string]any{"__type": "AccessDeniedException", "Message": "not allowed"}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	s.Client = ssm.New(ssm.Options{BaseEndpoint: &srv.URL, Region: "eu-west-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "hush", "")})
	return s
}

func fetchOf(t testing.TB, s *store) keys.KeyringFetch {
	t.Helper()
	fetch, err := awsssm.Keyring(s, "/orders/keyring")
	if err != nil {
		t.Fatal(err)
	}
	return fetch
}

func parameter(value, kind string) *map[string]any {
	return &map[string]any{"Parameter": map[string]any{"Name": "/orders/keyring", "Type": kind, "Value": value}}
}

func TestKeyringFetch(t *testing.T) {
	keystest.TestKeyringFetch(t, func(t testing.TB, first []byte) (keys.KeyringFetch, func([]byte)) {
		s := newStore(t)
		publish := func(content []byte) {
			if content == nil {
				s.answer.Store(nil)
				return
			}
			s.answer.Store(parameter(base64.StdEncoding.EncodeToString(content), "SecureString"))
		}
		publish(first)
		return fetchOf(t, s), publish
	})
}

func TestRefuses(t *testing.T) {
	s := newStore(t)
	fetch := fetchOf(t, s)
	for name, test := range map[string]struct {
		answer *map[string]any
		want   string
	}{
		"denied":         {nil, "/orders/keyring: "},
		"no parameter":   {&map[string]any{}, "has no value"},
		"not encrypted":  {parameter(`{"version":1}`, "String"), "make it a SecureString"},
		"some password":  {parameter("hunter2-hunter2!", "SecureString"), "neither a keyring in base64 nor in JSON"},
		"much too large": {parameter(strings.Repeat("A", 3<<20), "SecureString"), "more than"},
	} {
		s.answer.Store(test.answer)
		content, err := fetch(t.Context())
		if err == nil || content != nil || !strings.Contains(err.Error(), test.want) ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.answer.Store(parameter(` {"version":1}`, "SecureString"))
	if content, err := fetch(t.Context()); err != nil || string(content) != `{"version":1}` {
		t.Errorf("%s, %v", content, err)
	}
	if _, err := awsssm.Keyring(nil, "x"); err == nil {
		t.Error("no client")
	}
	if _, err := awsssm.Keyring(s, ""); err == nil {
		t.Error("no name")
	}
}
