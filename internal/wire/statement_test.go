package wire

import (
	"strings"
	"testing"
	"time"
)

const soundStatement = `{"not_after":"2026-11-21T12:50:00Z","not_before":"2026-11-21T11:50:00Z","session":` +
	`{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},"sources":["urn:a"],"types":["a.*"]}`

func TestReadStatement(t *testing.T) {
	s, err := ReadStatement([]byte(soundStatement))
	if err != nil || len(s.Session) != 32 || s.NotBefore.Format(time.RFC3339) != "2026-11-21T11:50:00Z" ||
		s.NotAfter.Format(time.RFC3339) != "2026-11-21T12:50:00Z" || s.Sources[0] != "urn:a" ||
		s.Types[0] != "a.*" {
		t.Errorf("%+v, %v", s, err)
	}
}

// Nothing but the five members is accepted, each in its one form.
func TestReadStatementRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"unknown member":       {`"types"`, `"until"`},
		"twice":                {`"types"`, `"sources"`},
		"no start":             {`"not_before":"2026-11-21T11:50:00Z",`, ``},
		"fraction":             {`11:50:00Z`, `11:50:00.5Z`},
		"other zone":           {`11:50:00Z`, `11:50:00+00:00`},
		"no session":           {`"session":{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},`, ``},
		"private key":          {`"kty"`, `"d":"AA","kty"`},
		"other curve":          {`Ed25519`, `X25519`},
		"short key":            {`11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo`, `11qY`},
		"too many patterns":    {`"urn:a"`, strings.Repeat(`"urn:a",`, MaxPatterns) + `"urn:a"`},
		"a pattern is no text": {`"a.*"`, `1`},
		"text behind":          {`["a.*"]}`, `["a.*"]} 1`},
	} {
		doc := strings.Replace(soundStatement, change[0], change[1], 1)
		if s, err := ReadStatement([]byte(doc)); doc == soundStatement || err == nil || s == nil {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	most := strings.Replace(soundStatement, `"urn:a"`, strings.Repeat(`"urn:a",`, MaxPatterns-1)+`"urn:a"`, 1)
	if _, err := ReadStatement([]byte(most)); err != nil {
		t.Error(err)
	}
}
