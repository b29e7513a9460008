package webhook

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// DefaultBudget is how many bytes all bodies in flight of one Budget may hold. It counts the bodies alone: a
// next that seals them makes some copies of each.
const DefaultBudget = 32 << 20

// Budget bounds the memory of all bodies that are in flight. It is safe for concurrent use.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget makes a Budget of so many bytes, 0 = DefaultBudget. Give it to each ReceiverOptions that is to
// share it.
func NewBudget(bytes int64) (*Budget, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("webhook: a budget of %d bytes: give a number, or 0 for %d", bytes,
			DefaultBudget)
	}
	if bytes == 0 {
		bytes = DefaultBudget
	}
	return &Budget{limit: bytes}, nil
}

// take takes n bytes, or none if so many are not left.
func (b *Budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if n > b.limit-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// hasRoom reports whether n bytes are left. It takes none.
func (b *Budget) hasRoom(n int64) bool { return n <= b.limit-b.used.Load() }

func (b *Budget) give(n int64) { b.used.Add(-n) }

// Errors of readBody.
var (
	errBusy     = errors.New("the bodies in flight hold all memory that they may")
	errTooLarge = errors.New("the body is too large")
)

// firstRead is how much memory a body gets before a byte of it has arrived.
const firstRead = 4 << 10

// maxEmptyReads is how many times in a row a reader may give nothing, without an error.
const maxEmptyReads = 100

// readBody reads a body of at most so many bytes. Its memory is taken from the Budget and grows with what has
// arrived, so a sender who announces much and sends little holds little: at most twice what it sent. held is
// what to give back when the body is no longer used, also after an error. Length is that of the header
// Content-Length, -1 = unknown.
func readBody(r io.Reader, length int64, most int, b *Budget) (body []byte, held int64, err error) {
	switch {
	case length > int64(most):
		return nil, 0, errTooLarge
	case !b.hasRoom(length): // refused before it is read, so that the bodies that fit have the processors
		return nil, 0, errBusy
	}
	want := int64(most)
	if length >= 0 {
		want = length
	}
	for empty := 0; ; {
		if len(body) == cap(body) && int64(cap(body)) < want {
			grown := min(max(firstRead, 2*int64(cap(body))), want)
			if !b.take(grown - held) {
				return nil, held, errBusy
			}
			held = grown
			body = append(make([]byte, 0, grown), body...)
		}
		room := body[len(body):cap(body)]
		if len(room) == 0 { // full: what comes now must be the end
			room = make([]byte, 1)
		}
		n, err := r.Read(room)
		switch {
		case n > 0 && len(body) == cap(body):
			return nil, held, errTooLarge
		case n > 0:
			body, empty = body[:len(body)+n], 0
		case err == nil:
			if empty++; empty == maxEmptyReads {
				err = io.ErrNoProgress
			}
		}
		if err == io.EOF {
			return body, held, nil
		}
		if err != nil {
			return nil, held, err
		}
	}
}
