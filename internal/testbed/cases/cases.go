// Package cases says how many cases a property test tries. Long property tests find something once in
// thousands of cases, so a tenth is enough while one works. All cases run where the environment has
// SEALBUS_ALL_TESTS=1, as in .ci/run.
package cases

import "os"

// Of is how many of the n cases of a property test are tried: n, or a tenth of it.
func Of(n int) int {
	if All() {
		return n
	}
	return n / 10
}

// All reports whether the environment asks for all cases.
func All() bool { return os.Getenv("SEALBUS_ALL_TESTS") == "1" }
