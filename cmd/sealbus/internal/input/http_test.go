package input

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each vector of an HTTP message is handed over as it is, with and without a request line: no byte is
// interpreted here. One in structured mode is its content.
func TestRequestsOfTheVectors(t *testing.T) {
	files, err := filepath.Glob("../../../../vectors/*http-*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d vectors: %v", len(files), err)
	}
	checked := 0
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Form, Input string
			InputBase64 string `json:"input_base64"`
		}
		if err := json.Unmarshal(doc, &v); err != nil {
			t.Fatal(err)
		}
		if v.InputBase64 != "" {
			raw, err := base64.StdEncoding.DecodeString(v.InputBase64)
			if err != nil {
				t.Fatal(err)
			}
			v.Input = string(raw)
		}
		if v.Form != "http" || v.Input == "" {
			continue
		}
		checked++
		for _, line := range []string{"", "POST /events HTTP/1.1\r\n"} {
			switch m := request([]byte(line + v.Input)); {
			case m.Err != nil: // it has no end of its header
				if strings.Contains(v.Input, "\r\n\r\n") {
					t.Errorf("%s: %v", file, m.Err)
				}
			case m.HTTP:
				if string(m.Body) != v.Input {
					t.Errorf("%s: %s", file, m.Body)
				}
			case !strings.HasSuffix(v.Input, "\r\n\r\n"+string(m.Body)) ||
				!strings.Contains(strings.ToLower(v.Input), "application/cloudevents+json"):
				t.Errorf("%s: taken for structured mode: %s", file, m.Body)
			}
		}
	}
	if checked < 25 {
		t.Errorf("%d vectors were checked", checked)
	}
}
