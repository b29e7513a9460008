package envelope

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/canonical"
	"github.com/sealbus/sealbus/internal/strictjson"
)

// pointer is a JSON Pointer (RFC 6901) that was parsed.
type pointer struct {
	text   string
	tokens []string // none: the whole document
}

var (
	errPointerSlash  = errors.New(`a JSON Pointer is empty or begins with "/"`)
	errPointerEscape = errors.New(`in a JSON Pointer, "~" is followed by 0 or 1`)
)

var unescaping = strings.NewReplacer("~1", "/", "~0", "~")

func parsePointer(text string) (pointer, error) {
	p := pointer{text: text}
	if text == "" {
		return p, nil
	}
	if text[0] != '/' {
		return p, errPointerSlash
	}
	for i := range len(text) {
		if text[i] == '~' && (i+1 == len(text) || text[i+1] != '0' && text[i+1] != '1') {
			return p, errPointerEscape
		}
	}
	p.tokens = strings.Split(text[1:], "/")
	for i, t := range p.tokens {
		p.tokens[i] = unescaping.Replace(t)
	}
	return p, nil
}

// CheckField is an error if text is no JSON Pointer (RFC 6901), by which fields are named.
func CheckField(text string) error {
	if _, err := parsePointer(text); err != nil {
		return fmt.Errorf("%.80q: %w", text, err)
	}
	return nil
}

// parsePointers parses all, of which none may be, or lie within, another.
func parsePointers(texts []string) ([]pointer, error) {
	var list []pointer
	for _, text := range texts {
		p, err := parsePointer(text)
		if err != nil {
			return nil, fmt.Errorf("%.80q: %w", text, err)
		}
		if list, err = addPointer(list, p); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func addPointer(list []pointer, p pointer) ([]pointer, error) {
	for _, q := range list {
		if p.within(q) || q.within(p) {
			return nil, fmt.Errorf("%.80q and %.80q overlap: name the outer one only", q.text, p.text)
		}
	}
	return append(list, p), nil
}

// within reports whether p points to what q does, or to a part of it.
func (p pointer) within(q pointer) bool {
	return len(p.tokens) >= len(q.tokens) && slices.Equal(p.tokens[:len(q.tokens)], q.tokens)
}

// span is where a value stands in a document.
type span struct{ start, end int }

// find looks for the value that p points to in a document that is known to be strict JSON.
func (p pointer) find(doc []byte) (span, bool) {
	i := strictjson.SkipSpace(doc, 0)
	for _, token := range p.tokens {
		if i = step(doc, i, token); i < 0 {
			return span{}, false
		}
	}
	end, _, err := canonical.Scan(doc, i)
	return span{i, end}, err == nil
}

// step is where the member, or the element, of that name begins within the value at doc[i]; -1 = there is none.
func step(doc []byte, i int, token string) int {
	if i >= len(doc) {
		return -1
	}
	switch doc[i] {
	case '{':
		return member(doc, i+1, token)
	case '[':
		return element(doc, i+1, token)
	}
	return -1
}

func member(doc []byte, i int, token string) int {
	for i = strictjson.SkipSpace(doc, i); i < len(doc) && doc[i] == '"'; {
		name, end, err := strictjson.ReadString(doc, i)
		if err != nil {
			return -1
		}
		i = strictjson.SkipSpace(doc, strictjson.SkipSpace(doc, end)+1) // the colon
		if string(name) == token {
			return i
		}
		if i = next(doc, i); i < 0 {
			return -1
		}
	}
	return -1
}

// element counts in decimal without leading zeros (RFC 6901 section 4); "-" is behind the last one and so never there.
func element(doc []byte, i int, token string) int {
	if token == "" || len(token) > 7 || len(token) > 1 && token[0] == '0' || strings.Trim(token, "0123456789") != "" {
		return -1
	}
	n := 0
	for _, c := range token {
		n = 10*n + int(c-'0')
	}
	for i = strictjson.SkipSpace(doc, i); i < len(doc) && doc[i] != ']'; n-- {
		if n == 0 {
			return i
		}
		if i = next(doc, i); i < 0 {
			return -1
		}
	}
	return -1
}

// next steps over the value at doc[i] and the comma behind it; -1 = it was the last.
func next(doc []byte, i int) int {
	end, _, err := canonical.Scan(doc, i)
	if end = strictjson.SkipSpace(doc, end); err != nil || end >= len(doc) || doc[end] != ',' {
		return -1
	}
	return strictjson.SkipSpace(doc, end+1)
}

// replacement is what stands in a document in place of what was in its span.
type replacement struct {
	span
	text []byte
}

// replace writes doc with replacements that do not overlap.
func replace(doc []byte, with []replacement) []byte {
	slices.SortFunc(with, func(a, b replacement) int { return a.start - b.start })
	size := len(doc)
	for i := range with {
		size += len(with[i].text)
	}
	out, from := make([]byte, 0, size), 0
	for i := range with {
		out = append(append(out, doc[from:with[i].start]...), with[i].text...)
		from = with[i].end
	}
	return append(out, doc[from:]...)
}
