package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/examples/orders/orderstest"
)

// TestWalkThrough: a reader of README.md, with an AWS inside the process. Every sealbus command is run, and
// the keys and the bundle that come out are those of the functions.
func TestWalkThrough(t *testing.T) {
	s, dir := newStack(t), t.TempDir()
	shell := s.NewShell(t, dir)
	pushed := func(branch, secret, want string) {
		d := delivery{"", "d-1", body(branch), sign(secret, body(branch))}
		if got := post(t, s.gateway, d.request()); got != want {
			t.Errorf("%s: %s, not %s\n%s", branch, got, want, s.gateway.Log())
		}
	}
	instead := map[string]func(){ // where the reader has AWS do something
		"deploy": func() {
			var files [3][]byte
			for i, name := range []string{"roots.json", "trust.dsse", "hooks.keyring"} {
				var err error
				if files[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			s.Trust(files[0], files[1], files[2])
			s.start()
		},
		"show the secret": func() { pushed("main", firstSecret, "200") },
		"look": func() {
			if put, pushes := s.handled(); put != 1 || pushes != 1 {
				t.Errorf("%d events and %d pushes\n%s", put, pushes, s.pushes.Log())
			}
		},
		"rotate": func() {
			s.PutSecret(s.Values["GithubSecret"], "another")
			s.start() // in place of five minutes
			pushed("old", firstSecret, "401 bad_signature")
			pushed("next", secondSecret, "200")
			if put, pushes := s.handled(); put != 2 || pushes != 1 { // pushes has started anew
				t.Errorf("%d events and %d pushes\n%s", put, pushes, s.pushes.Log())
			}
		},
	}
	for _, step := range orderstest.Steps(t) {
		name, isAWS := strings.CutPrefix(step.Kind, "aws: ")
		switch {
		case step.Kind == "run":
			shell.Run(t, step.Text)
		case isAWS && instead[name] == nil:
			t.Fatalf("README.md has the commands %q, and the test nothing instead", name)
		case isAWS:
			instead[name]()
			delete(instead, name)
		}
	}
	if len(instead) > 0 {
		t.Errorf("README.md no longer has %d blocks", len(instead))
	}
}

// TestFlagsOfCommands: also a command that takes AWS has the flags that it is given.
func TestFlagsOfCommands(t *testing.T) { orderstest.CheckFlags(t, 15) }
