package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/internal/testbed/program"
)

// transcriptFiles are the documents with commands that people are told to type, in a directory of their own.
var transcriptFiles = []string{"README.md", "docs/by-hand.md", "docs/guide-producer.md", "docs/guide-consumer.md",
	"docs/guide-platform.md", "docs/guide-security.md"}

// transcriptBlock is a marked block: <!-- transcript -->, then its fence. Its marks are
//
//	transcript                   commands; a line that begins with #> is one that they write
//	transcript: set up           what the test does itself
//	transcript: output           what the commands before it write
//	transcript: terminal         a command that goes on, in a terminal of its own
//	transcript: terminal output  a line that comes there by then; only what is not in <> is compared
var transcriptBlock = regexp.MustCompile("(?s)<!-- transcript(?:: ([a-z ]+))? -->\n```[a-z]+\n(.*?)```")

// TestTranscript runs the commands that people are told to type, in a shell, and holds what comes out against
// what they are told to expect.
func TestTranscript(t *testing.T) {
	bash, jq := lookPath("bash"), lookPath("jq")
	if bash == "" || jq == "" {
		t.Skip("it takes bash and jq; TestSamplesThroughEventBridge does the same without")
	}
	programs := buildFirst(t)
	for _, name := range transcriptFiles {
		t.Run(filepath.Base(name), func(t *testing.T) {
			doc, err := os.ReadFile(filepath.Join("../..", name))
			if err != nil {
				t.Fatal(err)
			}
			script, outputs := readTranscript(string(doc))
			if len(outputs) == 0 {
				t.Fatal("it says nowhere what its commands write")
			}
			out := runTranscript(t, bash, programs, script)
			got := settled(out)
			if strings.Contains(out, "WARN ") {
				t.Errorf("a program warns of something that a new user should not meet:\n%s", out)
			}
			for _, want := range outputs {
				if !strings.Contains(got, settled(want)) {
					t.Errorf("the transcript says\n%s\nwhat came out is\n%s", want, out)
				}
			}
		})
	}
}

// runTranscript runs the script of a document in a directory of its own. The other terminal ends with it.
func runTranscript(t *testing.T, bash, programs, script string) (out string) {
	t.Helper()
	real, err := exec.LookPath("sealbus")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "sealbus"), []byte(onAnyPort), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bash, "-uc", shell+script)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends the other terminal
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "programs="+programs, "real="+real, "terminal="+filepath.Join(bin, "terminal"),
		"PATH="+bin+":"+os.Getenv("PATH"), "HOME="+bin, "SEALBUS_HOME=", "AWS_EC2_METADATA_DISABLED=true")
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return string(said)
}

// onAnyPort is the program of the transcript: `dev` listens on a free port, and not on the one that people
// are told.
const onAnyPort = `#!/bin/sh
[ "${1-}" = dev ] || exec "$real" "$@"
shift
case " $* " in *" --print-env "*)
	port=$(sed -n 's|.*http://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$terminal" | head -n 1)
	exec "$real" dev --port "$port" "$@" ;;
esac
echo $$ > "$terminal.pid"
exec "$real" dev --port 0 "$@"
`

// shell begins each script. The go command would build the programs anew each time. The terminal of its own
// is a file; it is waited for, and ends with the script.
const shell = `set -e -o pipefail
go() {
	case "$*" in
	"build -o bin/ ../examples/first/...") mkdir bin && cp "$programs/producer" "$programs/consumer" bin/ ;;
	"build -o . ../examples/first/consumer") cp "$programs/consumer" . ;;
	*) echo "the test does not know: go $*"; exit 1 ;;
	esac
}
await() { # a line of the terminal, as a regular expression
	for _ in $(seq 1 1200); do
		if grep -qE -e "$1" "$terminal"; then return; fi
		if [ -s "$terminal.pid" ] && ! kill -0 "$(cat "$terminal.pid")" 2> /dev/null; then break; fi
		sleep 0.05
	done
	printf 'the terminal does not say: %s\n' "$1"
	cat "$terminal"
	exit 1
}
end() {
	if [ -s "$terminal.pid" ]; then kill "$(cat "$terminal.pid")"; wait; cat "$terminal"; fi
}
trap end EXIT
`

// buildFirst builds the programs of examples/first, which the transcripts run.
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

// readTranscript makes a script of the marked blocks of a document, without the set-up that the test does
// itself. Outputs are what its commands are said to write.
func readTranscript(doc string) (script string, outputs []string) {
	for _, m := range transcriptBlock.FindAllStringSubmatch(doc, -1) {
		switch m[1] {
		case "":
			script += m[2]
			for line := range strings.Lines(m[2]) {
				if output, ok := strings.CutPrefix(line, "#> "); ok {
					outputs = append(outputs, strings.TrimSuffix(output, "\n"))
				}
			}
		case "output":
			outputs = append(outputs, m[2])
		case "terminal":
			script += "{ " + strings.TrimSpace(m[2]) + "; } > \"$terminal\" 2>&1 &\nawait 'Ctrl-C ends it'\n"
		case "terminal output":
			for line := range strings.Lines(m[2]) {
				pattern := regexp.QuoteMeta(settled(strings.TrimSpace(line)))
				pattern = strings.NewReplacer("TIME", ".*", "key ID", "key .*", "'", ".").Replace(pattern)
				script += "await '" + pattern + "'\n"
			}
		}
	}
	return script, outputs
}

var changing = []struct {
	re   *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`(\d{4}/\d\d/\d\d )?\b\d\d:\d\d:\d\d\b`), "TIME"},
	{regexp.MustCompile(`key ([A-Za-z0-9_-]{12}…|[A-Za-z0-9_-]{43})`), "key ID"},
}

// settled is text without what is another each time: keys and times.
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
	for name, title := range map[string]string{
		"README.md": "\n## Rotation and revocation\n", "docs/by-hand.md": "\n## 4. ",
	} {
		doc, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(doc), title)
		chapter, _, _ := strings.Cut(after, "\n## ")
		var typed string
		for _, m := range transcriptBlock.FindAllStringSubmatch(chapter, -1) {
			if m[1] == "" {
				typed += strings.ReplaceAll(m[2], "\\\n", " ")
			}
		}
		typed = regexp.MustCompile(`(?m)^#>.*\n`).ReplaceAllString(typed, "")
		typed = regexp.MustCompile(`\|\n\s*`).ReplaceAllString(typed, "| ")
		typed = strings.ReplaceAll(typed, "\nbin/producer\n", "\n") // which shows that events still flow
		if n := strings.Count(typed, "\n"); n == 0 || n > 6 {
			t.Errorf("%s has %d commands:\n%s", name, n, typed)
		}
		moments := regexp.MustCompile(`\d{4}-\d\d-\d\d\S*| now |\+\d+[dhms]\b`).FindAllString(typed, -1)
		if len(moments) > 1 {
			t.Errorf("%s types the moments %q", name, moments)
		}
	}
}
