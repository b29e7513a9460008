package localaws

import (
	"crypto/x509"
	"errors"
	"time"

	"filippo.io/mldsa"
)

// The buckets of KMS.
const (
	bucketKeys     = "kms.keys"     // by ARN
	bucketMaterial = "kms.material" // by the ID of the key, which its replicas share; with private keys
	bucketAliases  = "kms.aliases"  // ARNs of keys by that of the alias
)

type keptKey struct {
	ID, Region, Spec, Usage string
	Description, Policy     string
	Created, Deletion       time.Time
	Disabled, Replica       bool
}

type keptMaterial struct {
	Private       []byte // PKCS #8, the seed of ML-DSA, or the key of HMAC
	Backing       []keptBacking
	Asked, Period int
	Next          time.Time
	Multi         bool
}

type keptBacking struct {
	ID  string
	Key [32]byte
}

// saveKey keeps a key and its material. It is called with the lock held.
func (k *kmsRegion) saveKey(y *kmsKey) {
	if k.journal == nil {
		return
	}
	m := y.shared
	material := keptMaterial{Private: privateBytes(m.private), Asked: m.asked, Period: m.period, Next: m.next,
		Multi: m.multi}
	for _, b := range m.backing {
		material.Backing = append(material.Backing, keptBacking{b.id, b.key})
	}
	k.journal.change(
		putRow(bucketKeys, y.arn, keptKey{y.id, y.region, y.spec, y.usage, y.description, y.policy, y.created,
			y.deletion, y.disabled, y.replica}),
		putRow(bucketMaterial, y.id, material),
	)
}

// forgetKey is called when the key is gone, with the lock held. Its material and its aliases go at once with
// it, so that a kill leaves neither.
func (k *kmsRegion) forgetKey(y *kmsKey, aliases []string) {
	rows := []row{{bucketKeys, y.arn, nil}}
	if len(y.shared.replicas) == 0 {
		rows = append(rows, row{bucketMaterial, y.id, nil})
	}
	for _, arn := range aliases {
		rows = append(rows, row{bucketAliases, arn, nil})
	}
	k.journal.change(rows...)
}

func privateBytes(private any) []byte {
	switch key := private.(type) {
	case nil:
		return nil
	case []byte:
		return key
	case *mldsa.PrivateKey:
		return key.Bytes()
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err) // of our own keys
	}
	return der
}

func privateFrom(spec string, data []byte) (any, error) {
	switch spec {
	case symmetric:
		return nil, nil
	case "HMAC_256":
		return data, nil
	case "ML_DSA_44":
		return mldsa.NewPrivateKey(mldsa.MLDSA44(), data)
	case "ML_DSA_65":
		return mldsa.NewPrivateKey(mldsa.MLDSA65(), data)
	case "ML_DSA_87":
		return mldsa.NewPrivateKey(mldsa.MLDSA87(), data)
	}
	return x509.ParsePKCS8PrivateKey(data)
}

func (s *Server) loadKeys() error {
	kept := map[string]*keptMaterial{}
	err := s.journal.load(bucketMaterial, decodedRow(func(id string, row *keptMaterial) error {
		kept[id] = row
		return nil
	}))
	if err != nil {
		return err
	}
	materials := map[string]*keyMaterial{}
	err = s.journal.load(bucketKeys, decodedRow(func(arn string, row *keptKey) error {
		y := &kmsKey{id: row.ID, arn: arn, region: row.Region, spec: row.Spec, usage: row.Usage,
			description: row.Description, policy: row.Policy, created: row.Created, disabled: row.Disabled,
			deletion: row.Deletion, replica: row.Replica, shared: materials[row.ID]}
		if y.shared == nil {
			m, err := materialFrom(row.Spec, kept[row.ID])
			if err != nil {
				return err
			}
			y.shared, materials[row.ID] = m, m
		}
		if y.replica {
			y.shared.replicas = append(y.shared.replicas, y)
		} else {
			y.shared.replicas = append([]*kmsKey{y}, y.shared.replicas...)
		}
		s.keys.byARN[arn] = y
		return nil
	}))
	if err != nil {
		return err
	}
	return s.journal.load(bucketAliases, decodedRow(func(arn string, of *string) error {
		s.keys.aliases[arn] = *of
		return nil
	}))
}

func materialFrom(spec string, kept *keptMaterial) (*keyMaterial, error) {
	if kept == nil {
		return nil, errors.New("the key has no material")
	}
	private, err := privateFrom(spec, kept.Private)
	if err != nil {
		return nil, err
	}
	m := &keyMaterial{private: private, asked: kept.Asked, period: kept.Period, next: kept.Next,
		multi: kept.Multi}
	for _, b := range kept.Backing {
		m.backing = append(m.backing, newBacking(b.ID, b.Key))
	}
	return m, nil
}
