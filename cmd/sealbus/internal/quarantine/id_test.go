package quarantine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/quarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

// TestQuarantineByPrefix: a record is named by the beginning of its ID, or of the hash in it, if no other
// begins so.
func TestQuarantineByPrefix(t *testing.T) {
	b := clitest.New(t)
	key := make([]byte, consumer.MinQuarantineKey)
	b.Check(os.WriteFile(b.Path("q.key"), clitest.KeyText(key), 0o600))
	store, err := quarantine.NewDir(b.Path("bin"), clitest.BinKeys(key))
	b.Check(err)
	for i := range 8 {
		b.Check(store.Put(t.Context(), consumer.Record{
			Consumer: "billing", At: b.Now.Add(time.Duration(-i) * time.Hour),
			Reason: envelope.ReasonModified, UnverifiedID: fmt.Sprint("o-", i),
			Message: consumer.Message{Body: []byte("{}")},
		}))
	}
	files, err := filepath.Glob(filepath.Join(b.Path("bin"), "*.json"))
	b.Check(err)
	id := strings.TrimSuffix(filepath.Base(files[3]), ".json")
	day, hash := id[:8], cmd.HashOf(id)
	command := func(name string, more ...string) []string {
		// a plain directory
		return append([]string{"quarantine", name, "--from", b.Path("bin"), "--key-file", b.Path("q.key")},
			more...)
	}
	for name, c := range map[string]struct {
		given string
		code  int
		says  string
	}{
		"whole":         {id, ui.ExitDone, ""},
		"beginning":     {id[:20], ui.ExitDone, ""},
		"hash":          {hash, ui.ExitDone, ""},
		"some hash":     {hash[:loadkeys.MinPrefix], ui.ExitDone, ""},
		"too short":     {hash[:loadkeys.MinPrefix-1], ui.ExitUsage, "at least 8 characters"},
		"ambiguous":     {day, ui.ExitUsage, id[:9]},
		"of none":       {"ffffffff0000", ui.ExitRejected, "no such record"},
		"not beginning": {hash[4:], ui.ExitRejected, "no such record"},
	} {
		r := b.Run("", command("show", "--output", "json", c.given)...)
		var shown cmd.RecordView
		b.Check(json.Unmarshal([]byte(r.Stdout), &shown))
		if r.Code != c.code || r.Code == ui.ExitDone && shown.ID != id ||
			!strings.Contains(r.Stderr, c.says) {
			t.Errorf("%s: exit %d, %q\n%s", name, r.Code, shown.ID, r.Stderr)
		}
	}
	if r := b.Run("", command("show", day)...); strings.Count(r.Stderr, "Z-") != cmd.MostMatches ||
		!strings.Contains(r.Stderr, " and others") {
		t.Errorf("which match is not told:\n%s", r.Stderr)
	}
	b.Terminal, b.Columns = true, 80
	if list := uitest.StripColour(b.Must("", command("list")...)); !strings.Contains(list,
		hash[:cmd.ShownHash]+" ") || strings.Contains(list, id) || !strings.HasSuffix(list, "8 records\n") {
		t.Errorf("the list shows no beginnings:\n%s", list)
	}
	b.Terminal = false
	dry := b.Must("", command("reopen", "--dry-run", "--output", "json", hash[:loadkeys.MinPrefix],
		id[:22])...)
	if strings.Count(dry, id) != 1 {
		t.Errorf("reopened:\n%s", dry)
	}
	b.Must("", command("remove", hash[:loadkeys.MinPrefix])...)
	if _, err := os.Stat(files[3]); !os.IsNotExist(err) {
		t.Error("not removed")
	}
	if list := b.Must("", "quarantine", "list", "--from", "dir:"+
		b.Path("bin"), "--key-file", b.Path("q.key")); !strings.HasSuffix(list, "7 records\n") {
		t.Errorf("dir: is no longer known:\n%s", list)
	}
}
