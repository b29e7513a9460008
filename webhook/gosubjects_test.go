package webhook_test

import "testing"

// goSubjects are the providers whose schemes are written in Go.
func goSubjects(testing.TB) []subject { return nil }
