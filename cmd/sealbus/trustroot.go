package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/sealbus/sealbus/keys"
	"github.com/spf13/cobra"
)

type rootMade struct {
	KeyID  string          `json:"key_id"`
	Alg    string          `json:"alg"`
	Out    string          `json:"out"`
	Public string          `json:"public_file"`
	JWK    json.RawMessage `json:"public"`
}

func (a *app) trustRootNewCommand() *cobra.Command {
	var f privateFlags
	var out, alg string
	cmd := a.command(commandSpec{
		use: "new --out FILE", short: "Make a root key: FILE stays offline, FILE.pub is for everybody",
		long: "Make a root key. FILE is private and stays offline, FILE.pub is its public half.\n" +
			"Make several, on machines of different people, so that one stolen key alone signs nothing.",
		example: "sealbus trust root new --out alice.root",
		run:     func(context.Context, []string) error { return a.trustRootNew(&f, out, alg) },
	})
	cmd.Flags().StringVar(&out, "out", "", "the new `FILE` with the private key; FILE.pub gets the public one")
	cmd.Flags().StringVar(&alg, "alg", string(keys.Ed25519), "signature `ALGORITHM`: Ed25519, ES256 or ML-DSA-65")
	f.register(cmd)
	return cmd
}

func (a *app) trustRootNew(f *privateFlags, out, alg string) error {
	if err := need(required{"out", out}); err != nil {
		return err
	}
	if err := checkAlgorithm(alg); err != nil {
		return err
	}
	public := out + keys.PublicSuffix
	for _, path := range []string{out, public} { // before somebody types a passphrase for nothing
		if exists(path) {
			return fileExists(path)
		}
	}
	pass, err := a.passphrase(f, out, true)
	if err != nil {
		return err
	}
	private := f.options(a)
	k, err := keys.CreateRootKey(out, pass, keys.Algorithm(alg), &private)
	if err != nil {
		return privateFailed(out, err)
	}
	v := k.Verifier()
	a.sayf("made %s with the %s key %s, which stays offline, and %s", out, alg, shortID(v.KeyID()), public)
	if f.insecure {
		a.warnf("%s is not encrypted: whoever can read it can sign trust", out)
	}
	return a.emit(rootMade{KeyID: v.KeyID(), Alg: alg, Out: out, Public: public, JWK: v.JWK()},
		func(p *printer) { p.linef("%s", v.KeyID()) })
}

func checkAlgorithm(alg string) error {
	if !slices.Contains(keys.Algorithms(), keys.Algorithm(alg)) {
		return usage("use --alg Ed25519, ES256 or ML-DSA-65", "no algorithm %q", alg)
	}
	return nil
}
