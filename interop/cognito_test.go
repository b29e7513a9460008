package interop_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/program"
	"github.com/sealbus/sealbus/webhook/authn"
)

// userPool is one of cognito-local, with an app client and the group admin. Each call to it is one of curl.
type userPool struct {
	t                *testing.T
	address          string
	issuer, clientID string
	id               string
}

// confirmation is the code that cognito-local sends to each user.
const confirmation = "471108"

func startUserPool(t *testing.T) *userPool {
	t.Helper()
	needPackages(t)
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "Node.js 20 or later is not installed: install it, then run this test again")
	}
	script, err := filepath.Abs("node_modules/cognito-local/lib/bin/start.js")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // it keeps its users there
	s := startServer(t, func(port string) *exec.Cmd {
		cmd := exec.Command(node, script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOST=127.0.0.1", "PORT="+port, "CODE="+confirmation)
		return cmd
	})
	p := &userPool{t: t, address: "http://" + s.addr()}
	var made struct {
		UserPool       struct{ ID string }
		UserPoolClient struct{ ClientID string }
	}
	p.call("CreateUserPool", `{"PoolName":"news","UsernameAttributes":["email"],`+
		`"AutoVerifiedAttributes":["email"]}`, &made)
	p.id = made.UserPool.ID
	p.call("CreateUserPoolClient", `{"UserPoolId":"`+p.id+`","ClientName":"website"}`, &made)
	p.clientID, p.issuer = made.UserPoolClient.ClientID, p.address+"/"+p.id
	p.call("CreateGroup", `{"UserPoolId":"`+p.id+`","GroupName":"admin"}`, nil)
	return p
}

// call is a call of the API of Cognito.
func (p *userPool) call(action, body string, out any) {
	p.t.Helper()
	answer, status := curl(p.t, "-X", "POST", "-H", "Content-Type: application/x-amz-json-1.1",
		"-H", "X-Amz-Target: AWSCognitoIdentityProviderService."+action, "-d", body, p.address+"/")
	if status != "200" {
		p.t.Fatalf("%s: %s %s", action, status, answer)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(answer), out); err != nil {
			p.t.Fatalf("%s: %v", answer, err)
		}
	}
}

type cognitoTokens struct {
	AuthenticationResult struct{ AccessToken, IDToken string }
}

// signUp has a user sign up, confirm, and sign in.
func (p *userPool) signUp(email string, groups ...string) (access, id string) {
	p.t.Helper()
	who := `"ClientId":"` + p.clientID + `",`
	p.call("SignUp", `{`+who+`"Username":"`+email+`","Password":"S3cret-of-news"}`, nil)
	p.call("ConfirmSignUp", `{`+who+`"Username":"`+email+`","ConfirmationCode":"`+confirmation+`"}`, nil)
	for _, g := range groups {
		p.call("AdminAddUserToGroup", `{"UserPoolId":"`+p.id+`","Username":"`+email+`","GroupName":"`+g+`"}`, nil)
	}
	var out cognitoTokens
	p.call("InitiateAuth", `{`+who+`"AuthFlow":"USER_PASSWORD_AUTH","AuthParameters":{"USERNAME":"`+email+
		`","PASSWORD":"S3cret-of-news"}}`, &out)
	if out.AuthenticationResult.AccessToken == "" || out.AuthenticationResult.IDToken == "" {
		p.t.Fatal("no tokens")
	}
	return out.AuthenticationResult.AccessToken, out.AuthenticationResult.IDToken
}

// curl is a call by the program curl, without the settings of this machine.
func curl(t *testing.T, args ...string) (body, status string) {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		missing(t, "curl is not installed: install it, then run this test again")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"-q", "-sS", "--noproxy", "*",
		"-w", "\n%{http_code}"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("curl: %v", err)
	}
	text := string(out)
	end := strings.LastIndexByte(text, '\n')
	return text[:end], text[end+1:]
}

// TestNewsWithCognitoLocal: users of a user pool sign up, confirm and sign in, and call the API of
// examples/news. Every call is one of curl, over HTTP.
func TestNewsWithCognitoLocal(t *testing.T) {
	pool := startUserPool(t)
	news := filepath.Join(t.TempDir(), "news")
	if err := program.Build(news, "examples/news", ""); err != nil {
		t.Fatal(err)
	}
	api := startServer(t, func(port string) *exec.Cmd {
		return exec.Command(news, "--dev", "--issuer", pool.issuer, "--client", pool.clientID, "--listen",
			"127.0.0.1:"+port)
	})
	reader, _ := pool.signUp("rob@news.example")
	admin, adminID := pool.signUp("ada@news.example", "admin")
	url := "http://" + api.addr() + "/news"
	for _, c := range []struct {
		what, method, token, path, want string
	}{
		{"anyone reads", "GET", "", "", `200 "Rain on Sunday"`},
		{"no token", "DELETE", "", "/1", "401 unsigned"},
		{"in no group", "DELETE", reader, "/1", "403 forbidden"},
		{"an id token of an admin", "DELETE", adminID, "/1", "401 type_not_allowed"},
		{"forged", "DELETE", join(reader, admin), "/1", "401 bad_signature"},
		{"an admin", "DELETE", admin, "/1", `202 {"id":"1"}`},
		{"it is gone", "DELETE", admin, "/1", `404 {"id":"1"}`},
	} {
		args := []string{"-X", c.method, url + c.path}
		if c.token != "" {
			args = append(args, "-H", "Authorization: Bearer "+c.token)
		}
		body, status := curl(t, args...)
		wantStatus, wantText, _ := strings.Cut(c.want, " ")
		if status != wantStatus || !strings.Contains(body, wantText) {
			t.Errorf("%s: %s %s, not %s", c.what, status, body, c.want)
		}
	}
}

// join is the first token with the claims of the second one.
func join(token, claims string) string {
	one, two := strings.Split(token, "."), strings.Split(claims, ".")
	return one[0] + "." + two[1] + "." + one[2]
}

// TestCognitoLocalIsRefused: the private key of cognito-local is in its package, so anyone can issue its
// tokens. Also a genuine one is refused where its key is not allowed by name.
func TestCognitoLocalIsRefused(t *testing.T) {
	pool := startUserPool(t)
	access, id := pool.signUp("ada@news.example", "admin")
	keys, err := authn.FetchKeys(pool.issuer+"/.well-known/jwks.json", &authn.KeyOptions{UnsafeAllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(token string, opts authn.Options) (*authn.Identity, envelope.Reason) {
		t.Helper()
		opts.ClientIDs = []string{pool.clientID}
		v, err := authn.New(pool.issuer, keys, &opts)
		if err != nil {
			t.Fatal(err)
		}
		caller, err := v.Verify(t.Context(), token, time.Now())
		if refusal, ok := errors.AsType[*authn.Error](err); ok {
			return nil, refusal.Reason
		}
		return caller, ""
	}
	for what, token := range map[string]string{"access": access, "id": id} {
		if _, reason := verify(token, authn.Options{IDTokens: what == "id"}); reason != envelope.ReasonRevokedKey {
			t.Errorf("%s: %q, not %s", what, reason, envelope.ReasonRevokedKey)
		}
	}
	caller, reason := verify(access, authn.Options{UnsafePublishedKeys: true})
	if reason != "" || len(caller.Groups) != 1 || caller.Groups[0] != "admin" ||
		strings.Join(caller.Scopes, " ") != "aws.cognito.signin.user.admin" {
		t.Errorf("%+v, %q", caller, reason)
	}
	caller, reason = verify(id, authn.Options{UnsafePublishedKeys: true, IDTokens: true})
	if reason != "" || caller.ClientID != pool.clientID || len(caller.Scopes) > 0 {
		t.Errorf("%+v, %q", caller, reason)
	}
}
