package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/localaws"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sealbus": func() {
		system := ui.NewSystem()
		if system.WorkFactor != 0 {
			panic("the program does not use the default work factor")
		}
		system.WorkFactor = clitest.Quick
		os.Exit(run(system))
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
//	begin NAME COMMAND ARG... starts a program that goes on
//	await NAME PATTERN VAR... waits until it writes something new that matches, whose groups go into variables
//	end NAME STATUS           ends it by SIGTERM and wants that status; or "killed", by SIGKILL
//	kms NAME USAGE SPEC       makes a key in a KMS that the script has, and puts its ARN into the environment
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
			"status": scriptStatus, "json": scriptJSON, "jsonenv": scriptJSONEnv, "mode": scriptMode,
			"edit": scriptEdit, "kms": scriptKMS,
			"begin": scriptBegin, "await": scriptAwait, "end": scriptEnd,
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
	got, err := clitest.JSONMember(ts.ReadFile("stdout"), args[0])
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
	value, err := clitest.JSONMember(ts.ReadFile("stdout"), args[1])
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

func scriptKMS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: kms NAME USAGE SPEC")
	}
	if ts.Getenv("AWS_ENDPOINT_URL") == "" {
		server, err := localaws.Start(nil)
		ts.Check(err)
		ts.Defer(func() { ts.Check(server.Close()) })
		for name, value := range map[string]string{
			"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
			"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": server.URL(),
		} {
			ts.Setenv(name, value)
		}
	}
	client := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(ts.Getenv("AWS_ENDPOINT_URL")),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	out, err := client.CreateKey(context.Background(), &kms.CreateKeyInput{
		KeyUsage: types.KeyUsageType(args[1]), KeySpec: types.KeySpec(args[2])})
	ts.Check(err)
	ts.Setenv(args[0], *out.KeyMetadata.Arn)
}
