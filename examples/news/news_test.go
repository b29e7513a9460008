package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/examples/news/newsroom"
)

// story is what the program prints, but for the address.
const story = `in bash:
  $ URL=http://127.0.0.1:PORT
  $ call() { curl -s -w 'status %{http_code}\n' "$@"; }
Rob and Ada sign in:
  $ rob=$(curl -s -d 'user=rob' $URL/issuer/token)
  $ ada=$(curl -s -d 'user=ada' $URL/issuer/token)
  $ id=$(curl -s -d 'user=ada&use=id' $URL/issuer/token)
  $ forged=${rob%%.*}.$(cut -d. -f2 <<<$ada).${rob##*.}
anyone reads the news:
  $ call $URL/news
  [{"id":"1","title":"The bridge is open"},{"id":"2","title":"Rain on Sunday"}]
  status 200
without a token nothing is deleted:
  $ call -X DELETE $URL/news/1
  {"title":"Unauthorized","status":401,"reason":"unsigned"}
  status 401
Rob is in no group:
  $ call -X DELETE -H "Authorization: Bearer $rob" $URL/news/1
  {"title":"Forbidden","status":403,"reason":"forbidden"}
  status 403
Ada is in the group admin; her id token is not for an API:
  $ call -X DELETE -H "Authorization: Bearer $id" $URL/news/1
  {"title":"Unauthorized","status":401,"reason":"type_not_allowed"}
  status 401
Rob puts the claims of Ada into his token:
  $ call -X DELETE -H "Authorization: Bearer $forged" $URL/news/1
  {"title":"Unauthorized","status":401,"reason":"bad_signature"}
  status 401
Ada deletes the first one:
  $ call -X DELETE -H "Authorization: Bearer $ada" $URL/news/1
  consumer: news "1" deleted for an app_user, vouched for by newsroom
  {"id":"1"}
  status 202
the consumer handled the event:
  $ call $URL/news
  [{"id":"2","title":"Rain on Sunday"}]
  status 200
Ada deletes it once more:
  $ call -X DELETE -H "Authorization: Bearer $ada" $URL/news/1
  {"id":"1"}
  status 404
an attacker changes the sealed event on the bus:
  consumer: refused, modified
all news are back: make these calls yourself
`

func TestStory(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, &settings{listen: "127.0.0.1:0", once: true}); err != nil {
		t.Fatal(err)
	}
	if got := anywhere(out.String()); got != story {
		t.Errorf("got\n%s\nwant\n%s", got, story)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 81 {
			t.Errorf("more than 80 columns: %s", line)
		}
	}
}

// anywhere is the story of a server at any port.
func anywhere(text string) string {
	before, rest, _ := strings.Cut(text, "URL=http://127.0.0.1:")
	_, after, _ := strings.Cut(rest, "\n")
	return before + "URL=http://127.0.0.1:PORT\n" + after
}

// TestNoDeletionWithoutCaller: the consumer refuses a genuine event of the newsroom that does not say who
// called.
func TestNoDeletionWithoutCaller(t *testing.T) {
	var out bytes.Buffer
	p, err := newPaper(&out)
	if err != nil {
		t.Fatal(err)
	}
	ev := event.New()
	ev.SetID("e-1")
	ev.SetSource(newsroom.Source)
	ev.SetType(newsroom.Deleted)
	if err := ev.SetData(event.ApplicationJSON, newsroom.Deletion{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.desk.Producer.Publish(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	if out.String() != "  consumer: refused, schema_invalid\n" || len(p.items) != len(newsroom.Today()) {
		t.Errorf("%s, and %d news", &out, len(p.items))
	}
}

// TestSettings: the program does not start without what it needs.
func TestSettings(t *testing.T) {
	const local = "http://127.0.0.1:9229/local_1"
	for name, s := range map[string]settings{
		"no client":                {issuer: local, dev: true},
		"plain http without --dev": {issuer: local, clientID: "c"},
		"no address":               {listen: "nowhere"},
		"every interface":          {listen: "0.0.0.0:0", once: true},
	} {
		if s.listen == "" {
			s.listen = "127.0.0.1:0"
		}
		if err := run(t.Context(), &bytes.Buffer{}, &s); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
}
