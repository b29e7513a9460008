package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/internal/testbed/program"
)

// transcriptFiles are where the transcript may stand.
var transcriptFiles = []string{"../../README.md", "../../docs/transcript.md"}

// transcriptBlock is a marked block of the transcript: <!-- transcript -->, then its fence.
var transcriptBlock = regexp.MustCompile("(?s)<!-- transcript(?:: ([a-z ]+))? -->\n```[a-z]+\n(.*?)```")

// TestTranscript runs the commands that people are told to type, in a shell, and holds what comes out against
// what they are told to expect.
func TestTranscript(t *testing.T) {
	bash, jq := lookPath("bash"), lookPath("jq")
	if bash == "" || jq == "" {
		t.Skip("it takes bash and jq; TestSamplesThroughEventBridge does the same without")
	}
	commands, outputs := readTranscript(t)
	cmd := exec.Command(bash, "-uc", "set -o pipefail\n"+goRun+commands)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "programs="+buildFirst(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := settled(string(out))
	for _, want := range outputs {
		if !strings.Contains(got, settled(want)) {
			t.Errorf("the transcript says\n%s\nwhat came out is\n%s", want, out)
		}
	}
}

// goRun stands for the go command, which would build the programs anew for each line.
const goRun = `go() { test "$1" = run && "$programs/${2#../examples/first/}"; }
`

// buildFirst builds the programs of examples/first, which the transcript runs.
func buildFirst(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"producer", "consumer"} {
		if err := program.Build(filepath.Join(dir, name), "examples/first/"+name, ""); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func lookPath(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

// readTranscript finds the one transcript: its commands, without the set-up that the test does itself, and
// what they are said to write.
func readTranscript(t *testing.T) (commands string, outputs []string) {
	t.Helper()
	for _, name := range transcriptFiles {
		doc, err := os.ReadFile(name)
		if err != nil || commands != "" {
			continue
		}
		for _, m := range transcriptBlock.FindAllStringSubmatch(string(doc), -1) {
			switch m[1] {
			case "":
				commands += m[2]
			case "output":
				outputs = append(outputs, m[2])
			}
		}
	}
	if commands == "" || len(outputs) < 2 {
		t.Fatal("no transcript in README.md or docs/transcript.md")
	}
	return commands, outputs
}

var changing = []struct {
	re   *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`key ([A-Za-z0-9_-]{12}…|[A-Za-z0-9_-]{43})`), "key ID"},
}

// settled is text without what is another each time: keys and the time of sealing.
func settled(text string) string {
	for _, c := range changing {
		text = c.re.ReplaceAllString(text, c.text)
	}
	return text
}

// TestReadmeShowsTheDemo: the lines of the demo that README.md shows are lines that the demo writes.
func TestReadmeShowsTheDemo(t *testing.T) {
	doc, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- demo -->\n```text\n(.*?)```").FindSubmatch(doc)
	if block == nil {
		t.Fatal("README.md shows nothing of the demo")
	}
	shown := clitest.New(t).Must("", "demo")
	for line := range strings.Lines(string(block[1])) {
		if line != "...\n" && !strings.Contains(shown, line) {
			t.Errorf("the demo does not write %q", line)
		}
	}
}

// A new user changes a key and revokes the old one with at most six commands, and types no moment twice.
func TestRotationIsSixCommands(t *testing.T) {
	doc, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(doc), "\n### 6. ")
	chapter, _, _ := strings.Cut(after, "\n## ")
	var typed string
	for _, m := range transcriptBlock.FindAllStringSubmatch(chapter, -1) {
		if m[1] == "" {
			typed += strings.ReplaceAll(m[2], "\\\n", " ")
		}
	}
	if n := strings.Count(typed, "\n"); n == 0 || n > 6 {
		t.Errorf("%d commands:\n%s", n, typed)
	}
	moments := regexp.MustCompile(`\d{4}-\d\d-\d\d\S*| now |\+\d+[dhms]\b`).FindAllString(typed, -1)
	if len(moments) > 1 {
		t.Errorf("the moments %q are typed", moments)
	}
}
