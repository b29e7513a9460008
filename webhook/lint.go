package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lint finds everything that is wrong with a recipe: it cannot be read, words that do not exist, a signature
// that covers too little, parts that can be cut in two ways, a signature that can choose the algorithm, no
// time or no ID where the recipe does not say "none". None means that ParseRecipe takes it.
func Lint(doc []byte) []error {
	r, err := readRecipe(doc)
	if err != nil {
		return []error{err}
	}
	return r.lint()
}

// findings collects what is wrong.
type findings []error

func (f *findings) add(wrong bool, format string, args ...any) {
	if wrong {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

func (r *recipe) lint() []error {
	var f findings
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	f.add(r.name == "" || len(r.name) > 64 || strings.Trim(r.name, letters) != "",
		`name: %.80q must have 1 to 64 of a-z, 0-9 and "-"`, r.name)
	f.add(len(r.title) > 80 || len(r.see) > 200, "title or see: too long")
	f.add(r.typ.header != "" && r.typ.member != "", "type: header or member, not both")
	f.add(r.subject.header != "" && r.subject.member != "", "subject: header or member, not both")
	f.add(len(r.ways) > 4, "or: at most three further ways of signing")
	if r.challenge != "" {
		_, ok := challengeNamed(r.challenge)
		f.add(!ok, "challenge: %.80q is not known", r.challenge)
	}
	hidden := func(p part) bool { return p.text != "" && !zoomToken().MatchString(p.text) }
	headers := map[string]bool{}
	for i := range r.ways {
		w := &r.ways[i]
		f.add(headers[strings.ToLower(w.header)], "or: two ways have the signature header %s", w.header)
		headers[strings.ToLower(w.header)] = true
		f.add(r.challenge == "zoom" && !slices.ContainsFunc(w.signed, hidden),
			`challenge: the answer has the MAC of a token: the signed string needs a text such as ":", which `+
				"no token holds")
		f.signature(w)
		f.signed(w)
		f.timeAndID(w)
		f.add(w.takesKey(true) && slices.ContainsFunc(r.ways, func(o way) bool { return o.takesKey(false) }),
			"or: one way takes a public key where another takes the secret of an HMAC: everyone knows the "+
				"public key, and would sign with it")
	}
	return f
}

// takesKey reports whether a way takes public keys, or secrets of an HMAC, whose texts have no prefix that
// says so.
func (w *way) takesKey(public bool) bool {
	return slices.ContainsFunc(w.kinds, func(k kind) bool {
		return !prefixed(k.secret) && public == (k.algorithm == "ed25519" || k.algorithm == "ecdsa-p256")
	})
}

// signature judges the layout of the signature header.
func (f *findings) signature(w *way) {
	f.add(w.header == "", "signature/header: there is none")
	f.add(len(w.kinds) == 0 || len(w.kinds) > 4, "signature/kinds: 1 to 4 are needed")
	f.add(len(w.separator) > 1 || strings.Trim(w.separator, " ,;") != "",
		`signature/separator: " ", "," or ";", or none for one signature`)
	prefixes := []string{}
	if w.time.item != "" {
		prefixes = append(prefixes, w.time.item)
		f.add(w.separator == "", "time/item: the signature header has no separator")
	}
	for i, k := range w.kinds {
		f.add(!slices.Contains(encodings, k.encoding), "encoding: %.80q is none of %v", k.encoding, encodings)
		f.add(!slices.Contains(secretForm, k.secret), "secret: %.80q is none of %v", k.secret, secretForm)
		f.add(!slices.Contains(algorithms, k.algorithm),
			"algorithm: %.80q is none of %v; SHA-1 has no place in a recipe", k.algorithm, algorithms)
		f.add(!fits(k), "secret: the form %.80q does not fit %.80q", k.secret, k.algorithm)
		for _, other := range w.kinds[:i] {
			same := other.secret == k.secret || !prefixed(other.secret) && !prefixed(k.secret)
			f.add(same && (other.algorithm != k.algorithm || other.secret != k.secret),
				"kinds: %.80q and %.80q take the same secret: the header would choose the algorithm",
				other.prefix, k.prefix)
		}
		prefixes = append(prefixes, k.prefix)
	}
	for i, p := range prefixes {
		f.add(len(p) > 32 || !printable(p) || strings.Contains(p, cmp.Or(w.separator, " ")),
			"prefix: %.80q is too long, not ASCII or holds the separator", p)
		for _, other := range prefixes[:i] {
			f.add(strings.HasPrefix(p, other) || strings.HasPrefix(other, p),
				"prefix: %.80q and %.80q cannot be told apart", other, p)
		}
		f.add(p == "" && w.separator != "", "prefix: an item of a list needs one")
	}
}

// fits reports whether an algorithm can have a key of that form.
func fits(k kind) bool {
	switch k.algorithm {
	case "ed25519":
		return slices.Contains([]string{"hex", "base64", "whpk", "pkix"}, k.secret)
	case "ecdsa-p256":
		return k.secret == "pkix"
	}
	return slices.Contains([]string{"text", "hex", "base64", "whsec"}, k.secret)
}

// timeAndID judges what bounds a replay.
func (f *findings) timeAndID(w *way) {
	t := &w.time
	places := 0
	for _, p := range []string{t.header, t.item, t.member} {
		if p != "" {
			places++
		}
	}
	switch {
	case !t.set:
		f.add(true, `time: there is none, so that a captured delivery never becomes stale: say "none" if `+
			`the provider signs no time`)
	case t.none:
		f.add(w.has(partTime), "signed: it has the time, and there is none")
	default:
		f.add(places != 1, "time: one of header, item and member is needed")
		f.add(t.unit == 0, `time/unit: "seconds" or "milliseconds"`)
		f.add(t.tolerance == 0, "time/tolerance_seconds: 1 to %d", RememberFor/time.Second)
		f.add(t.member == "" && !w.has(partTime),
			"time: the signature does not cover it, so a forger can write it")
		f.add(t.member != "" && w.has(partTime), "signed: a time in the body cannot be a part of its own")
	}
	f.add(w.id == source{}, `id: there is none: say "none" if the provider sends none`)
	f.add(w.id.header != "" && w.id.member != "", "id: header or member, not both")
	f.add(w.has(partID) && (w.id.header == "" || w.id.header == noHeader),
		"signed: it has the ID, which is in no header")
}

// has reports whether the signed string has that part.
func (w *way) has(name string) bool {
	return slices.ContainsFunc(w.signed, func(p part) bool { return p.name == name })
}

// signed judges the signed string: it has the whole body, and it can be cut into its parts in one way only.
func (f *findings) signed(w *way) {
	f.add(len(w.signed) > 16, "signed: more than 16 parts")
	seen := map[string]int{}
	for _, p := range w.signed {
		seen[p.name]++
		f.add(p.name != "" && !slices.Contains(partNames, p.name), "signed: %.80q is none of %v", p.name,
			partNames)
		f.add(p.name == "" && p.text == "", "signed: an empty text")
		f.add(len(p.text) > 64, "signed: a text of more than 64 bytes")
	}
	f.add(seen[partBody] == 0, "signed: the signature does not cover the body")
	for name, n := range seen {
		f.add(name != "" && n > 1, "signed: %s stands there twice", name)
	}
	f.add(seen[partURL] > 0 && seen[partDecoded] > 0, "signed: the URL stands there twice")
	if len(*f) == 0 {
		if err := w.joins(); err != nil {
			f.add(true, "signed: %v", err)
		}
	}
}

// errJoin is why two parts cannot stand beside each other.
var errJoin = errors.New("text after it must begin with a byte that it cannot hold")

// joins refuses a signed string that two different requests share. It is read from the left up to the body,
// and from the right down to the body. Each part must end where it ends whatever the sender writes.
func (w *way) joins() error {
	body := slices.IndexFunc(w.signed, func(p part) bool { return p.name == partBody })
	for i, p := range w.signed[:body] {
		if p.name == "" {
			continue
		}
		if next := w.signed[i+1]; !endsBefore(p.name, next) {
			return fmt.Errorf("%s, and what follows it, can be cut in two ways: %w", p.name, errJoin)
		}
	}
	for i := len(w.signed) - 1; i > body; i-- {
		p, before := w.signed[i], w.signed[i-1]
		if p.name != "" && !beginsAfter(p.name, before) {
			return fmt.Errorf("%s, and what stands before it, can be cut in two ways: %w", p.name, errJoin)
		}
	}
	return nil
}

// endsBefore reports whether a part ends for certain where the next one begins.
func endsBefore(name string, next part) bool {
	c := byte(0) // with which the text begins
	if next.text != "" {
		c = next.text[0]
	}
	switch name {
	case partTime:
		// A digit more or less makes another time, ten times as far from 1970, so the tolerance refuses it.
		return next.name == partBody || c != 0 && !digit(c)
	case partID: // checkID refuses an ID with a byte of a text
		return c != 0
	case partMethod: // capital letters
		return next.name == partURL || next.name == partDecoded || c != 0 && (c < 'A' || 'Z' < c)
	}
	// url refuses a URL with "{" or "[", and a body that begins with another byte.
	return next.name == partBody
}

// beginsAfter is endsBefore for the parts after the body, which are read from the right.
func beginsAfter(name string, before part) bool {
	c := byte(0) // with which the text ends
	if before.text != "" {
		c = before.text[len(before.text)-1]
	}
	return name == partTime && (before.name == partBody || c != 0 && !digit(c)) || name == partID && c != 0
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// printable reports whether a text is of visible ASCII and blanks.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// isWord reports whether a text is of visible ASCII without blanks and commas.
func isWord(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' || text[i] == ',' {
			return false
		}
	}
	return true
}
