package input

import (
	"bytes"
	"io"
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/wire"
)

// FromHTTP is the word of --from for a file with one HTTP request: the request line, which may be left out,
// the header lines, an empty line and the content, as they came.
const FromHTTP = "http"

// nextRequest is the request in the next file; io.EOF = there is none.
func (in *input) nextRequest() (Message, error) {
	if err := in.open(); err != nil {
		return Message{}, err
	}
	defer in.close()
	doc, err := io.ReadAll(io.LimitReader(in.reader.r, maxRecord+1))
	in.reader = nil
	switch {
	case err != nil:
		return Message{}, ui.Unavailable("try again", "reading %s: %w", ui.NameOf(in.file), ui.Cause(err))
	case len(doc) > maxRecord:
		err := inputErrorf("give one request a file", "it has more than %d bytes", maxRecord)
		err.large = true
		return Message{Err: err}, nil
	}
	return request(doc), nil
}

// request is the event in an HTTP request, in binary or in structured mode, as envelope.OpenHTTP takes it.
// Nothing is judged here.
func request(doc []byte) Message {
	if first, rest, found := bytes.Cut(doc, []byte("\r\n")); found && bytes.Contains(first, []byte(" HTTP/")) {
		doc = rest
	}
	head, content, found := bytes.Cut(doc, []byte("\r\n\r\n"))
	if !found && !bytes.HasPrefix(doc, []byte("\r\n")) {
		return Message{Err: inputErrorf("give it as it came: header lines that end in CR LF, an empty line, the content",
			"this is no HTTP request")}
	}
	var types []string
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Content-Type") {
			types = append(types, strings.Trim(value, " \t"))
		}
	}
	if len(types) == 1 && wire.HTTPModeOf(types[0]) == wire.StructuredMode {
		return Message{Body: content}
	}
	return Message{Body: doc, HTTP: true}
}
