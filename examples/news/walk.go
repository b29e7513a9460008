package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// call is a call of the walk: what it shows, and its two spellings.
type call struct {
	what         string
	method, path string
	token        string // the name of the shell variable that has it; "" = none
}

// shell is the call as a reader makes it: the function call and URL are those of preamble.
func (c *call) shell() string {
	text := "call"
	if c.method != http.MethodGet {
		text += " -X " + c.method
	}
	if c.token != "" {
		text += ` -H "Authorization: Bearer $` + c.token + `"`
	}
	return text + " $URL" + c.path
}

var calls = []call{
	{"anyone reads the news", "GET", "/news", ""},
	{"without a token nothing is deleted", "DELETE", "/news/1", ""},
	{"Rob is in no group", "DELETE", "/news/1", "rob"},
	{"Ada is in the group admin; her id token is not for an API", "DELETE", "/news/1", "id"},
	{"Rob puts the claims of Ada into his token", "DELETE", "/news/1", "forged"},
	{"Ada deletes the first one", "DELETE", "/news/1", "ada"},
	{"the consumer handled the event", "GET", "/news", ""},
	{"Ada deletes it once more", "DELETE", "/news/1", "ada"},
}

// signIns are the tokens of the walk, by the shell variable: the form with which one signs in.
var signIns = []struct{ name, form string }{
	{"rob", "user=rob"}, {"ada", "user=ada"}, {"id", "user=ada&use=id"},
}

// forgery is how bash forges a token: Rob's, with the claims of Ada in it.
const forgery = `forged=${rob%%.*}.$(cut -d. -f2 <<<$ada).${rob##*.}`

func forge(tokens map[string]string) string {
	rob, ada := strings.Split(tokens["rob"], "."), strings.Split(tokens["ada"], ".")
	if len(rob) != 3 || len(ada) != 3 {
		return ""
	}
	return rob[0] + "." + ada[1] + "." + rob[2]
}

// walk makes each call, and prints it as a shell command with what curl prints.
func walk(ctx context.Context, out io.Writer, url string, own *issuer, p *paper) error {
	fmt.Fprintf(out, "in bash:\n  $ URL=%s\n", url)
	fmt.Fprintln(out, `  $ call() { curl -s -w 'status %{http_code}\n' "$@"; }`)
	fmt.Fprintln(out, "Rob and Ada sign in:")
	tokens := map[string]string{"": ""}
	for _, s := range signIns {
		fmt.Fprintf(out, "  $ %s=$(curl -s -d '%s' $URL/issuer/token)\n", s.name, s.form)
		var err error
		if tokens[s.name], err = own.signIn(ctx, s.form); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "  $ %s\n", forgery)
	tokens["forged"] = forge(tokens)
	for _, c := range calls {
		fmt.Fprintf(out, "%s:\n  $ %s\n", c.what, c.shell())
		answer, err := request(ctx, c.method, url+c.path, tokens[c.token], "")
		if err != nil {
			return err
		}
		for line := range strings.Lines(answer) {
			fmt.Fprintf(out, "  %s", line)
		}
	}
	fmt.Fprintln(out, "an attacker changes the sealed event on the bus:")
	if err := p.take(ctx, p.changed()); err != nil {
		return err
	}
	p.reprint()
	fmt.Fprintln(out, "all news are back: make these calls yourself")
	return nil
}

// request makes a call as curl does, and returns what curl prints.
func request(ctx context.Context, method, url, token, form string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(form))
	if err != nil {
		return "", err
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return fmt.Sprintf("%sstatus %d\n", body, resp.StatusCode), err
}

// trimmed is an answer without its status.
func trimmed(answer string) string {
	text, _, _ := strings.Cut(answer, "\n")
	return text
}
