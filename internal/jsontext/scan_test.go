package jsontext

// scan reads the value at b[i] and returns the index after it, and whether it is in canonical form.
func scan(b []byte, i int) (end int, isCanonical bool, err error) {
	d := Decoder{b: b, i: i}
	doc := d.read(0, 0, nil)
	if d.err != nil {
		return i, false, d.err
	}
	return i + len(doc.Value), doc.IsCanonical, nil
}
