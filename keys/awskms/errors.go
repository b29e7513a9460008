package awskms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/keys"
)

// failed is the *keys.ServiceError of an error of KMS or of the SDK; nil for nil. What somebody can mend (a policy, a grant on
// its way, a disabled key, a quota) is no verdict on an event: it is not permanent.
func (a *access) failed(op, source string, err error) error {
	if err == nil {
		return nil
	}
	if done, ok := errors.AsType[*keys.ServiceError](err); ok {
		return done
	}
	e := &keys.ServiceError{Op: op, KeyID: a.name, Err: err}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		e.Cause, e.Fix = "KMS did not answer: "+oneLine(rootOf(err)), "check the network path to KMS in "+cmp.Or(a.region, "the client's region")+" (VPC endpoint, proxy, DNS) and the credentials; it is tried again"
		return e
	}
	e.Cause = oneLine(api.ErrorCode() + ": " + api.ErrorMessage())
	e.Permanent = isFault(op, api.ErrorCode()) && !strings.Contains(strings.ToLower(api.ErrorMessage()), "granttoken") // which are ours
	if e.Permanent && source != "" {
		e.Cause += fmt.Sprintf(`; the encryption context was {"sealbus:source": %.200q}`, source)
	}
	e.Fix = a.fix(op, api.ErrorCode())
	return e
}

// isFault reports whether KMS says that what it was to decrypt was not made by that key in that context. Only when decrypting is
// what is not valid somebody else's.
func isFault(op, code string) bool {
	switch code {
	case "InvalidCiphertextException", "IncorrectKeyException":
		return true
	case "ValidationException":
		return op == opDecrypt || op == opDerive
	}
	return false
}

// fix says what to do.
func (a *access) fix(op, code string) string {
	switch code {
	case "AccessDeniedException", "AccessDenied":
		return fmt.Sprintf("allow %s on %s to this role, in the key policy or by IAM%s; a new grant takes up to five minutes to be seen, at once with its grant token%s", op, a.name, contextHint(op), a.regionHint())
	case "NotFoundException", "InvalidArnException":
		return fmt.Sprintf("check the ARN %s: the key does not exist there, or was deleted%s", a.name, a.regionHint())
	case "DisabledException":
		return "enable the key " + a.name + " (kms:EnableKey)"
	case "KMSInvalidStateException", "KeyUnavailableException":
		return "look at the state of the key " + a.name + ": while it is pending deletion, cancel that (kms:CancelKeyDeletion) and enable it; while it is being made or replicated, wait"
	case "ThrottlingException", "LimitExceededException", "RequestLimitExceeded", "TooManyRequestsException":
		return "KMS has too many requests: look for who makes them in CloudTrail, or have the quota of " + op + " raised; it is tried again"
	case "InvalidKeyUsageException", "UnsupportedOperationException", "InvalidGrantTokenException":
		return "the key " + a.name + " is not one for " + op + ", or a grant token is not valid: correct the configuration"
	case "InvalidCiphertextException", "IncorrectKeyException", "ValidationException":
		return "the event was encrypted under another key, or for another source: have the producer encrypt to " + a.name
	case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "InvalidClientTokenId", "IncompleteSignature":
		return "the credentials are not valid, or have expired: renew them"
	}
	return "look at the key " + a.name + " and at the health of KMS; it is tried again"
}

func contextHint(op string) string {
	if op == opGenerate || op == opEncrypt || op == opDecrypt {
		return ", for the encryption context sealbus:source"
	}
	return ""
}

// regionHint tells of a client that asks another region than the key is in.
func (a *access) regionHint() string {
	p, ok := parseARN(a.name)
	if !ok || a.region == "" || a.region == p.region {
		return ""
	}
	return fmt.Sprintf("; the key is in %s and the client asks %s: make a client for %s", p.region, a.region, p.region)
}

// rootOf is the innermost error, without the request's URL and ID that the SDK puts around it.
func rootOf(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// oneLine bounds text of others.
func oneLine(text any) string {
	s := strings.Join(strings.Fields(fmt.Sprint(text)), " ")
	const most = 400
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
