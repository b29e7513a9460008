package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// PayloadType is the DSSE payload type of the CloudEvents extension "Verifiable CloudEvents with DSSE".
const PayloadType = "https://cloudevents.io/verifiability/dsse/v0.1"

// The limits of the signed payload.
const (
	// MaxDelegations bounds the delegation statements of one event: each costs a verification.
	MaxDelegations = 4
	// MaxProducer is the most bytes of a producer's name, which operators type and metrics carry.
	MaxProducer = 256
	// MaxEncryptedFields bounds the encrypted members of one event: each is looked for in the data, and costs
	// a decryption.
	MaxEncryptedFields = 64
)

// Digest is a SHA-256 digest.
type Digest = [sha256.Size]byte

// Payload is what the signature covers.
type Payload struct {
	Core    Digest
	HasExt  bool
	Ext     Digest
	Names   []string // signedextattrs
	Profile *Profile // nil: sealed by another implementation

	nameRoom    [6]string
	profileRoom Profile
}

// Profile is the member "sealbus", which settles what the standard leaves open.
type Profile struct {
	Version     string // its digits; of another version than "1" nothing else is read
	Producer    string
	Time        string // the exact text of the attribute time, "" = absent
	Types       []Type
	Enc         Enc
	Delegations []Digest

	typeRoom [6]Type
}

// Enc is the member "enc" of the profile: which parts of the data are encrypted.
type Enc struct {
	Whole  bool     // all of it is one JWE
	Fields []string // JSON Pointers to the members that are compact JWEs; none overlaps another
}

// Append writes the payload: no white space, members in the order of SPEC.
func (p *Payload) Append(dst []byte) []byte {
	dst = appendDigest(append(dst, `{"core":`...), &p.Core)
	if p.HasExt {
		dst = appendDigest(append(dst, `,"ext":`...), &p.Ext)
		dst = jsontext.AppendStrings(append(dst, `,"signedextattrs":`...), p.Names)
	}
	if p.Profile != nil {
		dst = p.Profile.append(append(dst, `,"sealbus":`...))
	}
	return append(dst, '}')
}

func (p *Profile) append(dst []byte) []byte {
	dst = jsontext.AppendQuote(append(dst, `{"v":1,"producer":`...), p.Producer)
	if p.Time != "" {
		dst = jsontext.AppendQuote(append(dst, `,"time":`...), p.Time)
	}
	dst = append(dst, `,"types":[`...)
	for i, t := range p.Types {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontext.AppendQuote(dst, t.String())
	}
	dst = append(dst, ']')
	switch {
	case p.Enc.Whole:
		dst = append(dst, `,"enc":"jwe"`...)
	case len(p.Enc.Fields) > 0:
		dst = jsontext.AppendStrings(append(dst, `,"enc":`...), p.Enc.Fields)
	}
	for i := range p.Delegations {
		if i == 0 {
			dst = append(dst, `,"delegations":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendDigest(dst, &p.Delegations[i])
	}
	if len(p.Delegations) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func appendDigest(dst []byte, d *Digest) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), d[:]), '"')
}

// ErrVersion is the error of a payload whose "sealbus" member has a version that we do not know.
var ErrVersion = errors.New(`unknown version of the member "sealbus"`)

// ErrLimit is (wrapped in) the error of a payload that exceeds a limit.
var ErrLimit = errors.New("over the limit")

// ParsePayload is Read into a new Payload, which comes back with an error, too.
func ParsePayload(doc []byte, e *Event) (*Payload, error) {
	p := &Payload{}
	return p, p.Read(doc, e)
}

// Read reads a payload into p, which must be new. Texts that the event e has too are shared with it. With an
// error, p has the members that were read before it, for a reader that only shows them.
func (p *Payload) Read(doc []byte, e *Event) error {
	r := jsontext.NewDecoder(doc)
	var hasCore, hasNames bool
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "core":
			p.Core, hasCore = readDigest(&r), true
		case "ext":
			p.Ext, p.HasExt = readDigest(&r), true
		case "signedextattrs":
			p.Names, hasNames = readNames(&r, e, p.nameRoom[:0]), true
		case "sealbus":
			p.Profile = &p.profileRoom
			p.Profile.read(&r, e)
		default:
			r.SkipValue()
		}
	}
	if !hasCore {
		r.Fail(errors.New(`no member "core"`))
	}
	if p.HasExt != hasNames {
		r.Fail(errors.New(`"ext" and "signedextattrs" go together`))
	}
	known := p.Profile == nil || p.Profile.Version == profileVersion
	if p.Profile != nil && known && r.Err() == nil {
		if !p.HasExt || len(p.Profile.Types) != len(p.Names) {
			r.Fail(errors.New("sealbus: types and signedextattrs differ in length"))
		}
		for i := 0; i < len(p.Names) && r.Err() == nil; i++ {
			if t, ok := DocumentedType(p.Names[i]); ok && t != p.Profile.Types[i] {
				r.Failf("sealbus: %s is of type %s", p.Names[i], t)
			}
		}
		if !slices.Contains(p.Names, AttrRecordedTime) {
			r.Fail(errors.New("sealbus: recordedtime is not signed"))
		}
	}
	if err := r.End(); err != nil {
		return err
	}
	if !known {
		return ErrVersion // only now: a malformed payload is malformed in any version
	}
	return nil
}

func readDigest(r *jsontext.Decoder) (d Digest) {
	var room [48]byte
	b, err := jsontext.Base64.AppendDecode(room[:0], r.Bytes())
	if err != nil || len(b) != len(d) {
		r.Fail(errors.New("a SHA-256 digest in base64 was expected"))
		return d
	}
	return Digest(b)
}

// readNames reads signedextattrs: names of extension attributes, none twice, without dssematerial.
func readNames(r *jsontext.Decoder, e *Event, names []string) []string {
	for a := r.Array(); r.Element(&a); {
		text := r.Bytes()
		name := ""
		i := slices.IndexFunc(e.Extensions, func(a Attribute) bool { return a.Name == string(text) })
		if i >= 0 {
			name = e.Extensions[i].Name
		} else {
			name = string(text)
		}
		switch {
		case r.Err() != nil:
			return nil
		case len(names) == MaxExtensions:
			r.Fail(fmt.Errorf("signedextattrs: %w", ErrLimit))
			return nil
		case !validName(name) || name == "data" || e.field(text) != nil:
			r.Failf("signedextattrs: %.80q may not be listed", name)
			return nil
		case slices.Contains(names, name):
			r.Failf("signedextattrs: %q is listed twice", name)
			return nil
		}
		names = append(names, name)
	}
	return names
}

// profileVersion is the version of the profile.
const profileVersion = "1"

// read reads the member "sealbus".
func (p *Profile) read(r *jsontext.Decoder, e *Event) {
	start := *r
	// The version decides what the other members mean. Producers write it first, so the search ends at once.
	search := start
	for obj := search.Object(); p.Version == "" && search.Member(&obj); {
		if value := search.ReadValue(); string(obj.Name) == "v" {
			p.Version = string(value)
		}
	}
	if p.Version != profileVersion {
		r.ReadDocument()
		if p.Version == "" || strings.Trim(p.Version, "0123456789") != "" {
			r.Fail(errors.New(`sealbus: "v" is not a plain integer`))
		}
		return
	}
	var hasTypes bool
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "v":
			r.SkipValue()
		case "producer":
			p.Producer = r.String()
		case "time":
			text := r.Bytes()
			if p.Time = e.Time; string(text) != e.Time {
				p.Time = string(text)
			}
			at, err := ParseTime(p.Time)
			var canonical [len(time.RFC3339Nano)]byte
			if err != nil || string(at.AppendFormat(canonical[:0], time.RFC3339Nano)) != p.Time {
				r.Fail(errors.New("sealbus: time is not a canonical UTC timestamp"))
			}
		case "types":
			p.Types, hasTypes = p.typeRoom[:0], true
			for a := r.Array(); r.Element(&a); {
				t := slices.Index(typeNames[:], string(r.Bytes()))
				if t <= 0 || len(p.Types) == MaxExtensions { // typeNames[0] is ""
					r.Fail(errors.New("sealbus: types has a text that is no CloudEvents type, or too many"))
					break
				}
				p.Types = append(p.Types, Type(t))
			}
		case "enc":
			p.Enc = readEnc(r)
		case "delegations":
			p.Delegations = readDelegations(r)
		default:
			r.Failf("sealbus: unknown member %.80q", obj.Name)
		}
	}
	if p.Producer == "" || len(p.Producer) > MaxProducer || !hasTypes {
		r.Fail(errors.New("sealbus: producer or types is missing"))
	}
	if r.Err() != nil { // malformed JSON comes before all else that is wrong with the member
		if start.ReadDocument(); start.Err() != nil {
			*r = start
		}
	}
}

// readEnc reads "enc": "jwe", or the JSON Pointers of the encrypted members.
func readEnc(r *jsontext.Decoder) (e Enc) {
	if r.PeekKind() == '"' {
		if r.String() != "jwe" {
			r.Fail(errors.New("sealbus: unknown enc"))
		}
		return Enc{Whole: true}
	}
	for a := r.Array(); r.Element(&a); {
		text := r.String()
		if r.Err() != nil {
			return Enc{}
		}
		if len(e.Fields) == MaxEncryptedFields {
			r.Fail(fmt.Errorf("sealbus: enc: %w", ErrLimit))
			return Enc{}
		}
		if err := jsontext.CheckPointer(text, e.Fields); err != nil {
			r.Failf("sealbus: enc: %w", err)
			return Enc{}
		}
		e.Fields = append(e.Fields, text)
	}
	if len(e.Fields) == 0 {
		r.Fail(errors.New("sealbus: enc is empty"))
	}
	return e
}

func readDelegations(r *jsontext.Decoder) []Digest {
	var list []Digest
	for a := r.Array(); r.Element(&a); {
		d := readDigest(r)
		switch {
		case r.Err() != nil:
			return nil
		case len(list) == MaxDelegations:
			r.Fail(fmt.Errorf("sealbus: delegations: %w", ErrLimit))
		case len(list) > 0 && slices.Compare(list[len(list)-1][:], d[:]) >= 0:
			r.Fail(errors.New("sealbus: delegations are not sorted, or repeat"))
		}
		list = append(list, d)
	}
	if len(list) == 0 {
		r.Fail(errors.New("sealbus: delegations is empty"))
	}
	return list
}

// Absent is H(""): how the standard hashes an attribute that is not there.
var Absent = sha256.Sum256(nil)

// AppendSum appends H(b). The standard signs digests of digests: H( H(a) H(b) ... ).
func AppendSum(dst, b []byte) []byte {
	if len(b) == 0 { // many events lack two of the attributes
		return append(dst, Absent[:]...)
	}
	sum := sha256.Sum256(b)
	return append(dst, sum[:]...)
}

// CoreDigest is the standard's digest of the core attributes and the data. The attribute time, if e has it,
// is hashed in UTC and whole seconds. data is the digest of the data.
func CoreDigest(e *Event, data *Digest) Digest {
	var room [9 * sha256.Size]byte
	var scratch [256]byte
	digests := room[:0]
	for _, s := range [...]string{
		e.ID, e.Source, e.SpecVersion, e.Type, e.DataContentType, e.DataSchema, e.Subject,
	} {
		digests = AppendSum(digests, append(scratch[:0], s...))
	}
	hashed := scratch[:0]
	if e.Time != "" {
		at, _ := ParseTime(e.Time) // it was checked when e was read
		hashed = at.AppendFormat(hashed, time.RFC3339)
	}
	digests = append(AppendSum(digests, hashed), data[:]...)
	return sha256.Sum256(digests)
}

// MaxPatterns is the most patterns of sources, and of types, in one Statement: each is compared with the
// event.
const MaxPatterns = 64

// Statement is what a long-term key says of a session key: when, and for what, the session key may sign.
type Statement struct {
	Session             ed25519.PublicKey // not checked to be a point of the curve
	NotBefore, NotAfter time.Time         // in whole seconds; NotAfter is excluded
	Sources, Types      []string          // patterns, as they stand
}

// ReadStatement reads the payload of a delegation: all five members and no other. With an error, the members
// that were read before it come back, for a reader that only shows them.
func ReadStatement(doc []byte) (*Statement, error) {
	s := &Statement{}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "session":
			// A JWK (RFC 8037 section 2) that has its thumbprint members only has this canonical form.
			jwk := string(r.ReadDocument().Canonical)
			x, ok := strings.CutPrefix(jwk, `{"crv":"Ed25519","kty":"OKP","x":"`)
			key, err := jsontext.Base64URL.AppendDecode(nil, []byte(strings.TrimSuffix(x, `"}`)))
			if !ok || err != nil || len(key) != ed25519.PublicKeySize {
				r.Failf("the session key is not an Ed25519 key")
			} else {
				s.Session = key
			}
		case "not_before", "not_after":
			text := r.String()
			at, err := ParseTime(text)
			if err != nil || at.Format(time.RFC3339) != text {
				r.Failf("%s is not a UTC timestamp in whole seconds", name)
			} else if name == "not_before" {
				s.NotBefore = at
			} else {
				s.NotAfter = at
			}
		case "sources", "types":
			list := &s.Sources
			if name == "types" {
				list = &s.Types
			}
			for a := r.Array(); r.Element(&a); {
				if *list = append(*list, r.String()); len(*list) > MaxPatterns {
					r.Failf("more than %d patterns in %s", MaxPatterns, name)
				}
			}
		default:
			r.Failf("unknown member %.80q", name)
		}
	}
	if s.Session == nil || s.NotBefore.IsZero() || s.NotAfter.IsZero() {
		r.Fail(errors.New("session, not_before or not_after is missing"))
	}
	return s, r.End()
}
