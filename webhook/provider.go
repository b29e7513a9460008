package webhook

import (
	"fmt"
	"slices"
)

// Provider finds a scheme by its name: an embedded recipe or a scheme in Go of this package.
func Provider(name string) (Scheme, error) {
	for _, s := range schemes() {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("webhook: no provider %.80q: webhook.Providers lists them", name)
}

// Providers are the names that Provider knows, sorted.
func Providers() []string {
	var names []string
	for _, s := range schemes() {
		names = append(names, s.Name())
	}
	slices.Sort(names)
	return names
}
