// Package inner is reached from another package.
package inner

type Writer interface{ Write() }

type Plain struct{}

func (Plain) Write() {}

// Fancy is put into no Writer by what is reached.
type Fancy struct{}

func (Fancy) Write() {}

func Unreached() Writer { return Fancy{} }

func Read() int     { return 1 }
func ReadMore() int { return 2 }

// Box shows that a method of a generic type can be an entry.
type Box[T any] struct{ hidden T }

func (b *Box[T]) Get() T { return b.own() }

func (b *Box[T]) own() T { return b.hidden }
