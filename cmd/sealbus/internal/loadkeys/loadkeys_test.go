package loadkeys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func TestPassphraseFileOfWindows(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(file, []byte("sesame\r\nmore\r\n"), ui.PrivateFile); err != nil {
		t.Fatal(err)
	}
	env := &ui.Env{}
	pass, err := passphraseFromFile(env, file, false)
	if pass != "sesame" || err != nil {
		t.Errorf("%q, %v", pass, err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("x", maxPassphrase+1)), ui.PrivateFile); err != nil {
		t.Fatal(err)
	}
	if _, err := passphraseFromFile(env, file, false); err == nil {
		t.Error("a passphrase of any length is read")
	}
}

func TestMatchID(t *testing.T) {
	ids := []string{"AAAAAAAAAAAA1", "AAAAAAAAAAAA2", "BBBBBBBBBBBB"}
	for given, want := range map[string]string{"BBBBBBBB": ids[2], "BBBBBBBBBBBB": ids[2],
		"AAAAAAAAAAAA2": ids[1]} {
		if got, err := MatchID(ids, given, "x"); got != want || err != nil {
			t.Errorf("matchID(%q) = %q, %v", given, got, err)
		}
	}
	for _, given := range []string{"", "BBBBBBB", "AAAAAAAAAAAA", "CCCCCCCC", "BBBBBBBBBBBBB"} {
		if got, err := MatchID(ids, given, "x"); err == nil {
			t.Errorf("matchID(%q) = %q", given, got)
		}
	}
}
