package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Neither a large body nor a slow one tells which paths other tenants have, without a token and with one.
func TestPathsAreHidden(t *testing.T) {
	config := callersConfig + "    max_body: 2000000\n" +
		"  other:\n    path: /hooks/other\n    provider: github\n    secrets: [env:GITHUB_SECRET]\n" +
		"    source: https://other.example/github\n    max_body: 500\n"
	w := newWorld(t, config, callersDir(t, map[string]string{
		"tenants.yaml": strings.Replace(tenantsFile, "burst: 3", "burst: 100", 1)}))
	for _, token := range []string{"", token("c1"), token("c9")} {
		for _, size := range []int{10, 600, 1_500_000, 2_000_001} {
			var answers [2]*deadlines
			for i, path := range []string{"/hooks/other", "/hooks/none"} {
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(strings.Repeat(" ", size)))
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				answers[i] = &deadlines{ResponseRecorder: httptest.NewRecorder()}
				w.ServeHTTP(answers[i], r)
				if set := answers[i].set; len(set) == 0 || time.Until(set[0]) > time.Second {
					t.Errorf("%s, %d bytes: the deadlines are %v", path, size, set)
				}
			}
			there, none := answers[0], answers[1]
			if there.Code != none.Code || there.Body.String() != none.Body.String() || there.Code < 400 {
				t.Errorf("%d bytes, token %q: %d %s, and where there is no path: %d %s", size, token, there.Code,
					there.Body, none.Code, none.Body)
			}
		}
	}
	large := `{"n":1` + strings.Repeat(" ", 1_500_000) + `}` // its canonical form is small
	if status, body, _ := w.as(token("c1"), large); status != 200 {
		t.Errorf("its own, of 1.5 MB: %d %s", status, body)
	}
}
