package envelope

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys/trust"
)

// The sizes of header lines that servers take, SPEC.md section 14.
const (
	// maxHTTPField is the most bytes of one line, its name included: that of Apache httpd and gunicorn.
	maxHTTPField = 8190
	// maxHTTPFields is the most bytes of the lines of an event. API Gateway takes 10,240 in all, of which
	// 1,024 are left to the client and to proxies: Host, Authorization, X-Forwarded-For and others.
	maxHTTPFields = 10240 - 1024
	// maxHTTPMaterial is the most bytes of dssematerial. An ML-DSA-65 signature has more: it would leave
	// nothing of the 8 KiB that other servers take for all lines.
	maxHTTPMaterial = 6 << 10
)

// OpenHTTP verifies a sealed event in an HTTP message, in binary or in structured mode, as its Content-Type
// says. Its results are those of Open. A batch is too many events: malformed. header is an http.Header, with
// names in any case; each line of an event may be there once.
//
// The caller limits the content while it is read. webhook.Events is a receiver with all of that.
func OpenHTTP(ctx context.Context, header map[string][]string, content []byte, trust trust.Source, p *Policy,
) (*Opened, error) {
	for name, lines := range header {
		if strings.EqualFold(name, "Content-Type") && len(lines) == 1 &&
			wire.HTTPModeOf(lines[0]) == wire.StructuredMode {
			return Open(ctx, content, trust, p)
		}
	}
	return openOne(ctx, Received{Body: HTTPMessage(header, content), HTTP: true}, trust, p)
}

// HTTPMessage is what belongs to an event of an HTTP message in binary mode, for Received and for
// consumer.Message: its header lines Content-Type and those whose names begin with ce-, sorted, and the
// content. No other line is in it, so no Authorization either. It judges nothing.
func HTTPMessage(header map[string][]string, content []byte) []byte {
	size := len(content) + len("\r\n")
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(header)), func(name string) bool {
		lower := strings.ToLower(name)
		return lower != "content-type" && !strings.HasPrefix(lower, "ce-")
	})
	for _, name := range names {
		for _, value := range header[name] {
			size += len(name) + len(": \r\n") + len(value)
		}
	}
	message := make([]byte, 0, size)
	for _, name := range names {
		for _, value := range header[name] {
			message = append(append(message, oneLine(name, ":\r\n")...), ": "...)
			message = append(append(message, oneLine(value, "\r\n")...), "\r\n"...)
		}
	}
	return append(append(message, "\r\n"...), content...)
}

// oneLine puts a NUL, which no header line may have, in the place of what would end the line or its name.
func oneLine(text, ends string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(ends, r) {
			return 0
		}
		return r
	}, text)
}

// HTTP is the sealed event in the binary mode of CloudEvents: the lines for the http.Header of a request, and
// its content, which is not to be changed. The error is a *SealError if some server would not take the lines,
// as with any ML-DSA-65 signature. Such an event goes in structured mode: JSON as the content, of type
// application/cloudevents+json.
func (s *Sealed) HTTP() (header map[string][]string, content []byte, err error) {
	if s.ev == nil {
		return nil, nil, &SealError{Problem: "the Sealed is empty: take the one that Seal returned"}
	}
	if wire.HTTPModeOf(s.ev.DataContentType) != wire.BinaryMode || !isLine(s.ev.DataContentType) {
		return nil, nil, cannotSeal("datacontenttype",
			"no Content-Type says %.80q in binary mode: use structured mode", s.ev.DataContentType)
	}
	header, sum := map[string][]string{}, 0
	for name, value := range s.ev.Headers() {
		size := len(name) + len(": \r\n") + len(value)
		sum += size
		if size > maxHTTPField || name == "Ce-Dssematerial" && len(value) > maxHTTPMaterial {
			return nil, nil, cannotSeal("", "the header line %s has %d bytes, "+
				"and servers would not take it: use structured mode", name, size)
		}
		header[name] = []string{value}
	}
	if sum > maxHTTPFields {
		return nil, nil, cannotSeal("", "the header lines have %d bytes, at most %d pass everywhere: "+
			"use structured mode", sum, maxHTTPFields)
	}
	return header, s.ev.Data, nil
}

// isLine reports whether a header line carries the text as it is: printable ASCII, without space around it.
func isLine(text string) bool {
	isOther := func(r rune) bool { return r < ' ' || r > '~' }
	return !strings.ContainsFunc(text, isOther) && strings.TrimSpace(text) == text
}
