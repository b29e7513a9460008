package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
)

// A delivery that could not be recorded is not acknowledged: the provider sends it again, and it is recorded
// then, once.
func TestFullDiskIsNeverAcknowledged(t *testing.T) {
	scheme, err := webhook.Provider("github")
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "test", []webhook.Secret{{Text: "secret"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	env := ui.NewEnv(nil, &stdout, io.Discard, ui.System{
		Now:      func() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) },
		Getenv:   func(string) string { return "" },
		Terminal: func(io.Writer) bool { return false },
	})
	dir := filepath.Join(t.TempDir(), "records")
	l, err := newListener(env, v, dir, func() {})
	if err != nil {
		t.Fatal(err)
	}
	create := l.recorder.create
	send := func() int {
		mac := hmac.New(sha256.New, []byte("secret"))
		mac.Write([]byte("{}"))
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		return w.Code
	}
	for name, fail := range map[string]func(path string, data []byte) error{
		"full": func(string, []byte) error { return &os.PathError{Op: "write", Err: syscall.ENOSPC} },
		"gone": func(path string, data []byte) error {
			return errors.Join(os.RemoveAll(dir), create(path, data))
		},
		"gone before the name is there": func(path string, data []byte) error {
			return errors.Join(create(path, data), os.RemoveAll(dir))
		},
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l.recorder.create = fail
		if got := send(); got != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", name, got)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l.recorder.create = create
	if first, second := send(), send(); first != 200 || second != 200 {
		t.Errorf("with room: %d, %d", first, second)
	}
	names, err := recordsIn(dir)
	if err != nil || len(names) != 1 {
		t.Fatalf("records %q, %v", names, err)
	}
	if info, err := os.Stat(filepath.Join(dir, names[0])); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("beside it: %v, %v", all, err)
	}
	text := stdout.String()
	if strings.Count(text, "retry") != 3 || strings.Count(text, "no space left on device") != 1 ||
		strings.Count(text, "recorded as") != 1 || strings.Count(text, "duplicate") != 1 {
		t.Errorf("it said\n%s", text)
	}
}
