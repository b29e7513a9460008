package wire

import (
	"errors"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// The names of the extension attributes that sealbus itself reads or writes.
const (
	AttrMaterial     = "dssematerial"
	AttrRecordedTime = "recordedtime"
	AttrOriginalTime = "originalrecordedtime" // the recordedtime that an event had before a forwarder sealed it; never judged
	AttrExpiryTime   = "expirytime"
	AttrAudience     = "audience"
	AttrRecipients   = "jwerecipients" // of the encrypted members of the data: the "recipients" of RFC 7516 section 7.2.1, as JSON
)

// DocumentedType is the type of an extension that the CloudEvents project documents
// (github.com/cloudevents/spec, cloudevents/extensions), and of ours, whatever type arrives.
func DocumentedType(name string) (Type, bool) {
	switch name {
	case AttrRecordedTime, AttrOriginalTime, AttrExpiryTime, "deprecationfrom", "deprecationsunset":
		return Timestamp, true
	case "sampledrate", "severitynumber", "opcuametadatamajorversion", "opcuametadataminorversion", "opcuastatus":
		return Integer, true
	case "deprecated", "bamptxcompleted":
		return Boolean, true
	case "dataref":
		return URIReference, true
	case "deprecationmigration":
		return URI, true
	case AttrAudience, AttrRecipients, "authtype", "authid", "authclaims", "bamtxid", "bampid", "bamptxid", "bamptxsid", "bamptxsstatus",
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
		return jsontext.DecodeBase64(dst, []byte(text))
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
