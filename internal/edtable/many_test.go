package edtable_test

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"filippo.io/edwards25519"

	"github.com/sealbus/sealbus/internal/edtable"
	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// perKey is how many signatures are tried under each key of TestManyCases.
const perKey = 64

// TestManyCases compares the verdicts on random and adversarial signatures: genuine ones under keys of full
// and of mixed order, with R of mixed order, R replaced by encodings of small order, S + L, extreme S, and
// changed bits of signature or message. SEALBUS_EDTABLE_CASES is how many are tried; before a release, ten
// millions.
func TestManyCases(t *testing.T) {
	count := cases.Of(50_000)
	if text := os.Getenv("SEALBUS_EDTABLE_CASES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("SEALBUS_EDTABLE_CASES=%s: give a number", text)
		}
		count = n
	}
	seed := rand.Uint64()
	forger := newForger(t, rand.New(rand.NewPCG(seed, 0)))
	accepted := 0
	for range count / perKey {
		table, err := edtable.New(forger.newKey())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range perKey {
			message, sig := forger.signature()
			want := ed25519.Verify(forger.public, message, sig)
			if table.Verify(message, sig) != want {
				t.Fatalf("seed %d: key %x, message %x, signature %x: crypto/ed25519 says %v", seed,
					forger.public, message, sig, want)
			}
			if want {
				accepted++
			}
		}
	}
	t.Logf("%d of %d accepted", accepted, count)
	if accepted < count/5 || accepted > count*4/5 {
		t.Errorf("%d of %d signatures are accepted: the cases are one-sided", accepted, count)
	}
}

// forger makes signatures of one key after the other, whose secret scalars it knows.
type forger struct {
	random    *rand.Rand
	encodings [][]byte // of points of small order
	points    []*edwards25519.Point
	secret    *edwards25519.Scalar
	public    []byte
}

func newForger(t *testing.T, random *rand.Rand) *forger {
	encodings, points := torsion(t)
	return &forger{random: random, encodings: encodings, points: points}
}

// newKey makes a key, every other one of mixed order.
func (f *forger) newKey() []byte {
	f.secret = f.scalar()
	a := new(edwards25519.Point).ScalarBaseMult(f.secret)
	if f.random.IntN(2) == 0 {
		a.Add(a, f.points[f.random.IntN(8)])
	}
	f.public = a.Bytes()
	return f.public
}

func (f *forger) scalar() *edwards25519.Scalar {
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], f.random.Uint64())
	sum := sha512.Sum512(seed[:])
	s, err := new(edwards25519.Scalar).SetUniformBytes(sum[:])
	if err != nil {
		panic(err)
	}
	return s
}

// signature makes a genuine signature, and half of the time changes something.
func (f *forger) signature() (message, sig []byte) {
	message = binary.BigEndian.AppendUint64(nil, f.random.Uint64())
	nonce := f.scalar()
	r := new(edwards25519.Point).ScalarBaseMult(nonce)
	if f.random.IntN(4) == 0 {
		r.Add(r, f.points[f.random.IntN(8)])
	}
	sig = sign(f.public, r.Bytes(), message, f.secret, nonce)
	switch f.random.IntN(12) {
	case 0:
		addOrder(sig[32:])
	case 1:
		sig[f.random.IntN(64)] ^= 1 << f.random.IntN(8)
	case 2:
		message[f.random.IntN(8)] ^= 1 << f.random.IntN(8)
	case 3: // another R, in each of its encodings
		copy(sig, f.encodings[f.random.IntN(len(f.encodings))])
	case 4: // the largest S, the smallest one, and those beyond
		extreme := new(edwards25519.Scalar)
		if f.random.IntN(2) == 0 {
			extreme.Subtract(extreme, scalarOne())
		}
		copy(sig[32:], extreme.Bytes())
		if f.random.IntN(2) == 0 {
			addOrder(sig[32:])
		}
	case 5:
		sig[63] |= byte(f.random.IntN(8)) << 5
	}
	return message, sig
}

// scalarOne returns the number 1.
func scalarOne() *edwards25519.Scalar {
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		panic(err)
	}
	return s
}
