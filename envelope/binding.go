package envelope

import "github.com/sealbus/sealbus/internal/jsontext"

// binding is what encrypted data is bound to, so that it opens in this event only: data that was moved into
// another one, or signed again by another producer, does not.
type binding struct{ id, source, typ, producer string }

// aad is the binding of the whole data, as canonical JSON.
func (b *binding) aad() []byte {
	dst := jsontext.AppendQuote(append(make([]byte, 0, 256), `{"id":`...), b.id)
	return b.rest(dst)
}

// field is the binding of one encrypted member, which has its place in it.
func (b *binding) field(p jsontext.Pointer) []byte {
	dst := jsontext.AppendQuote(append(make([]byte, 0, 256), `{"id":`...), b.id)
	dst = jsontext.AppendQuote(append(dst, `,"pointer":`...), p.String())
	return b.rest(dst)
}

func (b *binding) rest(dst []byte) []byte {
	dst = jsontext.AppendQuote(append(dst, `,"producer":`...), b.producer)
	dst = jsontext.AppendQuote(append(dst, `,"source":`...), b.source)
	return append(jsontext.AppendQuote(append(dst, `,"type":`...), b.typ), '}')
}
