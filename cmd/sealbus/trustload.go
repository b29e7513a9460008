package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awss3"
)

// fetchTimeout is how long a command waits for a bundle from the network.
const fetchTimeout = 30 * time.Second

// trustFlags name what to judge with.
type trustFlags struct{ trust, roots, state string }

func (f *trustFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.trust, "trust", "", "the signed trust bundle: a `FILE`, an https:// URL or s3://BUCKET/KEY")
	cmd.Flags().StringVar(&f.roots, "roots", "", "the pinned roots that sign the bundle, a `FILE`")
	cmd.Flags().StringVar(&f.state, "trust-state", "",
		"remember the newest bundle in this `FILE`, and refuse an older one from then on (default nothing is remembered)")
}

// reasonTrustUnavailable is envelope.ReasonTrustUnavailable, for bundles and roots that cannot be used.
const reasonTrustUnavailable = "trust_unavailable"

// openTrust reads the bundle and verifies it under the roots, at a.now(). Whatever is wrong with them, it is
// never a rejection: the event was not judged.
func (a *app) openTrust(ctx context.Context, f *trustFlags) (*keys.Bundle, error) {
	if f.state != "" {
		return a.rememberedTrust(ctx, f)
	}
	roots, err := a.readTrustRoots(f)
	if err != nil {
		return nil, err
	}
	b, err := a.openBundle(ctx, f.trust, roots)
	return b, asNeededOrNil(err)
}

// trustSource is a source of the keys package that follows a bundle.
type trustSource interface {
	keys.Refresher
	LastError() error
}

// rememberedTrust is openTrust with a state file. A bundle that is older than what that remembers is refused
// here, although the remembered one would do: the person who runs the command is to know.
func (a *app) rememberedTrust(ctx context.Context, f *trustFlags) (*keys.Bundle, error) {
	source, err := a.followTrust(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := source.LastError(); err != nil {
		return nil, asNeeded(reasonTrustUnavailable, refused(f.trust, err))
	}
	return source.Bundle(ctx)
}

// liveTrust is openTrust for commands that go on for long: it follows the file, URL or object by a's clock.
func (a *app) liveTrust(ctx context.Context, f *trustFlags) (keys.Refresher, error) {
	source, err := a.followTrust(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := source.LastError(); err != nil {
		a.warnf("%s: the bundle that %s remembers is used instead: %v", f.trust, f.state, err)
	}
	return source, nil
}

func (a *app) followTrust(ctx context.Context, f *trustFlags) (trustSource, error) {
	if f.trust == "-" {
		return nil, usage("name a file or a URL", "the bundle is followed: it cannot come from standard input")
	}
	roots, err := a.readTrustRoots(f)
	if err != nil {
		return nil, err
	}
	origin, err := a.trustOrigin(ctx, f.trust)
	if err != nil {
		return nil, err
	}
	if origin == nil {
		return a.watchTrust(ctx, f, roots)
	}
	source, err := keys.FetchFrom(ctx, origin, roots, &keys.FetchOptions{Now: a.now, Timeout: fetchTimeout, StateFile: f.state})
	if err != nil {
		return nil, asNeeded(reasonTrustUnavailable, notFetched(origin, err))
	}
	return source, nil
}

func (a *app) watchTrust(ctx context.Context, f *trustFlags, roots *keys.Roots) (trustSource, error) {
	source, err := keys.WatchFile(f.trust, roots, &keys.FileOptions{Now: a.now, StateFile: f.state})
	if err == nil {
		return source, nil
	}
	if _, plain := a.openBundle(ctx, f.trust, roots); plain != nil { // says what is wrong with the bundle better
		return nil, asNeeded(reasonTrustUnavailable, plain)
	}
	return nil, asNeeded(reasonTrustUnavailable, refused(f.trust, err))
}

func (a *app) readTrustRoots(f *trustFlags) (*keys.Roots, error) {
	if err := need(required{"trust", f.trust}, required{"roots", f.roots}); err != nil {
		return nil, err
	}
	roots, err := a.readRoots(f.roots)
	if err != nil {
		return nil, asNeeded(reasonTrustUnavailable, err)
	}
	return roots, nil
}

func asNeededOrNil(err error) error {
	if err == nil {
		return nil
	}
	return asNeeded(reasonTrustUnavailable, err)
}

// readRoots reads a pinned roots file.
func (a *app) readRoots(path string) (*keys.Roots, error) {
	data, err := a.readFile(path, keys.MaxSigned)
	if err != nil {
		return nil, err
	}
	roots, err := keys.ParseRoots(data)
	if err != nil {
		return nil, refused(path, err)
	}
	return roots, nil
}

// openBundle reads a signed bundle, from wherever it is, and verifies it at a.now().
func (a *app) openBundle(ctx context.Context, where string, roots *keys.Roots) (*keys.Bundle, error) {
	signed, err := a.readSigned(ctx, where)
	if err != nil {
		return nil, err
	}
	b, err := keys.OpenBundle(signed, roots, &keys.OpenBundleOptions{Now: a.now})
	if err != nil {
		return nil, refused(where, err)
	}
	return b, nil
}

// readSigned reads a signed bundle from a file, standard input, an https:// URL or an object of S3. Nothing
// of it is verified yet.
func (a *app) readSigned(ctx context.Context, where string) ([]byte, error) {
	origin, err := a.trustOrigin(ctx, where)
	if err != nil {
		return nil, err
	}
	if origin == nil {
		return a.readFile(where, keys.MaxSigned)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	signed, err := keys.FetchSigned(ctx, origin)
	if err != nil {
		return nil, notFetched(origin, err)
	}
	return signed, nil
}

// trustOrigin is where a bundle comes from that is not a file; nil = it is a file.
func (a *app) trustOrigin(ctx context.Context, where string) (keys.Origin, error) {
	scheme, rest, ok := strings.Cut(where, "://")
	if !ok {
		return nil, nil
	}
	switch strings.ToLower(scheme) {
	case "https", "http":
		origin, err := keys.HTTPSOrigin(where, &keys.FetchOptions{Client: a.httpClient()})
		if err != nil {
			return nil, usage("write it as https://HOST/PATH", "%w", err)
		}
		return origin, nil
	case "s3":
		return a.objectOrigin(ctx, rest)
	}
	return nil, usage("name a file, an https:// URL or s3://BUCKET/KEY", "a bundle cannot be read from %q", scheme+"://")
}

func (a *app) objectOrigin(ctx context.Context, name string) (keys.Origin, error) {
	bucket, key, _ := strings.Cut(name, "/")
	if bucket == "" || key == "" {
		return nil, usage("write it as s3://BUCKET/KEY", "%q names no object", "s3://"+name)
	}
	cfg, err := loadAWS(ctx, "")
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil // an emulator has no host for each bucket
	})
	return awss3.Origin(client, bucket, key)
}

// notFetched is the error of an origin: what it gave was refused, or there was nothing.
func notFetched(origin keys.Origin, err error) error {
	var b *keys.BundleError
	if errors.As(err, &b) {
		return refused(origin.String(), err)
	}
	err = reachedAt(hostPort(origin.String()), "the trust bundle", err)
	if !mayPass(err) {
		return wrongFile("correct that: another try would end the same", "%w", err)
	}
	return unavailable("try again", "%w", err)
}

// refused turns the refusal of a bundle or roots file into a rejection with its reason and what to do.
func refused(path string, err error) error {
	var b *keys.BundleError
	if !errors.As(err, &b) {
		return rejected("check the file", "%s: %w", path, err)
	}
	return &exitError{
		code: exitRejected, reason: string(b.Why), err: inFile(path, b.Err), fix: refusalFix[b.Why],
		later: b.Why == keys.WhyExpired || b.Why == keys.WhyRollback,
	}
}

// refusalFix says what to do about each refusal.
var refusalFix = map[keys.BundleWhy]string{
	keys.WhyMalformed:  "check that this is the file you mean, and that nothing edited it",
	keys.WhyTooLarge:   "check that this is the file you mean",
	keys.WhyType:       "check which file is which: a bundle and roots are different documents",
	keys.WhyThreshold:  "have more root keys sign it with `sealbus trust sign`, or check that these are its roots",
	keys.WhyExpired:    "fetch the newest bundle, or build one with `sealbus trust build`",
	keys.WhyRollback:   "fetch the newest bundle",
	keys.WhyEquivocate: "find out who signed two bundles of one version; build one with a higher version",
}
