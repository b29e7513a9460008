package webhook

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// pieces gives one piece per Read, and then the error.
type pieces struct {
	list []int
	err  error
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.list) == 0 {
		return 0, p.err
	}
	n := min(p.list[0], len(b))
	if p.list[0] -= n; p.list[0] == 0 {
		p.list = p.list[1:]
	}
	return n, nil
}

// TestABodyHoldsWhatItSent: at most four times that, twice without a length, or 4 KiB. None is left of the
// Budget's count after it was given back.
func TestABodyHoldsWhatItSent(t *testing.T) {
	broken := errors.New("broken")
	for length, times := range map[int64]int{-1: 2, 1 << 20: 4} {
		for _, sent := range []int{0, 1, 4095, 4096, 4097, 100_000, 1<<20 - 1} {
			b, err := NewBudget(0)
			if err != nil {
				t.Fatal(err)
			}
			_, held, err := readBody(&pieces{[]int{sent}, broken}, length, 1<<20, b)
			if !errors.Is(err, broken) || held > int64(max(times*sent, firstRead)) || held != b.used {
				t.Errorf("length %d, %d bytes sent: %d held, %d in the budget, %v", length, sent, held,
					b.used, err)
			}
			b.give(held)
			if b.used != 0 {
				t.Errorf("%d bytes are left in the budget", b.used)
			}
		}
	}
}

// TestReadBodyBounds: the limit itself is read, one byte more is too large, and what does not fit the Budget
// is busy.
func TestReadBodyBounds(t *testing.T) {
	for _, c := range []struct {
		length int64
		sent   []int
		most   int
		limit  int64
		want   error
	}{
		{-1, nil, 8, 100, nil}, {0, nil, 8, 100, nil}, {8, []int{8}, 8, 100, nil}, {8, []int{3, 5}, 8, 100,
			nil},
		{-1, []int{8}, 8, 100, nil}, {-1, []int{9}, 8, 100, errTooLarge}, {-1, []int{8, 1}, 8, 100,
			errTooLarge},
		{9, []int{9}, 8, 100, errTooLarge}, {3, []int{4}, 8, 100, errTooLarge},
		{0, []int{1}, 8, 100, errTooLarge}, {-1, []int{101}, 200, 100, errBusy}, {101, []int{101}, 200, 100,
			errBusy},
	} {
		b := &Budget{limit: c.limit}
		sent := 0
		for _, n := range c.sent {
			sent += n
		}
		body, held, err := readBody(&pieces{c.sent, io.EOF}, c.length, c.most, b)
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || len(body) != sent) {
			t.Errorf("%+v: %d bytes, %v", c, len(body), err)
		}
		b.give(held)
		if b.used != 0 {
			t.Errorf("%+v: %d bytes are left in the budget", c, b.used)
		}
	}
	if _, _, err := readBody(&pieces{nil, nil}, -1, 8, &Budget{limit: 8}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

// TestBudgetIsShared: two Receivers of one Budget are bounded together; the body counts until next has
// returned.
func TestBudgetIsShared(t *testing.T) {
	b := &Budget{limit: 10}
	if !b.take(6, new(int64)) || b.take(5, new(int64)) || !b.take(4, new(int64)) {
		t.Error("the budget does not count")
	}
	b.give(6)
	if b.take(7, new(int64)) || !b.take(6, new(int64)) {
		t.Error("the budget does not count what is given back")
	}
}

// TestReadBodyKeepsTheBytes, in whatever pieces they come.
func TestReadBodyKeepsTheBytes(t *testing.T) {
	want := make([]byte, 70_000)
	for i := range want {
		want[i] = byte(i * 7)
	}
	b := &Budget{limit: 1 << 20}
	for _, size := range []int{1000, 4096, 70_000} {
		var parts []io.Reader
		for rest := want; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			parts = append(parts, bytes.NewReader(rest[:min(size, len(rest))]))
		}
		got, held, err := readBody(io.MultiReader(parts...), -1, 1<<20, b)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d: %v", size, err)
		}
		b.give(held)
	}
}
