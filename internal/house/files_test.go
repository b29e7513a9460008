package house

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// filesNamed are the files below the root whose names end so, by their paths.
func filesNamed(t *testing.T, suffix string) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "node_modules" || d.Name() == ".git" {
			if d != nil && !d.IsDir() { // .git is a file in a worktree
				return err
			}
			return cmp.Or(err, fs.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(d.Name(), suffix) {
			return nil
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// TestFuzzTargetsHaveACorpus: a short fuzz in CI begins where a long one ended.
func TestFuzzTargetsHaveACorpus(t *testing.T) {
	targets := 0
	for file, text := range filesNamed(t, "_test.go") {
		for _, m := range fuzzTarget.FindAllStringSubmatch(text, -1) {
			targets++
			corpus := filepath.Join("..", "..", filepath.Dir(file), "testdata", "fuzz", m[1])
			if inputs, err := os.ReadDir(corpus); err != nil || len(inputs) == 0 {
				t.Errorf("%s: %s has no committed input in testdata/fuzz/%s: %v", file, m[1], m[1], err)
			}
		}
	}
	if targets < 40 {
		t.Errorf("only %d fuzz targets were found", targets)
	}
}
