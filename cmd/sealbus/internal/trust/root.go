package trust

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

type rootMade struct {
	KeyID  string          `json:"key_id"`
	Alg    string          `json:"alg"`
	Out    string          `json:"out"`
	Public string          `json:"public_file"`
	JWK    json.RawMessage `json:"public"`
}

func rootNewCommand(env *ui.Env) *cobra.Command {
	var f loadkeys.PrivateFlags
	var out, alg string
	cmd := env.Command(ui.Command{
		Use: "new --out FILE", Short: "Make a root key: FILE stays offline, FILE.pub is public",
		Long: "Make a root key. FILE is private and stays offline, FILE.pub is its public half.\n" +
			"Make several, on machines of different people, so that one stolen key alone signs nothing.",
		Example: "sealbus trust root new --out alice.root",
		Run:     func(context.Context, []string) error { return rootNew(env, &f, out, alg) },
	})
	cmd.Flags().StringVar(&out, "out", "",
		"the new `FILE` with the private key; FILE.pub gets the public one")
	cmd.Flags().StringVar(&alg, "alg", string(keys.Ed25519),
		"signature `ALGORITHM`: Ed25519, ES256 or ML-DSA-65")
	f.Register(cmd)
	return cmd
}

func rootNew(env *ui.Env, f *loadkeys.PrivateFlags, out, alg string) error {
	if err := ui.Need(ui.Flag("out", out)); err != nil {
		return err
	}
	if err := loadkeys.CheckAlgorithm(alg); err != nil {
		return err
	}
	public := out + keydoc.PublicSuffix
	for _, path := range []string{out, public} { // before the user types a passphrase for nothing
		if ui.Exists(path) {
			return ui.FileExists(path)
		}
	}
	pass, err := loadkeys.Passphrase(env, f, out, true)
	if err != nil {
		return err
	}
	private := f.Options(env)
	k, err := trust.CreateRootKey(out, pass, keys.Algorithm(alg), &private)
	if err != nil {
		return loadkeys.PrivateFailed(out, err)
	}
	v := k.Verifier()
	env.Sayf("made %s with the %s key %s, and %s: keep it offline, unless it signs timestamps", out, alg,
		ui.ShortID(v.KeyID()), public)
	if f.Insecure {
		env.Warnf("%s is not encrypted: anyone who can read this file can sign trust", out)
	}
	return env.Emit(rootMade{KeyID: v.KeyID(), Alg: alg, Out: out, Public: public, JWK: v.JWK()},
		func(p *ui.Printer) { p.Linef("%s", v.KeyID()) })
}
