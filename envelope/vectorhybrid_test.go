package envelope_test

import (
	"encoding/base64"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
)

// hybridCases are about ML-DSA-65, alone and beside Ed25519.
func hybridCases(l *vectorList) {
	with := func(change func(c *vcase)) func(*vcase) {
		return func(c *vcase) {
			c.bundle = "bundles/hybrid.json"
			change(c)
		}
	}
	by := func(names ...string) func(*vcase) { return with(func(c *vcase) { c.plan = order(names...) }) }
	required := func(names ...string) func(*vcase) {
		return with(func(c *vcase) {
			c.plan = order(names...)
			c.options.RequiredAlgorithms = []keys.Algorithm{keys.Ed25519, keys.MLDSA65}
		})
	}
	edited := func(algorithms []keys.Algorithm, edit func(mint.Object) mint.Object,
		names ...string) func(*vcase) {
		return with(func(c *vcase) {
			c.plan = order(names...)
			c.plan.By[len(names)-1].Edit = edit
			c.options.RequiredAlgorithms = algorithms
		})
	}
	bad := envelope.ReasonBadSignature
	l.add("ok-mldsa65", "ML-DSA-65 alone", "", by("mldsa"))
	l.add("ok-mldsa65-delegates", "an Ed25519 session key, vouched for by an ML-DSA-65 key", "",
		with(func(c *vcase) { c.plan = delegated("mldsa", "session") }))
	l.add("ok-hybrid", "Ed25519 and ML-DSA-65 of one producer, both required", "",
		required("orders", "mldsa"))
	l.add("hybrid-no-mldsa65", "both required, ML-DSA-65 has no signature", bad, required("orders"))
	l.add("hybrid-no-ed25519", "both required, Ed25519 has no signature", bad, required("mldsa"))
	l.add("hybrid-other-producer", "both required, ML-DSA-65 only by another producer", bad,
		required("orders", "mldsaother"))
	l.add("hybrid-revoked", "both required, ML-DSA-65 only by a revoked key", bad,
		required("orders", "mldsagone"))
	l.add("hybrid-flipped", "both required, the ML-DSA-65 signature does not verify", bad,
		edited([]keys.Algorithm{keys.Ed25519, keys.MLDSA65}, onSig(flipFirst), "orders", "mldsa"))
	l.add("mldsa65-flipped", "the ML-DSA-65 signature does not verify", bad,
		edited(nil, onSig(flipFirst), "mldsa"))
	l.add("mldsa65-short", "an ML-DSA-65 signature without its last byte", bad,
		edited(nil, onSig(func(b []byte) []byte { return b[:len(b)-1] }), "mldsa"))
	l.add("mldsa65-long", "an ML-DSA-65 signature with one byte more", bad,
		edited(nil, onSig(func(b []byte) []byte { return append(b, 0) }), "mldsa"))
	l.add("mldsa65-keyid-of-ed25519", "an ML-DSA-65 signature in the name of an Ed25519 key", bad,
		edited(nil, set("keyid", mint.Quote(ids("orders")[0])), "mldsa"))
}

func onSig(change func([]byte) []byte) func(mint.Object) mint.Object {
	return func(o mint.Object) mint.Object {
		sig, err := base64.StdEncoding.DecodeString(mint.Unquote(o.Get("sig")))
		if err != nil {
			panic(err) // as the mint wrote it
		}
		return o.Set("sig", mint.Quote(base64.StdEncoding.EncodeToString(change(sig))))
	}
}

func flipFirst(b []byte) []byte {
	b[0] ^= 1
	return b
}
