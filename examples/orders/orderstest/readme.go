package orderstest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a marked block of README.md: what is run, what the AWS command line does and the test does
// instead, and what comes out of the block before.
var block = regexp.MustCompile("(?s)<!-- (set up|run|output|aws: [a-z ]+) -->\n```[a-z]+\n(.*?)```")

// Step is a marked block of a README.md.
type Step struct{ Kind, Text string }

// Steps are the marked blocks of README.md in the working directory.
func Steps(t testing.TB) (list []Step) {
	t.Helper()
	doc, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range block.FindAllStringSubmatch(string(doc), -1) {
		list = append(list, Step{m[1], m[2]})
	}
	if fences := strings.Count(string(doc), "\n```sh\n"); fences == 0 || fences != len(list)-outputs(list) {
		t.Fatalf("%d blocks of commands, %d of them marked", fences, len(list)-outputs(list))
	}
	return list
}

func outputs(list []Step) (n int) {
	for _, s := range list {
		if s.Kind == "output" {
			n++
		}
	}
	return n
}

// Shell is a bash that goes on from block to block. sealbus is the command of this module.
type Shell struct {
	in  io.WriteCloser
	out *bufio.Reader
}

const endOfBlock = "--- end of block ---"

// NewShell starts one in the directory, with the AWS of the World.
func (w *World) NewShell(t testing.TB, dir string, env ...string) *Shell {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("it takes bash")
	}
	bin := t.TempDir()
	w.must(os.Symlink(Build(t, "cmd/sealbus"), filepath.Join(bin, "sealbus")))
	config := filepath.Join(bin, "config")
	w.must(os.WriteFile(config, []byte("[profile producer]\n[profile consumer]\n"), 0o600))
	cmd := exec.Command(bash, "-eu", "-o", "pipefail")
	cmd.Dir, cmd.Env = dir, append(append(w.AWSEnv(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir,
		"AWS_CONFIG_FILE="+config, "AWS_SHARED_CREDENTIALS_FILE="+config), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &Shell{in, bufio.NewReader(out)}
}

// Run runs a block, which must not fail, and returns what it writes.
func (s *Shell) Run(t testing.TB, text string) string {
	t.Helper()
	if _, err := fmt.Fprintf(s.in, "{\n%s\n} </dev/null\necho '%s'\n", text, endOfBlock); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if line == endOfBlock+"\n" {
			return all.String()
		}
		all.WriteString(line)
		if err != nil {
			t.Fatalf("%s\nfailed:\n%s", text, &all)
		}
	}
}

var changing = []struct {
	re   *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`\d{4}-?\d\d-?\d\dT[0-9:.]+Z(-[0-9a-f]+…?)?`), "TIME"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{12}…`), "KEY"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{43}`), "KEY"},
	{regexp.MustCompile(` +`), " "},
}

// Settled is text without what is another each time.
func Settled(text string) string {
	for _, c := range changing {
		text = c.re.ReplaceAllString(text, c.text)
	}
	return text
}

// sealbusCommand is one in a block, with its flags.
var sealbusCommand = regexp.MustCompile(`sealbus ((?:[a-z]+ ?)+)((?:\\\n|[^\n|;&#])*)`)

// CheckFlags wants each sealbus command of README.md to have the flags that it is given there, and at least
// so many flags to be found.
func CheckFlags(t testing.TB, atLeast int) {
	t.Helper()
	sealbus, looked := Build(t, "cmd/sealbus"), 0
	for _, s := range Steps(t) {
		for _, m := range sealbusCommand.FindAllStringSubmatch(s.Text, -1) {
			words := strings.Fields(m[1])
			words = words[:min(len(words), 3)]
			help, err := exec.Command(sealbus, append(words, "--help")...).CombinedOutput()
			if err != nil {
				t.Errorf("sealbus %s --help: %v\n%s", m[1], err, help)
			}
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(m[2], -1) {
				if looked++; !strings.Contains(string(help), "\n  "+flag+" ") {
					t.Errorf("sealbus %s has no %s", m[1], flag)
				}
			}
		}
	}
	if looked < atLeast {
		t.Errorf("only %d flags were found", looked)
	}
}
