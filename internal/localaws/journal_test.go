package localaws

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func openTestJournal(t *testing.T, dir string) *journal {
	t.Helper()
	j, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// rowsOf is what a bucket has, as "key=value" in the order of the keys.
func rowsOf(t *testing.T, j *journal, bucket string) string {
	t.Helper()
	var rows []string
	err := j.load(bucket, func(key string, value []byte) error {
		var text string
		err := json.Unmarshal(value, &text)
		rows = append(rows, key+"="+text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(rows, " ")
}

func TestJournalKeepsWhatWasSynced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	j := openTestJournal(t, dir)
	j.put("b", "1", "one")
	j.put("b", "2", "two")
	j.put("c", "1", "other")
	j.put("b", "1", "uno")
	j.remove("b", "2")
	j.remove("b", "none")
	if err := j.sync(); err != nil {
		t.Fatal(err)
	}
	j.put("b", "3", "never synced")
	if err := j.abandon(); err != nil {
		t.Fatal(err)
	}
	if err := j.sync(); !errors.Is(err, errKilled) {
		t.Errorf("sync after the end: %v", err)
	}
	j = openTestJournal(t, dir)
	if got := rowsOf(t, j, "b"); got != "1=uno" {
		t.Errorf("bucket b has %q", got)
	}
	if got := rowsOf(t, j, "c"); got != "1=other" {
		t.Errorf("bucket c has %q", got)
	}
	j.put("b", "4", "queued before close")
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	j.put("b", "5", "after close")
	if err := j.sync(); !errors.Is(err, errJournalClosed) {
		t.Errorf("sync after close: %v", err)
	}
	j = openTestJournal(t, dir)
	defer j.close()
	if got := rowsOf(t, j, "b"); got != "1=uno 4=queued before close" {
		t.Errorf("bucket b has %q", got)
	}
}

func TestJournalFlushesWithoutWaiting(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir)
	j.mu.Lock()
	moved := j.moved
	j.mu.Unlock()
	j.put("b", "1", "one")
	j.flush()
	<-moved
	if got := rowsOf(t, j, "b"); got != "1=one" {
		t.Errorf("bucket b has %q", got)
	}
	if err := j.close(); err != nil {
		t.Error(err)
	}
}

func TestJournalIsOfOneProcessAndOneUser(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalFile)
	j := openTestJournal(t, dir)
	if _, err := openJournal(dir); err == nil || !strings.Contains(err.Error(), "another process uses") {
		t.Errorf("a second journal: %v", err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(dir); err == nil {
		t.Error("a file that others may read was opened")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.Symlink(path, filepath.Join(other, journalFile)); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if _, err := openJournal(other); err == nil {
		t.Error("a link was followed")
	}
}

func TestJournalFailsClosed(t *testing.T) {
	j := openTestJournal(t, t.TempDir())
	j.put("", "1", "a bucket without a name is refused")
	first := j.sync()
	if first == nil {
		t.Fatal("a failed transaction was acknowledged")
	}
	j.put("b", "1", "one")
	if err := j.sync(); !errors.Is(err, first) {
		t.Errorf("after a failure: %v", err)
	}
	if err := j.close(); !errors.Is(err, first) {
		t.Errorf("close: %v", err)
	}
}

func TestNoJournalKeepsNothing(t *testing.T) {
	var j *journal
	j.put("b", "1", "one")
	j.remove("b", "1")
	j.flush()
	if err := errors.Join(j.sync(), j.load("b", nil), j.abandon(), j.close()); err != nil {
		t.Error(err)
	}
}

// TestJournalSharesTransactions holds the writer back with a transaction of its own: all that is queued
// meanwhile has to come in one more.
func TestJournalSharesTransactions(t *testing.T) {
	j := openTestJournal(t, t.TempDir())
	defer j.close()
	hold, err := j.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	writes := func() int64 {
		stats := j.db.Stats()
		return stats.TxStats.GetWrite()
	}
	before := writes()
	var ready, done sync.WaitGroup
	const callers = 50
	for i := range callers {
		ready.Add(1)
		done.Go(func() {
			j.put("b", fmt.Sprint(i), "x")
			ready.Done()
			if err := j.sync(); err != nil {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	if err := hold.Rollback(); err != nil {
		t.Fatal(err)
	}
	done.Wait()
	if n := writes() - before; n > 20 {
		t.Errorf("%d callers cost %d writes of pages", callers, n)
	}
	if got := strings.Fields(rowsOf(t, j, "b")); len(got) != callers {
		t.Errorf("%d rows", len(got))
	}
}
