package jsontext

import (
	"cmp"
	"slices"
)

// index holds, for a text with unordered objects, where each object's members are, in canonical order.
// A nil index is one that records nothing.
//
// Members of an object are collected at the end of pending and leave it, sorted, when the object closes,
// so that an object's members are adjacent whatever is nested in them.
type index struct {
	keep    bool // else only look for duplicates
	pending []member
	members []member
	objects []object // in the order of their opening braces
}

// member is a member of an object: b[name:end] is `"name":value`.
type member struct {
	name, end int
	objects   int // how many objects begin before its value
}

type object struct {
	first, count int // in index.members
	end          int // offset after the brace
	next         int // how many objects begin before end
}

// openObject is an object that is being read.
type openObject struct {
	number    int
	pending   int // where its members begin in pending
	unordered bool
}

func (x *index) open() openObject {
	if x == nil {
		return openObject{}
	}
	o := openObject{number: len(x.objects), pending: len(x.pending)}
	if x.keep {
		x.objects = append(x.objects, object{})
	}
	return o
}

func (x *index) objectCount() int {
	if x == nil {
		return 0
	}
	return len(x.objects)
}

func (x *index) add(name, end, objects int) {
	if x != nil {
		x.pending = append(x.pending, member{name, end, objects})
	}
}

// close ends the object o, before the offset end of b. It returns the offset of the first name that
// repeats an earlier one, or -1.
func (x *index) close(b []byte, o openObject, end int) int {
	if x == nil {
		return -1
	}
	mine := x.pending[o.pending:]
	x.pending = x.pending[:o.pending]
	if o.unordered {
		sortMembers(b, mine)
		if twice := firstRepeat(b, mine); twice >= 0 {
			return twice
		}
	}
	if x.keep {
		x.objects[o.number] = object{first: len(x.members), count: len(mine), end: end, next: len(x.objects)}
		x.members = append(x.members, mine...)
	}
	return -1
}

// sortMembers orders equal names by where they stand, so that the later one is the repetition.
func sortMembers(b []byte, members []member) {
	slices.SortFunc(members, func(m, n member) int {
		if c := compareNames(b, m.name, n.name); c != 0 {
			return c
		}
		return cmp.Compare(m.name, n.name)
	})
}

func firstRepeat(b []byte, sorted []member) int {
	first := -1
	for i := 1; i < len(sorted); i++ {
		at := sorted[i].name
		if (first < 0 || at < first) && compareNames(b, sorted[i-1].name, at) == 0 {
			first = at
		}
	}
	return first
}
