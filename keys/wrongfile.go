package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/filekind"
)

// explained is err, or a better one if doc was damaged on its way or is a file of another kind than those:
// err then blames a detail of a file that was never meant to be read so. It is called on errors only.
func explained(doc []byte, err error, expected string, kinds ...filekind.Kind) error {
	better := explainedPrivate(doc, err, expected, kinds...)
	is := filekind.Of(doc)
	switch {
	case better == err || filekind.Damage(doc) != nil:
		return better
	case is == filekind.Encrypted || is == filekind.Keyring:
		return fmt.Errorf("%w: `sealbus keys export` writes its public half", better)
	case is == filekind.RootKey:
		return fmt.Errorf("%w: its public half is the file with the suffix %s", better, PublicSuffix)
	case is == filekind.JWKSet:
		return fmt.Errorf("%w: ParseJWKSet reads it", better)
	}
	return better
}

// explainedPrivate is explained where private keys are wanted: it does not ask for a public half.
func explainedPrivate(doc []byte, err error, expected string, kinds ...filekind.Kind) error {
	if err == nil {
		return nil
	}
	if damage := filekind.Damage(doc); damage != nil {
		return damage
	}
	if is := filekind.Of(doc); is != "" && !slices.Contains(kinds, is) {
		return fmt.Errorf("this is %s, not %s", is, expected)
	}
	return err
}

// unprefixed takes the name of the package off an error that becomes part of another.
func unprefixed(err error) error {
	text, ok := strings.CutPrefix(err.Error(), "keys: ")
	if !ok {
		return err
	}
	return &prefixless{text, err}
}

type prefixless struct {
	text string
	err  error
}

func (e *prefixless) Error() string { return e.text }
func (e *prefixless) Unwrap() error { return e.err }

// explainedRefusal is explained for what is refused with a *BundleError, whose Why stays, but for a file of
// another kind.
func explainedRefusal(doc []byte, err error, expected string, kinds ...filekind.Kind) error {
	var refusal *BundleError
	if err == nil || !errors.As(err, &refusal) || refusal.Why != WhyMalformed && refusal.Why != WhyType {
		return err
	}
	why := explained(doc, refusal.Err, expected, kinds...)
	if why == refusal.Err {
		return err
	}
	return &BundleError{Why: refusal.Why, Err: why}
}

// explainedPrivateJWK is the error of reading a private JWK, which quotes nothing of it.
func explainedPrivateJWK(doc []byte, err error) error {
	if err == nil {
		return nil
	}
	err = unquoted(err)
	better := explainedPrivate(doc, err, "one private JWK", filekind.PrivateJWK, filekind.JWK)
	if better == err {
		return err
	}
	return fmt.Errorf("keys: %w", better)
}
