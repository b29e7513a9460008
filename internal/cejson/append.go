package cejson

// Append writes e in structured mode.
func (e *Event) Append(dst []byte) []byte { panic("being written") }

// AppendAttributes writes the same object without data.
func (e *Event) AppendAttributes(dst []byte) []byte { panic("being written") }
