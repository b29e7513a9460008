package main

import (
	"context"

	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
	"github.com/spf13/cobra"
)

func (a *app) trustRevokeCommand() *cobra.Command {
	var file, reason string
	cmd := a.command(commandSpec{
		use: "revoke KEYID --reason TEXT --policy FILE", short: "Revoke a key in the policy file",
		long: "Revoke a key in the policy file. Every event that it signed is rejected, whenever it was signed, as soon as the\n" +
			"next bundle is built and published. KEYID may be the first 8 characters or more.",
		example: "sealbus trust revoke vM5g2nq8 --reason 'laptop stolen' --policy policy.yaml",
		args:    exactly("KEYID"), now: true,
		run: func(_ context.Context, args []string) error { return a.trustRevoke(args[0], reason, file) },
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for everybody who reads the bundle: `TEXT`")
	cmd.Flags().StringVar(&file, "policy", "", "the policy `FILE`")
	return cmd
}

func (a *app) trustRevoke(given, reason, file string) error {
	if err := need(required{"policy", file}, required{"reason", reason}); err != nil {
		return err
	}
	doc, p, err := a.readPolicy(file)
	if err != nil {
		return err
	}
	id, err := matchID(listedIDs(p), given, file)
	if err != nil {
		return err
	}
	if err := (&trust.Revocation{At: a.now(), Reason: reason}).Check(); err != nil {
		return usage("shorten --reason, in one line", "%w", err)
	}
	edited, changes, err := policy.Revoke(doc, id, reason, a.now())
	if err != nil {
		return policyRefused(file, err)
	}
	changed, err := a.writePolicy(file, doc, edited, policyChanged{Changes: changes, KeyIDs: []string{id}})
	if err != nil || !changed {
		return err
	}
	a.tellReview(file)
	if ofProducer(p, id) {
		a.sayf("next, at the producer: sealbus keys new --keyring FILE: the new key signs at once; then keys export, trust add, trust build")
	}
	return nil
}

func ofProducer(p *policy.Policy, id string) bool {
	for _, o := range p.Producers {
		for _, k := range o.Keys {
			if k.ID == id {
				return true
			}
		}
	}
	return false
}

func listedIDs(p *policy.Policy) []string {
	var ids []string
	for _, o := range p.Producers {
		for _, k := range o.Keys {
			ids = append(ids, k.ID)
		}
	}
	for _, o := range p.Consumers {
		for _, k := range o.Keys {
			ids = append(ids, k.ID)
		}
	}
	return ids
}
