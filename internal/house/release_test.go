package house

import (
	"debug/elf"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// instruction is one of a Dockerfile, with its continued lines in one.
type instruction struct{ word, rest string }

// dockerfile is the stages of the Dockerfile, each with its FROM first.
func dockerfile(t *testing.T) (stages [][]instruction) {
	t.Helper()
	text := readRoot(t, "Dockerfile")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" || strings.HasPrefix(word, "#") {
			continue
		}
		if word == "FROM" {
			stages = append(stages, nil)
		}
		if len(stages) == 0 {
			t.Fatalf("Dockerfile has %q before its first FROM", line)
		}
		last := len(stages) - 1
		stages[last] = append(stages[last], instruction{word, strings.TrimSpace(rest)})
	}
	return stages
}

func readRoot(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDockerfile: each image of the Dockerfile begins from scratch, has no shell, and its user is not root.
// The images that it builds in have a version.
func TestDockerfile(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readRoot(t, "go.mod"))
	stages, named, images := dockerfile(t), []string{"scratch"}, 0
	for i, stage := range stages {
		from := strings.Fields(stage[0].rest)
		base := from[0]
		if !slices.Contains(named, base) && !strings.HasPrefix(base, "golang:"+version[1]+".") {
			t.Errorf("FROM %s is not the Go of go.mod in one exact version", base)
		}
		if len(from) == 3 && from[1] == "AS" {
			named = append(named, from[2])
		}
		if base != "scratch" {
			if i == len(stages)-1 {
				t.Errorf("the image is not from scratch, but from %s", base)
			}
			continue
		}
		images++
		var user, entry string
		for _, step := range stage[1:] {
			switch step.word {
			case "USER":
				user = step.rest
			case "ENTRYPOINT":
				entry = step.rest
			case "RUN", "CMD", "ADD":
				t.Errorf("an image from scratch has %s %s", step.word, step.rest)
			}
		}
		if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
			t.Errorf("the user of an image is %q; numbers other than 0 are expected", user)
		}
		if entry != `["/sealbus"]` {
			t.Errorf("the entry point is %q, which needs a shell or is another program", entry)
		}
	}
	if images != 2 {
		t.Errorf("%d images are from scratch, one that is built and one of a release were expected", images)
	}
}

// TestDockerfileBuildsAStaticProgram runs the line of the Dockerfile that builds the program.
func TestDockerfileBuildsAStaticProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the command without cgo")
	}
	var build string
	for _, stage := range dockerfile(t) {
		for _, step := range stage {
			if step.word == "RUN" && strings.Contains(step.rest, "go build") {
				build += step.rest
			}
		}
	}
	out := filepath.Join(t.TempDir(), "sealbus")
	line := strings.Replace(build, "-o /out/sealbus", "-o "+out, 1)
	if line == build {
		t.Fatalf("the Dockerfile builds by %q, and not into /out/sealbus", build)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "GOOS=linux")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, said)
	}
	program, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("the program is linked dynamically: an image from scratch has no linker")
		}
	}
}

// TestDockerContextHasAllOfTheSource: .dockerignore lets through each file that the program is built from,
// and neither keys nor the history.
func TestDockerContextHasAllOfTheSource(t *testing.T) {
	var through []*regexp.Regexp
	for line := range strings.Lines(readRoot(t, ".dockerignore")) {
		if pattern, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			quoted := regexp.QuoteMeta(pattern)
			quoted = strings.NewReplacer(`\*\*/`, `(.*/)?`, `\*`, `[^/]*`).Replace(quoted)
			through = append(through, regexp.MustCompile("^"+quoted+"$"))
		}
	}
	passes := func(name string) bool {
		return slices.ContainsFunc(through, func(p *regexp.Regexp) bool { return p.MatchString(name) })
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		`{{if not .Standard}}{{$p := .}}{{range .GoFiles}}{{$p.ImportPath}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$p.ImportPath}}/{{.}}
{{end}}{{end}}`, module+"/cmd/sealbus")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(out)) {
		if name, ours := strings.CutPrefix(strings.TrimSpace(line), module+"/"); ours {
			if checked++; !passes(name) {
				t.Errorf(".dockerignore keeps %s out of the build", name)
			}
		}
	}
	if checked < 300 {
		t.Errorf("only %d files were checked", checked)
	}
	for _, name := range []string{".git/config", "orders.keyring", "shop/secret/root.key", ".env"} {
		if passes(name) {
			t.Errorf(".dockerignore lets %s into the build", name)
		}
	}
}

// TestReleaseConfiguration: a release is static programs with checksums and lists of parts, and an image that
// is named by its version.
func TestReleaseConfiguration(t *testing.T) {
	var config struct {
		Version int
		Builds  []struct {
			Main, Binary string
			Env          []string
			Goos, Goarch []string
		}
		Archives []struct{ Files []string }
		Checksum struct{ Algorithm string }
		Sboms    []struct{ Artifacts string }
		Images   []struct {
			Dockerfile string
			Tags       []string
			Flags      []string
		} `yaml:"dockers_v2"`
	}
	parseYAML(t, ".goreleaser.yaml", &config)
	if config.Version != 2 || len(config.Builds) != 1 || len(config.Sboms) == 0 || len(config.Images) != 1 ||
		config.Checksum.Algorithm != "sha256" || len(config.Archives) != 1 {
		t.Fatalf("read as %+v", config)
	}
	build, image := config.Builds[0], config.Images[0]
	if build.Main != "./cmd/sealbus" || !slices.Contains(build.Env, "CGO_ENABLED=0") {
		t.Errorf("it builds %+v", build)
	}
	if image.Dockerfile != "Dockerfile" || !slices.Contains(image.Flags, "--target=release") {
		t.Errorf("the image is %+v", image)
	}
	for _, tag := range image.Tags {
		if !strings.Contains(tag, ".Version") {
			t.Errorf("the tag %q is not that of a version", tag)
		}
	}
	for _, pattern := range config.Archives[0].Files {
		if found, err := filepath.Glob(filepath.Join("..", "..", pattern)); err != nil || len(found) == 0 {
			t.Errorf("an archive has %q, and there is no such file", pattern)
		}
	}
}

func parseYAML(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.NewDecoder(strings.NewReader(readRoot(t, name))).Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

var (
	pinnedAction = regexp.MustCompile(`^[^@]+@[0-9a-f]{40}$`)
	latest       = regexp.MustCompile(`@latest|:latest|-latest\b|\bstable\b`)
)

// TestWorkflowsArePinned: each action of a workflow is that of one commit, and a program that it installs has
// a version. Else anyone who can move a tag runs a program of their own beside the trust policy.
func TestWorkflowsArePinned(t *testing.T) {
	workflows := 0
	for name, text := range filesNamed(t, ".yml") {
		var flow struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Runner string `yaml:"runs-on"`
				Steps  []struct{ Uses, Run string }
			}
		}
		if err := yaml.Unmarshal([]byte(text), &flow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(flow.Jobs) == 0 {
			continue
		}
		workflows++
		if len(flow.Permissions) == 0 || slices.ContainsFunc(slices.Collect(maps.Values(flow.Permissions)),
			func(p string) bool { return p != "read" && p != "none" }) {
			t.Errorf("%s has the permissions %v, and should name those that it needs to read", name,
				flow.Permissions)
		}
		for _, job := range flow.Jobs {
			for _, step := range job.Steps {
				if step.Uses != "" && !pinnedAction.MatchString(step.Uses) {
					t.Errorf("%s uses %s, which is no commit", name, step.Uses)
				}
			}
		}
		if found := latest.FindString(withoutComments(text)); found != "" {
			t.Errorf("%s has %q, which is another version tomorrow", name, found)
		}
	}
	if workflows == 0 {
		t.Error("no workflow was found")
	}
}

// withoutComments is a text of YAML without its comments.
func withoutComments(text string) string {
	return regexp.MustCompile(`(?m)(^|\s)#.*$`).ReplaceAllString(text, "")
}

// TestReleaseFilesSayHowFarTheyWereChecked: no machine of the tests has all that these files need.
func TestReleaseFilesSayHowFarTheyWereChecked(t *testing.T) {
	for _, name := range []string{"Dockerfile", ".goreleaser.yaml", "examples/rotation/policy-check.yml"} {
		if text := readRoot(t, name); !strings.Contains(text[:min(1200, len(text))], "\n# How far it was checked: ") {
			t.Errorf("%s does not say at its head how far it was checked", name)
		}
	}
}
