package wire

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
