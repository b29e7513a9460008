package canonical

// emitter writes the canonical form of a text that was read without error, numbers included.
type emitter struct {
	b     []byte
	dst   []byte
	index *index // nil if all objects are in order
}

// span writes the tokens of b[i:end]; objects is how many objects of b begin before i.
// It calls itself, through object, no deeper than MaxDepth.
func (e *emitter) span(i, end, objects int) {
	for i < end {
		switch c := e.b[i]; c {
		case ' ', '\n', '\r', '\t':
			i++
		case '"':
			i = e.string(i)
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			i = e.number(i)
		case '{':
			if e.index != nil {
				i, objects = e.object(objects)
				continue
			}
			fallthrough
		default:
			e.dst = append(e.dst, c)
			i++
		}
	}
}

// object writes the object of that number and returns where to go on after it.
func (e *emitter) object(number int) (i, objects int) {
	o := e.index.objects[number]
	e.dst = append(e.dst, '{')
	for n, m := range e.index.members[o.first : o.first+o.count] {
		if n > 0 {
			e.dst = append(e.dst, ',')
		}
		e.span(m.name, m.end, m.objects)
	}
	e.dst = append(e.dst, '}')
	return o.end, o.next
}

func (e *emitter) string(i int) int {
	e.dst = append(e.dst, '"')
	for i++; ; {
		end, _ := plain(e.b, i)
		e.dst = append(e.dst, e.b[i:end]...)
		if e.b[end] == '"' {
			e.dst = append(e.dst, '"')
			return end + 1
		}
		var r rune
		r, i, _ = unescape(e.b, end)
		e.dst = appendRune(e.dst, r)
	}
}

func (e *emitter) number(i int) int {
	end, plain := numberEnd(e.b, i)
	if plain {
		e.dst = append(e.dst, e.b[i:end]...)
	} else {
		e.dst, _ = appendNumber(e.dst, e.b[i:end])
	}
	return end
}
