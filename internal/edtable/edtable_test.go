package edtable_test

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"filippo.io/edwards25519"

	"github.com/sealbus/sealbus/internal/edtable"
)

// same demands that both verifications agree, and returns the verdict.
func same(t *testing.T, public, message, sig []byte) bool {
	t.Helper()
	want := len(public) == ed25519.PublicKeySize && ed25519.Verify(public, message, sig)
	table, err := edtable.New(public)
	if got := err == nil && table.Verify(message, sig); got != want {
		t.Errorf("key %x, message %x, signature %x: %v, crypto/ed25519 says %v", public, message, sig, got, want)
	}
	return want
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

// TestWycheproof: project Wycheproof, testvectors_v1/ed25519_test.json.
func TestWycheproof(t *testing.T) {
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKey struct{ PK string }
			Tests     []struct{ Msg, Sig, Result string }
		}
	}
	readJSON(t, "testdata/wycheproof/ed25519_test.json", &file)
	n := 0
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			valid := same(t, unhex(t, g.PublicKey.PK), unhex(t, c.Msg), unhex(t, c.Sig))
			if valid != (c.Result == "valid") {
				t.Errorf("crypto/ed25519 says %v of a case that is %s", valid, c.Result)
			}
			n++
		}
	}
	if n == 0 || n != file.NumberOfTests {
		t.Fatalf("%d cases, the file has %d", n, file.NumberOfTests)
	}
}

// TestSpeccheck: the cases of Chalkias et al., on which implementations differ. testdata names the source.
func TestSpeccheck(t *testing.T) {
	var file struct {
		Cases []struct{ Message, Pub_Key, Signature string }
	}
	readJSON(t, "testdata/speccheck.json", &file)
	var accepted []int
	for i, c := range file.Cases {
		if same(t, unhex(t, c.Pub_Key), unhex(t, c.Message), unhex(t, c.Signature)) {
			accepted = append(accepted, i)
		}
	}
	// Table 5 of the paper, row "Go".
	if want := []int{0, 1, 2, 3, 11}; len(file.Cases) != 12 || !slices.Equal(accepted, want) {
		t.Errorf("of %d cases, %v are accepted, want %v", len(file.Cases), accepted, want)
	}
}

// pair makes a key pair and a signature from a seed of a generator.
func pair(random *rand.Rand) (public ed25519.PublicKey, message, sig []byte) {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(random.Uint32())
	}
	private := ed25519.NewKeyFromSeed(seed)
	message = make([]byte, random.IntN(100))
	for i := range message {
		message[i] = byte(random.Uint32())
	}
	return private.Public().(ed25519.PublicKey), message, ed25519.Sign(private, message)
}

// TestFlippedBits flips every bit of signatures and of their keys.
func TestFlippedBits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		public, message, sig := pair(random)
		table, err := edtable.New(public)
		if err != nil || !table.Verify(message, sig) {
			t.Fatalf("key %x: a genuine signature does not verify: %v", public, err)
		}
		for bit := range 8 * len(sig) {
			sig[bit/8] ^= 1 << (bit % 8)
			if table.Verify(message, sig) || ed25519.Verify(public, message, sig) {
				t.Fatalf("key %x: signature with bit %d flipped verifies", public, bit)
			}
			sig[bit/8] ^= 1 << (bit % 8)
		}
	}
	public, message, sig := pair(random)
	for bit := range 8 * len(public) {
		public[bit/8] ^= 1 << (bit % 8)
		same(t, public, message, sig)
		public[bit/8] ^= 1 << (bit % 8)
	}
}

// torsion returns the eight points of small order, and other encodings of them: y not below p, and a sign for
// x = 0.
func torsion(t testing.TB) (encodings [][]byte, points []*edwards25519.Point) {
	t.Helper()
	// RFC 8032 has no list of them; this one of order 8 is in every list, such as Chalkias et al., table 6c.
	order8, err := hex.DecodeString("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(edwards25519.Point).SetBytes(order8)
	if err != nil {
		t.Fatal(err)
	}
	q := edwards25519.NewIdentityPoint()
	for range 8 {
		points = append(points, new(edwards25519.Point).Set(q))
		encodings = append(encodings, q.Bytes())
		q.Add(q, p)
	}
	if q.Equal(edwards25519.NewIdentityPoint()) != 1 {
		t.Fatal("the point has not the order 8")
	}
	for _, other := range []string{
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		b, err := hex.DecodeString(other)
		if err != nil {
			t.Fatal(err)
		}
		encodings = append(encodings, b)
	}
	return encodings, points
}

// scalar returns a scalar that a seed determines.
func scalar(seed byte) *edwards25519.Scalar {
	sum := sha512.Sum512([]byte{seed})
	s, err := new(edwards25519.Scalar).SetUniformBytes(sum[:])
	if err != nil {
		panic(err)
	}
	return s
}

// TestSmallAndMixedOrder has keys and R of small and of mixed order, in canonical and other encodings, with
// signatures that satisfy the equation with the cofactor. Many satisfy it without the cofactor, too.
func TestSmallAndMixedOrder(t *testing.T) {
	encodings, points := torsion(t)
	valid := 0
	for _, a := range encodings {
		for _, r := range encodings {
			for message := range byte(8) {
				if same(t, a, []byte{message}, append(append([]byte{}, r...), make([]byte, 32)...)) {
					valid++
				}
			}
		}
	}
	secret, nonce := scalar(1), scalar(2)
	for _, ta := range points {
		for _, tr := range points {
			public := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(secret), ta).Bytes()
			r := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(nonce), tr).Bytes()
			for message := range byte(16) {
				if same(t, public, []byte{message}, sign(public, r, []byte{message}, secret, nonce)) {
					valid++
				}
			}
		}
	}
	if valid < 100 {
		t.Errorf("only %d signatures are valid: the test does not reach what it is for", valid)
	}
}

// sign completes a signature for this R: S = nonce + k secret.
func sign(public, r, message []byte, secret, nonce *edwards25519.Scalar) []byte {
	sum := sha512.Sum512(append(append(append([]byte{}, r...), public...), message...))
	k, err := new(edwards25519.Scalar).SetUniformBytes(sum[:])
	if err != nil {
		panic(err)
	}
	s := new(edwards25519.Scalar).MultiplyAdd(k, secret, nonce)
	return append(append([]byte{}, r...), s.Bytes()...)
}

// FuzzDifferential compares the verdicts for keys and signatures of every kind. kind says how they are made
// from the bytes: as they are, or with points of small order added to a genuine pair, or with S + L.
func FuzzDifferential(f *testing.F) {
	f.Add([]byte("any"), []byte("message"), uint16(0))
	f.Add([]byte("any"), []byte("message"), uint16(0xffff))
	encodings, points := torsion(f)
	for _, a := range encodings { // of a key, and of R, with S = 0
		f.Add(slices.Concat(a, encodings[0], make([]byte, 32)), []byte("message"), uint16(0))
	}
	f.Fuzz(func(t *testing.T, seed, message []byte, kind uint16) {
		if len(seed) >= 96 { // as they are
			same(t, seed[:32], message, seed[32:96])
		}
		sum := sha512.Sum512(seed)
		secret, _ := new(edwards25519.Scalar).SetUniformBytes(sum[:])
		sum = sha512.Sum512(sum[:])
		nonce, _ := new(edwards25519.Scalar).SetUniformBytes(sum[:])
		a := new(edwards25519.Point).ScalarBaseMult(secret)
		r := new(edwards25519.Point).ScalarBaseMult(nonce)
		public := a.Add(a, points[kind&7]).Bytes()
		sig := sign(public, r.Add(r, points[kind>>3&7]).Bytes(), message, secret, nonce)
		if kind>>6&1 == 1 { // S + L, which fits 32 bytes and is not canonical
			addOrder(sig[32:])
		}
		if kind>>7&1 == 1 {
			bit := int(kind>>8) * 2
			sig[bit/8%64] ^= 1 << (bit % 8)
		}
		same(t, public, message, sig)
	})
}

// addOrder adds the order of the group to the number s, which is little-endian.
func addOrder(s []byte) {
	order, err := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	if err != nil {
		panic(err)
	}
	carry := 0
	for i := range s {
		carry += int(s[i]) + int(order[i])
		s[i] = byte(carry)
		carry >>= 8
	}
}

func BenchmarkVerify(b *testing.B) {
	public, message, sig := pair(rand.New(rand.NewPCG(1, 2)))
	table, err := edtable.New(public)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			ed25519.Verify(public, message, sig)
		}
	})
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			table.Verify(message, sig)
		}
	})
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			_, _ = edtable.New(public)
		}
	})
}
