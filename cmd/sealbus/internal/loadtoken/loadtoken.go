// Package loadtoken opens the source of access tokens that flags name.
package loadtoken

import (
	"bytes"
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
)

// SecretVariable is the environment variable that has the client secret, if no file does.
const SecretVariable = "SEALBUS_CLIENT_SECRET"

// maxSecret bounds a file with a client secret, in bytes.
const maxSecret = 4 << 10

// Flags name a token endpoint and one of its clients.
type Flags struct {
	endpoint, client, secretFile string
	scopes, params               []string
	inBody                       bool
}

func (f *Flags) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.endpoint, "token-url", "", "the token endpoint of the issuer, a `URL`")
	flags.StringVar(&f.client, "token-client", "", "the client `ID` at the issuer")
	flags.StringVar(&f.secretFile, "token-secret-file", "",
		"the client secret, in a `FILE` (default $"+SecretVariable+")")
	flags.StringArrayVar(&f.scopes, "token-scope", nil, "a `SCOPE` to ask for")
	flags.StringArrayVar(&f.params, "token-param", nil,
		"another parameter for the issuer, as `NAME=VALUE`: audience or resource")
	flags.BoolVar(&f.inBody, "token-secret-in-body", false,
		"send the secret in the body, not by HTTP Basic (client_secret_post)")
}

// IsGiven reports whether the flags name a token endpoint.
func (f *Flags) IsGiven() bool {
	return f.endpoint+f.client+f.secretFile != "" || len(f.scopes)+len(f.params) > 0 || f.inBody
}

// Open makes the source, for tokens that are sent to that URL; "" = none is named. It asks for nothing.
func (f *Flags) Open(env *ui.Env, to string) (*clientcredentials.Source, error) {
	if err := ui.Need(ui.Flag("token-url", f.endpoint), ui.Flag("token-client", f.client)); err != nil {
		return nil, err
	}
	for _, text := range []string{f.endpoint, to} {
		if u, err := url.Parse(text); err == nil && u.Scheme == "http" && !IsLoopback(text) {
			return nil, ui.Usage("use https://; http is for addresses of this machine, such as 127.0.0.1",
				"a token or its secret would be sent by http, where everyone on the way can read it")
		}
	}
	secret, err := f.secret(env)
	if err != nil {
		return nil, err
	}
	params := url.Values{}
	for _, text := range f.params {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, ui.Usage("write it as --token-param audience=https://api.example",
				"--token-param has no NAME=VALUE")
		}
		params.Add(name, value)
	}
	s, err := clientcredentials.New(f.endpoint, f.client, secret, &clientcredentials.Options{Scopes: f.scopes,
		Parameters: params, SecretInBody: f.inBody, Now: env.Clock, Client: env.HTTPClient(),
		UnsafeAllowHTTP: true}) // to this machine only, see above
	if err != nil {
		return nil, ui.Usage("correct the flag, or the file of the secret", "%w", err)
	}
	return s, nil
}

// secret is the client secret.
func (f *Flags) secret(env *ui.Env) (string, error) {
	if f.secretFile == "" {
		secret := env.Getenv(SecretVariable)
		if secret == "" {
			return "", ui.Usage("add --token-secret-file FILE, or set "+SecretVariable,
				"there is no client secret")
		}
		return secret, nil
	}
	doc, err := env.ReadFile(f.secretFile, maxSecret)
	if err != nil {
		return "", err
	}
	env.WarnShared(f.secretFile)
	doc = bytes.TrimRight(doc, "\r\n")
	if len(doc) == 0 || bytes.ContainsAny(doc, "\r\n") {
		return "", ui.WrongFile("write the client secret into the file, and nothing else",
			"%s has not one line", f.secretFile)
	}
	return string(doc), nil
}

// IsLoopback reports whether the URL is of this machine, by its address: then http is enough.
func IsLoopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.IsLoopback()
}

// Failed is the error of a token that could not be had.
func Failed(err error) error {
	if errors.Is(err, clientcredentials.ErrRefused) {
		return ui.Rejected("check the flags, and what the issuer allows this client", "%w", err)
	}
	return ui.Unavailable("check the network and --token-url, and try again", "%w",
		errtext.Reached("a token", err))
}
