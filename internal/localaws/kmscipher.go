package localaws

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
)

// Limits of the API.
const (
	maxPlaintext  = 4096
	maxCiphertext = 6144
	maxSignature  = 6144
	maxPublicKey  = 8192
	maxDataKey    = 1024
	// maxContext is not documented for KMS; it is what the AWS Encryption SDK, its main caller, allows.
	maxContext = 8192
)

// Where the parts of a ciphertext blob are. The service does not document its own, which is opaque, and as
// long: a header with room for what only the service knows, the ID of the key and that of its material, the
// nonce, what is sealed.
const (
	blobMagic      = "\x01\x02\x02\x00x"
	headerSize     = 56
	keyIDSize      = 36 // of a UUID, and of mrk- with 32 digits
	materialIDSize = 32
	nonceSize      = 12
	prefixSize     = headerSize + keyIDSize + materialIDSize
	tagSize        = 16
)

// encryptionContext is additional data: Decrypt needs the same. An empty one counts as none.
type encryptionContext map[string]string

// aad writes the pairs in their order, each with its lengths, so that no two contexts are written alike.
func (c encryptionContext) aad() (out []byte) {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		for _, text := range []string{name, c[name]} {
			out = binary.BigEndian.AppendUint32(out, uint32(len(text)))
			out = append(out, text...)
		}
	}
	return out
}

func (c encryptionContext) check() error {
	size := 0
	for name, value := range c {
		size += len(name) + len(value)
	}
	if size > maxContext {
		return invalid("The encryption context has %d bytes, the limit is %d.", size, maxContext)
	}
	return nil
}

// seal encrypts under the current material of a symmetric key.
func (y *kmsKey) seal(plaintext []byte, c encryptionContext) []byte {
	by := y.shared.current()
	id, err := hex.DecodeString(by.id)
	if err != nil {
		panic(err) // of our own digits
	}
	blob := make([]byte, headerSize, prefixSize+nonceSize+len(plaintext)+tagSize)
	copy(blob, blobMagic)
	blob = append(append(blob, y.id...), id...)
	prefix := blob[:prefixSize:prefixSize]
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	return by.aead.Seal(append(blob, nonce...), nonce, plaintext, append(prefix, c.aad()...))
}

func badCiphertext() error { return refuse("InvalidCiphertextException", "") }

// blobKey is the ID of the key that a blob was made with.
func blobKey(blob []byte) (id string, err error) {
	if len(blob) < prefixSize+nonceSize+tagSize || !bytes.HasPrefix(blob, []byte(blobMagic)) {
		return "", badCiphertext()
	}
	return string(blob[headerSize : headerSize+keyIDSize]), nil
}

// open is called with a blob whose key this is.
func (y *kmsKey) open(blob []byte, c encryptionContext) (plaintext []byte, materialID string, err error) {
	id := hex.EncodeToString(blob[headerSize+keyIDSize : prefixSize])
	i := slices.IndexFunc(y.shared.backing, func(b backing) bool { return b.id == id })
	if i < 0 {
		return nil, "", badCiphertext()
	}
	prefix, rest := blob[:prefixSize:prefixSize], blob[prefixSize:]
	plaintext, err = y.shared.backing[i].aead.Open(nil, rest[:nonceSize], rest[nonceSize:],
		append(prefix, c.aad()...))
	if err != nil {
		return nil, "", badCiphertext()
	}
	return plaintext, id, nil
}

type encryptInput struct {
	useInput
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	EncryptionAlgorithm string
	EncryptionContext   encryptionContext
}

type encryptOutput struct {
	KeyID               string `json:"KeyId"`
	CiphertextBlob      []byte
	EncryptionAlgorithm string
}

func (k *kmsRegion) encrypt(in encryptInput) (*encryptOutput, error) {
	var c constraints
	if c.length("plaintext", len(in.Plaintext), 1, maxPlaintext); len(c) > 0 {
		return nil, c.err()
	}
	y, err := k.encrypting(in.KeyID, in.EncryptionAlgorithm, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &encryptOutput{y.arn, y.seal(in.Plaintext, in.EncryptionContext), symmetric}, nil
}

// encrypting is a key that may be encrypted with.
func (k *kmsRegion) encrypting(name, algorithm string, context encryptionContext) (*kmsKey, error) {
	y, err := k.use(name, encryptDecrypt)
	if err != nil {
		return nil, err
	}
	if err := onlySymmetric(y, algorithm); err != nil {
		return nil, err
	}
	return y, context.check()
}

// onlySymmetric refuses the algorithms of RSA; "" = the usual one.
func onlySymmetric(y *kmsKey, algorithm string) error {
	if algorithm != "" && algorithm != symmetric {
		return incompatible(algorithm, y.spec)
	}
	return nil
}

func incompatible(algorithm, spec string) error {
	return refuse("InvalidKeyUsageException", "Algorithm %s is incompatible with key spec %s.", algorithm,
		spec)
}

type decryptInput struct {
	useInput
	KeyID               string `json:"KeyId"`
	CiphertextBlob      []byte
	EncryptionAlgorithm string
	EncryptionContext   encryptionContext
	DryRunModifiers     []string
}

type decryptOutput struct {
	KeyID               string `json:"KeyId"`
	KeyMaterialID       string `json:"KeyMaterialId"`
	Plaintext           []byte
	EncryptionAlgorithm string
}

func (k *kmsRegion) decrypt(in decryptInput) (*decryptOutput, error) {
	if in.DryRun && slices.Contains(in.DryRunModifiers, "IGNORE_CIPHERTEXT") {
		_, err := k.use(in.KeyID, encryptDecrypt)
		return nil, err
	}
	y, plaintext, id, err := k.unwrap(in.CiphertextBlob, in.KeyID, in.EncryptionAlgorithm,
		in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &decryptOutput{y.arn, id, plaintext, symmetric}, nil
}

// unwrap decrypts a blob with the key that it names, which has to be the one that the caller names; "" = any.
func (k *kmsRegion) unwrap(blob []byte, name, algorithm string,
	context encryptionContext) (y *kmsKey, plaintext []byte, id string, err error) {
	var c constraints
	if c.length("ciphertextBlob", len(blob), 1, maxCiphertext); len(c) > 0 {
		return nil, nil, "", c.err()
	}
	if y, err = k.decrypting(blob, name); err != nil {
		return nil, nil, "", err
	}
	if err = k.allows(y, encryptDecrypt); err != nil {
		return nil, nil, "", err
	}
	if err = onlySymmetric(y, algorithm); err != nil {
		return nil, nil, "", err
	}
	if err = context.check(); err != nil {
		return nil, nil, "", err
	}
	plaintext, id, err = y.open(blob, context)
	return y, plaintext, id, err
}

// decrypting is the key of a blob.
func (k *kmsRegion) decrypting(blob []byte, name string) (*kmsKey, error) {
	var named *kmsKey
	if name != "" {
		var err error
		if named, err = k.find(name); err != nil {
			return nil, err
		}
	}
	id, err := blobKey(blob)
	if err != nil {
		return nil, err
	}
	y := k.keys.byARN[k.arnIn(k.region, "key/"+id)]
	switch {
	case named != nil && named != y:
		return nil, refuse("IncorrectKeyException",
			"The key ID in the request does not identify a CMK that can perform this operation.")
	case y == nil: // the service does not tell which it is
		return nil, refuse("AccessDeniedException",
			"The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	}
	return y, nil
}

type reEncryptInput struct {
	useInput
	CiphertextBlob                 []byte
	SourceKeyID                    string `json:"SourceKeyId"`
	SourceEncryptionAlgorithm      string
	SourceEncryptionContext        encryptionContext
	DestinationKeyID               string `json:"DestinationKeyId"`
	DestinationEncryptionAlgorithm string
	DestinationEncryptionContext   encryptionContext
}

type reEncryptOutput struct {
	CiphertextBlob                 []byte
	KeyID                          string `json:"KeyId"`
	SourceKeyID                    string `json:"SourceKeyId"`
	SourceEncryptionAlgorithm      string
	DestinationEncryptionAlgorithm string
	SourceKeyMaterialID            string `json:"SourceKeyMaterialId"`
	DestinationKeyMaterialID       string `json:"DestinationKeyMaterialId"`
}

func (k *kmsRegion) reEncrypt(in reEncryptInput) (*reEncryptOutput, error) {
	from, plaintext, id, err := k.unwrap(in.CiphertextBlob, in.SourceKeyID, in.SourceEncryptionAlgorithm,
		in.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	to, err := k.encrypting(in.DestinationKeyID, in.DestinationEncryptionAlgorithm,
		in.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	return &reEncryptOutput{
		to.seal(plaintext, in.DestinationEncryptionContext), to.arn, from.arn, symmetric, symmetric, id,
		to.shared.current().id,
	}, nil
}

type dataKeyInput struct {
	useInput
	KeyID             string `json:"KeyId"`
	KeySpec           string
	NumberOfBytes     *int
	EncryptionContext encryptionContext
}

type dataKeyOutput struct {
	KeyID          string `json:"KeyId"`
	KeyMaterialID  string `json:"KeyMaterialId"`
	CiphertextBlob []byte
	Plaintext      []byte `json:",omitempty"`
}

func (k *kmsRegion) generateDataKeyWithoutPlaintext(in dataKeyInput) (*dataKeyOutput, error) {
	out, err := k.generateDataKey(in)
	if err != nil {
		return nil, err
	}
	out.Plaintext = nil
	return out, nil
}

func (k *kmsRegion) generateDataKey(in dataKeyInput) (*dataKeyOutput, error) {
	size, err := in.size()
	if err != nil {
		return nil, err
	}
	y, err := k.encrypting(in.KeyID, "", in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	key := make([]byte, size)
	rand.Read(key)
	return &dataKeyOutput{y.arn, y.shared.current().id, y.seal(key, in.EncryptionContext), key}, nil
}

// size is that of the data key: by name, or as a number.
func (in *dataKeyInput) size() (int, error) {
	var c constraints
	size := 0
	switch {
	case (in.KeySpec == "") == (in.NumberOfBytes == nil):
		return 0, invalid("Please specify either number of bytes or key spec.")
	case in.NumberOfBytes != nil:
		size = *in.NumberOfBytes
		c.between("numberOfBytes", size, 1, maxDataKey)
	case in.KeySpec == "AES_128":
		size = 16
	default:
		size = 32
		c.oneOf("keySpec", in.KeySpec, "AES_256", "AES_128")
	}
	return size, c.err()
}

type deriveInput struct {
	useInput
	KeyID                 string `json:"KeyId"`
	KeyAgreementAlgorithm string
	PublicKey             []byte
}

type deriveOutput struct {
	KeyID                 string `json:"KeyId"`
	SharedSecret          []byte
	KeyAgreementAlgorithm string
	KeyOrigin             string
}

// deriveSharedSecret answers with the x coordinate, as of NIST SP 800-56A, without a key derivation.
func (k *kmsRegion) deriveSharedSecret(in deriveInput) (*deriveOutput, error) {
	var c constraints
	c.oneOf("keyAgreementAlgorithm", in.KeyAgreementAlgorithm, "ECDH")
	c.length("publicKey", len(in.PublicKey), 1, maxPublicKey)
	if err := c.err(); err != nil {
		return nil, err
	}
	y, err := k.use(in.KeyID, keyAgreement)
	if err != nil {
		return nil, err
	}
	secret, err := agree(y.shared.private.(*ecdsa.PrivateKey), in.PublicKey)
	if err != nil {
		return nil, invalid("") // as recorded: the service does not say what is wrong with a public key
	}
	return &deriveOutput{y.arn, secret, "ECDH", "AWS_KMS"}, nil
}

func agree(private *ecdsa.PrivateKey, spki []byte) ([]byte, error) {
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, err
	}
	theirs, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, x509.ErrUnsupportedAlgorithm
	}
	public, err := theirs.ECDH()
	if err != nil {
		return nil, err
	}
	ours, err := private.ECDH()
	if err != nil {
		return nil, err
	}
	return ours.ECDH(public)
}
