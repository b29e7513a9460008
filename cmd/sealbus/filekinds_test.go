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

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// kindsBench is one file of each kind that a command writes.
type kindsBench struct {
	*clitest.Bench
	files map[string]string // path by kind
}

const kindsEvent = `{"specversion":"1.0","id":"1","source":"https://shop.example/eu","type":"a.b","data":{}}`

func newKindsBench(t *testing.T) *kindsBench {
	b := &kindsBench{clitest.New(t), map[string]string{}}
	b.Check(os.WriteFile(b.Path("pass"), []byte("correct horse\n"), ui.PrivateFile))
	path := func(kind string) string { b.files[kind] = b.Path(kind); return b.Path(kind) }
	const insecure = "--insecure-no-passphrase"
	b.Must("", "keys", "new", "--producer", "shop", "--keyring", path("ring"), insecure, "--source",
		"https://shop.example/*")
	b.Must("", "keys", "new", "--producer", "shop", "--keyring", path("ring.age"), "--passphrase-file",
		b.Path("pass"))
	b.Must("", "keys", "new", "--use", "enc", "--consumer", "billing", "--keyring", path("readers"), insecure)
	b.Must("", "keys", "export", "--keyring", b.Path("ring"), insecure, "--out", path("pub"))
	b.Must("", "keys", "export", "--keyring", b.Path("readers"), insecure, "--out", path("readers.pub"))
	b.Must("", "trust", "root", "new", "--out", path("root"), insecure)
	b.files["root.pub"] = b.Path("root.pub")
	b.Must("", "trust", "root", "new", "--out", path("root.age"), "--passphrase-file", b.Path("pass"))
	b.Must("", "trust", "roots", b.Path("root.pub"), "--out", path("roots"))
	b.Must("", "trust", "add", "--policy", path("policy"), "--producer", "shop", "--source",
		"https://shop.example/*", "--type", "*", b.Path("pub"))
	b.Must("", "trust", "build", "--policy", b.Path("policy"), "--keys", b.Path("pub"), "--root",
		b.Path("root"), insecure, "--out", path("bundle"))
	sealed := b.Must(kindsEvent, "seal", "--keyring", b.Path("ring"), insecure)
	b.Check(os.WriteFile(path("event"), []byte(sealed), ui.PublicFile))
	b.Must(sealed, "inspect", "--trust", b.Path("bundle"), "--roots", b.Path("roots"), "--trust-state",
		path("state"))
	b.Must("", "quarantine", "key", "new", "--out", path("quarantine.key"))
	b.Check(os.Mkdir(b.Path("refused"), 0o700))
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
	out := b.Path("out")
	return []kindReader{
		of("ring readers", "keys", "list", "--keyring", "FILE", insecure),
		of("ring.age", "keys", "list", "--keyring", "FILE", "--passphrase-file", b.Path("pass")),
		of("ring readers", "keys", "export", "--keyring", "FILE", insecure),
		of("ring", "seal", "--keyring", "FILE", insecure),
		of("readers", "open", "--trust", b.Path("bundle"), "--roots", b.Path("roots"), "--allow-source",
			"https://shop.example/*", "--identity", "FILE", insecure),
		of("readers.pub", "seal", "--keyring", b.Path("ring"), insecure, "--encrypt-to", "FILE"),
		of("pub root.pub", "trust", "add", "--policy", out, "--producer", "shop", "FILE"),
		of("readers.pub", "trust", "add", "--policy", out, "--consumer", "billing", "FILE"),
		of("pub", "trust", "build", "--policy", b.Path("policy"), "--keys", "FILE", "--root", b.Path("root"),
			insecure, "--out", out),
		of("root", "trust", "build", "--policy", b.Path("policy"), "--keys", b.Path("pub"), "--root", "FILE",
			insecure, "--out", out),
		of("root.age", "trust", "build", "--policy", b.Path("policy"), "--keys", b.Path("pub"), "--root",
			"FILE", "--passphrase-file", b.Path("pass"), "--out", out),
		of("policy", "trust", "build", "--policy", "FILE", "--keys", b.Path("pub"), "--root", b.Path("root"),
			insecure, "--out", out),
		of("bundle", "trust", "build", "--policy", b.Path("policy"), "--keys", b.Path("pub"), "--root",
			b.Path("root"), insecure, "--previous", "FILE", "--out", out),
		of("root.pub", "trust", "roots", "FILE", "--out", out),
		of("bundle", "trust", "verify", "--roots", b.Path("roots"), "FILE"),
		of("roots", "trust", "verify", "--roots", "FILE", b.Path("bundle")),
		of("bundle", "inspect", "--trust", "FILE", "--roots", b.Path("roots")),
		of("roots", "inspect", "--trust", b.Path("bundle"), "--roots", "FILE"),
		of("quarantine.key", "quarantine", "list", "--from", "dir:"+b.Path("refused"), "--key-file", "FILE"),
	}
}

func functionReaders(t *testing.T, b *kindsBench) []kindReader {
	rootsFile, err := os.ReadFile(b.Path("roots"))
	b.Check(err)
	roots, err := trust.ParseRoots(rootsFile)
	b.Check(err)
	of := func(name, kinds string, call func(path string, doc []byte) error) kindReader {
		return kindReader{name: name, kinds: strings.Fields(kinds), call: call}
	}
	return []kindReader{
		of("OpenKeyring without a passphrase", "ring readers", func(path string, _ []byte) error {
			_, err := keys.OpenKeyring(path, "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
			return err
		}),
		of("OpenKeyring", "ring.age", func(path string, _ []byte) error { _, err := keys.OpenKeyring(path, "correct horse", nil); return err }),
		of("ParseKeyring", "ring.age", func(_ string, doc []byte) error { _, err := keys.ParseKeyring(doc, "correct horse"); return err }),
		of("OpenRootKey without a passphrase", "root", func(path string, _ []byte) error {
			_, err := trust.OpenRootKey(path, "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
			return err
		}),
		of("OpenRootKey", "root.age", func(path string, _ []byte) error { _, err := trust.OpenRootKey(path, "correct horse", nil); return err }),
		of("ParseJWKSet", "pub readers.pub root.pub",
			func(_ string, doc []byte) error { _, err := keys.ParseJWKSet(doc); return err }),
		of("ParseJWK", "root.pub", func(_ string, doc []byte) error { _, err := keys.ParseJWK(doc); return err }),
		of("ParseRecipientJWK", "", func(_ string, doc []byte) error { _, err := keys.ParseRecipientJWK(doc); return err }),
		of("ParsePrivateJWK", "", func(_ string, doc []byte) error { _, err := keys.ParsePrivateJWK(doc, "shop"); return err }),
		of("ParseIdentityJWK", "", func(_ string, doc []byte) error { _, err := keys.ParseIdentityJWK(doc); return err }),
		of("ParseRoots", "roots", func(_ string, doc []byte) error { _, err := trust.ParseRoots(doc); return err }),
		of("OpenBundle", "bundle", func(_ string, doc []byte) error {
			_, err := trust.OpenBundle(doc, roots, &trust.Options{Now: func() time.Time { return b.Now }})
			return err
		}),
		of("WatchFile", "bundle", func(path string, _ []byte) error {
			_, err := trust.WatchFile(path, roots, &trust.Options{Now: func() time.Time { return b.Now }})
			return err
		}),
		of("policy.Parse", "policy", func(_ string, doc []byte) error { _, err := policy.Parse(doc); return err }),
	}
}

// try gives the file to the reader; text is what a person reads of the failure.
func (b *kindsBench) try(r kindReader, path string) (ok bool, text string) {
	if r.call != nil {
		doc, err := os.ReadFile(path)
		b.Check(err)
		if err := r.call(path, doc); err != nil {
			return false, err.Error()
		}
		return true, ""
	}
	_ = os.Remove(b.Path("out"))
	args := slices.Clone(r.args)
	for i := range args {
		if args[i] == "FILE" {
			args[i] = path
		}
	}
	got := b.Run(kindsEvent, args...)
	// An event that cannot be judged as it is unsealed is no matter of the file.
	return got.Code == ui.ExitDone || args[0] == "open" &&
		strings.Contains(got.Stderr+got.Stdout, "rejected: unsigned"), got.Stderr + got.Stdout
}

// closer are what an error may say instead of naming the kind: it knows more of the file than that.
var closer = map[filekind.Kind][]string{
	filekind.Encrypted: {"encrypted: give its passphrase", "this is a root key", "this is a keyring"},
	filekind.Keyring:   {"not encrypted, although", "its keys sign", "those of a consumer"},
	filekind.RootKey:   {"not encrypted, although"},
	filekind.JWKSet: {"is a signing key of producer", "which is not for --", "is for signing",
		"is for encryption", "was submitted but is not listed", "is listed but was not submitted"},
	filekind.JWK: {"JWK: ", "which is not for --", "is for signing", "was submitted but is not listed",
		"is listed but was not submitted"},
}

// A file that a command writes is read by every command and function that takes such files. Every other one
// says what the file is, blames no detail of it, changes nothing, and does not advise to make a new key.
func TestEveryFileIsReadOrNamed(t *testing.T) {
	b := newKindsBench(t)
	read := map[string]int{}
	for _, r := range append(commandReaders(b), functionReaders(t, b)...) {
		for kind, path := range b.files {
			doc, err := os.ReadFile(path)
			b.Check(err)
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
			named := strings.Contains(text, is) ||
				slices.ContainsFunc(closer[filekind.Kind(is)],
					func(part string) bool { return strings.Contains(text, part) })
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
		"BOM": {func(doc []byte) []byte { return append([]byte("\xef\xbb\xbf"), doc...) },
			"byte order mark"},
		"blank line": {func(doc []byte) []byte { return append([]byte("\n"), doc...) },
			"begins with a blank line"},
		"CRLF":        {func(doc []byte) []byte { return bytes.ReplaceAll(doc, []byte("\n"), []byte("\r\n")) }, "(CRLF)"},
		"UTF-16":      {func(doc []byte) []byte { return inUTF16(doc, true) }, "UTF-16"},
		"bare UTF-16": {func(doc []byte) []byte { return inUTF16(doc, false) }, "UTF-16"},
		"BOM and line": {func(doc []byte) []byte { return append([]byte("\xef\xbb\xbf\r\n"), doc...) },
			"byte order mark"},
	}
	mayRead := []string{"blank line", "CRLF"}
	for _, r := range append(commandReaders(b), functionReaders(t, b)...) {
		for name, d := range damages {
			for _, kind := range r.kinds {
				if strings.HasSuffix(kind, ".age") && strings.HasSuffix(name, "UTF-16") {
					continue // what UTF-16 makes of binary is not text
				}
				doc, err := os.ReadFile(b.files[kind])
				b.Check(err)
				path := filepath.Join(t.TempDir(), kind)
				b.Check(os.WriteFile(path, d.change(doc), ui.PrivateFile))
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
	b.Must("", "keys", "new", "--producer", "shop", "--keyring", b.Path("later"), insecure, "--activate",
		"+2d")
	for name, args := range map[string][]string{
		"not active yet": {"seal", "--keyring", b.Path("later"), insecure},
		"a consumer's":   {"seal", "--keyring", b.Path("readers"), insecure},
		"missing":        {"seal", "--keyring", b.Path("none"), insecure},
		"scope":          {"keys", "new", "--keyring", b.Path("ring"), insecure, "--type", "*"},
		"not encrypted": {"keys", "list", "--keyring", b.Path("ring"), "--passphrase-file",
			b.Path("pass")},
		"no key of a quarantine": {"quarantine", "list", "--from", "dir:" +
			b.Path("refused"), "--key-file", b.Path("pass")},
	} {
		r := b.Run(kindsEvent, args...)
		if r.Code == ui.ExitDone ||
			regexp.MustCompile("make (a|one|a new)|remove|delete|overwrite").MatchString(r.Stderr) {
			t.Errorf("%s: exit %d: %s", name, r.Code, r.Stderr)
		}
	}
	b.Must("", "keys", "new", "--producer", "shop", "--keyring", b.Path("over"), insecure, "--retire", "+1d")
	b.Now = b.Now.Add(48 * time.Hour)
	if r := b.Run(kindsEvent, "seal", "--keyring", b.Path("over"), insecure); !strings.Contains(r.Stderr,
		"make a key with `sealbus keys new`") {
		t.Errorf("all retired: %s", r.Stderr)
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
	marked := b.Path("marked")
	b.Check(os.WriteFile(marked, []byte("\xef\xbb\xbfcorrect horse\r\n"), ui.PrivateFile))
	for name, path := range map[string]string{"BOM": marked, "UTF-16": b.Path("wide")} {
		if name == "UTF-16" {
			b.Check(os.WriteFile(path, inUTF16([]byte("correct horse\r\n"), true), ui.PrivateFile))
		}
		r := b.Run("", "keys", "new", "--producer", "x", "--keyring", b.Path("new"), "--passphrase-file",
			path)
		if r.Code != ui.ExitUsage || ui.Exists(b.Path("new")) || strings.Contains(r.Stderr, "horse") {
			t.Errorf("%s: exit %d: %s", name, r.Code, r.Stderr)
		}
	}
	_, err := keys.CreateKeyring(b.Path("old"), "\ufeffcorrect horse", "shop",
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 2}})
	b.Check(err)
	for _, args := range [][]string{
		{"keys", "list", "--keyring", b.Path("old")}, {"keys", "list", "--keyring", b.files["ring.age"]},
		{"trust", "build", "--policy", b.files["policy"], "--keys", b.files["pub"], "--root",
			b.files["root.age"], "--out", b.Path("signed")},
	} {
		r := b.Run("", append(args, "--passphrase-file", marked)...)
		if r.Code != ui.ExitDone || !strings.Contains(r.Stderr, "byte order mark") ||
			strings.Contains(r.Stderr, "horse") {
			t.Errorf("%v: exit %d: %s", args, r.Code, r.Stderr)
		}
	}
	b.Check(os.WriteFile(marked, []byte("\xef\xbb\xbfwrong horse\n"), ui.PrivateFile))
	if r := b.Run("", "keys", "list", "--keyring", b.Path("old"), "--passphrase-file",
		marked); !strings.Contains(r.Stderr, "passphrase is wrong") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	b.Check(os.WriteFile(marked, []byte("\n\ncorrect horse\n"), ui.PrivateFile))
	if r := b.Run("", "keys", "list", "--keyring", b.files["ring.age"], "--passphrase-file",
		marked); r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "its first line is empty") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
}
