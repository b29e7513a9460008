package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sealbus": func() {
		env := systemEnvironment()
		if env.workFactor != 0 {
			panic("the program does not use the default work factor")
		}
		env.workFactor = quick
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, env))
	}})
}

// TestScripts runs testdata/script: what the program writes and how it ends, as a shell sees it.
//
// Beside testscript's own commands there are:
//
//	status N sealbus ARG...   runs sealbus and wants exit status N
//	json PATH WANT            standard output is one JSON value; the member at PATH (a.0.b) is WANT
//	jsonenv NAME PATH         puts the member at PATH into the environment
//	mode FILE PERM            the file has these permissions
//	edit FILE OLD NEW         replaces OLD, which must be there, in a file
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": scriptStatus, "json": scriptJSON, "jsonenv": scriptJSONEnv, "mode": scriptMode, "edit": scriptEdit,
		},
	})
}

func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		coder, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = coder.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, not %s", got, args[0])
	}
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH WANT")
	}
	got, err := jsonMember(ts.ReadFile("stdout"), args[0])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	if (got == args[1]) == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

func scriptJSONEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: jsonenv NAME PATH")
	}
	value, err := jsonMember(ts.ReadFile("stdout"), args[1])
	if err != nil || value == "" {
		ts.Fatalf("%s: %q, %v", args[1], value, err)
	}
	ts.Setenv(args[0], value)
}

func scriptMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode FILE PERM")
	}
	if got := fileMode(ts, args[0]); got != args[1] {
		ts.Fatalf("mode %s, not %s", got, args[1])
	}
}

// jsonMember is the member at path, as text; "" is one that is absent or null, and "len" the length of a
// list. The document is exactly one JSON value.
func jsonMember(doc, path string) (string, error) {
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

// quick is the work factor of tests: the default takes a second for each file, and ten under the race detector.
const quick = 4

// fakeRun runs the program in this process.
type fakeRun struct {
	stdin    string
	terminal bool
	env      map[string]string
	typed    []string // answers at the terminal; nil = there is none
	now      time.Time

	stdout, stderr bytes.Buffer
	asked          []string
}

func (f *fakeRun) run(t testing.TB, args ...string) int {
	t.Helper()
	f.stdout.Reset()
	f.stderr.Reset()
	env := environment{
		now:      func() time.Time { return f.now },
		getenv:   func(name string) string { return f.env[name] },
		terminal: func(io.Writer) bool { return f.terminal }, workFactor: quick,
	}
	if f.typed != nil {
		env.prompt = f.answer
	}
	return run(t.Context(), args, strings.NewReader(f.stdin), &f.stdout, &f.stderr, env)
}

func (f *fakeRun) answer(prompt string) ([]byte, error) {
	f.asked = append(f.asked, prompt)
	if len(f.typed) == 0 {
		return nil, io.EOF
	}
	answer := f.typed[0]
	f.typed = f.typed[1:]
	return []byte(answer), nil
}

func fileMode(ts *testscript.TestScript, file string) string {
	info, err := os.Stat(ts.MkAbs(file))
	ts.Check(err)
	return fmt.Sprintf("%04o", info.Mode().Perm())
}

func scriptEdit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o600))
}
