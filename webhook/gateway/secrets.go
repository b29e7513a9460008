package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
	"github.com/sealbus/sealbus/webhook/jwt"
)

// maxFile bounds a file with a secret, in bytes: a JWK Set or certificates are the largest.
const maxFile = 64 << 10

// checkReference refuses what is no reference. It does not quote it: it may be the secret itself.
func checkReference(text string) error {
	kind, name, found := strings.Cut(text, ":")
	if !found || name == "" || kind == "" || strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz") != "" {
		return errors.New("a reference is needed, such as env:NAME or file:PATH; " +
			"a secret itself has no place here")
	}
	return nil
}

// secret fetches the secret of a reference: KIND:NAME, or KIND:NAME#MEMBER for a member of a JSON object.
func (g *Gateway) secret(ctx context.Context, reference string) (string, error) {
	kind, name, _ := strings.Cut(reference, ":")
	name, member, isMember := strings.Cut(name, "#")
	var text string
	var err error
	switch fetch := g.opts.Secrets[kind]; {
	case kind == "env":
		var set bool
		if text, set = os.LookupEnv(name); !set {
			err = errors.New("the environment has no such variable")
		}
	case kind == "file":
		var doc []byte
		doc, err = g.readFile(name, maxFile)
		text = string(doc)
	case fetch != nil:
		text, err = fetch(ctx, name)
	default:
		// it may be a secret with a colon in it, and is not quoted
		return "", fmt.Errorf("the reference must begin with %s", strings.Join(g.kinds(), ":, ")+":")
	}
	if err != nil {
		return "", err
	}
	if isMember {
		if text, err = memberOf(text, member); err != nil {
			return "", err
		}
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", errors.New("the secret is empty: everyone could sign")
	}
	return text, nil
}

// kinds are the words before the colon of a reference.
func (g *Gateway) kinds() []string {
	list := []string{"env", "file"}
	for kind := range g.opts.Secrets {
		list = append(list, kind)
	}
	slices.Sort(list)
	return list
}

// memberOf is the string member of a JSON object.
func memberOf(doc, name string) (string, error) {
	d := jsontext.NewDecoder([]byte(doc))
	value, found := "", false
	for obj := d.Object(); d.Member(&obj); {
		if string(obj.Name) != name {
			d.SkipValue()
			continue
		}
		value, found = d.String(), true
	}
	if err := d.End(); err != nil { // its text could quote the secret
		return "", errors.New("the secret is no JSON object with that member as a string")
	}
	if !found {
		return "", errors.New("the secret, a JSON object, has no such member")
	}
	return value, nil
}

// path is where a file of the configuration is.
func (g *Gateway) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(g.opts.Dir, name)
}

// readFile reads a file of at most so many bytes.
func (g *Gateway) readFile(name string, most int) ([]byte, error) {
	f, err := os.Open(g.path(name))
	if err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err
		}
		return nil, err
	}
	defer func() { _ = f.Close() }() // was only read
	doc, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(doc) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	return doc, err
}

// scheme is how the provider of the endpoint signs.
func (e *endpointConfig) scheme(ctx context.Context, g *Gateway) (webhook.Scheme, error) {
	if e.recipe.value != "" {
		doc, err := g.readFile(e.recipe.value, webhook.MaxRecipe)
		if err != nil {
			return nil, e.recipe.fail("%w", err)
		}
		s, err := webhook.ParseRecipe(doc)
		if err != nil {
			return nil, e.recipe.fail("%w", err)
		}
		return s, nil
	}
	switch e.provider.value {
	case httpsig.Name:
		return httpsig.Scheme(e.profile), nil
	case "google-pubsub":
		return jwt.GooglePubSub(e.audience, e.email, nil), nil
	case "plaid":
		secret := ""
		if e.clientSecret.value != "" {
			var err error
			if secret, err = g.secret(ctx, e.clientSecret.value); err != nil {
				return nil, e.clientSecret.fail("%w", err)
			}
		}
		return jwt.Plaid(e.clientID, secret, nil), nil
	}
	s, err := webhook.Provider(e.provider.value)
	if err != nil {
		return nil, e.provider.fail("no provider %.80q: `sealbus webhook providers` lists them",
			e.provider.value)
	}
	return s, nil
}

// openSecrets fetches the secrets of the endpoint. A JWK Set gives one for each key.
func (e *endpointConfig) openSecrets(
	ctx context.Context, g *Gateway, scheme string,
) ([]webhook.Secret, error) {
	var list []webhook.Secret
	for _, s := range e.secrets {
		text, err := g.secret(ctx, s.reference.value)
		if err != nil {
			return nil, s.reference.fail("%w", err)
		}
		one := []webhook.Secret{{ID: s.id, Text: text}}
		switch {
		case scheme == httpsig.Name:
			if s.id == s.reference.value { // no id is given: that of the key
				one[0].ID = ""
			}
		case strings.HasPrefix(text, "{") && scheme != "google-pubsub" && scheme != "plaid":
			if one, err = webhook.SecretsOf([]byte(text)); err != nil {
				return nil, s.reference.fail("%w", err)
			}
		}
		for i := range one {
			one[i].NotBefore, one[i].NotAfter = s.notBefore, s.notAfter
		}
		list = append(list, one...)
	}
	return list, nil
}

// needs says which field a scheme misses, in the words of the file.
func (e *endpointConfig) needs(s webhook.Scheme, err error) error {
	need := ""
	switch name := s.Name(); {
	case name == "sns" && len(e.topics) == 0:
		need = "topics: the ARNs of the topics that may deliver"
	case name == "paypal" && e.webhookID == "":
		need = "webhook_id: as PayPal shows it beside the URL"
	case name == "google-pubsub" && (e.audience == "" || e.email == ""):
		need = "audience and email: as the push subscription has them"
	case name == "plaid" && len(e.secrets) == 0:
		need = "client_id and client_secret: those of Plaid's API"
	case len(e.secrets) == 0:
		need = "secrets: references to the secrets, such as env:NAME"
	case e.baseURL == "" && strings.Contains(webhook.Describe(s).Signed, "url"):
		need = "base_url: scheme and authority that the provider calls, since it signs the URL"
	default:
		return e.at.fail("%w", err)
	}
	return e.at.fail("%s needs %s", s.Name(), need)
}
