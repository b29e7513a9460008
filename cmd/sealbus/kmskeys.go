package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// serviceFailed is the error of a key in a key management service that could not be used: nothing was judged.
func serviceFailed(where string, e *keys.ServiceError) error {
	fix := cmp.Or(e.Fix, "check permissions, quota and state of the key, and try again")
	return &exitError{code: exitUnavailable, reason: string(envelope.ReasonKMSUnavailable), err: fmt.Errorf("%s%w", where, e), fix: fix}
}

func (r *recipients) addService(context.Context, string) error { return usage("", "") }
func (i *identities) addService(context.Context, string) error { return usage("", "") }

func (a *app) kmsSigner(context.Context, *keyReference) (keys.Signer, error) {
	return nil, usage("", "")
}
func (i *identities) addReference(context.Context, *keyReference) error { return usage("", "") }

type kmsKey struct {
	arn        string
	signing    *keys.Verifier
	encryption *keys.Recipient
}

func (k *kmsKey) notFor(use string) error { return usage("", "") }

func (a *app) kmsKeyAt(ctx context.Context, arn string) (*kmsKey, error) { return nil, usage("", "") }
