// Package reader has one function for each rule of the count.
package reader

import (
	"slices"

	"example.com/reader/inner"
)

type Source interface{ Bundle() string }

type Options struct {
	Checks []func() bool
	hidden int
}

func (*Options) far() bool { return true }

// Open reaches 8 functions, and 10 if every function value is followed.
func Open(source Source, o *Options) int {
	source.Bundle() // the caller's own: followed nowhere
	closure := func() { inClosure() }
	defer func() { deferred() }()
	closure()
	read := inner.Read
	if o.hidden > 0 {
		read = inner.ReadMore
	}
	for _, check := range []func() bool{checkAge, o.far} {
		check()
	}
	var writer inner.Writer = inner.Plain{}
	writer.Write()
	slices.SortFunc([]int{2, 1}, calledByOthers)
	return generic(read()) + int(generic(int8(1))) + o.hidden
}

func inClosure()                  {}
func deferred()                   { deep() }
func deep()                       {}
func checkAge() bool              { return true }
func generic[T int | int8](t T) T { return t }
func calledByOthers(a, b int) int { return a - b }
func unreached() Source           { return static{} }

type static struct{}

func (static) Bundle() string { return "" }
