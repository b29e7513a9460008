package webhook

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// DefaultBudget is how many bytes all bodies in flight of one Budget may hold. It counts the bodies alone: a
// next that seals them makes some copies of each.
const DefaultBudget = 32 << 20

// Bodies wait for room before they are read: a body that waits is in the buffers of the kernel.
const (
	roomPatience = 2 * time.Second // providers wait 3 s and more for an answer
	maxWaiting   = 256             // each has a connection with its head
)

// Budget bounds the memory of all bodies that are in flight. When it is full, the next ones wait in their
// order for 2 s at most, and are then refused. It is safe for concurrent use.
type Budget struct {
	limit int64

	mu      sync.Mutex
	used    int64   // bytes of memory that bodies hold: the bound
	due     int64   // bytes that bodies in the middle of reading have announced and do not hold yet
	waiting []*wait // in their order
}

// wait is a body that is not read yet, because it has no room.
type wait struct {
	bytes   int64
	granted chan struct{} // closed when its bytes are due
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

// enter waits until a body of n bytes has room beside all that is held and due, and gives what is due to it.
// 0 = it waited too long, too many wait, or it never fits: then it is read if it fits beside what is held. So
// senders who announce much and send little delay others, and keep none out.
func (b *Budget) enter(n int64) (due int64) {
	b.mu.Lock()
	if len(b.waiting) == 0 && n <= b.limit-b.used-b.due {
		b.due += n
		b.mu.Unlock()
		return n
	}
	if n > b.limit || len(b.waiting) >= maxWaiting {
		b.mu.Unlock()
		return 0
	}
	w := &wait{n, make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	patience := time.NewTimer(roomPatience)
	defer patience.Stop()
	select {
	case <-w.granted:
		return n
	case <-patience.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, w)
	if i < 0 { // granted at the last moment
		return n
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	b.admit() // a smaller one may be next
	return 0
}

// admit lets bodies go on in their order, as long as they have room. It is called with b.mu locked.
func (b *Budget) admit() {
	for len(b.waiting) > 0 && b.waiting[0].bytes <= b.limit-b.used-b.due {
		b.due += b.waiting[0].bytes
		close(b.waiting[0].granted)
		b.waiting = slices.Delete(b.waiting, 0, 1)
	}
}

// leave is the end of reading: what is still due will not come.
func (b *Budget) leave(due int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due -= due
	b.admit()
}

// take takes n bytes, or none if so many are not left. They come out of what is due to the body.
func (b *Budget) take(n int64, due *int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit-b.used {
		return false
	}
	arrived := min(n, *due)
	*due -= arrived
	b.due -= arrived
	b.used += n
	return true
}

// hasRoom reports whether n bytes are left. It takes none.
func (b *Budget) hasRoom(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return n <= b.limit-b.used
}

func (b *Budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.admit()
}

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
// arrived, so a sender who announces much and sends little holds little: at most four times what it sent, or
// twice if it announced no length. It waits for room before it reads; the deadline for reading bounds both.
// held is what to give back when the body is no longer used, also after an error. Length is that of the
// header Content-Length, -1 = unknown.
func readBody(r io.Reader, length int64, most int, b *Budget) (body []byte, held int64, err error) {
	if length > int64(most) {
		return nil, 0, errTooLarge
	}
	due := b.enter(max(length, 0))
	defer func() { b.leave(due) }()
	if !b.hasRoom(length) { // refused before it is read, so that the bodies that fit have the processors
		return nil, 0, errBusy
	}
	want, times := int64(most), int64(2)
	if length >= 0 {
		want, times = length, 4 // fewer copies: the last step takes no more than was announced
	}
	for empty := 0; ; {
		if len(body) == cap(body) && int64(cap(body)) < want {
			grown := min(max(firstRead, times*int64(cap(body))), want)
			if !b.take(grown-held, &due) {
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
