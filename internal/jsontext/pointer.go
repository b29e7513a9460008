package jsontext

import "strconv"

// maxPointer bounds Error.Pointer in bytes: a name may be a megabyte, and errors go to logs.
const maxPointer = 256

// pointer is the JSON Pointer (RFC 6901) of a path that is given from the inside out.
func pointer(b []byte, path []segment) string {
	var p []byte
	for i := len(path) - 1; i >= 0; i-- {
		end := len(p)
		if p = append(p, '/'); path[i].name < 0 {
			p = strconv.AppendInt(p, int64(path[i].element), 10)
		} else {
			p, end = appendToken(p, b, path[i].name)
		}
		if len(p) > maxPointer {
			return string(p[:min(end, maxPointer)]) + "…"
		}
	}
	return string(p)
}

// appendToken appends the name at b[i] as a reference token, and stops where p is too long: end is the
// length before the last character.
func appendToken(p, b []byte, i int) (token []byte, end int) {
	end = len(p)
	for r, next := runeAt(b, i+1); r >= 0 && len(p) <= maxPointer; r, next = runeAt(b, next) {
		end = len(p)
		switch r {
		case '~':
			p = append(p, "~0"...)
		case '/':
			p = append(p, "~1"...)
		default:
			p = append(p, string(r)...)
		}
	}
	return p, end
}
