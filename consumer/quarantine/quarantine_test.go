package quarantine_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)

func TestMemory(t *testing.T) {
	quarantinetest.Run(t, func(*testing.T) *quarantinetest.Place { return quarantinetest.NewMemory() })
}

func TestDir(t *testing.T) {
	quarantinetest.Run(t, func(t *testing.T) *quarantinetest.Place {
		path := filepath.Join(t.TempDir(), "a", "bin")
		return &quarantinetest.Place{
			Open: func(t *testing.T, keys consumer.QuarantineKeys) quarantine.Store { return newDir(t, path, keys) },
			Inject: func(t *testing.T, id string, doc []byte) {
				if err := errors.Join(os.MkdirAll(path, 0o700),
					os.WriteFile(filepath.Join(path, id+".json"), doc, 0o600)); err != nil {
					t.Fatal(err)
				}
			},
			Down: func(t *testing.T) { // a file where the directory should be, and another where each file should be
				if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			},
			Fits: 2 << 20, TooLarge: 34 << 20,
		}
	})
}

func newDir(t *testing.T, path string, keys consumer.QuarantineKeys) quarantine.Store {
	t.Helper()
	d, err := quarantine.NewDir(path, keys)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// one is a directory with one record, and the record's file.
func one(t *testing.T) (d quarantine.Store, path, file string) {
	t.Helper()
	path = t.TempDir()
	d = newDir(t, path, quarantinetest.Keys("bin"))
	if err := d.Put(t.Context(), quarantinetest.Record(at, "o-1")); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(path, "*.json"))
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	return d, path, files[0]
}

func list(t *testing.T, s quarantine.Store) (entries []quarantine.Entry) {
	t.Helper()
	for e, err := range s.List(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// A record is a file that only its owner may read, under a name made of time and hash. The same record twice
// is one record.
func TestDirFiles(t *testing.T) {
	d, path, file := one(t)
	later := quarantinetest.Record(at.Add(time.Hour), "o-2")
	for _, r := range []consumer.Record{later, quarantinetest.Record(at, "o-1"), later} {
		if err := d.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if files, _ := os.ReadDir(path); len(files) != 2 {
		t.Errorf("%d files", len(files))
	}
	if base := filepath.Base(file); !regexp.MustCompile(`^20260301T120000\.000000005Z-[0-9a-f]{32}\.json$`).MatchString(base) {
		t.Errorf("file name %s", base)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := quarantinetest.Keys("bin").Parse(doc); err != nil || r.UnverifiedID != "o-1" {
		t.Errorf("read %+v, %v", r, err)
	}
}

// The directories on the way to a record are made, and made again; only their owner may read them.
func TestDirIsMade(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, path := range []string{filepath.Join(dir, "a", "b"), filepath.Join("c", "d") + "/", "e"} {
		d := newDir(t, path, quarantinetest.Keys("bin"))
		for range 2 {
			if err := d.Put(t.Context(), quarantinetest.Record(at, "o-1")); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Put(t.Context(), quarantinetest.Record(at, "o-1")); err != nil {
			t.Error(err)
		}
	}
	for _, made := range []string{"a", "a/b", "c", "c/d", "e"} {
		if info, err := os.Stat(filepath.Join(dir, made)); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", made, info, err)
		}
	}
}

// Where there can be no directory, Put fails.
func TestDirFails(t *testing.T) {
	_, _, file := one(t)
	for _, path := range []string{file, filepath.Join(file, "below", "it")} {
		if err := newDir(t, path, quarantinetest.Keys("bin")).Put(t.Context(),
			quarantinetest.Record(at, "o-1")); err == nil {
			t.Errorf("%q was taken for a directory", path)
		}
	}
}

// An attacker who can write to the directory can neither have another file read, nor stop the listing.
func TestDirHolesAndLinks(t *testing.T) {
	d, path, file := one(t)
	secret := filepath.Join(t.TempDir(), "secret")
	id := quarantine.TimeID(at.Add(time.Hour)) + "-" + strings.Repeat("a", 32)
	large := quarantine.TimeID(at.Add(time.Hour)) + "-" + strings.Repeat("b", 32)
	f, err := os.Create(filepath.Join(path, large+".json"))
	if err == nil {
		err = errors.Join(f.Truncate(consumer.MaxRecord+1), f.Close())
	}
	doc, readErr := os.ReadFile(file)
	if err := errors.Join(err, readErr, os.WriteFile(secret, doc, 0o600),
		os.Symlink(secret, filepath.Join(path, id+".json")),
		os.Mkdir(filepath.Join(path, "folder.json"), 0o700),
		os.WriteFile(filepath.Join(path, ".new-ABC"), doc, 0o600),
		os.WriteFile(filepath.Join(path, "\x1b[2Jnotes.txt"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{id: true, large: true, "\x1b[2Jnotes.txt": true}
	for _, e := range list(t, d) {
		if e.Record != nil && e.Record.UnverifiedID == "o-1" {
			continue
		}
		if !want[e.ID] || !errors.Is(e.Err, consumer.ErrNotAuthentic) {
			t.Errorf("listed %+v", e)
		}
		delete(want, e.ID)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	if _, err := d.Get(t.Context(), id); !errors.Is(err, consumer.ErrNotAuthentic) {
		t.Errorf("through a link: %v", err)
	}
	if _, err := d.Get(t.Context(), large); !errors.Is(err, quarantine.ErrTooLarge) ||
		!errors.Is(err, consumer.ErrNotAuthentic) {
		t.Errorf("too large: %v", err)
	}
	if err := d.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(secret); err != nil {
		t.Errorf("what the link led to is gone: %v", err)
	}
}

// Opening a named pipe would wait without end.
func TestDirPipe(t *testing.T) {
	mkfifo, err := exec.LookPath("mkfifo")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("no named pipes here")
	}
	d, path, _ := one(t)
	id := quarantine.TimeID(at) + "-" + strings.Repeat("c", 32)
	if err := exec.Command(mkfifo, filepath.Join(path, id+".json")).Run(); err != nil {
		t.Fatal(err)
	}
	if entries := list(t, d); len(entries) != 2 {
		t.Errorf("listed %+v", entries)
	}
}

func TestNewDir(t *testing.T) {
	if _, err := quarantine.NewDir(t.TempDir(), consumer.QuarantineKeys{}); err == nil {
		t.Error("no keys were taken")
	}
	if _, err := quarantine.NewDir("", quarantinetest.Keys("bin")); err == nil {
		t.Error("no directory was taken")
	}
	path := filepath.Join(t.TempDir(), "missing")
	d := newDir(t, path, quarantinetest.Keys("bin"))
	for _, err := range d.List(t.Context(), nil) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a missing directory: %v", err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("looking made the directory")
	}
}

func TestTimeOf(t *testing.T) {
	hash := strings.Repeat("0a", 16)
	good := "20260301T120000.000000005Z-" + hash
	if got, ok := quarantine.TimeOf(good); !ok || !got.Equal(at) {
		t.Errorf("TimeOf = %v, %v", got, ok)
	}
	for _, bad := range []string{
		"", good[1:], good + "0", strings.ToUpper(good), strings.Replace(good, "Z-", "Z_", 1),
		strings.Replace(good, "0301T", "0231T", 1),
		strings.Replace(good, "T12", "T24", 1), good[:len(good)-1] +
			"g", strings.Replace(good, ".", ",", 1), "../" + good[3:], "\x1b" + good[1:],
		strings.Replace(good, "2026", "+026", 1),
	} {
		if _, ok := quarantine.TimeOf(bad); ok {
			t.Errorf("%q passes for an ID", bad)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	r := quarantinetest.Record(time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), "o-1")
	if id, _, err := quarantine.Encode(quarantinetest.Keys("bin"), r); err == nil {
		t.Errorf("ID %s", id)
	}
}

// FuzzDecode: whatever lies in a quarantine, nothing is handed out but what was put there.
func FuzzDecode(f *testing.F) {
	keys := quarantinetest.Keys("bin")
	id, doc, err := quarantine.Encode(keys, quarantinetest.Record(at, "o-1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(id, doc)
	f.Add(id, doc[1:])
	f.Fuzz(func(t *testing.T, id string, doc []byte) {
		e, err := quarantine.DecodeAs(keys, id, doc)
		if e.ID != id || (e.Record == nil) == (err == nil) || (e.Document == nil) == (err == nil) ||
			(e.Err == nil) != (err == nil) {
			t.Fatalf("%+v, %v", e, err)
		}
		if err == nil && (e.Record.UnverifiedID != "o-1" || string(e.Record.Message.Body) != `{"id":"o-1"}`) {
			t.Fatalf("handed out %+v", e.Record)
		}
	})
}
