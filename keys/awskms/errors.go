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

// failed makes a *keys.ServiceError of an error of KMS or of the SDK; nil for nil. A fault that an operator
// can mend is not permanent: a policy, a new grant, a disabled key, a quota.
func (a *access) failed(op, source string, err error) error {
	if err == nil {
		return nil
	}
	if done, ok := errors.AsType[*keys.ServiceError](err); ok {
		return done
	}
	e := &keys.ServiceError{Op: op, KeyID: a.name, Err: err}
	if answer, ok := errors.AsType[wrongAnswer](err); ok {
		e.Cause, e.Fix = oneLine(answer),
			"check what the client asks: its endpoint answers, and not as KMS does"
		return e
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		e.Cause, e.Fix = "KMS did not answer: "+oneLine(rootOf(err)), "check the network path to KMS in "+
			cmp.Or(a.region, "the client's region")+" (VPC endpoint, proxy, DNS) and the credentials"
		if errors.Is(err, context.DeadlineExceeded) {
			e.Cause = fmt.Sprintf("KMS did not answer within %v, with all tries: %v", a.opts.Timeout,
				context.DeadlineExceeded)
			e.Fix += ". It may be that KMS throttles: look in CloudTrail"
		}
		return e
	}
	e.Cause = oneLine(api.ErrorCode() + ": " + api.ErrorMessage())
	e.Permanent = isFault(op, api)
	if e.Permanent && source != "" {
		e.Cause += fmt.Sprintf(`; the encryption context was {"sealbus:source": %.200q}`, source)
	}
	e.Fix = a.fix(op, api.ErrorCode())
	if e.Permanent {
		e.Fix = "the event was encrypted under another key, or for another source: have the producer encrypt to " + a.name
	}
	return e
}

// wrongAnswer is an answer of KMS that does not fit the request. It does not show whether the event is good.
type wrongAnswer string

// Is makes it a keys.ErrWrongAnswer.
func (w wrongAnswer) Is(target error) bool { return target == keys.ErrWrongAnswer }

// Error says what is wrong.
func (w wrongAnswer) Error() string { return "the answer is not to be used: " + string(w) }

func wrong(format string, args ...any) error { return wrongAnswer(fmt.Sprintf(format, args...)) }

// left is the error when the caller's context ended first. It does not blame KMS.
func (a *access) left(op string, err error) error {
	return &keys.ServiceError{Op: op, KeyID: a.name, Err: err, Cause: "KMS was not waited for: " +
		oneLine(err),
		Fix: "give it more time: the caller's deadline was over, or it was told to stop"}
}

// isFault reports whether KMS says that the ciphertext was not encrypted under that key in that context. Only
// that is a fault of the event. The key and the grant tokens come from the configuration.
func isFault(op string, api smithy.APIError) bool {
	switch api.ErrorCode() {
	case "InvalidCiphertextException", "IncorrectKeyException":
		return true
	case "ValidationException":
		about := strings.ToLower(strings.ReplaceAll(api.ErrorMessage(), " ", ""))
		ours := strings.Contains(about, "granttoken") || strings.Contains(about, "'keyid'")
		return op == opDecrypt && !ours && (strings.Contains(about, "ciphertext") ||
			strings.Contains(about, "encryptioncontext"))
	}
	return false
}

// fix says what to do.
func (a *access) fix(op, code string) string {
	switch code {
	case "AccessDeniedException", "AccessDenied":
		return fmt.Sprintf("allow %s on %s to this role, in the key policy or by IAM%s; a new grant takes up to five minutes to be seen, at once with its grant token%s", op, a.name, contextHint(op), a.regionHint())
	case "NotFoundException", "InvalidArnException":
		return fmt.Sprintf("check the ARN %s: the key does not exist there, or was deleted%s", a.name,
			a.regionHint())
	case "DisabledException":
		return "enable the key " + a.name + " (kms:EnableKey)"
	case "KMSInvalidStateException", "KeyUnavailableException":
		return "look at the state of the key " + a.name +
			": while it is pending deletion, cancel that (kms:CancelKeyDeletion) and enable it; if its key material has to be imported, import it; while it is being made or replicated, wait"
	case "ThrottlingException", "LimitExceededException", "RequestLimitExceeded", "TooManyRequestsException":
		return "KMS has too many requests: look for who makes them in CloudTrail, or have the quota of " +
			op + " raised"
	case "InvalidKeyUsageException", "UnsupportedOperationException", "InvalidGrantTokenException",
		"ValidationException":
		return "the key " + a.name + " is not one for " + op +
			", or a grant token is not valid: correct the configuration"
	case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException",
		"InvalidClientTokenId", "IncompleteSignature":
		return "the credentials are not valid, or have expired, or the clock is wrong: renew them, and look at the clock"
	}
	return "look at the key " + a.name + " and at the health of KMS"
}

func contextHint(op string) string {
	if op == opGenerate || op == opEncrypt || op == opDecrypt {
		return ", for the encryption context sealbus:source"
	}
	return ""
}

// regionHint names the regions if the client's region is not the key's.
func (a *access) regionHint() string {
	p, ok := parseARN(a.name)
	if !ok || a.region == "" || a.region == p.region {
		return ""
	}
	return fmt.Sprintf("; the key is in %s and the client asks %s: make a client for %s", p.region, a.region,
		p.region)
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

// oneLine is a text from outside, shortened and in one line.
func oneLine(text any) string {
	s := strings.Join(strings.Fields(fmt.Sprint(text)), " ")
	const most = 400
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
