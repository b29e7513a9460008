package envelope

import "github.com/sealbus/sealbus/internal/jsonwrite"

// binding is what encrypted data is bound to, so that it opens in this event only: data that was moved into
// another one, or signed again by another producer, does not.
type binding struct{ id, source, typ, producer string }

// aad is the binding of the whole data, as canonical JSON.
func (b *binding) aad() []byte {
	dst := jsonwrite.AppendString(append(make([]byte, 0, 256), `{"id":`...), b.id)
	return b.rest(dst)
}

// field is the binding of one encrypted member, which has its place in it.
func (b *binding) field(p *pointer) []byte {
	dst := jsonwrite.AppendString(append(make([]byte, 0, 256), `{"id":`...), b.id)
	dst = jsonwrite.AppendString(append(dst, `,"pointer":`...), p.text)
	return b.rest(dst)
}

func (b *binding) rest(dst []byte) []byte {
	dst = jsonwrite.AppendString(append(dst, `,"producer":`...), b.producer)
	dst = jsonwrite.AppendString(append(dst, `,"source":`...), b.source)
	return append(jsonwrite.AppendString(append(dst, `,"type":`...), b.typ), '}')
}
