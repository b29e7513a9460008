package webhook_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// FuzzParseRecipe: Lint and ParseRecipe agree, and what is accepted opens and checks without a panic.
func FuzzParseRecipe(f *testing.F) {
	files, err := filepath.Glob("recipes/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte(ownRecipe))
	f.Add([]byte(migrating))
	secrets := []string{"secret", "00ff", "AAAA", standardSecret(f, "one"), discordKey(f)}
	f.Fuzz(func(t *testing.T, doc []byte) {
		scheme, err := webhook.ParseRecipe(doc)
		if (err == nil) != (webhook.Lint(doc) == nil) {
			t.Fatalf("Lint: %v, ParseRecipe: %v", webhook.Lint(doc), err)
		}
		if err != nil {
			return
		}
		o := &webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}}
		for _, text := range secrets {
			v, err := webhook.New(scheme, "in", []webhook.Secret{{Text: text}}, o)
			if err != nil {
				continue
			}
			r := post(string(doc))
			for _, line := range strings.Split(string(doc), `"`) { // one of them is the header
				r.Header = append(r.Header, webhook.Field{Name: line, Value: "t=1700000000,v1=00"})
			}
			_, _ = v.Verify(context.Background(), r, now)
		}
	})
}

func discordKey(t testing.TB) string {
	t.Helper()
	return find(t, "discord").verifies["one"]
}

// FuzzVerify gives every provider hostile headers: no panic, a known Reason, and nothing is accepted that
// another secret accepts, too.
func FuzzVerify(f *testing.F) {
	list := slices.Concat(bodySubjects(), timedSubjects(), convoySubjects(), keySubjects(f),
		standardSubjects())
	all := subjects(f)
	list = slices.DeleteFunc(all, func(s subject) bool {
		return !slices.ContainsFunc(list, func(o subject) bool { return o.provider == s.provider })
	})
	for i, s := range list {
		r := s.send(s.delivery())
		f.Add(byte(i), r.Header[0].Value, r.Header[len(r.Header)-1].Value, r.Target, r.Body)
	}
	reasons := envelope.Reasons()
	f.Fuzz(func(t *testing.T, which byte, first, last, target string, body []byte) {
		s := &list[int(which)%len(list)]
		r := s.send(s.delivery())
		r.Header[len(r.Header)-1].Value = last
		r.Header[0].Value, r.Target, r.Body = first, target, body
		got, err := s.verifier(t, s.secret).Verify(context.Background(), r, s.at)
		if err != nil {
			if got != nil || !slices.Contains(reasons, webhook.ReasonOf(err)) {
				t.Fatal(s.provider, got, err)
			}
			return
		}
		got.Replay()
		if _, err := s.verifier(t, s.other).Verify(context.Background(), r, s.at); err == nil {
			t.Fatalf("%s: two secrets accept %v", s.provider, r)
		}
	})
}

// FuzzSecret: no text of a secret panics, and no error quotes it.
func FuzzSecret(f *testing.F) {
	for _, s := range subjects(f) {
		f.Add(s.secret)
		f.Add(s.verifies[s.secret])
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, provider := range []string{"github", "standardwebhooks", "discord", "sendgrid"} {
			scheme, err := webhook.Provider(provider)
			if err != nil {
				t.Fatal(err)
			}
			_, err = webhook.New(scheme, "in", []webhook.Secret{{Text: text}}, nil)
			if err != nil && len(text) > 12 && !strings.Contains("whsec_whsk_whpk_", text) &&
				strings.Contains(err.Error(), text) {
				t.Fatalf("%s: %v", provider, err)
			}
		}
		_, _ = webhook.Sign("a", time.Unix(1, 0), nil, []webhook.Secret{{Text: text}})
	})
}
