package jwe

import (
	"crypto/aes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
)

// The AES key wrap of RFC 3394 is written out here. The standard library does not export its own, and the one
// of the JOSE library would link that library into every consumer.

const (
	wrapBlock = 8                  // bytes: RFC 3394 works on halves of AES blocks
	wrapIV    = 0xa6a6a6a6a6a6a6a6 // section 2.2.3.1: it tells an intact key
)

// wrapKey is RFC 3394 section 2.2.1, in place as it describes: key is a multiple of 8 bytes, at least 16.
func wrapKey(kek, key []byte) []byte {
	block, err := aes.NewCipher(kek)
	if err != nil {
		panic("jwe: a key encryption key of a wrong size") // they are all made by concatKDF
	}
	n := len(key) / wrapBlock
	out := append(make([]byte, wrapBlock, wrapBlock+len(key)), key...)
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint64(b[:], wrapIV)
	for t := range 6 * n {
		r := out[(t%n+1)*wrapBlock:][:wrapBlock]
		copy(b[wrapBlock:], r)
		block.Encrypt(b[:], b[:])
		copy(r, b[wrapBlock:])
		xorCounter(b[:], t+1)
	}
	copy(out, b[:wrapBlock])
	clear(b[:])
	return out
}

// unwrapKey is RFC 3394 section 2.2.2. It returns nil if wrapKey did not make wrapped under kek.
func unwrapKey(kek, wrapped []byte) []byte {
	n := len(wrapped)/wrapBlock - 1
	if n < 2 || len(wrapped)%wrapBlock != 0 {
		return nil
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil
	}
	out := append([]byte(nil), wrapped[wrapBlock:]...)
	var b [aes.BlockSize]byte
	copy(b[:], wrapped[:wrapBlock])
	for t := 6*n - 1; t >= 0; t-- {
		r := out[t%n*wrapBlock:][:wrapBlock]
		xorCounter(b[:], t+1)
		copy(b[wrapBlock:], r)
		block.Decrypt(b[:], b[:])
		copy(r, b[wrapBlock:])
	}
	intact := subtle.ConstantTimeCompare(b[:wrapBlock], binary.BigEndian.AppendUint64(nil, wrapIV)) == 1
	clear(b[:])
	if !intact {
		clear(out)
		return nil
	}
	return out
}

func xorCounter(b []byte, t int) {
	binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)^uint64(t))
}

// concatKDF is the Concat KDF of NIST SP 800-56A section 5.8.1 as RFC 7518 section 4.6.2 uses it, for keys of
// at most 32 bytes, which one round of SHA-256 gives. The caller clears the result.
func concatKDF(z []byte, algorithm string, apu, apv []byte, size int) []byte {
	info := make([]byte, 0, 4+len(z)+3*4+len(algorithm)+len(apu)+len(apv)+4)
	info = binary.BigEndian.AppendUint32(info, 1) // the number of the round
	info = append(info, z...)
	info = appendSized(info, []byte(algorithm))
	info = appendSized(info, apu)
	info = appendSized(info, apv)
	info = binary.BigEndian.AppendUint32(info, uint32(size)*8)
	key := sha256.Sum256(info)
	clear(info)
	return key[:size]
}

// appendSized appends the length of b in four bytes, then b.
func appendSized(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...)
}
