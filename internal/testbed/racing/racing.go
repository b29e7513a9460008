// Package racing tells tests whether the race detector is on. It costs a factor of ten and finds nothing in
// what one goroutine does, so property tests of such code try a tenth of their cases under it; they try all
// without it.
package racing

// Tenth is n, or a tenth of it under the race detector.
func Tenth(n int) int {
	if on {
		return n / 10
	}
	return n
}
