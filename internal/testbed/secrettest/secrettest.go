// Package secrettest tests that secrets are not shown.
package secrettest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Prints is how v is printed, logged and marshalled.
func Prints(v any) []string {
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
		out = append(out, fmt.Sprintf(verb, v))
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
	if doc, err := json.Marshal(v); err == nil {
		out = append(out, string(doc))
	}
	return append(out, log.String())
}

// NotShown fails the test if the text has the secret key d, or the passphrase, in any form.
func NotShown(t *testing.T, name, text string, d []byte, passphrase string) {
	t.Helper()
	for _, form := range []string{
		base64.RawURLEncoding.EncodeToString(d)[:20], fmt.Sprintf("%x", d[:8]), fmt.Sprintf("%X", d[:8]),
		string(d), passphrase, fmt.Sprintf("%x", passphrase),
		strings.Trim(fmt.Sprint(d[:6]), "[]"), strings.Trim(fmt.Sprintf("%#v", d[:4]), "[]byte{}"),
		fmt.Sprintf("%o", d[:6]),
	} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", name, text)
		}
	}
}

// Misplace puts the value of "d" in the place of every other string, number and name of the document.
func Misplace(t *testing.T, doc []byte, parse func([]byte) error) {
	t.Helper()
	d := regexp.MustCompile(`"d":"([^"]*)"`).FindSubmatch(doc)[1]
	for _, at := range regexp.MustCompile(`"[^"]*"|\b[0-9]+\b`).FindAllIndex(doc, -1) {
		for _, secret := range []string{`"` + string(d) + `"`, `"https://` + string(d) + `"`, `"\n` +
			string(d) + `"`} {
			bad := slices.Concat(doc[:at[0]], []byte(secret), doc[at[1]:])
			err := parse(bad)
			if err == nil {
				continue // another scope
			}
			for i := range len(d) - 8 {
				if strings.Contains(err.Error(), string(d[i:i+8])) {
					t.Errorf("in the place of %s: %v", doc[at[0]:at[1]], err)
					break
				}
			}
		}
	}
}
