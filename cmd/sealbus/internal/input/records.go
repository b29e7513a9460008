package input

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// maxRecord bounds one record, in bytes: ten times what the largest batch of a queue holds.
const maxRecord = 64 << 20

// inputError is what is wrong with the input at one place, in words of ours.
type inputError struct {
	cause, fix string // fix: "" = that of the reason
	large      bool
	empty      bool // it is an array of nothing
	noFile     bool // the file that was named holds nothing at all
}

func (e *inputError) Error() string { return e.cause }

// IsEmptyFile reports whether err is about a file that was named and holds nothing at all.
func IsEmptyFile(err error) bool {
	e, ok := errors.AsType[*inputError](err)
	return ok && e.noFile
}

func inputErrorf(fix, format string, args ...any) *inputError {
	return &inputError{cause: fmt.Sprintf(format, args...), fix: fix}
}

// record is one JSON object or array of the input, or why there is none at its place.
type record struct {
	doc    []byte
	number int   // from 1
	offset int64 // of its first byte
	log    bool  // it stood behind the time and the stream of a log event, as `aws logs tail` writes it
	err    *inputError
}

// recordReader reads JSON values that follow each other: one a line, or one behind the other with or without
// white space, as Firehose writes them. It holds one at a time. After a record that is malformed or too large
// it goes on where the next one begins, and ends where that cannot be told.
type recordReader struct {
	r      *bufio.Reader
	number int
	offset int64 // of the next byte
	most   int   // bytes of a record
	begun  bool
	ended  bool
}

func newRecordReader(r io.Reader, most int) *recordReader {
	return &recordReader{r: bufio.NewReaderSize(r, 64<<10), most: most}
}

func (r *recordReader) byte() (byte, error) {
	c, err := r.r.ReadByte()
	if err == nil {
		r.offset++
	}
	return c, err
}

func (r *recordReader) unread() {
	if r.r.UnreadByte() == nil {
		r.offset--
	}
}

// next is the next record, or io.EOF; any other error is one of reading.
func (r *recordReader) next() (record, error) {
	if r.ended {
		return record{}, io.EOF
	}
	if !r.begun {
		r.begun = true
		if err := r.encoding(); err != nil {
			r.ended, r.number = true, 1
			return record{number: 1, err: err}, nil
		}
	}
	c, err := r.skipSpace()
	if err != nil {
		return record{}, err
	}
	r.number++
	rec := record{number: r.number, offset: r.offset - 1}
	if c != '{' && c != '[' {
		return rec, r.line(&rec, c)
	}
	return rec, r.value(&rec, c)
}

// skipSpace is the first byte of the next record. A byte order mark is white space here: files are joined
// with theirs. So is the separator of JSON text sequences.
func (r *recordReader) skipSpace() (byte, error) {
	for {
		c, err := r.byte()
		switch {
		case err != nil:
			return 0, err
		case c == ' ', c == '\t', c == '\n', c == '\r', c == 0x1e:
			continue
		case c == 0xef:
			if rest, _ := r.r.Peek(2); string(rest) == "\xbb\xbf" {
				_, _ = r.r.Discard(2)
				r.offset += 2
				continue
			}
		}
		return c, nil
	}
}

const FixNoJSON = "give a CloudEvent, an EventBridge event or messages of a queue, as JSON"

const fixUTF16 = "write it as UTF-8: `| Out-File -Encoding utf8 FILE` instead of `> FILE`, " +
	"or convert it: iconv -f UTF-16 -t UTF-8 FILE"

// encoding refuses what is not JSON in UTF-8 by its first bytes.
func (r *recordReader) encoding() *inputError {
	head, _ := r.r.Peek(4)
	begins := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if bytes.HasPrefix(head, []byte(p)) {
				return true
			}
		}
		return false
	}
	switch {
	case begins("\xff\xfe\x00\x00", "\x00\x00\xfe\xff"):
		return inputErrorf("convert it: iconv -f UTF-32 -t UTF-8 FILE", "this is UTF-32, not UTF-8")
	case begins("\xff\xfe", "\xfe\xff", "{\x00", "[\x00", "\x00{", "\x00["):
		return inputErrorf(fixUTF16, "this is UTF-16 (PowerShell's > writes it), not UTF-8")
	case begins("\x1f\x8b"):
		return inputErrorf("unpack it first: gunzip -c FILE | sealbus ...", "this is compressed with gzip")
	case begins("\x28\xb5\x2f\xfd", "PK\x03\x04", "BZh"):
		return inputErrorf("unpack it first", "this is a compressed file or an archive")
	case begins("PAR1", "Obj\x01", "ORC"):
		return inputErrorf("have Firehose or your export write JSON, in which the event stays as it is",
			"this is a Parquet, Avro or ORC file, not JSON")
	}
	return nil
}

// value reads the object or array that begins with open, by its brackets and strings only: another parser
// reads it. A line break in a string cannot be in JSON, nor an object that begins a line where no value may
// stand: there the record was cut off, and the next one begins.
func (r *recordReader) value(rec *record, open byte) error {
	var s valueScan
	keep := func(c byte) {
		if rec.err == nil && len(rec.doc) == r.most {
			rec.doc, rec.err = nil,
				inputErrorf("write one event a line, or one behind the other: each has a limit of its own then",
					"record %d (at byte %d) has more than %d bytes", rec.number, rec.offset, r.most)
			rec.err.large = true
		}
		if rec.err == nil {
			rec.doc = append(rec.doc, c)
		}
	}
	for c := open; ; {
		if s.cut(c, open) {
			r.unread()
			rec.doc, rec.err = nil, inputErrorf("correct or remove it; the other records are read",
				"record %d (at byte %d) ends in its middle: the line breaks off", rec.number, rec.offset)
			return nil
		}
		keep(c)
		if s.step(c) {
			return nil
		}
		var err error
		switch c, err = r.byte(); {
		case errors.Is(err, io.EOF):
			r.ended = true
			rec.doc, rec.err = nil, inputErrorf("give the whole record; the records before it are judged",
				"record %d (at byte %d) is cut off before its end", rec.number, rec.offset)
			return nil
		case err != nil:
			return err
		}
	}
}

// valueScan follows the brackets of a JSON value.
type valueScan struct {
	depth             int
	inString, escaped bool
	newLine           bool // nothing but white space stood in the line so far
	before            byte // the last byte that was no white space, outside of strings
}

// cut reports whether the value cannot go on with c, because a record was cut off before it.
func (s *valueScan) cut(c, open byte) bool {
	switch {
	case open != '{':
		return false
	case s.inString:
		return c == '\n'
	case c == '{' && s.depth > 0 && s.newLine:
		return s.before != ',' && s.before != ':' && s.before != '['
	}
	return false
}

// step takes one byte and reports whether it ends the value.
func (s *valueScan) step(c byte) bool {
	if s.inString {
		switch {
		case s.escaped:
			s.escaped = false
		case c == '\\':
			s.escaped = true
		case c == '"':
			s.inString = false
		}
		return false
	}
	switch c {
	case '"':
		s.inString = true
	case '{', '[':
		s.depth++
	case '}', ']':
		s.depth--
	}
	switch c {
	case '\n':
		s.newLine = true
	case ' ', '\t', '\r':
	default:
		s.newLine, s.before = false, c
	}
	return s.depth == 0
}

// logPrefix is what `aws logs tail` writes before each message: its time, and the stream unless it is left
// out.
var logPrefix = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*[ \t]+(?:\S+[ \t]+)?$`)

// maxPrefix is the longest such prefix: the name of a stream has up to 512 characters.
const maxPrefix = 1 << 10

// line reads a line that does not begin with a record: that of a log event, or something that is none.
func (r *recordReader) line(rec *record, c byte) error {
	prefix := []byte{c}
	for {
		c, err := r.byte()
		switch {
		case errors.Is(err, io.EOF):
			r.ended = true
		case err != nil:
			return err
		case c == '{' && len(prefix) < maxPrefix && logPrefix.Match(prefix):
			rec.log, rec.offset = true, r.offset-1
			return r.value(rec, c)
		case c != '\n':
			if len(prefix) < maxPrefix {
				prefix = append(prefix, c)
			}
			continue
		}
		rec.err = inputErrorf(FixNoJSON,
			"the input is neither a JSON object nor an array of objects, so it holds no event")
		if rec.number > 1 || !r.ended {
			rec.err.cause = fmt.Sprintf("record %d (at byte %d) is neither a JSON object nor an array of objects, so it holds no event", rec.number, rec.offset)
		}
		return nil
	}
}

// elements cuts an array into its elements. An element that is no object is an error of its own. If it
// is no array of values, there is one error for all of it.
func (rec *record) elements() ([]record, *inputError) {
	var list []record
	b := rec.doc
	bad := func(i int) ([]record, *inputError) {
		return nil,
			inputErrorf("correct it; or write one event a line, so that one that is broken spoils no other",
				"batch: the array breaks off after %s, at byte %d", ui.Count(len(list), "element"),
				rec.offset+
					int64(i))
	}
	for i := jsontext.SkipSpace(b, 1); ; {
		if len(list) == 0 && i < len(b) && b[i] == ']' {
			break
		}
		if len(list) == wire.MaxBatch {
			e := inputErrorf("write one event a line: there is no limit then, as with jq -c '.[]'",
				"an array of more than %d events in a batch", wire.MaxBatch)
			e.large = true
			return nil, e
		}
		end := jsontext.SpanEnd(b, i)
		if end <= i {
			return bad(i)
		}
		one := record{doc: b[i:end:end], number: rec.number, offset: rec.offset + int64(i)}
		if b[i] != '{' {
			one.doc, one.err = nil, inputErrorf("",
				"element %d of the batch (at byte %d) is not an object: no event", len(list)+1, one.offset)
		}
		list = append(list, one)
		if i = jsontext.SkipSpace(b, end); i == len(b) || b[i] != ',' {
			if i == len(b) || b[i] != ']' || jsontext.SkipSpace(b, i+1) != len(b) {
				return bad(i)
			}
			break
		}
		i = jsontext.SkipSpace(b, i+1)
	}
	if len(list) == 0 { // nothing was verified: success would say that something was
		return nil, &inputError{cause: "an empty batch: no event in it", empty: true}
	}
	return list, nil
}
