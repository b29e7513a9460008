package keydoc

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/redact"
)

// PublicSuffix is appended to the name of a root key file for the file with its public half.
const PublicSuffix = ".pub"

// Explained is err, or a better error if doc is damaged or is a file of another kind than those. err then
// complains about a detail of the wrong file. Explained is called only with errors.
func Explained(doc []byte, err error, expected string, kinds ...filekind.Kind) error {
	better := ExplainedPrivate(doc, err, expected, kinds...)
	is := filekind.Of(doc)
	switch {
	case better == err || filekind.Damage(doc) != nil:
		return better
	case is == filekind.Encrypted || is == filekind.Keyring:
		return fmt.Errorf("%w: `sealbus keys export` writes its public half", better)
	case is == filekind.RootKey:
		return fmt.Errorf("%w: its public half is the file with the suffix %s", better, PublicSuffix)
	case is == filekind.JWKSet && slices.Contains(kinds, filekind.JWK):
		return fmt.Errorf("%w: ParseJWKSet reads it", better)
	}
	return better
}

// ExplainedPrivate is Explained where a private key is expected. It does not tell how to get the public half.
func ExplainedPrivate(doc []byte, err error, expected string, kinds ...filekind.Kind) error {
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

// Unprefixed removes "keys: " from an error that becomes part of another error.
func Unprefixed(err error) error {
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

// Unquoted is err without the longer texts that it quotes, and without its causes. They come from a private
// file, where a secret may by mistake be in any place.
func Unquoted(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(longQuote().ReplaceAllString(err.Error(), redact.Text))
}

// longQuote is a text, as %q writes it, that is too long for the name of a member or an algorithm. It is
// compiled when it is used first, because most programs never read a private file and should start fast.
var longQuote = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`"(?:[^"\\]|\\.){16,}"`) })
