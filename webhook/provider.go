package webhook

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed recipes/*.json
var recipeFiles embed.FS

// schemes are all schemes of this package, sorted by name.
var schemes = sync.OnceValue(func() []Scheme {
	list := goSchemes()
	entries, err := recipeFiles.ReadDir("recipes")
	for _, e := range entries {
		doc, problem := recipeFiles.ReadFile("recipes/" + e.Name())
		if problem != nil {
			err = problem
			break
		}
		s, problem := ParseRecipe(doc)
		if problem != nil {
			err = fmt.Errorf("%s: %w", e.Name(), problem)
			break
		}
		list = append(list, s)
	}
	if err != nil {
		panic("webhook: an embedded recipe: " + err.Error()) // a test reads all of them
	}
	slices.SortFunc(list, func(a, b Scheme) int { return strings.Compare(a.Name(), b.Name()) })
	return list
})

// Provider finds a scheme by its name: an embedded recipe or a scheme in Go of this package.
func Provider(name string) (Scheme, error) {
	for _, s := range schemes() {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("webhook: no provider %.80q: Providers lists them", name)
}

// Providers are the names that Provider knows, sorted.
func Providers() []string {
	names := make([]string, len(schemes()))
	for i, s := range schemes() {
		names[i] = s.Name()
	}
	return names
}
