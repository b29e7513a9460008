package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/policy"
)

// kindsBench is one file of each kind that a command writes.
type kindsBench struct {
	*bench
	files map[string]string // path by kind
}

const kindsEvent = `{"specversion":"1.0","id":"1","source":"https://shop.example/eu","type":"a.b","data":{}}`

func newKindsBench(t *testing.T) *kindsBench {
	b := &kindsBench{newBench(t), map[string]string{}}
	b.check(os.WriteFile(b.path("pass"), []byte("correct horse\n"), privateFile))
	path := func(kind string) string { b.files[kind] = b.path(kind); return b.path(kind) }
	const insecure = "--insecure-no-passphrase"
	b.must("", "keys", "new", "--producer", "shop", "--keyring", path("ring"), insecure, "--source", "https://shop.example/*")
	b.must("", "keys", "new", "--producer", "shop", "--keyring", path("ring.age"), "--passphrase-file", b.path("pass"))
	b.must("", "keys", "new", "--use", "enc", "--consumer", "billing", "--keyring", path("readers"), insecure)
	b.must("", "keys", "export", "--keyring", b.path("ring"), insecure, "--out", path("pub"))
	b.must("", "keys", "export", "--keyring", b.path("readers"), insecure, "--out", path("readers.pub"))
	b.must("", "trust", "root", "new", "--out", path("root"), insecure)
	b.files["root.pub"] = b.path("root.pub")
	b.must("", "trust", "root", "new", "--out", path("root.age"), "--passphrase-file", b.path("pass"))
	b.must("", "trust", "roots", b.path("root.pub"), "--out", path("roots"))
	b.must("", "trust", "add", "--policy", path("policy"), "--producer", "shop", "--source", "https://shop.example/*", "--type", "*", b.path("pub"))
	b.must("", "trust", "build", "--policy", b.path("policy"), "--keys", b.path("pub"), "--root", b.path("root"), insecure, "--out", path("bundle"))
	sealed := b.must(kindsEvent, "seal", "--keyring", b.path("ring"), insecure)
	b.check(os.WriteFile(path("event"), []byte(sealed), publicFile))
	b.must(sealed, "inspect", "--trust", b.path("bundle"), "--roots", b.path("roots"), "--trust-state", path("state"))
	b.must("", "quarantine", "key", "new", "--out", path("quarantine.key"))
	b.check(os.Mkdir(b.path("refused"), 0o700))
	return b
}

// kindReader reads one kind of file: a command, of which an argument is FILE, or a function.
type kindReader struct {
	name  string
	kinds []string // that it reads
	args  []string
	call  func(path string, doc []byte) error
}

func commandReaders(b *kindsBench) []kindReader {
	const insecure = "--insecure-no-passphrase"
	of := func(kinds string, args ...string) kindReader {
		return kindReader{name: strings.Join(args, " "), kinds: strings.Fields(kinds), args: args}
	}
	out := b.path("out")
	return []kindReader{
		of("ring readers", "keys", "list", "--keyring", "FILE", insecure),
		of("ring.age", "keys", "list", "--keyring", "FILE", "--passphrase-file", b.path("pass")),
		of("ring readers", "keys", "export", "--keyring", "FILE", insecure),
		of("ring", "seal", "--keyring", "FILE", insecure),
		of("readers", "open", "--trust", b.path("bundle"), "--roots", b.path("roots"), "--allow-source", "https://shop.example/*", "--identity", "FILE", insecure),
		of("readers.pub", "seal", "--keyring", b.path("ring"), insecure, "--encrypt-to", "FILE"),
		of("pub root.pub", "trust", "add", "--policy", out, "--producer", "shop", "FILE"),
		of("readers.pub", "trust", "add", "--policy", out, "--consumer", "billing", "FILE"),
		of("pub", "trust", "build", "--policy", b.path("policy"), "--keys", "FILE", "--root", b.path("root"), insecure, "--out", out),
		of("root", "trust", "build", "--policy", b.path("policy"), "--keys", b.path("pub"), "--root", "FILE", insecure, "--out", out),
		of("root.age", "trust", "build", "--policy", b.path("policy"), "--keys", b.path("pub"), "--root", "FILE", "--passphrase-file", b.path("pass"), "--out", out),
		of("policy", "trust", "build", "--policy", "FILE", "--keys", b.path("pub"), "--root", b.path("root"), insecure, "--out", out),
		of("bundle", "trust", "build", "--policy", b.path("policy"), "--keys", b.path("pub"), "--root", b.path("root"), insecure, "--previous", "FILE", "--out", out),
		of("root.pub", "trust", "roots", "FILE", "--out", out),
		of("bundle", "trust", "verify", "--roots", b.path("roots"), "FILE"),
		of("roots", "trust", "verify", "--roots", "FILE", b.path("bundle")),
		of("bundle", "inspect", "--trust", "FILE", "--roots", b.path("roots")),
		of("roots", "inspect", "--trust", b.path("bundle"), "--roots", "FILE"),
		of("quarantine.key", "quarantine", "list", "--from", "dir:"+b.path("refused"), "--key-file", "FILE"),
	}
}

func functionReaders(t *testing.T, b *kindsBench) []kindReader {
	rootsFile, err := os.ReadFile(b.path("roots"))
	b.check(err)
	roots, err := keys.ParseRoots(rootsFile)
	b.check(err)
	of := func(name, kinds string, call func(path string, doc []byte) error) kindReader {
		return kindReader{name: name, kinds: strings.Fields(kinds), call: call}
	}
	return []kindReader{
		of("OpenInsecureKeyring", "ring readers", func(path string, _ []byte) error { _, err := keys.OpenInsecureKeyring(path); return err }),
		of("OpenKeyring", "ring.age", func(path string, _ []byte) error { _, err := keys.OpenKeyring(path, "correct horse"); return err }),
		of("ParseKeyring", "ring.age", func(_ string, doc []byte) error { _, err := keys.ParseKeyring(doc, "correct horse"); return err }),
		of("OpenInsecureRootKey", "root", func(path string, _ []byte) error { _, err := keys.OpenInsecureRootKey(path); return err }),
		of("OpenRootKey", "root.age", func(path string, _ []byte) error { _, err := keys.OpenRootKey(path, "correct horse"); return err }),
		of("ParseJWKSet", "pub readers.pub root.pub", func(_ string, doc []byte) error { _, err := keys.ParseJWKSet(doc); return err }),
		of("ParseJWK", "root.pub", func(_ string, doc []byte) error { _, err := keys.ParseJWK(doc); return err }),
		of("ParseRecipientJWK", "", func(_ string, doc []byte) error { _, err := keys.ParseRecipientJWK(doc); return err }),
		of("ParsePrivateJWK", "", func(_ string, doc []byte) error { _, err := keys.ParsePrivateJWK(doc, "shop"); return err }),
		of("ParseIdentityJWK", "", func(_ string, doc []byte) error { _, err := keys.ParseIdentityJWK(doc); return err }),
		of("ParseRoots", "roots", func(_ string, doc []byte) error { _, err := keys.ParseRoots(doc); return err }),
		of("OpenBundle", "bundle", func(_ string, doc []byte) error {
			_, err := keys.OpenBundle(doc, roots, &keys.OpenBundleOptions{Now: func() time.Time { return b.now }})
			return err
		}),
		of("WatchFile", "bundle", func(path string, _ []byte) error {
			_, err := keys.WatchFile(path, roots, &keys.FileOptions{Now: func() time.Time { return b.now }})
			return err
		}),
		of("policy.Parse", "policy", func(_ string, doc []byte) error { _, err := policy.Parse(doc); return err }),
	}
}

// try gives the file to the reader; text is what a person reads of the failure.
func (b *kindsBench) try(r kindReader, path string) (ok bool, text string) {
	if r.call != nil {
		doc, err := os.ReadFile(path)
		b.check(err)
		if err := r.call(path, doc); err != nil {
			return false, err.Error()
		}
		return true, ""
	}
	_ = os.Remove(b.path("out"))
	args := slices.Clone(r.args)
	for i := range args {
		if args[i] == "FILE" {
			args[i] = path
		}
	}
	got := b.run(kindsEvent, args...)
	// An event that cannot be judged as it is unsealed is no matter of the file.
	return got.code == exitDone || args[0] == "open" && strings.Contains(got.stderr+got.stdout, "rejected: unsigned"), got.stderr + got.stdout
}

// closer are what an error may say instead of naming the kind: it knows more of the file than that.
var closer = map[filekind.Kind][]string{
	filekind.Encrypted: {"encrypted: give its passphrase", "this is a root key", "this is a keyring"},
	filekind.Keyring:   {"not encrypted, although", "its keys sign", "those of a consumer"},
	filekind.RootKey:   {"not encrypted, although"},
	filekind.JWKSet:    {"is a signing key of producer", "is for another use", "is for signing", "is for encryption", "was submitted but is not listed", "is listed but was not submitted"},
	filekind.JWK:       {"JWK: ", "is for another use", "is for signing", "was submitted but is not listed", "is listed but was not submitted"},
}

// What a command writes, every command and function that is meant to reads; every other one says what the
// file is instead of blaming a detail of it, changes nothing, and advises nobody to make a new key.
func TestEveryFileIsReadOrNamed(t *testing.T) {
	b := newKindsBench(t)
	read := map[string]int{}
	for _, r := range append(commandReaders(b), functionReaders(t, b)...) {
		for kind, path := range b.files {
			doc, err := os.ReadFile(path)
			b.check(err)
			ok, text := b.try(r, path)
			if want := slices.Contains(r.kinds, kind); ok != want {
				t.Errorf("%s of the %s: read %v, want %v\n%s", r.name, kind, ok, want, text)
			} else if ok {
				read[kind]++
				continue
			}
			is := string(filekind.Of(doc))
			if is == "" && kind != "quarantine.key" {
				t.Errorf("the %s is of no kind", kind)
			}
			named := strings.Contains(text, is) || slices.ContainsFunc(closer[filekind.Kind(is)], func(part string) bool { return strings.Contains(text, part) })
			if !named {
				t.Errorf("%s of the %s does not say that it is %s:\n%s", r.name, kind, is, text)
			}
			if strings.Contains(text, "make a new") || strings.Contains(text, "make one") {
				t.Errorf("%s of the %s: dangerous advice:\n%s", r.name, kind, text)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, doc) {
				t.Errorf("%s changed the %s", r.name, kind)
			}
		}
	}
	for kind := range b.files {
		if read[kind] == 0 && kind != "event" && kind != "state" {
			t.Errorf("nothing reads the %s", kind)
		}
	}
}

// A file that an editor, a shell or a copy in text mode touched is read, or the error says what happened to
// it; the keys in it are as good as before, so that nothing advises to replace them.
func TestDamagedFilesAreReadOrNamed(t *testing.T) {
	b := newKindsBench(t)
	damages := map[string]struct {
		change func([]byte) []byte
		name   string // what the error must name; "" = it must be read
	}{
		"BOM":          {func(doc []byte) []byte { return append([]byte("\xef\xbb\xbf"), doc...) }, "byte order mark"},
		"blank line":   {func(doc []byte) []byte { return append([]byte("\n"), doc...) }, "begins with a blank line"},
		"CRLF":         {func(doc []byte) []byte { return bytes.ReplaceAll(doc, []byte("\n"), []byte("\r\n")) }, "(CRLF)"},
		"UTF-16":       {func(doc []byte) []byte { return inUTF16(doc, true) }, "UTF-16"},
		"bare UTF-16":  {func(doc []byte) []byte { return inUTF16(doc, false) }, "UTF-16"},
		"BOM and line": {func(doc []byte) []byte { return append([]byte("\xef\xbb\xbf\r\n"), doc...) }, "byte order mark"},
	}
	mayRead := []string{"blank line", "CRLF"}
	for _, r := range append(commandReaders(b), functionReaders(t, b)...) {
		for name, d := range damages {
			for _, kind := range r.kinds {
				if strings.HasSuffix(kind, ".age") && strings.HasSuffix(name, "UTF-16") {
					continue // what UTF-16 makes of binary is not text
				}
				doc, err := os.ReadFile(b.files[kind])
				b.check(err)
				path := filepath.Join(t.TempDir(), kind)
				b.check(os.WriteFile(path, d.change(doc), privateFile))
				ok, text := b.try(r, path)
				switch {
				case ok && !slices.Contains(mayRead, name):
					t.Errorf("%s reads the %s with %s", r.name, kind, name)
				case !ok && (!strings.Contains(text, d.name) || strings.Contains(text, "not encrypted")):
					t.Errorf("%s of the %s with %s:\n%s", r.name, kind, name, text)
				case strings.Contains(text, "make a new") || strings.Contains(text, "make one"):
					t.Errorf("%s of the %s with %s: dangerous advice:\n%s", r.name, kind, name, text)
				}
			}
		}
	}
}

// A new key is advised only where no key that is there will do, and removing something only where nothing is
// lost by it.
func TestAdviceKeepsKeys(t *testing.T) {
	b := newKindsBench(t)
	const insecure = "--insecure-no-passphrase"
	b.must("", "keys", "new", "--producer", "shop", "--keyring", b.path("later"), insecure, "--activate", "+2d")
	for name, args := range map[string][]string{
		"not active yet": {"seal", "--keyring", b.path("later"), insecure}, "a consumer's": {"seal", "--keyring", b.path("readers"), insecure},
		"missing": {"seal", "--keyring", b.path("none"), insecure}, "scope": {"keys", "new", "--keyring", b.path("ring"), insecure, "--type", "*"},
		"not encrypted":          {"keys", "list", "--keyring", b.path("ring"), "--passphrase-file", b.path("pass")},
		"no key of a quarantine": {"quarantine", "list", "--from", "dir:" + b.path("refused"), "--key-file", b.path("pass")},
	} {
		r := b.run(kindsEvent, args...)
		if r.code == exitDone || regexp.MustCompile("make (a|one|a new)|remove|delete|overwrite").MatchString(r.stderr) {
			t.Errorf("%s: exit %d: %s", name, r.code, r.stderr)
		}
	}
	b.must("", "keys", "new", "--producer", "shop", "--keyring", b.path("over"), insecure, "--retire", "+1d")
	b.now = b.now.Add(48 * time.Hour)
	if r := b.run(kindsEvent, "seal", "--keyring", b.path("over"), insecure); !strings.Contains(r.stderr, "make a key with `sealbus keys new`") {
		t.Errorf("all retired: %s", r.stderr)
	}
}

func inUTF16(doc []byte, marked bool) []byte {
	var out []byte
	if marked {
		out = []byte("\xff\xfe")
	}
	for _, unit := range utf16.Encode([]rune(string(doc))) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}

// A byte order mark would become part of a new passphrase, which could then not be typed: it is refused. A
// keyring that was made with one is opened by the same file, and one that was not by a file that got one
// since.
func TestPassphraseFileWithByteOrderMark(t *testing.T) {
	b := newKindsBench(t)
	marked := b.path("marked")
	b.check(os.WriteFile(marked, []byte("\xef\xbb\xbfcorrect horse\r\n"), privateFile))
	for name, path := range map[string]string{"BOM": marked, "UTF-16": b.path("wide")} {
		if name == "UTF-16" {
			b.check(os.WriteFile(path, inUTF16([]byte("correct horse\r\n"), true), privateFile))
		}
		r := b.run("", "keys", "new", "--producer", "x", "--keyring", b.path("new"), "--passphrase-file", path)
		if r.code != exitUsage || exists(b.path("new")) || strings.Contains(r.stderr, "horse") {
			t.Errorf("%s: exit %d: %s", name, r.code, r.stderr)
		}
	}
	_, err := keys.CreateKeyring(b.path("old"), "\ufeffcorrect horse", "shop", &keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 2}})
	b.check(err)
	for _, args := range [][]string{
		{"keys", "list", "--keyring", b.path("old")}, {"keys", "list", "--keyring", b.files["ring.age"]},
		{"trust", "build", "--policy", b.files["policy"], "--keys", b.files["pub"], "--root", b.files["root.age"], "--out", b.path("signed")},
	} {
		r := b.run("", append(args, "--passphrase-file", marked)...)
		if r.code != exitDone || !strings.Contains(r.stderr, "byte order mark") || strings.Contains(r.stderr, "horse") {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
	b.check(os.WriteFile(marked, []byte("\xef\xbb\xbfwrong horse\n"), privateFile))
	if r := b.run("", "keys", "list", "--keyring", b.path("old"), "--passphrase-file", marked); !strings.Contains(r.stderr, "passphrase is wrong") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	b.check(os.WriteFile(marked, []byte("\n\ncorrect horse\n"), privateFile))
	if r := b.run("", "keys", "list", "--keyring", b.files["ring.age"], "--passphrase-file", marked); r.code != exitUsage || !strings.Contains(r.stderr, "its first line is empty") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}
