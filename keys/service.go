package keys

import (
	"context"
	"errors"
	"fmt"
)

// ServiceRecipient is a symmetric key that never leaves a key management service, such as AWS KMS. A program
// that may encrypt under it there can make events that only its ServiceIdentity opens. Implementations are
// safe for concurrent use.
//
// The service binds each encrypted key to the source of the events that it is for. In AWS KMS, that is the
// encryption context {"sealbus:source": source}: policies can grant one source, and logs name it. A service
// without such a context authenticates the same text as additional data.
type ServiceRecipient interface {
	// KeyID is the full name of the key, by which an identity knows its own: the ARN of a KMS key.
	KeyID() string
	// GenerateKey has the service make a content key. It returns the key, which has 32 bytes and which the
	// caller clears, and the encrypted key.
	GenerateKey(ctx context.Context, source string) (key, encrypted []byte, err error)
	// EncryptKey has the service encrypt a content key that the caller has. It does not keep key.
	EncryptKey(ctx context.Context, source string, key []byte) (encrypted []byte, err error)
}

// ServiceIdentity opens events that were encrypted to a ServiceRecipient. Implementations are safe for
// concurrent use.
type ServiceIdentity interface {
	// KeyID is the full name of the key.
	KeyID() string
	// Takes reports whether this identity may open what was encrypted under the key of that name: its own
	// key, or one with the same secret, such as a replica of a multi-Region key. It does no I/O.
	Takes(keyID string) bool
	// DecryptKey has the service decrypt a content key that was encrypted for that source under the key named
	// keyID, which Takes accepted: 32 bytes, for the caller to clear. encrypted is untrusted. The error is a
	// *ServiceError, permanent if the service says that encrypted was not made so.
	DecryptKey(ctx context.Context, source, keyID string, encrypted []byte) ([]byte, error)
}

// ErrWrongAnswer is (wrapped in) the error of a key whose service gave an answer that cannot be right. Such
// an answer tells nothing about the event, so the error is not permanent, and Open asks once more.
var ErrWrongAnswer = errors.New("the service answered with something that cannot be right")

// ServiceError is the failure of one operation with a key in a key management service.
type ServiceError struct {
	Op        string // the operation, as a policy names it: "kms:Decrypt"
	KeyID     string // the key it was for
	Permanent bool   // true: another try will not help. False: it may go away, or an operator can mend it
	Cause     string // what the service said, one line, without secrets
	Fix       string // what to do, one line; "" = nothing is known
	Err       error  // the underlying error; may be nil
}

// Error names operation, key and cause.
func (e *ServiceError) Error() string {
	return fmt.Sprintf("keys: %s with %s: %s", e.Op, e.KeyID, e.Cause)
}

// Unwrap is the underlying error.
func (e *ServiceError) Unwrap() error { return e.Err }
