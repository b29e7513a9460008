package awslambda_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/awslambda"
)

// seen is a Receiver that keeps the request.
type seen struct{ request *webhook.Request }

func (s *seen) Receive(_ context.Context, r webhook.Request, _ time.Time) webhook.Response {
	s.request = &r
	return webhook.Response{Status: 200}
}

// FuzzPayload: whatever a payload is, body and method that are judged are those that encoding/json reads, the
// target is one or is empty, and a payload that is refused reaches no receiver.
func FuzzPayload(f *testing.F) {
	files, err := filepath.Glob("testdata/fuzz/FuzzPayload/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus (%v)", err)
	}
	f.Fuzz(func(t *testing.T, doc []byte, front uint8) {
		to := &seen{}
		_, err := awslambda.Handler(to, awslambda.FrontEnd(front%6))(t.Context(), doc)
		if (err != nil) != (to.request == nil) {
			t.Fatalf("%s: %v, and %v was judged", doc, err, to.request)
		}
		if err != nil {
			return
		}
		var members map[string]json.RawMessage
		var body string
		if err := json.Unmarshal(doc, &members); err != nil {
			t.Fatalf("%s was read: %v", doc, err)
		}
		if text := members["body"]; text != nil {
			if err := json.Unmarshal(text, &body); err != nil {
				t.Fatalf("%s: its body was read: %v", doc, err)
			}
		}
		want := []byte(body)
		if string(members["isBase64Encoded"]) == "true" {
			if want, err = base64.StdEncoding.Strict().DecodeString(body); err != nil {
				t.Fatalf("%s: its body was read: %v", doc, err)
			}
		}
		if !bytes.Equal(to.request.Body, want) {
			t.Errorf("%s: the body is %q, want %q", doc, to.request.Body, want)
		}
		if to.request.Method == "" || to.request.Target != "" && to.request.Target[0] != '/' {
			t.Errorf("%s: %+v", doc, to.request)
		}
	})
}
