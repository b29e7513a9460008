package token

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtoken"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/fetch"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/webhook/authn"
)

const (
	// fetchTimeout is how long a command waits for an issuer.
	fetchTimeout = 30 * time.Second
	// maxKeySet bounds a file with a key set, in bytes. authn takes no larger one.
	maxKeySet = 1 << 20
	// maxConfiguration bounds the document in which an issuer names its key set, in bytes.
	maxConfiguration = 64 << 10
)

// keys are those of --jwks, or those that the issuer names.
func (f *judgeFlags) keys(ctx context.Context, env *ui.Env) (*authn.Keys, error) {
	where := f.jwks
	switch {
	case where == "-":
		return nil, ui.Usage("name a file or a URL", "--jwks: standard input has the token")
	case where == "":
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		var err error
		if where, err = discover(ctx, env, f.issuer); err != nil {
			return nil, err
		}
	case !strings.Contains(where, "://"):
		doc, err := env.ReadFile(where, maxKeySet)
		if err != nil {
			return nil, err
		}
		keys, err := authn.ParseKeys(doc)
		if err != nil {
			return nil, ui.WrongFile("give the issuer's JWK Set, as it is at its jwks_uri", "%s: %w", where, err)
		}
		return keys, nil
	}
	keys, err := authn.FetchKeys(where,
		&authn.KeyOptions{Now: env.Clock, Client: env.HTTPClient(), UnsafeAllowHTTP: loadtoken.IsLoopback(where)})
	if err != nil {
		return nil, ui.Usage("write it as https://HOST/PATH, or give a file", "--jwks: %w", err)
	}
	return keys, nil
}

// discover is the URL of the issuer's key set (OpenID Connect Discovery, section 4).
func discover(ctx context.Context, env *ui.Env, issuer string) (string, error) {
	const fix = "give its key set by --jwks FILE, or --jwks https://HOST/PATH"
	origin, err := fetch.New(strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration",
		"issuer's configuration", env.HTTPClient(), loadtoken.IsLoopback(issuer))
	if err != nil {
		return "", ui.Usage(fix, "the issuer says where its keys are only at an https:// URL")
	}
	got, err := origin.Fetch(ctx, "")
	if err == nil && got.Body == nil {
		err = errors.New("the answer has no content")
	}
	if err != nil {
		err = errtext.ReachedAt(errtext.HostPort(issuer), "the issuer's configuration", err)
		if errtext.MayPass(err) {
			return "", ui.Unavailable("try again, or "+fix, "%w", err)
		}
		return "", ui.Usage(fix, "%s: %w", origin, err)
	}
	doc, err := fetch.Read(got.Body, got.Length, maxConfiguration)
	if err != nil {
		return "", ui.Unavailable("try again, or "+fix, "%s: %w", origin, err)
	}
	says, jwks, err := parseConfiguration(doc)
	switch {
	case err != nil:
		return "", ui.Usage(fix, "%s is not the configuration of an issuer: %w", origin, err)
	case says != issuer: // section 4.3
		return "", ui.Usage("if that one is meant, give it by --issuer; otherwise "+fix,
			"%s is the configuration of another issuer, %.200q", origin, says)
	case strings.HasPrefix(jwks, "http://") && !(loadtoken.IsLoopback(jwks) && loadtoken.IsLoopback(issuer)):
		return "", ui.Usage(fix, "%s names a key set at http://, which anyone on the way can replace", origin)
	}
	return jwks, nil
}

// parseConfiguration reads what an issuer says about itself.
func parseConfiguration(doc []byte) (issuer, jwks string, err error) {
	d := jsontext.NewDecoder(doc)
	for o := d.Object(); d.Member(&o); {
		switch string(o.Name) {
		case "issuer":
			issuer = d.String()
		case "jwks_uri":
			jwks = d.String()
		default:
			d.SkipValue()
		}
	}
	if err := d.End(); err != nil {
		return "", "", err
	}
	if issuer == "" || jwks == "" {
		return "", "", errors.New("it has no issuer or no jwks_uri")
	}
	return issuer, jwks, nil
}
