// Package jwe reads and writes JSON Web Encryption (RFC 7516) with the content encryption A256GCM. Whole
// data is a message in the General JSON Serialization (Encrypt, Parse). A single member of data is a field:
// it is in the Compact Serialization, under a key that travels elsewhere (EncryptCompact, ParseCompact).
// The package does no I/O of its own. A program that reads many messages keeps a Parser.
//
// # The message
//
// Messages are written as canonical JSON, members in the order aad, ciphertext, iv, protected, recipients,
// tag. The protected header is {"cty","enc","kc"}. kc commits to the content key (ContentKey.Commitment),
// because AES-GCM alone lets one ciphertext decrypt under two keys to two plaintexts. Each recipient's
// header is {"alg","epk","kid"} for ECDH-ES+A256KW (RFC 7518 section 4.6, RFC 8037 section 3.2) on P-256
// and X25519, or {"alg","kid"} for a key in a key management service.
//
// # Threat model
//
//   - The author of a message, perhaps an attacker, chose all of it. A caller verifies its signature first,
//     but nothing here relies on that.
//   - A header never chooses a key or an algorithm. ECDHIdentity.Takes tells which entries may be for a
//     key, by the key's own type and ID.
//   - crypto/ecdh checks points of elliptic curves. An X25519 agreement of all zeros is refused.
//   - Sizes are bounded before anything is decoded. No input causes a panic.
//   - No error holds key material or plaintext. A ContentKey prints as redacted.
//
// # Strictness
//
// JSON and base64url are read as internal/jsontext does: one text per value. RFC 7516 leaves some choices,
// and lets unprotected headers decide some. Here enc, cty, kc and ctx count in the protected header only
// and are refused elsewhere. crit and zip are refused everywhere, because no extension is understood, and
// because compression before encryption leaks. One parameter name in two headers of one recipient is
// refused (section 7.2.1). Unknown parameters and members are ignored, as section 4 demands. Two forms of
// other libraries are read: the Flattened Serialization (section 7.2.2), which they write for a single
// recipient, and encrypted_key beside recipients, which is ignored there.
package jwe

import (
	"errors"
	"fmt"
)

// The algorithms for content keys. Data is always encrypted with A256GCM (RFC 7518 section 5.3).
const (
	AlgECDH   = "ECDH-ES+A256KW"          // RFC 7518 section 4.6, on P-256 or X25519
	AlgAWSKMS = "urn:sealbus:jwe:aws-kms" // encrypted_key is a ciphertext of AWS KMS, kid the ARN of its key

	algDirect = "dir"
	encGCM    = "A256GCM"
)

// Sizes of A256GCM and of a key wrapped by A256KW, in bytes.
const (
	KeySize = 32

	nonceSize   = 12
	tagSize     = 16
	wrappedSize = KeySize + 8
)

// The limits, in bytes except for the counts. Beyond them: ErrTooLarge.
const (
	MaxMessage      = 1 << 20   // of a message: an event has no more
	MaxRecipients   = 16        // each may cost a key agreement
	MaxProtected    = 128 << 10 // of the text of a protected header: it holds ctx, which is base64 twice
	MaxBound        = 64 << 10  // of aad and ctx: a few attributes of 8 KiB
	MaxHeader       = 4 << 10   // of the JSON of an unprotected header: a key ID, an ephemeral key
	MaxParameters   = 32        // of one header: each is compared with those of the shared ones
	MaxEncryptedKey = 2 << 10   // of an encrypted key: AWS KMS makes 200 bytes of 32, RSA-4096 512
)

// The kinds of errors. Every error of this package is one of them, except for an error that an Agree of the
// caller returned. That error is wrapped as it is.
var (
	ErrMalformed    = errors.New("jwe: malformed")                                 // or of wrong lengths
	ErrUnsupported  = errors.New("jwe: unsupported")                               // JWE of another profile
	ErrTooLarge     = errors.New("jwe: too large")                                 // beyond a limit
	ErrUncommitted  = errors.New("jwe: no key commitment (kc)")                    // where one is required
	ErrUnbound      = errors.New("jwe: no additional authenticated data")          // where it is required
	ErrBinding      = errors.New("jwe: bound to something else")                   // another aad or ctx
	ErrCommitment   = errors.New("jwe: not the content key that is committed to")  // try the next key
	ErrDecrypt      = errors.New("jwe: does not decrypt")                          // the tag is wrong
	ErrPlaintext    = errors.New("jwe: what was encrypted is not one JSON value")  // the key was right
	ErrUnwrap       = errors.New("jwe: the encrypted key does not open")           // another key, or changed
	ErrNotRecipient = errors.New("jwe: this entry is not for this identity")       // nothing was tried
	ErrKey          = errors.New("jwe: not a usable key")                          // size, curve, or zeroed
	ErrForeignKey   = errors.New("jwe: a recipient was given another content key") // the caller's mistake
	ErrNoRecipient  = errors.New("jwe: no recipient: at least one is needed")

	// ErrSmallOrder is the ErrUnwrap of an ephemeral key with which every key agrees on zeros. The message is
	// at fault.
	ErrSmallOrder = fmt.Errorf("%w: the ephemeral key is of small order", ErrUnwrap)
)
