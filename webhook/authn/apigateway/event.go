package apigateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// event is what is read of an event for an authorizer
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html,
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html).
type event struct {
	version, kind, token, arn, routeKey string
	sources                             []string // the values of the identity sources, of an HTTP API
	header                              http.Header
	query                               url.Values
}

// readEvent reads an event of one of the formats. A member that stands twice or has another type is refused.
func readEvent(text []byte) (*event, error) {
	e := new(event)
	var single, multi, params, multiParams map[string][]string
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		if d.PeekKind() == 'n' {
			d.SkipValue()
			continue
		}
		switch string(o.Name) {
		case "version":
			e.version = d.String()
		case "type":
			e.kind = d.String()
		case "authorizationToken":
			e.token = d.String()
		case "methodArn", "routeArn":
			e.arn = d.String()
		case "routeKey":
			e.routeKey = d.String()
		case "identitySource":
			for _, value := range readList(&d) {
				e.sources = append(e.sources, strings.Split(value, ",")...) // the format 1.0 joins them
			}
		case "headers":
			single = readValues(&d)
		case "multiValueHeaders":
			multi = readValues(&d)
		case "queryStringParameters":
			params = readValues(&d)
		case "multiValueQueryStringParameters":
			multiParams = readValues(&d)
		default:
			d.SkipValue()
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	if multi == nil {
		multi = single
	}
	if multiParams == nil {
		multiParams = params
	}
	e.query, e.header = multiParams, make(http.Header, len(multi))
	for name, values := range multi { // names that differ in case are one header
		name = textproto.CanonicalMIMEHeaderKey(name)
		e.header[name] = append(e.header[name], values...)
	}
	return e, e.check()
}

func (e *event) check() error {
	switch {
	case e.kind == "TOKEN" && e.version == "", e.kind == "REQUEST" && e.version == "",
		e.kind == "REQUEST" && (e.version == "1.0" || e.version == "2.0"):
	default:
		return fmt.Errorf("the version %.20q and the type %.20q are none of an authorizer's", e.version, e.kind)
	}
	if e.arn == "" {
		return errors.New("it has no methodArn or routeArn")
	}
	return nil
}

// stage is the ARN up to the stage and a "/" after it. The method and the path that follow are the caller's.
func (e *event) stage() (string, error) {
	api, rest, ok := strings.Cut(e.arn, "/")
	stage, rest, more := strings.Cut(rest, "/")
	parts := strings.Split(api, ":")
	if !ok || !more || rest == "" || stage == "" || len(parts) != 6 || parts[0] != "arn" ||
		parts[2] != "execute-api" || parts[5] == "" || strings.ContainsAny(api+stage, "*?\"\\ ") {
		return "", fmt.Errorf("%.120q is not the ARN of a method", e.arn)
	}
	return api + "/" + stage + "/", nil
}

func readList(d *jsontext.Decoder) (list []string) {
	if d.PeekKind() == '"' {
		return []string{d.String()}
	}
	for a := d.Array(); d.Element(&a); {
		if d.PeekKind() == 'n' {
			d.SkipValue()
			continue
		}
		list = append(list, d.String())
	}
	return list
}

// readValues reads an object of texts, or of lists of texts.
func readValues(d *jsontext.Decoder) map[string][]string {
	values := make(map[string][]string)
	for o := d.Object(); d.Member(&o); {
		if d.PeekKind() == 'n' {
			d.SkipValue()
			continue
		}
		name := string(o.Name)
		values[name] = readList(d)
	}
	return values
}
