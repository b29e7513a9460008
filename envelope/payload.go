package envelope

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// payloadType is the DSSE payload type of the CloudEvents extension "Verifiable CloudEvents with DSSE".
const payloadType = "https://cloudevents.io/verifiability/dsse/v0.1"

// profileVersion is the version of our own member of the signed payload.
const profileVersion = "1"

// MaxDelegations bounds the delegation statements of one event: each costs a verification.
const MaxDelegations = 4

// maxProducer bounds a producer's name, which operators type and metrics carry.
const maxProducer = 256

// payload is what the signature covers.
type payload struct {
	core    digest
	hasExt  bool
	ext     digest
	names   []string // signedextattrs
	profile *profile // nil: sealed by another implementation

	nameRoom    [6]string
	profileRoom profile
}

// profile is the member "sealbus": what the standard leaves open, closed.
type profile struct {
	producer    string
	time        string // the exact text of the attribute time, "" = absent
	types       []AttributeType
	enc         enc
	delegations []digest
	unknown     bool // of a version that we do not know: nothing else was read

	typeRoom [6]AttributeType
}

// append writes the payload: no white space, members in the order of SPEC.
func (p *payload) append(dst []byte) []byte {
	dst = appendDigest(append(dst, `{"core":`...), &p.core)
	if p.hasExt {
		dst = appendDigest(append(dst, `,"ext":`...), &p.ext)
		dst = jsontext.AppendStrings(append(dst, `,"signedextattrs":`...), p.names)
	}
	if p.profile != nil {
		dst = p.profile.append(append(dst, `,"sealbus":`...))
	}
	return append(dst, '}')
}

func (p *profile) append(dst []byte) []byte {
	dst = jsontext.AppendQuote(append(dst, `{"v":1,"producer":`...), p.producer)
	if p.time != "" {
		dst = jsontext.AppendQuote(append(dst, `,"time":`...), p.time)
	}
	dst = append(dst, `,"types":[`...)
	for i, t := range p.types {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontext.AppendQuote(dst, t.String())
	}
	dst = p.enc.append(append(dst, ']'))
	if len(p.delegations) > 0 {
		dst = append(dst, `,"delegations":[`...)
		for i := range p.delegations {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendDigest(dst, &p.delegations[i])
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func appendDigest(dst []byte, d *digest) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), d[:]), '"')
}

// errVersion is the error of a payload whose "sealbus" member has a version that we do not know.
var errVersion = errors.New(`unknown version of the member "sealbus"`)

// errTooMany is the error of a payload that exceeds a limit.
var errTooMany = errors.New("over the limit")

// parsePayload reads the signed payload. Its signature was verified already: what is wrong here was signed.
// Texts that the event e has too are shared with it.
func parsePayload(doc []byte, e *wire.Event) (*payload, error) {
	p := &payload{}
	r := jsontext.NewDecoder(doc)
	var hasCore, hasNames bool
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "core":
			p.core, hasCore = readDigest(&r), true
		case "ext":
			p.ext, p.hasExt = readDigest(&r), true
		case "signedextattrs":
			p.names, hasNames = readNames(&r, e, p.nameRoom[:0]), true
		case "sealbus":
			p.profile = &p.profileRoom
			p.profile.read(&r, e)
		default:
			r.SkipValue()
		}
	}
	if !hasCore {
		r.Fail(errors.New(`no member "core"`))
	}
	if p.hasExt != hasNames {
		r.Fail(errors.New(`"ext" and "signedextattrs" go together`))
	}
	p.checkProfile(&r)
	if err := r.End(); err != nil {
		return nil, err
	}
	if p.profile != nil && p.profile.unknown {
		return nil, errVersion // only now: what is malformed is so in any version
	}
	return p, nil
}

func readDigest(r *jsontext.Decoder) (d digest) {
	text := r.Bytes()
	var room [48]byte
	b, err := jsontext.DecodeBase64(room[:0], text)
	if err != nil || len(b) != len(d) {
		r.Fail(errors.New("a SHA-256 digest in base64 was expected"))
		return d
	}
	return digest(b)
}

// readNames reads signedextattrs: attribute names, none twice, none of the core, not dssematerial.
func readNames(r *jsontext.Decoder, e *wire.Event, names []string) []string {
	for a := r.Array(); r.Element(&a); {
		name := shared(r.Bytes(), e)
		switch {
		case r.Err() != nil:
			return nil
		case len(names) == wire.MaxExtensions:
			r.Fail(fmt.Errorf("signedextattrs: %w", errTooMany))
			return nil
		case !isAttributeName(name) || isCore(name) || name == attrMaterial:
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

// shared is text as a string: the event's own where an extension has that name.
func shared(text []byte, e *wire.Event) string {
	for i := range e.Extensions {
		if e.Extensions[i].Name == string(text) {
			return e.Extensions[i].Name
		}
	}
	return string(text)
}

// read reads the member "sealbus". An unknown version is found before the members that it may have.
func (p *profile) read(r *jsontext.Decoder, e *wire.Event) {
	raw := r.ReadSpan() // checkVersion parses all of it
	if r.Err() != nil {
		return
	}
	err := checkVersion(raw)
	if p.unknown = errors.Is(err, errVersion); p.unknown {
		return
	}
	if r.Fail(err); err != nil {
		return
	}
	in := jsontext.NewDecoder(raw)
	var hasTypes bool
	for obj := in.Object(); in.Member(&obj); {
		switch string(obj.Name) {
		case "v":
			in.SkipValue()
		case "producer":
			p.producer = in.String()
		case "time":
			p.time = readTime(&in, e)
		case "types":
			p.types, hasTypes = readTypes(&in, p.typeRoom[:0]), true
		case "enc":
			p.enc = readEnc(&in)
		case "delegations":
			p.delegations = readDelegations(&in)
		default:
			in.Failf("sealbus: unknown member %.80q", obj.Name)
		}
	}
	if p.producer == "" || len(p.producer) > maxProducer || !hasTypes {
		in.Fail(errors.New("sealbus: producer or types is missing"))
	}
	r.Fail(in.End())
}

// checkVersion parses the whole member and looks at its version only.
func checkVersion(raw []byte) error {
	in := jsontext.NewDecoder(raw)
	version := ""
	for obj := in.Object(); in.Member(&obj); {
		value := in.ReadValue()
		if string(obj.Name) == "v" {
			version = string(value)
		}
	}
	switch err := in.End(); {
	case err != nil:
		return err
	case version == "" || strings.Trim(version, "0123456789") != "":
		return errors.New(`sealbus: "v" is not a plain integer`)
	case version != profileVersion:
		return errVersion
	}
	return nil
}

func readTime(r *jsontext.Decoder, e *wire.Event) string {
	text := r.Bytes()
	if r.Err() == nil && string(text) == e.Time && isCanonicalTime(e.Time) {
		return e.Time
	}
	if r.Err() == nil && !isCanonicalTime(string(text)) {
		r.Fail(errors.New("sealbus: time is not a canonical UTC timestamp"))
	}
	return string(text)
}

// isCanonicalTime reports whether text is a timestamp in UTC, with Z, and without trailing zeros in its
// fraction.
func isCanonicalTime(text string) bool {
	if _, err := wire.ParseTime(text); err != nil {
		return false
	}
	digits, utc := strings.CutSuffix(text, "Z")
	return utc && !(strings.Contains(digits, ".") && strings.HasSuffix(digits, "0"))
}

func readTypes(r *jsontext.Decoder, types []AttributeType) []AttributeType {
	for a := r.Array(); r.Element(&a); {
		t, ok := wire.ParseType(string(r.Bytes()))
		if !ok || len(types) == wire.MaxExtensions {
			r.Fail(errors.New("sealbus: types holds what is no CloudEvents type"))
			return nil
		}
		types = append(types, AttributeType(t))
	}
	return types
}

func readDelegations(r *jsontext.Decoder) []digest {
	var list []digest
	for a := r.Array(); r.Element(&a); {
		d := readDigest(r)
		switch {
		case r.Err() != nil:
			return nil
		case len(list) == MaxDelegations:
			r.Fail(fmt.Errorf("sealbus: delegations: %w", errTooMany))
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
func (p *payload) checkProfile(r *jsontext.Decoder) {
	if p.profile == nil || p.profile.unknown || r.Err() != nil {
		return
	}
	if !p.hasExt || len(p.profile.types) != len(p.names) {
		r.Fail(errors.New("sealbus: types and signedextattrs differ in length"))
		return
	}
	recorded := false
	for i, name := range p.names {
		if t, ok := documentedType(name); ok && t != p.profile.types[i] {
			r.Failf("sealbus: %s is of type %s", name, t)
		}
		recorded = recorded || name == attrRecordedTime
	}
	if !recorded {
		r.Fail(errors.New("sealbus: recordedtime is not signed"))
	}
}
