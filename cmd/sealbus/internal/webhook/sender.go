package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/jwt"
)

// maxSecretFile bounds a file with a secret, a key set or certificates, in bytes.
const maxSecretFile = 64 << 10

// senderFlags say who sends, and by which secrets or keys its deliveries are verified.
type senderFlags struct {
	provider, recipe           string
	secrets, publicKeys, certs []string // files
	webhookID, audience, email string
	topics                     []string
	unsafeSHA1                 bool
	urlFlag                    string // the flag that has the URL
	tolerance                  ui.DurationValue
}

func (f *senderFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.provider, "provider", "",
		"who sends, a `NAME` that sealbus webhook providers lists")
	flags.StringVar(&f.recipe, "recipe", "", "instead of --provider: your own recipe, a `FILE`")
	flags.StringArrayVar(&f.secrets, "secret-file", nil,
		"the secret as the provider shows it, in a `FILE`; several during a rotation")
	flags.StringArrayVar(&f.publicKeys, "public-key", nil,
		"the provider's public key or JWK Set, a `FILE`")
	flags.StringArrayVar(&f.certs, "cert", nil,
		"SNS, PayPal: the sender's certificate in PEM, a `FILE` (default fetched)")
	flags.StringArrayVar(&f.topics, "topic", nil, "SNS: the `ARN` of a topic that may deliver")
	flags.BoolVar(&f.unsafeSHA1, "unsafe-sha1", false, "SNS: also take SignatureVersion 1, which is SHA-1")
	flags.StringVar(&f.webhookID, "webhook-id", "", "PayPal: the `ID` of the webhook")
	flags.StringVar(&f.audience, "audience", "", "Google Pub/Sub: the audience of the subscription, a `URL`")
	flags.StringVar(&f.email, "email", "", "Google Pub/Sub: the `EMAIL` of its service account")
	flags.Var(&f.tolerance, "tolerance",
		"how far the signed time may be away, both ways (default the provider's)")
	flags.Lookup("tolerance").DefValue = ""
}

// scheme is the scheme that the flags name.
func (f *senderFlags) scheme(env *ui.Env) (webhook.Scheme, error) {
	switch {
	case f.provider == "" && f.recipe == "":
		return nil, ui.Usage("add --provider NAME (`sealbus webhook providers` lists them), or --recipe FILE",
			"missing flag --provider")
	case f.provider != "" && f.recipe != "":
		return nil, ui.Usage("drop one of the two", "--provider and --recipe exclude each other")
	case f.recipe == "":
		return schemeNamed(f.provider, f.audience, f.email)
	}
	doc, err := env.ReadFile(f.recipe, webhook.MaxRecipe)
	if err != nil {
		return nil, err
	}
	s, err := webhook.ParseRecipe(doc)
	if err != nil {
		return nil, ui.WrongFile("run `sealbus webhook lint "+ui.ShellQuote(f.recipe)+"`", "%s: %w",
			f.recipe, err)
	}
	return s, nil
}

// schemeNamed is the scheme of that provider.
func schemeNamed(name, audience, email string) (webhook.Scheme, error) {
	for _, s := range schemes(audience, email) {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, ui.Usage("`sealbus webhook providers` lists them; --recipe FILE is for others",
		"no provider %q", name)
}

// schemes are all schemes, those of JSON Web Tokens included, sorted by name.
func schemes(audience, email string) []webhook.Scheme {
	list := []webhook.Scheme{jwt.GooglePubSub(audience, email, nil), jwt.Plaid("", "", nil)}
	for _, name := range webhook.Providers() {
		if s, err := webhook.Provider(name); err == nil { // it is one of the list
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b webhook.Scheme) int { return strings.Compare(a.Name(), b.Name()) })
	return list
}

// Names are the names of all providers, sorted.
func Names() (names []string) {
	for _, s := range schemes("", "") {
		names = append(names, s.Name())
	}
	return names
}

// open makes the verifier. BaseURL is "" if none was given.
func (f *senderFlags) open(env *ui.Env, endpoint, baseURL string) (*webhook.Verifier, error) {
	scheme, err := f.scheme(env)
	if err != nil {
		return nil, err
	}
	var secrets []webhook.Secret
	for _, kind := range []struct {
		files  []string
		secret bool
	}{{f.secrets, true}, {f.publicKeys, false}, {f.certs, false}} {
		for _, path := range kind.files {
			if kind.secret {
				env.WarnShared(path)
			}
			list, err := readSecret(env, path, scheme.Name())
			if err != nil {
				return nil, err
			}
			secrets = append(secrets, list...)
		}
	}
	if err := f.checkNeeds(scheme, baseURL, len(secrets)); err != nil {
		return nil, err
	}
	v, err := webhook.New(scheme, endpoint, secrets, &webhook.Options{
		Tolerance: time.Duration(f.tolerance), Scheme: webhook.SchemeOptions{
			BaseURL: baseURL, Topics: f.topics, UnsafeSHA1: f.unsafeSHA1, WebhookID: f.webhookID,
		},
	})
	if err != nil {
		return nil, ui.Usage("correct the flags; `sealbus webhook providers "+ui.ShellQuote(scheme.Name())+
			"` says what the provider needs", "%w", err)
	}
	return v, nil
}

// checkNeeds says which flag is missing, in the words of the command.
func (f *senderFlags) checkNeeds(s webhook.Scheme, baseURL string, secrets int) error {
	missing := func(flag, fix string) error { return ui.Usage("add --"+fix, "missing flag --%s", flag) }
	switch name := s.Name(); {
	case name == "sns" && len(f.topics) == 0:
		return missing("topic", "topic ARN: every AWS account can have SNS sign messages of its own topics")
	case name == "paypal" && f.webhookID == "":
		return missing("webhook-id", "webhook-id ID, as PayPal shows it beside the URL")
	case name == "google-pubsub" && (f.audience == "" || f.email == ""):
		return missing("audience or --email",
			"audience URL and --email EMAIL, as the push subscription has them")
	case name == "plaid" && secrets == 0:
		return missing("public-key", "public-key FILE: the key as Plaid's API gives it, a JWK")
	case f.urlFlag != "" && baseURL == "" && strings.Contains(webhook.Describe(s).Signed, "url"):
		return missing(f.urlFlag, f.urlFlag+" https://HOST/PATH, as the provider calls it: it signs the URL")
	case secrets == 0 && name != "sns" && name != "paypal" && name != "google-pubsub":
		return missing("secret-file", "secret-file FILE, or --public-key FILE: `sealbus webhook providers "+
			ui.ShellQuote(name)+"` says which")
	}
	return nil
}

// readSecret reads a secret, a public key, a JWK Set or certificates. The ID is the name of the file.
func readSecret(env *ui.Env, path, scheme string) ([]webhook.Secret, error) {
	doc, err := env.ReadFile(path, maxSecretFile)
	if err != nil {
		return nil, err
	}
	doc = bytes.TrimRight(doc, "\r\n")
	id := filepath.Base(path)
	fix := "write the secret into the file as the provider shows it, and nothing else"
	switch {
	case len(doc) == 0:
		return nil, ui.WrongFile(fix, "%s is empty", path)
	case bytes.HasPrefix(doc, []byte("-----BEGIN PUBLIC KEY-----")):
		block, rest := pem.Decode(append(doc, '\n'))
		if block == nil || len(bytes.TrimSpace(rest)) > 0 {
			return nil, ui.WrongFile("give the file with one public key", "%s is no public key in PEM", path)
		}
		return []webhook.Secret{{ID: id, Text: base64.StdEncoding.EncodeToString(block.Bytes)}}, nil
	case bytes.HasPrefix(doc, []byte("-----BEGIN ")):
	case doc[0] == '{' && scheme != "google-pubsub" && scheme != "plaid":
		list, err := webhook.SecretsOf(doc)
		if err != nil {
			return nil, ui.WrongFile("give the sender's JWK Set", "%s: %w", path, err)
		}
		return list, nil
	case doc[0] != '{' && bytes.ContainsAny(doc, "\r\n"):
		return nil, ui.WrongFile("give one secret a file, and repeat --secret-file", "%s has several lines",
			path)
	}
	return []webhook.Secret{{ID: id, Text: string(doc)}}, nil
}

// request makes a delivery of what the flags say of it.
func request(method, url string, lines []string, body []byte) (webhook.Request, string, error) {
	base, target, err := splitURL(url)
	if err != nil {
		return webhook.Request{}, "", err
	}
	r := webhook.Request{Method: method, Target: target, Body: body}
	for _, line := range lines {
		f, err := headerLine(line)
		if err != nil {
			return webhook.Request{}, "", err
		}
		r.Header = append(r.Header, f)
	}
	return r, base, nil
}

// headerLine reads a value of --header.
func headerLine(line string) (webhook.Field, error) {
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" || strings.ContainsAny(name, " \t") {
		return webhook.Field{}, ui.Usage("write it as --header 'Name: value'",
			"--header %.80q is no header line", name)
	}
	return webhook.Field{Name: name, Value: strings.Trim(value, " \t")}, nil
}

// splitURL is scheme and authority, and the rest, which is not decoded. "" is no URL.
func splitURL(text string) (base, target string, err error) {
	if text == "" {
		return "", "/", nil
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found || scheme != "https" && scheme != "http" || rest == "" ||
		strings.ContainsAny(text, " \r\n\t#") {
		return "", "", ui.Usage("write it as the provider calls it: https://hooks.example/path?query",
			"--url %.200q is no URL", text)
	}
	at := strings.IndexAny(rest, "/?")
	if at < 0 {
		return text, "/", nil
	}
	target = rest[at:]
	if target[0] == '?' {
		target = "/" + target
	}
	return scheme + "://" + rest[:at], target, nil
}
