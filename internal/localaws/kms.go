package localaws

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// kmsAPI is AWS KMS, with real keys and real cryptography. A key lives in the region that its caller signed
// for, so that clients of several regions, at the same URL, see several regions.
//
// Keys are those of sealbus: symmetric ones, P-256 for signatures and for key agreement, Ed25519, ML-DSA,
// HMAC of SHA-256. There is nothing of RSA, imported material, key stores, grants and enclaves, and Verify
// does not take EXTERNAL_MU. Grant tokens are accepted, and policies are not obeyed, as everywhere. A change
// is seen at once, where the service lets it spread; a primary key goes without waiting for its replicas.
// https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html
var kmsAPI = &api{
	target: "TrentService.", contentType: "application/x-amz-json-1.1", iam: "kms", actions: kmsActions,
	throttled: &fault{status: http.StatusBadRequest, code: "ThrottlingException",
		message: "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."},
	broken: &fault{status: http.StatusInternalServerError, code: "KMSInternalException",
		message: "An internal error occurred."},
	denied: kmsDenied,
}

// kmsDenied does not tell a key that is not there from one that may not be used.
func kmsDenied(s *Server, action string) error {
	return refuse("AccessDeniedException",
		"User: %s is not authorized to perform: kms:%s on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access", s.caller(), action)
}

var kmsActions = map[string]action{
	"CreateKey":            inRegion((*kmsRegion).createKey),
	"DescribeKey":          inRegion((*kmsRegion).describeKey),
	"GetPublicKey":         inRegion((*kmsRegion).getPublicKey),
	"CreateAlias":          inRegion((*kmsRegion).createAlias),
	"UpdateAlias":          inRegion((*kmsRegion).updateAlias),
	"DeleteAlias":          inRegion((*kmsRegion).deleteAlias),
	"ListAliases":          inRegion((*kmsRegion).listAliases),
	"EnableKey":            inRegion((*kmsRegion).enableKey),
	"DisableKey":           inRegion((*kmsRegion).disableKey),
	"ScheduleKeyDeletion":  inRegion((*kmsRegion).scheduleKeyDeletion),
	"CancelKeyDeletion":    inRegion((*kmsRegion).cancelKeyDeletion),
	"ReplicateKey":         inRegion((*kmsRegion).replicateKey),
	"EnableKeyRotation":    inRegion((*kmsRegion).enableKeyRotation),
	"DisableKeyRotation":   inRegion((*kmsRegion).disableKeyRotation),
	"GetKeyRotationStatus": inRegion((*kmsRegion).getKeyRotationStatus),
	"RotateKeyOnDemand":    inRegion((*kmsRegion).rotateKeyOnDemand),

	"Encrypt":                         cryptographic((*kmsRegion).encrypt),
	"Decrypt":                         cryptographic((*kmsRegion).decrypt),
	"ReEncrypt":                       cryptographic((*kmsRegion).reEncrypt),
	"GenerateDataKey":                 cryptographic((*kmsRegion).generateDataKey),
	"GenerateDataKeyWithoutPlaintext": cryptographic((*kmsRegion).generateDataKeyWithoutPlaintext),
	"DeriveSharedSecret":              cryptographic((*kmsRegion).deriveSharedSecret),
	"Sign":                            cryptographic((*kmsRegion).sign),
	"Verify":                          cryptographic((*kmsRegion).verify),
	"GenerateMac":                     cryptographic((*kmsRegion).generateMac),
	"VerifyMac":                       cryptographic((*kmsRegion).verifyMac),
}

// keyStore is the keys of the account, in all regions. Its lock guards the keys, too.
type keyStore struct {
	mu      sync.Mutex
	byARN   map[string]*kmsKey
	aliases map[string]string // by their ARN: the ARN of the key
}

// kmsRegion is KMS as one call sees it: in one region, at one time.
type kmsRegion struct {
	*Server
	region, action string
	now            time.Time
}

type scopeKey struct{}

// withScope is the context of a request, with its action and the region that it was signed for:
// "AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, ...".
func withScope(r *http.Request, action string) context.Context {
	k := kmsRegion{action: action}
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if scope := strings.Split(credential, "/"); len(scope) > 4 {
		k.region = scope[2]
	}
	return context.WithValue(r.Context(), scopeKey{}, k)
}

// scopeRegion is what may be a region: it becomes a part of keys in the journal.
var scopeRegion = expression(`^[a-z0-9-]{1,32}$`)

// inRegion is decoded for an action of KMS. It runs with the lock of the keys held, when what was due has
// been done.
func inRegion[In, Out any](f func(*kmsRegion, *In) (Out, error)) action {
	return waiting(func(s *Server, ctx context.Context, in *In) (out Out, err error) {
		k := ctx.Value(scopeKey{}).(kmsRegion)
		if k.region == "" {
			k.region = s.opts.Region
		}
		if !scopeRegion().MatchString(k.region) {
			return out, invalid("Credential should be scoped to a valid region.")
		}
		s.keys.mu.Lock()
		defer s.keys.mu.Unlock()
		k.Server, k.now = s, s.opts.Now()
		k.catchUp()
		return f(&k, in)
	})
}

// cryptographic is inRegion for what uses a key and changes nothing, so that a dry run is a run without an
// answer.
func cryptographic[In interface{ common() *useInput }, Out any](f func(*kmsRegion, In) (Out, error)) action {
	return inRegion(func(k *kmsRegion, in *In) (out Out, err error) {
		use := (*in).common()
		if err := use.check(); err != nil {
			return out, err
		}
		done, err := f(k, *in)
		if err == nil && use.DryRun {
			return out, refuse("DryRunOperationException",
				"The request would have succeeded, but the DryRun option is set.")
		}
		return done, err
	})
}

// useInput is what every cryptographic operation takes.
type useInput struct {
	DryRun      bool
	GrantTokens []string
}

func (in useInput) common() *useInput { return &in }

func (in *useInput) check() error {
	var c constraints
	if len(in.GrantTokens) > 10 {
		c.violated("Value at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10")
	}
	return c.err()
}

// constraints are those of the model that a request does not satisfy.
type constraints []string

func (c *constraints) violated(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

// length wants n to be between two numbers.
func (c *constraints) length(member string, n, least, most int) {
	if n < least {
		c.violated("Value at '%s' failed to satisfy constraint: Member must have length greater than or equal to %d", member, least)
	}
	if n > most {
		c.violated("Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", member, most)
	}
}

// between wants a number to be between two others.
func (c *constraints) between(member string, n, least, most int) {
	if n < least {
		c.violated("Value '%d' at '%s' failed to satisfy constraint: Member must have value greater than or equal to %d", n, member, least)
	}
	if n > most {
		c.violated("Value '%d' at '%s' failed to satisfy constraint: Member must have value less than or equal to %d", n, member, most)
	}
}

func (c *constraints) oneOf(member, value string, set ...string) {
	if !slices.Contains(set, value) {
		c.violated("Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]", value, member, strings.Join(set, ", "))
	}
}

func (c constraints) err() error {
	switch len(c) {
	case 0:
		return nil
	case 1:
		return invalid("1 validation error detected: %s", c[0])
	}
	return invalid("%d validation errors detected: %s", len(c), strings.Join(c, "; "))
}
