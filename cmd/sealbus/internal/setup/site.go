package setup

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// site is a home while it is made or extended. Each step finds what an earlier run has made, and goes on from
// there: sealbus.yaml names a producer or consumer only when all of its files are there.
type site struct {
	env    *ui.Env
	dir    string
	now    time.Time
	doc    []byte // of sealbus.yaml
	isNew  bool   // there is no sealbus.yaml yet
	config *home.Config
	unlock func()
	step   func(name string) error // nil, or what a test does after a step
}

// begin makes the directories, locks the home and reads sealbus.yaml.
func begin(env *ui.Env, dir string) (*site, error) {
	s := &site{env: env, dir: dir, now: env.Now().Truncate(time.Second)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, failed(err)
	}
	if err := home.CheckDir(dir); err != nil {
		return nil, loadhome.Failed(err)
	}
	for _, d := range []struct {
		name string
		mode os.FileMode
	}{{"trust", 0o755}, {publicDir, 0o755}, {"secret", 0o700}, {"state", 0o700}} {
		if err := s.makeDir(d.name, d.mode); err != nil {
			return nil, err
		}
	}
	var err error
	if s.unlock, err = privatefile.Lock(s.path("state/lock")); errors.Is(err, privatefile.ErrLocked) {
		return nil, loadhome.Failed(err)
	} else if err != nil {
		return nil, failed(err)
	}
	if err := s.read(); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// claim marks a new home as made here. Without that mark, files of a home come from elsewhere, such as a
// repository that was downloaded: the programs of the user who goes on with them would trust its author.
func (s *site) claim() error {
	if home.MadeHere(s.dir) {
		return nil
	}
	places := []string{rootsFile, bundleFile, timestampFile, policyFile, rootKeyFile, stampKeyFile, quarantineFile,
		"state/trust"}
	for _, pattern := range []string{publicDir + "/*", "secret/*.keyring", "trust/bundles/*"} {
		list, err := fs.Glob(os.DirFS(s.dir), pattern)
		if err != nil {
			return err
		}
		places = append(places, list...)
	}
	for _, name := range places {
		if info, err := os.Lstat(s.path(name)); err == nil && info.Mode().IsRegular() {
			return ui.WrongFile("choose another --dir; if git has the file, moving it away is not enough (`git rm --cached`)", "%s is there already, and was not made here",
				s.path(name))
		}
	}
	if err := home.MarkMadeHere(s.dir); err != nil {
		return failed(err)
	}
	return nil
}

// end removes what was not finished.
func (s *site) end() {
	_ = os.RemoveAll(s.path(makingDir))
	s.unlock()
}

func (s *site) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *site) makeDir(name string, mode os.FileMode) error {
	path := s.path(name)
	err := os.Mkdir(path, mode)
	if err == nil {
		return nil
	}
	info, statErr := os.Lstat(path)
	switch {
	case !errors.Is(err, fs.ErrExist) || statErr != nil:
		return failed(err)
	case !info.IsDir():
		return ui.WrongFile("choose another --dir", "%s is in the way: it is no directory", path)
	}
	if err := home.CheckDir(path); err != nil {
		return loadhome.Failed(err)
	}
	return nil
}

func (s *site) read() error {
	h, err := home.Open(s.dir)
	switch {
	case errors.Is(err, home.ErrNone):
		s.isNew, s.doc = true, home.NewConfig()
		s.config, err = home.ParseConfig(s.doc)
		if err != nil {
			return err
		}
	case err != nil:
		return loadhome.Failed(err)
	default:
		s.doc, s.config = h.Document(), h.Config()
	}
	t := s.config.Trust
	for name, is := range map[string]string{rootsFile: t.Roots, bundleFile: t.Bundle, timestampFile: t.Timestamp,
		policyFile: t.Policy, publicDir: t.Keys, rootKeyFile: t.RootKey, stampKeyFile: t.TimestampKey} {
		if is != name {
			return ui.Usage("add the producer or consumer with `sealbus keys new`, `sealbus trust add` and "+
				"`sealbus trust build`, and write it into "+home.File, "%s is not as init made it: it has no %s",
				s.path(home.File), name)
		}
	}
	if s.isNew {
		if err := s.claim(); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(s.path(makingDir)); err != nil {
		return failed(err)
	}
	if err := os.Mkdir(s.path(makingDir), 0o700); err != nil {
		return failed(err)
	}
	return nil
}

// taken refuses a name that the home has.
func (s *site) taken(f *initFlags, name string) error {
	_, isProducer := s.config.Producer(name)
	_, isConsumer := s.config.Consumer(name)
	what, flag := "producer", "--keyring "+ui.ShellQuote(s.path(keyringFile(name)))
	switch {
	case isProducer == nil && !f.consumer:
	case isConsumer == nil && f.consumer:
		what, flag = "consumer", "--use enc "+flag
	case isProducer == nil || isConsumer == nil:
		return ui.Usage("choose another name: each producer and each consumer has its own",
			"%s has a producer or consumer %s already", s.dir, name)
	default:
		return nil
	}
	return ui.Usage("choose another name; a further key of "+name+" is made by `sealbus keys new "+flag+"`",
		"%s has %s %s already, and nothing is overwritten", s.dir, what, name)
}

// add makes the files of the producer or consumer; it returns the ID of its key.
func (s *site) add(ctx context.Context, f *initFlags, name string) (string, error) {
	if err := s.taken(f, name); err != nil {
		return "", err
	}
	if err := s.ignore(); err != nil { // before there is a secret
		return "", err
	}
	root, err := s.rootKey(rootKeyFile)
	if err != nil {
		return "", err
	}
	stamp, err := s.rootKey(stampKeyFile)
	if err != nil {
		return "", err
	}
	if err := s.quarantineKey(); err != nil {
		return "", err
	}
	roots, err := s.roots(root, stamp)
	if err != nil {
		return "", err
	}
	ring, err := s.keyring(f, name)
	if err != nil {
		return "", err
	}
	public := ring.PublicKeys()
	set, err := keys.FormatJWKSet(public...)
	if err != nil {
		return "", err
	}
	if err := s.create(publicFile(name), set); err != nil {
		return "", err
	}
	if err := s.trusted(ctx, f, name, &authority{root, stamp, roots}, public); err != nil {
		return "", err
	}
	return public[len(public)-1].KeyID(), s.name(f, name)
}

// name writes the producer or consumer into sealbus.yaml.
func (s *site) name(f *initFlags, name string) (err error) {
	var edited []byte
	if f.consumer {
		edited, err = home.AddConsumer(s.doc, &home.ConsumerEntry{Name: name, Sources: f.sources, Types: f.types,
			Identity: keyringFile(name)})
	} else {
		edited, err = home.AddProducer(s.doc, &home.ProducerEntry{Name: name, Keyring: keyringFile(name),
			Sources: f.sources})
	}
	if err != nil {
		return err
	}
	if err := privatefile.Swap(s.path(home.File), edited); err != nil {
		return err
	}
	s.config, err = home.ParseConfig(edited)
	return err
}

// after tells a test that a step is done.
func (s *site) after(step string) error {
	if s.step == nil {
		return nil
	}
	return s.step(step)
}

// existing is the path of a file that an earlier run has made, and whether it is there.
func (s *site) existing(name string) (path string, is bool, err error) {
	path = s.path(name)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, false, nil
	case err != nil:
		return "", false, err
	case !info.Mode().IsRegular():
		return "", false, ui.WrongFile("move it away, or choose another --dir", "%s is in the way: it is no regular file",
			path)
	}
	return path, true, nil
}

// place gives a finished file of makingDir its name. It replaces nothing.
func (s *site) place(making, name string) error {
	path := s.path(name)
	err := os.Link(making, path)
	if err != nil && !errors.Is(err, fs.ErrExist) && !ui.Exists(path) {
		err = os.Rename(making, path) // a file system without links
	}
	if errors.Is(err, fs.ErrExist) {
		return ui.FileExists(path)
	}
	if err != nil {
		return err
	}
	_ = os.Remove(making)
	privatefile.SyncDir(path)
	return s.after(name)
}

// create makes a public file. One of an earlier run must have the same content.
func (s *site) create(name string, content []byte) error {
	path, is, err := s.existing(name)
	if err != nil {
		return err
	}
	if is {
		was, _, err := privatefile.ReadBounded(path, int64(len(content))+1)
		if err == nil && !bytes.Equal(was, content) {
			err = ui.FileExists(path)
		}
		return err
	}
	making := s.making(name)
	if err := privatefile.WriteNew(making, content, 0o644); err != nil {
		return err
	}
	return s.place(making, name)
}

func (s *site) making(name string) string {
	return filepath.Join(s.path(makingDir), filepath.Base(filepath.FromSlash(name)))
}

var insecure = keys.PrivateFileOptions{InsecureNoPassphrase: true}

// rootKey is the root or timestamp key of that file, made if there is none.
func (s *site) rootKey(name string) (*trust.RootKey, error) {
	path, is, err := s.existing(name)
	if err != nil {
		return nil, err
	}
	switch {
	case is:
		return trust.OpenRootKey(path, "", &insecure)
	case !s.isNew:
		return nil, ui.Usage("add the producer or consumer where that key is, with `sealbus trust add` and "+
			"`sealbus trust build`", "%s is not here", path)
	}
	making := s.making(name)
	k, err := trust.CreateRootKey(making, "", keys.Ed25519, &insecure)
	if err != nil {
		return nil, err
	}
	return k, s.place(making, name)
}

func (s *site) quarantineKey() error {
	_, is, err := s.existing(quarantineFile)
	if err != nil || is {
		return err
	}
	key := make([]byte, consumer.MinQuarantineKey)
	rand.Read(key) // ends the program rather than fail
	making := s.making(quarantineFile)
	text := base64.StdEncoding.EncodeToString(key) + "\n"
	if err := privatefile.WriteNew(making, []byte(text), privatefile.Mode); err != nil {
		return err
	}
	return s.place(making, quarantineFile)
}

// roots are the roots of the home, made of both keys if there are none.
func (s *site) roots(root, stamp *trust.RootKey) (*trust.Roots, error) {
	path, is, err := s.existing(rootsFile)
	if err != nil {
		return nil, err
	}
	if !is {
		roots, err := trust.NewRoots(1, 1, root.Verifier())
		if err == nil {
			roots, err = roots.WithTimestampKeys(stamp.Verifier())
		}
		if err != nil {
			return nil, err
		}
		return roots, s.create(rootsFile, append(roots.Payload(), '\n'))
	}
	roots, err := loadtrust.ReadRoots(s.env, path)
	if err != nil {
		return nil, err
	}
	if !names(roots.Keys(), root) || roots.Threshold() != 1 || !names(roots.TimestampKeys(), stamp) {
		return nil, ui.Usage("add the producer or consumer with `sealbus trust add` and `sealbus trust build`, and have "+
			"the root keys that count sign it", "%s and %s alone cannot sign for %s", s.path(rootKeyFile),
			s.path(stampKeyFile), path)
	}
	return roots, nil
}

func names(list []*keys.Verifier, key *trust.RootKey) bool {
	return slices.ContainsFunc(list, func(v *keys.Verifier) bool { return v.KeyID() == key.Verifier().KeyID() })
}

// keyring is the keyring of that name, made with its first key if there is none.
func (s *site) keyring(f *initFlags, name string) (*keys.Keyring, error) {
	path, is, err := s.existing(keyringFile(name))
	if err != nil {
		return nil, err
	}
	if !is {
		making := s.making(keyringFile(name))
		ring, err := newKeyring(f, name, making)
		if err != nil {
			return nil, err
		}
		return ring, s.place(making, keyringFile(name))
	}
	ring, err := keys.OpenKeyring(path, "", &insecure)
	if err != nil {
		return nil, err
	}
	owner := ring.Producer()
	if f.consumer {
		owner = ring.Consumer()
	}
	sources, types := ring.Scope()
	if owner != name || !f.consumer && (!slices.Equal(sources, f.sources) || !slices.Equal(types, f.types)) {
		return nil, ui.Usage("repeat the call that was ended in the middle, or choose another name",
			"%s is there from another call of init, with another purpose", path)
	}
	return ring, nil
}

func newKeyring(f *initFlags, name, path string) (*keys.Keyring, error) {
	if f.consumer {
		key, err := keys.GenerateIdentity(keys.X25519)
		if err != nil {
			return nil, err
		}
		return keys.CreateConsumerKeyring(path, "", name, &keys.KeyringOptions{PrivateFileOptions: insecure, Key: key})
	}
	key, err := keys.GenerateSigner(keys.Ed25519, name)
	if err != nil {
		return nil, err
	}
	return keys.CreateKeyring(path, "", name, &keys.KeyringOptions{PrivateFileOptions: insecure, Key: key,
		Sources: f.sources, Types: f.types})
}

// ignore keeps the secrets out of version control. If the directory has a .gitignore of its own, secret/ and
// state/ get theirs. One that came with the directory, such as `!*` in a repository that was cloned, would
// have git take the keys: each of these must be as init writes it.
func (s *site) ignore() error {
	const mine = "# made by sealbus init: private keys, and what programs remember on this machine\n/secret/\n/state/\n"
	was, _, err := privatefile.ReadBounded(s.path(ignoreFile), int64(len(mine))) // a longer one is not mine
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(was) == mine {
		return s.create(ignoreFile, []byte(mine)) // git then looks at none below
	}
	const all = "*\n"
	for _, name := range []string{"secret/" + ignoreFile, "state/" + ignoreFile} {
		path, is, err := s.existing(name)
		if err == nil && !is {
			err = s.create(name, []byte(all))
		}
		if err != nil {
			return err
		}
		if was, _, err := privatefile.ReadBounded(path, int64(len(all))); err != nil || string(was) != all {
			return ui.WrongFile("move it away, and see where it came from",
				"%s is not as init makes it, with the line * alone: git could take the private keys", path)
		}
	}
	return nil
}
