package nilcheck

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
)

type holder struct{ err error }

func (h *holder) CheckNil() error { return h.err }

func TestIs(t *testing.T) {
	for _, v := range []any{nil, (*os.File)(nil), (func())(nil), (chan int)(nil),
		io.Reader((*os.File)(nil))} {
		if !Is(v) {
			t.Errorf("%T is nil", v)
		}
	}
	for _, v := range []any{0, "", struct{}{}, []int(nil), map[string]int(nil), new(int), func() {},
		os.Stdin} {
		if Is(v) {
			t.Errorf("%T is not nil", v)
		}
	}
}

func TestErrors(t *testing.T) {
	within := errors.New("within")
	for _, c := range []struct {
		err  error
		want string // "" = none
	}{
		{Check("a: b", nil), "a: b is nil"},
		{Typed("a: b", nil), ""},
		{Typed("a: b", (*os.File)(nil)), "a: b is a nil *os.File"},
		{Typed("a: b", os.Stdin), ""},
		{Typed("a: b", &holder{}), ""},
		{Typed("a: b", &holder{within}), "within"},
		{Typed("a: b", (*holder)(nil)), "a: b is a nil *nilcheck.holder"},
		{Each("a: b", []io.Reader{os.Stdin, (*os.File)(nil)}), "a: b[1] is a nil *os.File"},
		{Each("a: b", []io.Reader{nil}), "a: b[0] is nil"},
		{Each("a: b", []io.Reader{}), ""},
		{Logger("a: b", nil), ""},
		{Logger("a: b", slog.Default()), ""},
		{Logger("a: b", &slog.Logger{}), "the handler of a: b is nil"},
		{Logger("a: b", slog.New((*slog.TextHandler)(nil))),
			"the handler of a: b is a nil *slog.TextHandler"},
	} {
		if got := c.err; (got == nil) != (c.want == "") || got != nil &&
			!strings.HasPrefix(got.Error(), c.want) {
			t.Errorf("got %v, want %q", got, c.want)
		}
	}
}
