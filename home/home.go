package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/sealbus/sealbus/internal/privatefile"
)

// Variable is the environment variable that names the home.
const Variable = "SEALBUS_HOME"

// QuarantineVariable is the environment variable by which `sealbus dev` gives a function the URL of the SQS
// queue for the records of refused events.
const QuarantineVariable = "SEALBUS_QUARANTINE_QUEUE"

// madeHere is the file, below the home, by which a home that is only found shows that it was made there.
const madeHere = "state/here"

// ErrNone means that there is no home: the directory has no sealbus.yaml.
var ErrNone = errors.New("no " + File)

// MissingError is something that the home does not have.
type MissingError struct {
	What    string
	Command string // makes it; "" = none does
	Several string // "producer" or "consumer": of several, one is to be named; "" = something is missing
	Err     error  // nil, or why
}

// Error is the sentence, and the command.
func (e *MissingError) Error() string {
	if e.Command == "" {
		return "home: " + e.What
	}
	return "home: " + e.What + ": `" + e.Command + "` makes it"
}

// Unwrap is why it is missing; nil = nothing more is known.
func (e *MissingError) Unwrap() error { return e.Err }

// Home is an open home. It is safe for concurrent use.
type Home struct {
	dir    string
	found  bool
	doc    []byte
	config *Config
}

// Find opens the home of that directory or, if dir is "", the one that SEALBUS_HOME names or, without that,
// the working directory. Only the last is found and not named: it counts where `sealbus init` made it, and
// Found reports it.
func Find(dir string) (*Home, error) {
	if dir == "" {
		dir = os.Getenv(Variable)
	}
	if dir != "" {
		return Open(dir)
	}
	h, err := FindHere()
	if errors.Is(err, ErrNone) {
		return nil, &MissingError{What: "no home is named, by an argument or by " + Variable +
			", and the working directory has no " + File,
			Command: "sealbus init NAME --source PATTERN --type PATTERN", Err: ErrNone}
	}
	return h, err
}

// FindHere opens the home in the working directory, which counts where `sealbus init` made it. ErrNone means
// that there is none.
func FindHere() (*Home, error) {
	if _, err := os.Lstat(File); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("home: the working directory has %w", ErrNone)
	}
	h, err := Open(".")
	if err != nil {
		return nil, err
	}
	h.found = true
	if !MadeHere(h.dir) {
		return nil, &CopiedError{Dir: h.dir}
	}
	return h, nil
}

// Open opens the home of that directory. It reads sealbus.yaml, and looks at no other file.
func Open(dir string) (*Home, error) {
	if dir == "" {
		return nil, errors.New("home: no directory: Find looks for one")
	}
	h := &Home{dir: filepath.Clean(dir)}
	if err := CheckDir(h.dir); err != nil {
		return nil, err
	}
	path, err := h.Public(File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &MissingError{What: fmt.Sprintf("%s has no %s", h.dir, File),
			Command: "sealbus init NAME --source PATTERN --type PATTERN --dir " + quoted(h.dir), Err: ErrNone}
	}
	if err != nil {
		return nil, err
	}
	if h.doc, _, err = privatefile.ReadBounded(path, MaxFile); err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	if h.config, err = parse(h.doc); err != nil {
		return nil, fmt.Errorf("home: %s: %w", path, err)
	}
	return h, nil
}

// Dir is the directory, as it was named.
func (h *Home) Dir() string { return h.dir }

// Found reports whether the home was found in the working directory, and not named.
func (h *Home) Found() bool { return h.found }

// Config is the content of sealbus.yaml. The caller does not change it.
func (h *Home) Config() *Config { return h.config }

// Document is the text of sealbus.yaml, as it was read. The caller does not change it.
func (h *Home) Document() []byte { return h.doc }

// Public is the path of a file of the home. It refuses a file that another user may change, and a path over a
// symbolic link. A file that is not there is fs.ErrNotExist.
func (h *Home) Public(name string) (string, error) { return h.look(name, false) }

// Secret is Public for a file with a private key, which no other user may read either.
func (h *Home) Secret(name string) (string, error) { return h.look(name, true) }

// Place is the path of a file that need not be there yet. Its directory must be.
func (h *Home) Place(name string) (string, error) {
	path, err := h.look(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		if err = h.checkDirs(name); err == nil {
			path = h.join(name)
		}
	}
	return path, err
}

func (h *Home) join(name string) string { return filepath.Join(h.dir, filepath.FromSlash(name)) }

// checkDirs looks at the directories on the way to a file.
func (h *Home) checkDirs(name string) error {
	steps := strings.Split(name, "/")
	at := h.dir
	for _, step := range steps[:len(steps)-1] {
		at = filepath.Join(at, step)
		info, err := os.Lstat(at)
		if err != nil {
			return fmt.Errorf("home: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("home: %s is no directory: a path of a home leads over no link", at)
		}
		if err := checkOwn(at, info, false); err != nil {
			return err
		}
	}
	return nil
}

func (h *Home) look(name string, secret bool) (string, error) {
	if err := checkPath(name); err != nil {
		return "", fmt.Errorf("home: %w", err)
	}
	if err := h.checkDirs(name); err != nil {
		return "", err
	}
	path := h.join(name)
	info, err := os.Lstat(path)
	if err != nil {
		return "", fmt.Errorf("home: %w", err)
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return "", fmt.Errorf("home: %s is no regular file: a path of a home leads over no link", path)
	}
	return path, checkOwn(path, info, secret)
}

// CheckDir refuses a directory that cannot be a home: it is none, or another user may write there. It may be
// reached over a symbolic link. One that does not exist is ErrNone.
func CheckDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &MissingError{What: fmt.Sprintf("there is no directory %s", dir),
			Command: "sealbus init NAME --source PATTERN --type PATTERN --dir " + quoted(dir), Err: ErrNone}
	}
	if err != nil {
		return fmt.Errorf("home: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("home: %s is no directory: name the one that has %s", dir, File)
	}
	return checkOwn(dir, info, false)
}

// MarkMadeHere writes down that the home is made in this directory, for `sealbus init`. It does nothing where
// directories have no number.
func MarkMadeHere(dir string) error {
	n, ok := numberOf(dir)
	if !ok || MadeHere(dir) {
		return nil
	}
	path := filepath.Join(dir, filepath.FromSlash(madeHere))
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a copy, or half of a mark
		return fmt.Errorf("home: %w", err)
	}
	return privatefile.WriteNew(path, mark(n), privatefile.Mode)
}

// MadeHere reports whether `sealbus init` began the home in this directory, for this user or for root. A
// directory that was downloaded cannot know which number it gets.
func MadeHere(dir string) bool {
	n, ok := numberOf(dir)
	if !ok {
		return false
	}
	info, err := os.Stat(dir)
	if err != nil || !isMine(info) {
		return false
	}
	path, err := (&Home{dir: dir}).Secret(madeHere)
	if err != nil {
		return false
	}
	is, _, err := privatefile.ReadBounded(path, 64)
	return err == nil && string(is) == string(mark(n))
}

func mark(n uint64) []byte { return []byte(strconv.FormatUint(n, 10) + "\n") }

// CopiedError refuses a home that was only found, and was not made there: its author decides by it who is
// trusted.
type CopiedError struct{ Dir string }

// Error says how to name the home.
func (e *CopiedError) Error() string {
	return fmt.Sprintf("home: the %s of the working directory was not made here: if you trust its author, "+
		"name the home: set %s=. or give the directory", File, Variable)
}

// quoted is the path as a shell reads it back.
func quoted(path string) string {
	const special = "-_./"
	isPlain := func(r rune) bool {
		return r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(special, r))
	}
	if path != "" && strings.TrimLeftFunc(path, isPlain) == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
