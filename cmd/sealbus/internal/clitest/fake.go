package clitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// JSONMember is the member at path, as text; "" is one that is absent or null, and "len" the length of a
// list. The document is exactly one JSON value.
func JSONMember(doc, path string) (string, error) {
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", fmt.Errorf("standard output is not JSON: %w\n%s", err, doc)
	}
	if _, err := d.Token(); err != io.EOF {
		return "", fmt.Errorf("more than one JSON value:\n%s", doc)
	}
	for _, step := range strings.Split(path, ".") {
		v = jsonStep(v, step)
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func jsonStep(v any, step string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[step]
	case []any:
		if i, err := strconv.Atoi(step); err == nil && i < len(v) {
			return v[i]
		}
		if step == "len" {
			return json.Number(strconv.Itoa(len(v)))
		}
	}
	return nil
}

// Quick is the work factor of tests. The default takes a second for each file, and ten under the race
// detector.
const Quick = 4

// FakeRun runs the program in this process.
type FakeRun struct {
	stdin    string
	Terminal bool
	Env      map[string]string
	Typed    []string // answers at the terminal; nil = there is none
	now      time.Time

	Stdout, Stderr bytes.Buffer
	asked          []string
}

func (f *FakeRun) Run(t testing.TB, args ...string) int {
	t.Helper()
	f.Stdout.Reset()
	f.Stderr.Reset()
	env := ui.System{
		Now:      func() time.Time { return f.now },
		Getenv:   func(name string) string { return f.Env[name] },
		Terminal: func(io.Writer) bool { return f.Terminal }, WorkFactor: Quick,
	}
	if f.Typed != nil {
		env.Prompt = f.answer
	}
	return cli.Run(t.Context(), args, strings.NewReader(f.stdin), &f.Stdout, &f.Stderr, env)
}

func (f *FakeRun) answer(prompt string) ([]byte, error) {
	f.asked = append(f.asked, prompt)
	if len(f.Typed) == 0 {
		return nil, io.EOF
	}
	answer := f.Typed[0]
	f.Typed = f.Typed[1:]
	return []byte(answer), nil
}
