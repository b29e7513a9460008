package localaws

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"

	"filippo.io/mldsa"
)

// The usages of keys.
const (
	encryptDecrypt = "ENCRYPT_DECRYPT"
	signVerify     = "SIGN_VERIFY"
	keyAgreement   = "KEY_AGREEMENT"
	macVerify      = "GENERATE_VERIFY_MAC"
)

const symmetric = "SYMMETRIC_DEFAULT"

// kmsKey is a key in one region.
type kmsKey struct {
	id, arn, region string
	spec, usage     string
	description     string
	policy          string
	created         time.Time
	disabled        bool
	deletion        time.Time // when it goes; zero = it stays
	replica         bool
	shared          *keyMaterial
}

// keyMaterial is what the replicas of a key have in common.
type keyMaterial struct {
	private  any       // a crypto.Signer, the []byte of an HMAC key; nil of a symmetric key
	backing  []backing // of a symmetric key; the last one encrypts, all decrypt
	asked    int       // rotations on demand
	period   int       // days between automatic rotations; 0 = there are none
	next     time.Time // the next one
	multi    bool      // it may be replicated
	replicas []*kmsKey // with the primary key first, in any state
}

// keySpec is a kind of keys.
type keySpec struct {
	algorithms map[string][]string           // by usage
	generate   func() (private any, _ error) // nil = the fake makes none
}

var keySpecs = map[string]keySpec{
	symmetric: {map[string][]string{encryptDecrypt: {symmetric}},
		func() (any, error) { return nil, nil }},
	"HMAC_256": {map[string][]string{macVerify: {"HMAC_SHA_256"}}, newHMACKey},
	"ECC_NIST_P256": {map[string][]string{signVerify: {"ECDSA_SHA_256"}, keyAgreement: {"ECDH"}},
		newP256Key},
	"ECC_NIST_EDWARDS25519": {map[string][]string{signVerify: {"ED25519_SHA_512", "ED25519_PH_SHA_512"}},
		newEd25519Key},
	"ML_DSA_44": {map[string][]string{signVerify: {"ML_DSA_SHAKE_256"}},
		newMLDSAKey(mldsa.MLDSA44())},
	"ML_DSA_65": {map[string][]string{signVerify: {"ML_DSA_SHAKE_256"}},
		newMLDSAKey(mldsa.MLDSA65())},
	"ML_DSA_87": {map[string][]string{signVerify: {"ML_DSA_SHAKE_256"}},
		newMLDSAKey(mldsa.MLDSA87())},
	"RSA_2048": {map[string][]string{signVerify: nil, encryptDecrypt: nil}, nil},
}

func newHMACKey() (any, error) {
	key := make([]byte, 32)
	_, err := rand.Read(key)
	return key, err
}

func newP256Key() (any, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newEd25519Key() (any, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

func newMLDSAKey(p mldsa.Parameters) func() (any, error) {
	return func() (any, error) { return mldsa.GenerateKey(p) }
}

type createKeyInput struct {
	KeySpec, CustomerMasterKeySpec string
	KeyUsage, Origin               string
	Description, Policy            string
	MultiRegion                    bool
}

type keyAnswer struct{ KeyMetadata *keyMetadata }

func (k *kmsRegion) createKey(in *createKeyInput) (*keyAnswer, error) {
	if err := in.complete(); err != nil {
		return nil, err
	}
	private, err := keySpecs[in.KeySpec].generate()
	if err != nil {
		return nil, err
	}
	id := newUUID()
	if in.MultiRegion {
		id = "mrk-" + strings.ReplaceAll(id, "-", "")
	}
	y := k.add(&kmsKey{
		id: id, region: k.region, spec: in.KeySpec, usage: in.KeyUsage, description: in.Description,
		policy: in.Policy,
		shared: &keyMaterial{private: private, multi: in.MultiRegion},
	})
	if y.spec == symmetric {
		y.shared.rotate()
	}
	k.saveKey(y)
	return &keyAnswer{k.describe(y)}, nil
}

// complete fills in what may be left out, and refuses what cannot be made.
func (in *createKeyInput) complete() error {
	if in.KeySpec == "" {
		in.KeySpec = in.CustomerMasterKeySpec // its name before
	}
	if in.KeySpec == "" {
		in.KeySpec = symmetric
	}
	if in.KeyUsage == "" && in.KeySpec == symmetric {
		in.KeyUsage = encryptDecrypt
	}
	spec, known := keySpecs[in.KeySpec]
	_, fits := spec.algorithms[in.KeyUsage]
	var c constraints
	c.length("description", len(in.Description), 0, 8192)
	if !known {
		c.oneOf("keySpec", in.KeySpec, slices.Sorted(maps.Keys(keySpecs))...)
	}
	if err := c.err(); err != nil {
		return err
	}
	switch {
	case in.KeyUsage == "":
		return invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case !fits:
		return invalid("KeyUsage %s is not compatible with KeySpec %s", in.KeyUsage, in.KeySpec)
	case in.Origin != "" && in.Origin != "AWS_KMS":
		return refuse("UnsupportedOperationException", "no key material of origin %s here", in.Origin)
	case spec.generate == nil:
		return refuse("UnsupportedOperationException", "no keys of spec %s here", in.KeySpec)
	}
	return nil
}

// add puts a key into its region.
func (k *kmsRegion) add(y *kmsKey) *kmsKey {
	y.arn = k.arnIn(y.region, "key/"+y.id)
	y.created = k.now
	y.shared.replicas = append(y.shared.replicas, y)
	k.keys.byARN[y.arn] = y
	return y
}

func (k *kmsRegion) arnIn(region, resource string) string {
	return "arn:aws:kms:" + region + ":" + k.opts.Account + ":" + resource
}

// keyMetadata is what the service tells about a key.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
type keyMetadata struct {
	AWSAccountID             string `json:"AWSAccountId"`
	Arn                      string
	CreationDate             float64
	CurrentKeyMaterialID     string `json:"CurrentKeyMaterialId,omitempty"`
	CustomerMasterKeySpec    string
	DeletionDate             float64 `json:",omitempty"`
	Description              string
	Enabled                  bool
	EncryptionAlgorithms     []string `json:",omitempty"`
	KeyAgreementAlgorithms   []string `json:",omitempty"`
	MacAlgorithms            []string `json:",omitempty"`
	SigningAlgorithms        []string `json:",omitempty"`
	KeyID                    string   `json:"KeyId"`
	KeyManager               string
	KeySpec                  string
	KeyState                 string
	KeyUsage                 string
	MultiRegion              bool
	MultiRegionConfiguration *multiRegion `json:",omitempty"`
	Origin                   string
}

type multiRegion struct {
	MultiRegionKeyType string
	PrimaryKey         regionalKey
	ReplicaKeys        []regionalKey
}

type regionalKey struct{ Arn, Region string }

func (k *kmsRegion) describe(y *kmsKey) *keyMetadata {
	algorithms := keySpecs[y.spec].algorithms[y.usage]
	m := &keyMetadata{
		AWSAccountID: k.opts.Account, Arn: y.arn, CreationDate: seconds(y.created),
		CustomerMasterKeySpec: y.spec, Description: y.description,
		Enabled: y.state() == enabled, KeyID: y.id, KeyManager: "CUSTOMER", KeySpec: y.spec,
		KeyState: y.state(), KeyUsage: y.usage,
		MultiRegion: y.shared.multi, MultiRegionConfiguration: y.relatives(), Origin: "AWS_KMS",
	}
	if y.spec == symmetric {
		m.CurrentKeyMaterialID = y.shared.current().id
	}
	if !y.deletion.IsZero() {
		m.DeletionDate = seconds(y.deletion)
	}
	switch y.usage {
	case encryptDecrypt:
		m.EncryptionAlgorithms = algorithms
	case signVerify:
		m.SigningAlgorithms = algorithms
	case keyAgreement:
		m.KeyAgreementAlgorithms = algorithms
	case macVerify:
		m.MacAlgorithms = algorithms
	}
	return m
}

// relatives is nil of a key of a single region.
func (y *kmsKey) relatives() *multiRegion {
	if !y.shared.multi {
		return nil
	}
	m := &multiRegion{MultiRegionKeyType: "PRIMARY", ReplicaKeys: []regionalKey{}}
	if y.replica {
		m.MultiRegionKeyType = "REPLICA"
	}
	for _, other := range y.shared.replicas {
		if other.replica {
			m.ReplicaKeys = append(m.ReplicaKeys, regionalKey{other.arn, other.region})
		} else {
			m.PrimaryKey = regionalKey{other.arn, other.region}
		}
	}
	return m
}

type keyInput struct {
	KeyID string `json:"KeyId"`
}

func (k *kmsRegion) describeKey(in *keyInput) (*keyAnswer, error) {
	y, err := k.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	return &keyAnswer{k.describe(y)}, nil
}

var keyIDPattern = expression(`^(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// find returns the key with this ID, ARN, alias or ARN of an alias. The key may be in any state.
func (k *kmsRegion) find(name string) (*kmsKey, error) {
	var c constraints
	if c.length("keyId", len(name), 1, 2048); len(c) > 0 {
		return nil, c.err()
	}
	resource := name
	if parts := strings.SplitN(name, ":", 6); len(parts) == 6 {
		switch {
		case parts[3] != k.region:
			return nil, refuse("NotFoundException", "Invalid arn %s", parts[3])
		case parts[4] != k.opts.Account:
			return nil, kmsDenied(k.Server, k.action)
		}
		resource, name = parts[5], strings.TrimPrefix(parts[5], "key/")
	}
	if strings.HasPrefix(resource, aliasPrefix) {
		return k.findAlias(resource)
	}
	arn := k.arnIn(k.region, "key/"+name)
	y := k.keys.byARN[arn]
	switch {
	case !keyIDPattern().MatchString(name):
		return nil, refuse("NotFoundException", "Invalid keyId '%s'", name)
	case y == nil:
		return nil, noKey(arn)
	}
	return y, nil
}

func noKey(arn string) error { return refuse("NotFoundException", "Key '%s' does not exist", arn) }

// use is the key for this call, if its state and its usage allow it.
func (k *kmsRegion) use(name, usage string) (*kmsKey, error) {
	y, err := k.find(name)
	if err != nil {
		return nil, err
	}
	return y, k.allows(y, usage)
}

func (k *kmsRegion) allows(y *kmsKey, usage string) error {
	if err := y.working(); err != nil {
		return err
	}
	if y.usage != usage {
		return refuse("InvalidKeyUsageException", "%s key usage is %s which is not valid for %s.", y.arn,
			y.usage, k.action)
	}
	return nil
}

type publicKeyOutput struct {
	KeyID                  string `json:"KeyId"`
	KeySpec                string
	CustomerMasterKeySpec  string
	KeyUsage               string
	PublicKey              []byte
	SigningAlgorithms      []string `json:",omitempty"`
	KeyAgreementAlgorithms []string `json:",omitempty"`
}

func (k *kmsRegion) getPublicKey(in *keyInput) (*publicKeyOutput, error) {
	y, err := k.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := y.working(); err != nil {
		return nil, err
	}
	der, err := y.public()
	if err != nil {
		return nil, err
	}
	m := k.describe(y)
	return &publicKeyOutput{y.arn, y.spec, y.spec, y.usage, der, m.SigningAlgorithms,
		m.KeyAgreementAlgorithms}, nil
}
