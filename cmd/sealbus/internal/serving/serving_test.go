package serving

import "testing"

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"8080": "127.0.0.1:8080", ":8080": "127.0.0.1:8080", "0.0.0.0:8080": "0.0.0.0:8080",
		"localhost:1": "localhost:1", "[::1]:0": "[::1]:0", "": "", "a:": "", "::1": "",
	} {
		if got, err := Address("http", in); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}
