package localaws

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reserialise writes a detail anew, with another order of members, other white space, needless escapes and
// other spellings of the same numbers. No value changes. No service promises not to do this.
func (s *Server) reserialise(detail []byte) []byte {
	v, err := decode(detail)
	if err != nil {
		return detail
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendValue(nil, v)
}

// appendValue is called with s.mu locked, because of s.random.
func (s *Server) appendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v)) // a seed decides, not the order of a Go map
		s.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		dst = append(dst, '{')
		for i, name := range names {
			dst = s.appendString(s.appendSpace(comma(dst, i)), name)
			dst = s.appendValue(s.appendSpace(append(s.appendSpace(dst), ':')), v[name])
		}
		return append(s.appendSpace(dst), '}')
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			dst = s.appendValue(s.appendSpace(comma(dst, i)), e)
		}
		return append(s.appendSpace(dst), ']')
	case string:
		return s.appendString(dst, v)
	case json.Number:
		return append(dst, s.respell(v.String())...)
	case nil:
		return append(dst, "null"...)
	}
	return fmt.Append(dst, v) // a bool
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

func (s *Server) appendSpace(dst []byte) []byte {
	return append(dst, [...]string{"", "", "", " ", "\n", "\t", "\r\n"}[s.random.IntN(7)]...)
}

// appendString escapes what must be escaped, and one other character in eight.
func (s *Server) appendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c < ' ' || c < 0x10000 && s.random.IntN(8) == 0:
			dst = fmt.Appendf(dst, [...]string{`\u%04x`, `\u%04X`}[s.random.IntN(2)], c)
		default:
			dst = append(dst, string(c)...)
		}
	}
	return append(dst, '"')
}

// respell writes a number in another way that has exactly the same value.
func (s *Server) respell(n string) string {
	switch integer := !strings.ContainsAny(n, ".eE"); s.random.IntN(4) {
	case 0:
		if strings.ContainsAny(n, "eE") {
			return n
		}
		return n + "e0"
	case 1:
		if integer {
			return n + ".0"
		}
	case 2:
		if !integer && !strings.ContainsAny(n, "eE") {
			return n + "00"
		}
	}
	return n
}
