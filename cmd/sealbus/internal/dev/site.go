package dev

import (
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// readSite PROVISIONAL until package home is there.
func readSite(env *ui.Env, dir string) (*site, error) {
	text, err := env.ReadFile(filepath.Join(dir, homeFile), 1<<16)
	if err != nil {
		return nil, err
	}
	var y struct {
		Trust     struct{ Roots, Bundle, Timestamp string }
		Audience  string
		Producers map[string]any
		Consumers map[string]struct{ Sources []string }
	}
	if err := yaml.Unmarshal(text, &y); err != nil {
		return nil, err
	}
	s := &site{dir: dir, audience: y.Audience, consumers: map[string][]string{}, bundle: filepath.Join(dir, y.Trust.Bundle)}
	s.producers = ui.SortedKeys(y.Producers)
	for n, c := range y.Consumers {
		s.consumers[n] = c.Sources
	}
	stamp := ""
	if y.Trust.Timestamp != "" {
		stamp = filepath.Join(dir, y.Trust.Timestamp)
	}
	s.files, err = trustFiles(env, filepath.Join(dir, y.Trust.Roots), s.bundle, stamp)
	return s, err
}
