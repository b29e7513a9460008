package mint

import (
	"fmt"
	"strings"
)

// HTTP is a sealed event in the binary mode of CloudEvents: its header lines, without their ends, and the
// content.
func HTTP(sealed Object) (lines []string, content string) {
	isJSON := (&Plan{Event: sealed}).json()
	for _, m := range sealed {
		switch m.Name {
		case "data_base64":
			content = string(decoded(Unquote(m.Raw)))
		case "data":
			if content = m.Raw; !isJSON {
				content = Unquote(m.Raw)
			}
		case "datacontenttype":
			lines = append(lines, "Content-Type: "+Unquote(m.Raw))
		default:
			lines = append(lines, "ce-"+m.Name+": "+Percent(Unquote(m.Raw)))
		}
	}
	return lines, content
}

// Percent is the text as a header value has it.
func Percent(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r > ' ' && r < 0x7f && r != '"' && r != '%' {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// HTTPText puts the lines and the content together.
func HTTPText(lines []string, content string) string {
	return strings.Join(append(lines, "", ""), "\r\n") + content
}
