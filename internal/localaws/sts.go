package localaws

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
)

// stsAPI is AWS STS, as far as it says who calls. It speaks the query protocol: a form, answered in XML.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
var stsAPI = &api{
	contentType: "text/xml", iam: "sts",
	actions:   map[string]action{"GetCallerIdentity": decoded((*Server).getCallerIdentity)},
	throttled: &fault{status: http.StatusBadRequest, code: "Throttling", message: "Rate exceeded"},
	broken: &fault{status: http.StatusInternalServerError, code: "InternalFailure",
		message: "The request processing has failed because of an unknown error."},
	denied: func(s *Server, action string) error {
		return &fault{status: http.StatusForbidden, code: "AccessDenied", message: "User: " + s.caller() +
			" is not authorized to perform: sts:" + action}
	},
	encode: encodeXML,
}

// stsRequest is the action of a form; "" = it is none.
func stsRequest(r *http.Request, body []byte) string {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return ""
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("Action")
}

type callerIdentity struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	Arn       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

func (s *Server) getCallerIdentity(*struct{}) (*callerIdentity, error) {
	return &callerIdentity{Arn: s.caller(), UserID: "AIDAEXAMPLE", Account: s.opts.Account,
		RequestID: newUUID()}, nil
}

// encodeXML writes an answer, or an error as the query protocol has it.
func encodeXML(out any, f *fault) ([]byte, error) {
	if f == nil {
		return xml.Marshal(out)
	}
	kind := "Sender"
	if f.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	return xml.Marshal(struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Type      string   `xml:"Error>Type"`
		Code      string   `xml:"Error>Code"`
		Message   string   `xml:"Error>Message"`
		RequestID string   `xml:"RequestId"`
	}{Type: kind, Code: f.code, Message: f.message, RequestID: newUUID()})
}
