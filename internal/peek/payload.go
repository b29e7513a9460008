package peek

import (
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
)

// PayloadType is that of the CloudEvents extension "Verifiable CloudEvents with DSSE".
const PayloadType = "https://cloudevents.io/verifiability/dsse/v0.1"

// Payload is the content of the DSSE envelope.
type Payload struct {
	Core, Ext []byte   // digests; Ext is nil if no extensions are signed
	Names     []string // signedextattrs

	// What the member "sealbus" says; Profile 0: another implementation sealed the event.
	Profile     int64
	Producer    string
	Time        string
	Types       []string
	Encrypted   bool
	Fields      []string // JSON Pointers of the encrypted members; nil = all of the data
	Delegations int
}

func readPayload(doc []byte) (*Payload, error) {
	p := &Payload{}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "core":
			p.Core = readDigest(&r)
		case "ext":
			p.Ext = readDigest(&r)
		case "signedextattrs":
			p.Names = readStrings(&r)
		case "sealbus":
			p.readProfile(&r)
		default:
			r.SkipValue()
		}
	}
	if p.Core == nil {
		r.Fail(errors.New(`no member "core"`))
	}
	if p.Profile != 0 && len(p.Types) != len(p.Names) {
		r.Fail(errors.New("sealbus: types and signedextattrs differ in length"))
	}
	return p, r.End()
}

func (p *Payload) readProfile(r *jsontext.Decoder) {
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "v":
			p.Profile = r.Int()
		case "producer":
			p.Producer = r.String()
		case "time":
			p.Time = r.String()
		case "types":
			p.Types = readStrings(r)
		case "enc":
			p.Encrypted = true
			p.readEnc(r)
		case "delegations":
			p.Delegations = len(readStrings(r))
		default:
			r.Failf("sealbus: unknown member %.80q", obj.Name)
		}
	}
}

// readEnc reads what is encrypted: "jwe", or the pointers of members.
func (p *Payload) readEnc(r *jsontext.Decoder) {
	switch {
	case r.PeekKind() == '[':
		if p.Fields = readStrings(r); p.Fields == nil {
			r.Fail(errors.New("sealbus: enc is empty"))
		}
	case r.String() != "jwe":
		r.Fail(errors.New("sealbus: unknown enc"))
	}
}

func readDigest(r *jsontext.Decoder) []byte {
	sum, err := jsontext.DecodeBase64(nil, r.Bytes())
	if err != nil || len(sum) != 32 {
		r.Fail(errors.New("a SHA-256 digest in base64 was expected"))
		return nil
	}
	return sum
}

// readStrings reads a list that a consumer bounds by the number of extensions.
func readStrings(r *jsontext.Decoder) []string {
	var list []string
	for a := r.Array(); r.Element(&a); {
		if list = append(list, r.String()); len(list) > wire.MaxExtensions {
			r.Fail(errors.New("a list is too long"))
		}
	}
	return list
}

// Delegation is a statement by which a long-term key claims to vouch for the key that signed.
type Delegation struct {
	By                  string // the key ID of the long-term key
	Session             string // the thumbprint of the session key
	NotBefore, NotAfter string
	Sources, Types      []string
	Problem             string // why the rest is empty
}

func readSignature(sig *dsse.Signature) Signature {
	s := Signature{KeyID: sig.KeyID, Bytes: len(sig.Sig)}
	if sig.Delegation != nil {
		s.Delegation = readDelegation(sig.Delegation)
	}
	return s
}

func readDelegation(raw []byte) *Delegation {
	env, err := dsse.Parse(raw)
	if err != nil {
		return &Delegation{Problem: err.Error()}
	}
	d := &Delegation{By: env.Signatures[0].KeyID}
	r := jsontext.NewDecoder(env.Payload)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "session":
			d.Session = readThumbprint(&r)
		case "not_before":
			d.NotBefore = r.String()
		case "not_after":
			d.NotAfter = r.String()
		case "sources":
			d.Sources = readStrings(&r)
		case "types":
			d.Types = readStrings(&r)
		default:
			r.Failf("unknown member %.80q", obj.Name)
		}
	}
	if err := r.End(); err != nil {
		d.Problem = fmt.Sprintf("statement: %v", err)
	}
	return d
}

func readThumbprint(r *jsontext.Decoder) string {
	key, err := keys.ParseJWK(r.ReadValue())
	if err != nil {
		r.Fail(err)
		return ""
	}
	return key.KeyID()
}
