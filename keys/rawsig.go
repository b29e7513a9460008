package keys

import "errors"

const (
	signatureSize = 64                     // of Ed25519 and of raw ES256 alike
	scalarSize    = 32                     // r and s of P-256
	maxDERSize    = 2 + 2*(2+1+scalarSize) // SEQUENCE { INTEGER r, INTEGER s }, each maybe with a leading zero
)

var errDER = errors.New("keys: not a DER ECDSA P-256 signature")

// appendDER turns raw r||s (64 bytes) into ASN.1 DER, without big integers: this runs per verification.
func appendDER(dst, raw []byte) []byte {
	dst = append(dst, 0x30, 0)
	start := len(dst)
	dst = appendDERInteger(dst, raw[:scalarSize])
	dst = appendDERInteger(dst, raw[scalarSize:])
	dst[start-1] = byte(len(dst) - start) // at most 70: the short form
	return dst
}

func appendDERInteger(dst, b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	if b[0] >= 0x80 {
		dst = append(dst, 2, byte(len(b)+1), 0)
	} else {
		dst = append(dst, 2, byte(len(b)))
	}
	return append(dst, b...)
}

// RawFromDER turns an ASN.1 DER ECDSA P-256 signature, as crypto.Signer and key management services give
// it, into the raw r||s of the wire (RFC 7518 section 3.4), 64 bytes.
func RawFromDER(der []byte) ([]byte, error) {
	raw := make([]byte, signatureSize)
	if len(der) > maxDERSize || len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, errDER
	}
	rest, err := takeDERInteger(raw[:scalarSize], der[2:])
	if err == nil {
		rest, err = takeDERInteger(raw[scalarSize:], rest)
	}
	if err != nil || len(rest) != 0 {
		return nil, errDER
	}
	return raw, nil
}

// takeDERInteger writes the positive INTEGER at the front of der, right-aligned, to dst.
func takeDERInteger(dst, der []byte) (rest []byte, err error) {
	if len(der) < 3 || der[0] != 2 || int(der[1]) > len(der)-2 || der[1] == 0 {
		return nil, errDER
	}
	n, rest := der[2:2+der[1]], der[2+der[1]:]
	if n[0] >= 0x80 || n[0] == 0 && (len(n) == 1 || n[1] < 0x80) {
		return nil, errDER // negative, zero, or not minimal
	}
	if n[0] == 0 {
		n = n[1:]
	}
	if len(n) > len(dst) {
		return nil, errDER
	}
	copy(dst[len(dst)-len(n):], n)
	return rest, nil
}
