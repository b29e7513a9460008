package loadquarantine

import (
	"testing"
)

func TestPlaceOf(t *testing.T) {
	for from, want := range map[string][2]string{
		"bin": {"dir", "bin"}, "./a:b": {"dir", "./a:b"}, "dir:bin": {"dir", "bin"},
		"/var/q": {"dir", "/var/q"}, `C:\q`: {"dir", `C:\q`},
		"s3://b/p": {"s3", "//b/p"}, "sqs:https://q": {"sqs", "https://q"}, "gs://b": {"", ""}, "": {"", ""},
		"dir:": {"dir", ""},
	} {
		if place, rest := PlaceOf(from); place != want[0] || rest != want[1] {
			t.Errorf("placeOf(%q) = %q, %q", from, place, rest)
		}
	}
}
