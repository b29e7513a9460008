// Package mint makes sealed events of any shape, sound ones and broken ones, for tests, vectors and
// demonstrations. It is a second implementation of the wire format and shares no code with package envelope
// but the signatures of package keys, so that each checks the other. It judges nothing, is not fast, and
// panics on plans that make no sense.
package mint

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/keys"
)

// PayloadType is the DSSE payload type of the extension "Verifiable CloudEvents with DSSE".
const PayloadType = "https://cloudevents.io/verifiability/dsse/v0.1"

// Plan is a sealed event before it is one. The zero value of each field is the honest choice; each of the
// functions takes what an honest signer would have made and returns what goes on instead.
type Plan struct {
	Event Object      // the members to sign, values as they stand on the wire, without dssematerial
	By    []Signature // who signs

	Types    map[string]string // CloudEvents types of extensions; default: documented, else of the JSON value
	Unsigned []string          // extensions that are not signed, beside those that hops change
	Data     []byte            // the bytes to sign as data; nil = those of the event's data
	Foreign  bool              // sealed by another implementation: no member "sealbus"
	CoreOnly bool              // no "ext" and no "signedextattrs"
	Enc      string            // JSON of the member "enc", "" = none; see Encrypt

	Profile     func(Object) Object // of the member "sealbus"
	Payload     func(Object) Object
	PayloadText func(string) string
	PayloadType string
	Envelope    func(Object) Object
	Material    func(string) string // the envelope's JSON text
	Base64      func(string) string // the text of dssematerial
	Wire        func(Object) Object // the sealed event
}

// Signature is one signature of an event.
type Signature struct {
	Key        *keys.LocalSigner
	Delegation *Delegation // nil = none
	Edit       func(Object) Object
}

// Seal makes the sealed event.
func (p *Plan) Seal() Object {
	payload := p.payload()
	typ := PayloadType
	if p.PayloadType != "" {
		typ = p.PayloadType
	}
	var signatures []string
	for i := range p.By {
		signatures = append(signatures, p.By[i].over(typ, payload))
	}
	envelope := Object{
		{"payloadType", Quote(typ)},
		{"payload", Quote(b64(payload))},
		{"signatures", "[" + strings.Join(signatures, ",") + "]"},
	}
	material := edit(p.Material, edit(p.Envelope, envelope).String())
	return edit(p.Wire, p.Event.Set("dssematerial", Quote(edit(p.Base64, b64(material)))))
}

func edit[T any](f func(T) T, v T) T {
	if f == nil {
		return v
	}
	return f(v)
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// over signs the payload.
func (s *Signature) over(typ, payload string) string {
	sig := Object{
		{"keyid", Quote(s.Key.Verifier().KeyID())},
		{"sig", Quote(b64(Sign(s.Key, typ, payload)))},
	}
	if s.Delegation != nil {
		sig = sig.Add("delegation", s.Delegation.envelope(s.Key))
	}
	return edit(s.Edit, sig).String()
}

// Sign is the signature over DSSE's pre-authentication encoding.
func Sign(key *keys.LocalSigner, typ, payload string) string {
	sig, err := key.Sign(context.Background(), []byte(pae(typ, payload)))
	if err != nil {
		panic(err) // a local key signs
	}
	return string(sig)
}

func pae(typ, payload string) string {
	return fmt.Sprintf("DSSEv1 %d %s %d %s", len(typ), typ, len(payload), payload)
}

// payload is the JSON text that is signed.
func (p *Plan) payload() string {
	payload := Object{{"core", Quote(p.core())}}
	if !p.CoreOnly {
		payload = payload.Add("ext", Quote(p.ext())).Add("signedextattrs", Array(p.Names()...))
	}
	if !p.Foreign {
		payload = payload.Add("sealbus", edit(p.Profile, p.profile()).String())
	}
	return edit(p.PayloadText, edit(p.Payload, payload).String())
}

func (p *Plan) profile() Object {
	profile := Object{{"v", "1"}, {"producer", Quote(p.By[0].producer())}}
	if t := p.text("time"); t != "" {
		profile = profile.Add("time", Quote(instant(t).Format(time.RFC3339Nano)))
	}
	types := []string{}
	for _, name := range p.Names() {
		types = append(types, p.typeOf(name))
	}
	profile = profile.Add("types", Array(types...))
	if p.Enc != "" {
		profile = profile.Add("enc", p.Enc)
	}
	if bound := p.bound(); len(bound) > 0 {
		profile = profile.Add("delegations", Array(bound...))
	}
	return profile
}

func (s *Signature) producer() string {
	if s.Delegation != nil {
		return s.Delegation.By.Producer()
	}
	return s.Key.Producer()
}

// bound is the hashes of the delegations, sorted as bytes.
func (p *Plan) bound() []string {
	var raw []string
	for i := range p.By {
		if d := p.By[i].Delegation; d != nil && !d.Unbound {
			sum := sha256.Sum256([]byte(pae(d.payloadType(), d.statement(p.By[i].Key))))
			raw = append(raw, string(sum[:]))
		}
	}
	slices.Sort(raw)
	raw = slices.Compact(raw)
	for i := range raw {
		raw[i] = b64(raw[i])
	}
	return raw
}

var coreNames = []string{"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject",
	"time", "data"}

// core is H( H(id) H(source) ... H(data) ).
func (p *Plan) core() string {
	var all string
	for _, name := range coreNames {
		value := p.text(name)
		switch {
		case name == "data":
			value = p.data()
		case name == "time" && value != "":
			value = instant(value).Format("2006-01-02T15:04:05Z")
		}
		all += hash(value)
	}
	return b64(hash(all))
}

func (p *Plan) ext() string {
	var all string
	for _, name := range p.Names() {
		all += hash(p.hashed(name))
	}
	return b64(hash(all))
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return string(sum[:])
}

// text is an attribute's text, "" for an absent one.
func (p *Plan) text(name string) string {
	if raw := p.Event.Get(name); raw != "null" {
		return Unquote(raw)
	}
	return ""
}

// data is the bytes that are signed as data.
func (p *Plan) data() string {
	if p.Data != nil {
		return string(p.Data)
	}
	if encoded := p.text("data_base64"); encoded != "" {
		return string(decoded(encoded))
	}
	if p.json() {
		return p.Event.Get("data")
	}
	return p.text("data")
}

func (p *Plan) json() bool {
	media, _, _ := strings.Cut(p.text("datacontenttype"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "" || strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json")
}

func decoded(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err) // the plan's own value
	}
	return b
}

func instant(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC()
		}
	}
	panic("mint: not a time: " + text)
}

// Names is signedextattrs: the extensions that are present, in name order, but those that hops change.
func (p *Plan) Names() []string {
	names := []string{}
	skip := append([]string{"data_base64", "dssematerial", "traceparent", "tracestate", "partitionkey"},
		append(p.Unsigned, coreNames...)...)
	for _, m := range p.Event {
		if !slices.Contains(skip, m.Name) {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var documented = map[string]string{
	"recordedtime": "Timestamp", "originalrecordedtime": "Timestamp", "expirytime": "Timestamp",
	"deprecationfrom": "Timestamp", "deprecationsunset": "Timestamp",
	"sampledrate": "Integer", "severitynumber": "Integer", "deprecated": "Boolean",
	"dataref":              "URI-reference",
	"deprecationmigration": "URI", "audience": "String",
}

func (p *Plan) typeOf(name string) string {
	for _, table := range []map[string]string{p.Types, documented} {
		if t, ok := table[name]; ok {
			return t
		}
	}
	switch raw := p.Event.Get(name); {
	case raw == "true" || raw == "false":
		return "Boolean"
	case raw != "" && raw[0] != '"':
		return "Integer"
	}
	return "String"
}

// hashed is the text of an extension as it is hashed under its type.
func (p *Plan) hashed(name string) string {
	text := p.text(name)
	switch {
	case text == "":
		return ""
	case p.typeOf(name) == "Timestamp":
		return instant(text).Format("2006-01-02T15:04:05Z")
	case p.typeOf(name) == "Binary":
		return string(decoded(text))
	}
	return text
}

// Opened is the text of the event that a verifier gives back in the CloudEvents JSON format: the attributes
// in their order, the signed extensions in the order of signedextattrs, the signed data.
func (p *Plan) Opened() string {
	var o Object
	for _, name := range []string{"specversion", "id", "source", "type", "datacontenttype", "dataschema",
		"subject", "time"} {
		if text := p.text(name); text != "" {
			o = o.Add(name, Quote(p.openedCore(name, text)))
		}
	}
	if !p.CoreOnly {
		o = append(o, p.openedExtensions()...)
	}
	return p.openedData(o).String()
}

func (p *Plan) openedCore(name, text string) string {
	switch {
	case name == "time" && p.Foreign:
		return instant(text).Format("2006-01-02T15:04:05Z")
	case name == "time":
		return instant(text).Format(time.RFC3339Nano)
	}
	return text
}

func (p *Plan) openedExtensions() (o Object) {
	for _, name := range p.Names() {
		switch text := p.hashed(name); p.typeOf(name) {
		case "Boolean", "Integer":
			o = o.Add(name, text)
		case "Binary":
			o = o.Add(name, Quote(b64(text)))
		default:
			if text != "" {
				o = o.Add(name, Quote(text))
			}
		}
	}
	return o
}

func (p *Plan) openedData(o Object) Object {
	data := p.data()
	switch {
	case data == "":
		return o
	case p.json():
		return o.Add("data", strings.Trim(data, " \t\r\n"))
	}
	return o.Add("data_base64", Quote(b64(data)))
}

// Producer is whom the verifier names.
func (p *Plan) Producer() string { return p.By[0].producer() }

// KeyIDs are the IDs of the keys of the bundle that signed or vouched, sorted.
func (p *Plan) KeyIDs() []string {
	var ids []string
	for i := range p.By {
		k := p.By[i].Key
		if d := p.By[i].Delegation; d != nil {
			k = d.By
		}
		ids = append(ids, k.Verifier().KeyID())
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
