package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/examples/orders/orderstest"
)

// TestWalkThrough: a reader of README.md, with an AWS inside the process. Every sealbus command is run, and
// the keys that come out are those of the functions.
func TestWalkThrough(t *testing.T) {
	s, dir := newStack(t), t.TempDir()
	shell := s.NewShell(t, dir)
	var desk, authorizer *orderstest.Function
	instead := map[string]func(){ // where the reader has AWS do something
		"deploy": func() {
			var files [3][]byte
			for i, name := range []string{"roots.json", "trust.dsse", "newsroom.keyring"} {
				var err error
				files[i], err = os.ReadFile(filepath.Join(dir, name))
				s.must(err)
			}
			s.Trust(files[0], files[1], files[2])
			s.World.Bundle = files[1]
			desk, _ = s.function(deskProgram, "Desk")
			intake, _ := s.function(intakeProgram, "Intake")
			s.intake.Store(intake)
			authorizer = s.Start(authorizerProgram, append(s.Environment("Authorizer"), s.userPool()...))
		},
		"sign in": func() {},
		"delete": func() {
			read := route{method: "GET", path: "/news"}
			admin := route{"DELETE", "/news/{id}", "1", claims("cognito:groups", "admin")}
			same(t, "read", s.answerOf(desk, read.http2()), "200")
			same(t, "HTTP API", s.answerOf(desk, admin.http2()), "202")
			same(t, "REST API", s.answerOf(desk, admin.rest1()), "202")
			same(t, "sealed", len(s.opened()), 2)
		},
		"submit": func() {
			token := s.pool.issue(map[string]any{"token_use": "access", "client_id": partner, "sub": partner,
				"scope": "news/submit"})
			payload, err := json.Marshal(authorization("1.0", "Bearer "+token))
			s.must(err)
			out, err := authorizer.Invoke(t.Context(), payload)
			same(t, "authorized", verdict(s, out, err), "Allow POST/news "+partner)
			s.submit(partner, `{"title":"A partner says hello"}`)
			same(t, "sealed", len(s.opened()), 3)
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
