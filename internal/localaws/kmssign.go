package localaws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"slices"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	mldsax509 "filippo.io/mldsa/x509"
)

// The types of messages.
const (
	rawMessage = "RAW"
	digest     = "DIGEST"
	externalMu = "EXTERNAL_MU"
)

// muSize is that of the message representative of ML-DSA. FIPS 204, algorithm 7, line 6.
const muSize = 64

// public is the public half of an asymmetric key as SubjectPublicKeyInfo in DER.
func (y *kmsKey) public() ([]byte, error) {
	private, asymmetric := y.shared.private.(crypto.Signer)
	if !asymmetric {
		return nil, refuse("UnsupportedOperationException", "")
	}
	return mldsax509.MarshalPKIXPublicKey(private.Public())
}

type signInput struct {
	useInput
	KeyID            string `json:"KeyId"`
	Message          []byte
	MessageType      string // "" = RAW
	SigningAlgorithm string
}

type signOutput struct {
	KeyID            string `json:"KeyId"`
	Signature        []byte
	SigningAlgorithm string
}

func (k *kmsRegion) sign(in signInput) (*signOutput, error) {
	y, err := k.signing(&in)
	if err != nil {
		return nil, err
	}
	input, opts, err := in.prepare()
	if err != nil {
		return nil, err
	}
	signature, err := y.shared.private.(crypto.Signer).Sign(rand.Reader, input, opts)
	if err != nil {
		return nil, err
	}
	return &signOutput{y.arn, signature, in.SigningAlgorithm}, nil
}

// signing is the key of a request, if its algorithm is that of the request.
func (k *kmsRegion) signing(in *signInput) (*kmsKey, error) {
	var c constraints
	c.length("message", len(in.Message), 0, maxPlaintext)
	if in.MessageType == "" {
		in.MessageType = rawMessage
	}
	c.oneOf("messageType", in.MessageType, rawMessage, digest, externalMu)
	if err := c.err(); err != nil {
		return nil, err
	}
	y, err := k.use(in.KeyID, signVerify)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(keySpecs[y.spec].algorithms[signVerify], in.SigningAlgorithm) {
		return nil, incompatible(in.SigningAlgorithm, y.spec)
	}
	return y, nil
}

// prepare is what a crypto.Signer takes.
func (in *signInput) prepare() (input []byte, opts crypto.SignerOpts, err error) {
	switch in.SigningAlgorithm + " " + in.MessageType {
	case "ECDSA_SHA_256 RAW":
		sum := sha256.Sum256(in.Message)
		return sum[:], crypto.SHA256, nil
	case "ECDSA_SHA_256 DIGEST":
		return in.Message, crypto.SHA256, in.hasLength(sha256.Size)
	case "ED25519_SHA_512 RAW":
		return in.Message, crypto.Hash(0), nil
	case "ED25519_PH_SHA_512 DIGEST": // which the service hashes once more, as it documents
		sum := sha512.Sum512(in.Message)
		return sum[:], &ed25519.Options{Hash: crypto.SHA512}, in.hasLength(sha512.Size)
	case "ML_DSA_SHAKE_256 RAW":
		return in.Message, crypto.Hash(0), nil
	case "ML_DSA_SHAKE_256 EXTERNAL_MU":
		return in.Message, mldsacrypto.MLDSAMu, in.hasLength(muSize)
	}
	return nil, nil, invalid("MessageType %s is not valid for algorithm %s.", in.MessageType,
		in.SigningAlgorithm)
}

func (in *signInput) hasLength(n int) error {
	if len(in.Message) != n {
		return invalid("Digest is invalid length for algorithm %s.", in.SigningAlgorithm)
	}
	return nil
}

type verifyInput struct {
	signInput
	Signature []byte
}

type verifyOutput struct {
	KeyID            string `json:"KeyId"`
	SignatureValid   bool
	SigningAlgorithm string
}

func (k *kmsRegion) verify(in verifyInput) (*verifyOutput, error) {
	var c constraints
	if c.length("signature", len(in.Signature), 1, maxSignature); len(c) > 0 {
		return nil, c.err()
	}
	y, err := k.signing(&in.signInput)
	if err != nil {
		return nil, err
	}
	input, opts, err := in.prepare()
	if err != nil {
		return nil, err
	}
	if opts == mldsacrypto.MLDSAMu {
		return nil, refuse("UnsupportedOperationException",
			"nothing is verified by EXTERNAL_MU here: verify the message as RAW, or with the public key")
	}
	if !verified(y.shared.private.(crypto.Signer).Public(), input, in.Signature, opts) {
		return nil, refuse("KMSInvalidSignatureException", "")
	}
	return &verifyOutput{y.arn, true, in.SigningAlgorithm}, nil
}

func verified(public crypto.PublicKey, input, signature []byte, opts crypto.SignerOpts) bool {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, input, signature)
	case ed25519.PublicKey:
		return ed25519.VerifyWithOptions(public, input, signature,
			&ed25519.Options{Hash: opts.HashFunc()}) == nil
	case *mldsa.PublicKey:
		return mldsa.Verify(public, input, signature, nil) == nil
	}
	return false
}

type macInput struct {
	useInput
	KeyID        string `json:"KeyId"`
	Message      []byte
	MacAlgorithm string
	Mac          []byte // VerifyMac
}

type macOutput struct {
	KeyID        string `json:"KeyId"`
	MacAlgorithm string
	Mac          []byte `json:",omitempty"` // GenerateMac
	MacValid     bool   `json:",omitempty"` // VerifyMac
}

func (k *kmsRegion) generateMac(in macInput) (*macOutput, error) {
	y, mac, err := k.mac(&in)
	if err != nil {
		return nil, err
	}
	return &macOutput{KeyID: y.arn, MacAlgorithm: in.MacAlgorithm, Mac: mac}, nil
}

func (k *kmsRegion) verifyMac(in macInput) (*macOutput, error) {
	y, mac, err := k.mac(&in)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, in.Mac) {
		return nil, refuse("KMSInvalidMacException", "")
	}
	return &macOutput{KeyID: y.arn, MacAlgorithm: in.MacAlgorithm, MacValid: true}, nil
}

func (k *kmsRegion) mac(in *macInput) (*kmsKey, []byte, error) {
	var c constraints
	if c.length("message", len(in.Message), 1, maxPlaintext); len(c) > 0 {
		return nil, nil, c.err()
	}
	y, err := k.use(in.KeyID, macVerify)
	if err != nil {
		return nil, nil, err
	}
	if in.MacAlgorithm != "HMAC_SHA_256" {
		return nil, nil, incompatible(in.MacAlgorithm, y.spec)
	}
	h := hmac.New(sha256.New, y.shared.private.([]byte))
	h.Write(in.Message)
	return y, h.Sum(nil), nil
}
