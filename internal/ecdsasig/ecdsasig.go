// Package ecdsasig has the two forms of an ECDSA P-256 signature.
package ecdsasig

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"math/big"
)

const scalarSize = 32 // bytes of r, and of s

var errDER = errors.New("not a DER ECDSA P-256 signature")

// RawFromDER turns an ASN.1 DER ECDSA P-256 signature, as crypto.Signer and key management services give
// it, into the raw r||s of the wire (RFC 7518 section 3.4), 64 bytes.
func RawFromDER(der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, errDER
	}
	if again, err := asn1.Marshal(sig); err != nil || !bytes.Equal(again, der) { // more than the two integers
		return nil, errDER
	}
	raw := make([]byte, 2*scalarSize)
	for i, n := range []*big.Int{sig.R, sig.S} {
		if n.Sign() <= 0 || n.BitLen() > 8*scalarSize {
			return nil, errDER
		}
		n.FillBytes(raw[i*scalarSize : (i+1)*scalarSize])
	}
	return raw, nil
}
