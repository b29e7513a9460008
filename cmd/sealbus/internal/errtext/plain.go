package errtext

import (
	"errors"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"
)

// packages are the names with which packages begin their errors. They help a programmer, and mean nothing to
// a person at a terminal.
var packages = []string{
	"keys", "trust", "session", "policy", "eventbridge", "producer", "envelope", "replay", "awss3", "awskms",
	"tinkkeys", "tinkawskms", "consumer", "quarantine",
	"quarantine/s3", "quarantine/sqs", "pflag", "webhook", "ingest", "gateway", "schema", "authn",
	"clientcredentials", "home", "localaws",
}

// Plain is the text of an error for people. It has plain words for what the AWS SDK and net/http say in many,
// and no names of packages.
func Plain(err error) string {
	message := "\n" + short(err)
	for _, before := range []string{"\n", ": "} {
		for _, pkg := range packages {
			message = strings.ReplaceAll(message, before+pkg+": ", before)
		}
	}
	return message[1:]
}

// short is the text of err with plain words for what the AWS SDK and net/http say in many.
func short(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*smithy.OperationError](err); ok {
		return strings.Replace(text, e.Error(), AWS(e).Error(), 1)
	}
	if e, ok := errors.AsType[*url.Error](err); ok && IsNetwork(e) {
		if _, done := errors.AsType[*Unreached](err); !done {
			return strings.Replace(text, e.Error(), Reached("it", e).Error(), 1)
		}
	}
	return text
}
