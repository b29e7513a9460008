package wire

import (
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Split cuts a batch (CloudEvents 1.0, JSON Batch Format) into its elements, which alias b. It finds only the
// boundaries. The caller reads each element with Parse, which also checks its size. If Parse accepts every
// element, b was valid JSON.
func Split(b []byte) ([][]byte, error) {
	i := jsontext.SkipSpace(b, 0)
	if i == len(b) || b[i] != '[' {
		return nil, &Error{Msg: "a batch is a JSON array"}
	}
	var events [][]byte
	for i = jsontext.SkipSpace(b, i+1); ; {
		if len(events) == 0 && i < len(b) && b[i] == ']' {
			break
		}
		if len(events) == MaxBatch {
			return nil, &Error{TooLarge: true, Msg: "more than 1000 events in a batch"}
		}
		end := objectEnd(b, i)
		if end < 0 {
			return nil, &Error{Msg: fmt.Sprintf("element %d of the batch is not an object", len(events))}
		}
		events = append(events, b[i:end:end])
		if i = jsontext.SkipSpace(b, end); i == len(b) || b[i] != ',' {
			break
		}
		i = jsontext.SkipSpace(b, i+1)
	}
	if i == len(b) || b[i] != ']' || jsontext.SkipSpace(b, i+1) != len(b) {
		return nil, &Error{
			Msg: fmt.Sprintf("the array does not end after element %d of the batch", len(events)-1)}
	}
	return events, nil
}

// objectEnd returns the index after the object that begins at b[i], or -1. It counts brackets, without the
// limit of nesting: that limit is for the data alone.
func objectEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	if end := jsontext.SpanEnd(b, i); end > i {
		return end
	}
	return -1
}

// SplitSequence cuts JSON objects that follow each other, with any white space between them, as Split does.
// The caller limits len(b).
func SplitSequence(b []byte) ([][]byte, error) {
	var events [][]byte
	for i := jsontext.SkipSpace(b, 0); i < len(b); {
		end := objectEnd(b, i)
		if end < 0 {
			return nil, &Error{Msg: fmt.Sprintf(
				"what follows event %d is not a JSON object, or has no end", len(events))}
		}
		events = append(events, b[i:end:end])
		i = jsontext.SkipSpace(b, end)
	}
	return events, nil
}
