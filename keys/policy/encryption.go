package policy

import (
	"time"

	"github.com/sealbus/sealbus/internal/jsonwrite"
	"github.com/sealbus/sealbus/keys"
)

// encryptionKeys are the thumbprint members of the submitted keys by their ID.
func encryptionKeys(docs [][]byte) (map[string][]byte, error) {
	byID := map[string][]byte{}
	for _, doc := range docs {
		id, jwk, err := keys.ParseEncryptionJWK(doc)
		if err != nil {
			return nil, err
		}
		byID[id] = jwk
	}
	return byID, nil
}

// entry is the JWK with the members that the bundle has for an encryption key. NewBundle orders them.
func (k Key) entry(jwk []byte, consumer string) []byte {
	dst := append([]byte(nil), jwk[:len(jwk)-1]...)
	dst = appendMember(dst, "kid", k.ID)
	dst = appendMember(dst, "use", "enc")
	dst = appendMember(dst, "consumer", consumer)
	for _, m := range moments(&k.Schedule) {
		if !m.at.IsZero() {
			dst = appendMember(dst, m.name, m.at.UTC().Format(timeFormat))
		}
	}
	if k.Revoked != nil {
		dst = append(dst, `,"revoked":{"at":`...)
		dst = jsonwrite.AppendString(dst, k.Revoked.At.UTC().Format(timeFormat))
		dst = append(appendMember(dst, "reason", k.Revoked.Reason), '}')
	}
	return append(dst, '}')
}

func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, ',')
	dst = append(jsonwrite.AppendString(dst, name), ':')
	return jsonwrite.AppendString(dst, value)
}

// timeFormat is RFC 3339 in UTC and whole seconds: one text per moment.
const timeFormat = "2006-01-02T15:04:05Z"

type moment struct {
	name string
	at   time.Time
}

// moments are the fields of a schedule by their names in the file.
func moments(s *keys.Schedule) [4]moment {
	return [4]moment{
		{"published", s.Published}, {"active", s.Active}, {"retired", s.Retired}, {"expired", s.Expired},
	}
}
