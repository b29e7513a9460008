package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	Whole  bool               // all of it is one JWE
	Fields []jsontext.Pointer // these members are compact JWEs; none overlaps another
}

// Any reports whether any part of the data is encrypted.
func (e *Enc) Any() bool { return e.Whole || len(e.Fields) > 0 }

// Texts are the pointers to the encrypted members as they are written; nil for the whole data.
func (e *Enc) Texts() []string {
	if len(e.Fields) == 0 {
		return nil
	}
	list := make([]string, len(e.Fields))
	for i := range e.Fields {
		list[i] = e.Fields[i].String()
	}
	return list
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
		dst = jsontext.AppendStrings(append(dst, `,"enc":`...), p.Enc.Texts())
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

// ParsePayload reads a payload. Texts that the event e has too are shared with it. With an error, the members
// that were read before it come back, for a reader that only shows them.
func ParsePayload(doc []byte, e *Event) (*Payload, error) {
	p := &Payload{}
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
		p.checkProfile(&r)
	}
	if err := r.End(); err != nil {
		return p, err
	}
	if !known {
		return p, ErrVersion // only now: a malformed payload is malformed in any version
	}
	return p, nil
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

// readNames reads signedextattrs: attribute names, none twice, none of the core, not dssematerial.
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
		case !validName(name) || isCore(name) || name == AttrMaterial:
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

// isCore reports whether name belongs to the core digest or to the data: it may not be listed in
// signedextattrs.
func isCore(name string) bool {
	switch name {
	case "id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time",
		"data", "data_base64":
		return true
	}
	return false
}

// profileVersion is the version of the profile.
const profileVersion = "1"

// read reads the member "sealbus".
func (p *Profile) read(r *jsontext.Decoder, e *Event) {
	start := *r
	p.Version = version(start)
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
			p.Time = readTime(r, e)
		case "types":
			p.Types, hasTypes = readTypes(r, p.typeRoom[:0]), true
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

// version is the value of "v" in the object that r is at, or "". Producers write it first, so that this looks
// at no other member.
func version(r jsontext.Decoder) string {
	for obj := r.Object(); r.Member(&obj); r.SkipValue() {
		if string(obj.Name) == "v" {
			return string(r.ReadValue())
		}
	}
	return ""
}

func readTime(r *jsontext.Decoder, e *Event) string {
	text := r.Bytes()
	if r.Err() != nil {
		return ""
	}
	is := e.Time
	if string(text) != is {
		is = string(text)
	}
	// A canonical time is in UTC, with Z, and without trailing zeros in its fraction.
	digits, utc := strings.CutSuffix(is, "Z")
	zeros := strings.Contains(digits, ".") && strings.HasSuffix(digits, "0")
	if _, err := ParseTime(is); err != nil || !utc || zeros {
		r.Fail(errors.New("sealbus: time is not a canonical UTC timestamp"))
	}
	return is
}

func readTypes(r *jsontext.Decoder, types []Type) []Type {
	for a := r.Array(); r.Element(&a); {
		t, ok := ParseType(string(r.Bytes()))
		if !ok || len(types) == MaxExtensions {
			r.Fail(errors.New("sealbus: types holds what is no CloudEvents type"))
			return nil
		}
		types = append(types, t)
	}
	return types
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
		var err error
		if e.Fields, err = jsontext.AddPointer(e.Fields, text); err != nil {
			r.Failf("sealbus: enc: %w", err)
			return Enc{}
		}
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

// checkProfile holds the members of our profile against each other.
func (p *Payload) checkProfile(r *jsontext.Decoder) {
	if !p.HasExt || len(p.Profile.Types) != len(p.Names) {
		r.Fail(errors.New("sealbus: types and signedextattrs differ in length"))
		return
	}
	recorded := false
	for i, name := range p.Names {
		if t, ok := DocumentedType(name); ok && t != p.Profile.Types[i] {
			r.Failf("sealbus: %s is of type %s", name, t)
		}
		recorded = recorded || name == AttrRecordedTime
	}
	if !recorded {
		r.Fail(errors.New("sealbus: recordedtime is not signed"))
	}
}

// Absent is H(""): how the standard hashes an attribute that is not there.
var Absent = sha256.Sum256(nil)

// The digests of texts that nearly every event has.
var (
	specVersion = sha256.Sum256([]byte("1.0"))
	jsonType    = sha256.Sum256([]byte("application/json"))
)

// Hasher computes digests of digests: H( H(a) H(b) ... ). Reset it before each.
type Hasher struct {
	digests []byte
	room    [9 * sha256.Size]byte // the core digest fits
	Scratch [256]byte             // room for a value while it is added
}

// Reset begins a digest of digests.
func (h *Hasher) Reset() { h.digests = h.room[:0] }

// Text adds H(s), without an allocation for short ones.
func (h *Hasher) Text(s string) {
	switch s {
	case "1.0":
		h.digests = append(h.digests, specVersion[:]...)
	case "application/json":
		h.digests = append(h.digests, jsonType[:]...)
	default:
		h.Bytes(append(h.Scratch[:0], s...))
	}
}

// Bytes adds H(b).
func (h *Hasher) Bytes(b []byte) {
	if len(b) == 0 {
		h.digests = append(h.digests, Absent[:]...)
		return
	}
	sum := sha256.Sum256(b)
	h.digests = append(h.digests, sum[:]...)
}

// Sum is the digest of the digests that were added.
func (h *Hasher) Sum() Digest { return sha256.Sum256(h.digests) }

// CoreDigest is the standard's digest of the core attributes and the data; seconds is the attribute time as
// it is hashed, empty if absent.
func (h *Hasher) CoreDigest(e *Event, seconds []byte, data *Digest) Digest {
	h.Reset()
	for _, s := range [...]string{
		e.ID, e.Source, e.SpecVersion, e.Type, e.DataContentType, e.DataSchema, e.Subject,
	} {
		h.Text(s)
	}
	h.Bytes(seconds)
	h.digests = append(h.digests, data[:]...)
	return h.Sum()
}

// The names of the extension attributes that sealbus itself reads or writes.
const (
	AttrMaterial     = "dssematerial"
	AttrRecordedTime = "recordedtime"
	AttrOriginalTime = "originalrecordedtime" // the recordedtime before a forwarder sealed the event; never judged
	AttrExpiryTime   = "expirytime"
	AttrAudience     = "audience"
	AttrRecipients   = "jwerecipients" // of encrypted members: the "recipients" of RFC 7516 section 7.2.1
)

// DocumentedType is the type of an extension that the CloudEvents project documents
// (github.com/cloudevents/spec, cloudevents/extensions), and of ours, whatever type arrives.
func DocumentedType(name string) (Type, bool) {
	switch name {
	case AttrRecordedTime, AttrOriginalTime, AttrExpiryTime, "deprecationfrom", "deprecationsunset":
		return Timestamp, true
	case "sampledrate", "severitynumber", "opcuametadatamajorversion", "opcuametadataminorversion",
		"opcuastatus":
		return Integer, true
	case "deprecated", "bamptxcompleted":
		return Boolean, true
	case "dataref":
		return URIReference, true
	case "deprecationmigration":
		return URI, true
	case AttrAudience, AttrRecipients, "authtype", "authid", "authclaims",
		"bamtxid", "bampid", "bamptxid", "bamptxsid", "bamptxsstatus",
		"correlationid", "causationid", "dataclassification", "dataregulation", "datacategory", "partitionkey",
		"sequence", "sequencetype", "severitytext", "traceparent", "tracestate":
		return String, true
	}
	return 0, false
}

// ErrFraction is the error of a Timestamp with a fraction, of which AppendHashed leaves the fraction out.
var ErrFraction = errors.New("is not in whole seconds")

var errNotCanonical = errors.New("is not the canonical text of its type")

// AppendHashed appends the bytes that the standard hashes for a value of that type, read from its text on the
// wire: Boolean true/false, Integer decimal, Timestamp in UTC and whole seconds, Binary its bytes, others as
// they are. A Timestamp with a fraction is appended without it, and ErrFraction returned beside.
func AppendHashed(dst []byte, t Type, text string) ([]byte, error) {
	switch t {
	case Boolean:
		if text != "true" && text != "false" {
			return dst, errNotCanonical
		}
	case Integer:
		if !plainInteger(text) {
			return dst, errNotCanonical
		}
	case Binary:
		return jsontext.Base64.AppendDecode(dst, []byte(text))
	case Timestamp:
		at, err := ParseTime(text)
		if err != nil {
			return dst, err
		}
		dst = AppendSeconds(dst, at)
		if at.Nanosecond() != 0 {
			return dst, ErrFraction
		}
		return dst, nil
	}
	return append(dst, text...), nil
}
