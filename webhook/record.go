package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// AppendRecord appends a delivery and the moment at which it was received, as JSON, for a queue or a file:
//
//	{"received":"2026-11-30T05:00:00.25Z","method":"POST","target":"/hooks/github",
//	 "header":[["X-GitHub-Event","push"]],"body":"e30="}
//
// The body is in base64. Nothing is verified. A header such as Authorization may hold a token, so the record
// is as secret as that. The error is that of a header line that is no UTF-8: no signature has such a line.
func AppendRecord(dst []byte, r Request, received time.Time) ([]byte, error) {
	for _, f := range r.Header {
		if !utf8.ValidString(f.Name) || !utf8.ValidString(f.Value) {
			return dst, fmt.Errorf("webhook: the header line %.80q is no UTF-8 and cannot be recorded",
				f.Name)
		}
	}
	if !utf8.ValidString(r.Method) || !utf8.ValidString(r.Target) {
		return dst, errors.New("webhook: the request line is no UTF-8 and cannot be recorded")
	}
	dst = jsontext.AppendQuote(append(dst, `{"received":`...), received.UTC().Format(time.RFC3339Nano))
	dst = jsontext.AppendQuote(append(dst, `,"method":`...), r.Method)
	dst = jsontext.AppendQuote(append(dst, `,"target":`...), r.Target)
	dst = append(dst, `,"header":[`...)
	for i, f := range r.Header {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontext.AppendStrings(dst, []string{f.Name, f.Value})
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, `],"body":"`...), r.Body)
	return append(dst, `"}`...), nil
}

// ParseRecord reads a record of AppendRecord. Received is the judging time for Verify and Receive: the
// delivery was fresh or stale when it came, however long it waited since. So only this program may be able to
// write where the record was kept: an attacker who could write there would choose the judging time of an old
// delivery.
func ParseRecord(doc []byte) (r Request, received time.Time, err error) {
	var members int
	d := jsontext.NewDecoder(doc)
	for obj := d.Object(); d.Member(&obj); members++ {
		switch string(obj.Name) {
		case "received":
			text := d.String()
			if received, err = time.Parse(time.RFC3339Nano, text); err != nil || received.IsZero() {
				d.Failf("received is no time as in RFC 3339")
			}
			received = received.UTC()
		case "method":
			r.Method = d.String()
		case "target":
			r.Target = d.String()
		case "header":
			r.Header = readLines(&d)
		case "body":
			if r.Body, err = jsontext.Base64.AppendDecode(nil, d.Bytes()); err != nil {
				d.Fail(err)
			}
		default:
			d.Failf("unknown member %.64q", obj.Name)
		}
	}
	if err := d.End(); err != nil {
		return Request{}, time.Time{}, fmt.Errorf("webhook: the record: %w", err)
	}
	if members != 5 {
		return Request{}, time.Time{}, errors.New("webhook: the record lacks a member")
	}
	return r, received, nil
}

// readLines reads the header lines of a record.
func readLines(d *jsontext.Decoder) (lines []Field) {
	for list := d.Array(); d.Element(&list); {
		var line [2]string
		n := 0
		for pair := d.Array(); d.Element(&pair); n++ {
			if text := d.String(); n < len(line) {
				line[n] = text
			}
		}
		if n != len(line) {
			d.Failf("a header line is no pair of name and value")
		}
		if len(lines) == MaxHeaders {
			d.Failf("more than %d header lines", MaxHeaders)
			return nil
		}
		lines = append(lines, Field{line[0], line[1]})
	}
	return lines
}
