package localawstest

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// keyCases are small: a server that lacks one kind of key, or one operation, is held to everything else.
func keyCases() map[string]func(*run) {
	cases := map[string]func(*run){
		"life of a key":         lifeOfAKey,
		"deletion of a key":     deletionOfAKey,
		"refused key specs":     refusedSpecs,
		"aliases":               aliases,
		"names of keys":         namesOfKeys,
		"data keys":             dataKeys,
		"encryption context":    encryptionContext,
		"moved letters":         movedLetters,
		"ciphertexts":           ciphertexts,
		"key material":          keyMaterial,
		"another key":           anotherKey,
		"another kind of key":   anotherKindOfKey,
		"encrypting again":      encryptingAgain,
		"another region":        anotherRegion,
		"multi-Region keys":     multiRegionKeys,
		"rotation on demand":    rotationOnDemand,
		"automatic rotation":    automaticRotation,
		"period of rotation":    periodOfRotation,
		"ECDSA":                 ecdsaSignatures,
		"Ed25519":               ed25519Signatures,
		"ML-DSA-44":             func(r *run) { r.mldsaSignatures(types.KeySpecMlDsa44) },
		"ML-DSA-65":             func(r *run) { r.mldsaSignatures(types.KeySpecMlDsa65) },
		"ML-DSA-87":             func(r *run) { r.mldsaSignatures(types.KeySpecMlDsa87) },
		"refused ECDSA":         refusedECDSA,
		"no signature":          noSignature,
		"refused Ed25519":       refusedEd25519,
		"refused ML-DSA":        refusedMLDSA,
		"key agreement":         agreedKeys,
		"refused key agreement": refusedAgreement,
		"alias of a doomed key": doomedAlias,
		"dry runs, encrypting":  dryRunsOfEncrypting,
		"dry runs, signing":     dryRunsOfSigning,
		"dry runs, agreeing":    dryRunsOfAgreeing,
		"limits of encrypting":  limitsOfEncrypting,
		"limits of signing":     limitsOfSigning,
		"limits of deletion":    limitsOfDeletion,
	}
	for _, k := range specs {
		cases["key spec "+string(k.spec)+" for "+string(k.usage)] = func(r *run) { r.specOfKey(k) }
	}
	for name, k := range map[string]kindOfKey{
		"encrypting": {(*run).symmetric, encrypting}, "decrypting": {(*run).symmetric, decrypting},
		"rotating": {(*run).symmetric, rotating},
		"signing":  {signer, signing}, "agreeing": {agreer, agreeing},
	} {
		cases["disabled, "+name] = func(r *run) {
			r.useless(k, isDisabled, func(key *string) error {
				_, err := r.keys.DisableKey(r.ctx, &kms.DisableKeyInput{KeyId: key})
				return err
			})
		}
		cases["pending deletion, "+name] = func(r *run) {
			r.useless(k, isGoing, func(key *string) error {
				_, err := r.keys.ScheduleKeyDeletion(r.ctx,
					&kms.ScheduleKeyDeletionInput{KeyId: key, PendingWindowInDays: aws.Int32(7)})
				return err
			})
		}
	}
	for name, make := range map[string]func(*run) *string{"signing": signer, "agreeing": agreer} {
		cases["encrypting with a key for "+name] = func(r *run) { r.cannotEncrypt(make(r)) }
	}
	for name, make := range map[string]func(*run) *string{"encrypting": (*run).symmetric,
		"agreeing": agreer} {
		cases["signing with a key for "+name] = func(r *run) { r.cannotSign(make(r)) }
	}
	for name, make := range map[string]func(*run) *string{"encrypting": (*run).symmetric, "signing": signer} {
		cases["agreeing with a key for "+name] = func(r *run) { r.cannotAgree(make(r)) }
	}
	return cases
}

func signer(r *run) *string {
	return r.asymmetric(types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
}

func agreer(r *run) *string {
	return r.asymmetric(types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement)
}

// The codes of errors.
const (
	notFound      = "NotFoundException"
	invalid       = "ValidationException"
	badCiphertext = "InvalidCiphertextException"
	badUsage      = "InvalidKeyUsageException"
	badSignature  = "KMSInvalidSignatureException"
	wrongKey      = "IncorrectKeyException"
	isDisabled    = "DisabledException"
	isGoing       = "KMSInvalidStateException"
	unsupported   = "UnsupportedOperationException"
	wouldSucceed  = "DryRunOperationException"
)

// madeKey is a key that a case made, which is to go again.
type madeKey struct {
	client *kms.Client
	arn    *string
}

// cleanUp leaves only keys whose deletion is scheduled; replicas go before their primary.
func (r *run) cleanUp() {
	for _, undo := range slices.Backward(r.undo) {
		if err := undo(); err != nil {
			r.errorf("something is left behind: %v", err)
		}
	}
	for _, k := range slices.Backward(r.made) {
		_, err := k.client.ScheduleKeyDeletion(r.ctx,
			&kms.ScheduleKeyDeletionInput{KeyId: k.arn, PendingWindowInDays: aws.Int32(7)})
		if err != nil && CodeOf(err) != isGoing {
			r.errorf("a key is left behind: %v", err)
		}
	}
}

// key makes a key for this test alone.
func (r *run) key(in *kms.CreateKeyInput) *types.KeyMetadata {
	in.Description = aws.String("sealbus contract test")
	out, err := r.keys.CreateKey(r.ctx, in)
	r.must(err)
	r.made = append(r.made, madeKey{r.keys, out.KeyMetadata.Arn})
	return out.KeyMetadata
}

func (r *run) symmetric() *string { return r.key(&kms.CreateKeyInput{}).Arn }

func (r *run) asymmetric(spec types.KeySpec, usage types.KeyUsageType) *string {
	return r.key(&kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage}).Arn
}

// eventually repeats what the service may only do after a while, up to a minute.
func (r *run) eventually(what string, done func() bool) {
	for range 60 {
		if done() {
			return
		}
		if r.immediate {
			break
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(time.Second):
		}
	}
	r.errorf("%s does not come", what)
	panic(stopped{})
}

func (r *run) describe(name *string) *types.KeyMetadata {
	out, err := r.keys.DescribeKey(r.ctx, &kms.DescribeKeyInput{KeyId: name})
	r.must(err)
	return out.KeyMetadata
}

func (r *run) encrypt(key *string, plaintext string, context map[string]string) []byte {
	out, err := r.keys.Encrypt(r.ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte(plaintext),
		EncryptionContext: context})
	r.must(err)
	return out.CiphertextBlob
}

func (r *run) decrypt(key *string, blob []byte, context map[string]string) (*kms.DecryptOutput, error) {
	return r.keys.Decrypt(r.ctx, &kms.DecryptInput{KeyId: key, CiphertextBlob: blob,
		EncryptionContext: context})
}

// decrypts wants a plaintext.
func (r *run) decrypts(what string, key *string, blob []byte, context map[string]string,
	want string) *kms.DecryptOutput {
	out, err := r.decrypt(key, blob, context)
	r.must(err)
	if string(out.Plaintext) != want {
		r.errorf("%s is decrypted to %q", what, out.Plaintext)
	}
	return out
}

func lifeOfAKey(r *run) {
	made := r.key(&kms.CreateKeyInput{})
	if made.KeyState != types.KeyStateEnabled || !made.Enabled ||
		made.KeySpec != types.KeySpecSymmetricDefault || made.KeyUsage != types.KeyUsageTypeEncryptDecrypt {
		r.errorf("made %+v", made)
	}
	if !strings.HasPrefix(*made.Arn, "arn:") || !strings.HasSuffix(*made.Arn, ":key/"+*made.KeyId) ||
		aws.ToBool(made.MultiRegion) {
		r.errorf("the ARN of %s is %s", *made.KeyId, *made.Arn)
	}
	_, err := r.keys.DisableKey(r.ctx, &kms.DisableKeyInput{KeyId: made.KeyId})
	r.must(err)
	r.state(made, types.KeyStateDisabled)
	_, err = r.keys.EnableKey(r.ctx, &kms.EnableKeyInput{KeyId: made.KeyId})
	r.must(err)
	r.state(made, types.KeyStateEnabled)
}

// state waits until a key is in it.
func (r *run) state(key *types.KeyMetadata, want types.KeyState) {
	r.eventually(string(want), func() bool { return r.describe(key.KeyId).KeyState == want })
}

func deletionOfAKey(r *run) {
	made := r.key(&kms.CreateKeyInput{})
	_, err := r.keys.CancelKeyDeletion(r.ctx, &kms.CancelKeyDeletionInput{KeyId: made.KeyId})
	r.refused("cancelling a deletion that nobody wants", err, isGoing)
	going, err := r.keys.ScheduleKeyDeletion(r.ctx,
		&kms.ScheduleKeyDeletionInput{KeyId: made.KeyId, PendingWindowInDays: aws.Int32(7)})
	r.must(err)
	if going.DeletionDate == nil || going.KeyState != types.KeyStatePendingDeletion {
		r.errorf("scheduled %+v", going)
	}
	r.state(made, types.KeyStatePendingDeletion)
	_, err = r.keys.CancelKeyDeletion(r.ctx, &kms.CancelKeyDeletionInput{KeyId: made.KeyId})
	r.must(err)
	r.state(made, types.KeyStateDisabled)
}

// specOfKey is a kind of key that sealbus may be given.
type specOfKey struct {
	spec       types.KeySpec
	usage      types.KeyUsageType
	algorithms []types.SigningAlgorithmSpec
}

var specs = []specOfKey{
	{types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify, []types.SigningAlgorithmSpec{"ECDSA_SHA_256"}},
	{types.KeySpecEccNistEdwards25519, types.KeyUsageTypeSignVerify,
		[]types.SigningAlgorithmSpec{"ED25519_PH_SHA_512", "ED25519_SHA_512"}},
	{types.KeySpecMlDsa44, types.KeyUsageTypeSignVerify, []types.SigningAlgorithmSpec{"ML_DSA_SHAKE_256"}},
	{types.KeySpecMlDsa65, types.KeyUsageTypeSignVerify, []types.SigningAlgorithmSpec{"ML_DSA_SHAKE_256"}},
	{types.KeySpecMlDsa87, types.KeyUsageTypeSignVerify, []types.SigningAlgorithmSpec{"ML_DSA_SHAKE_256"}},
	{types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement, nil},
}

func (r *run) specOfKey(want specOfKey) {
	made := r.key(&kms.CreateKeyInput{KeySpec: want.spec, KeyUsage: want.usage})
	slices.Sort(made.SigningAlgorithms)
	if made.KeySpec != want.spec || made.KeyUsage != want.usage ||
		!slices.Equal(made.SigningAlgorithms, want.algorithms) {
		r.errorf("asked for %v, made %+v", want, made)
	}
	public, err := r.keys.GetPublicKey(r.ctx, &kms.GetPublicKeyInput{KeyId: made.KeyId})
	r.must(err)
	if aws.ToString(public.KeyId) != *made.Arn || public.KeySpec != want.spec ||
		public.KeyUsage != want.usage || len(public.PublicKey) == 0 {
		r.errorf("the public key of %s is %+v", want.spec, public)
	}
}

func refusedSpecs(r *run) {
	_, err := r.keys.GetPublicKey(r.ctx, &kms.GetPublicKeyInput{KeyId: r.symmetric()})
	r.refused("the public key of a symmetric key", err, unsupported)
	for _, in := range []*kms.CreateKeyInput{
		{KeySpec: types.KeySpecEccNistP256},
		{KeySpec: types.KeySpecEccNistEdwards25519, KeyUsage: types.KeyUsageTypeKeyAgreement},
		{KeySpec: types.KeySpecMlDsa65, KeyUsage: types.KeyUsageTypeEncryptDecrypt},
		{KeySpec: "ECC_NIST_P257", KeyUsage: types.KeyUsageTypeSignVerify},
	} {
		_, err := r.keys.CreateKey(r.ctx, in)
		r.refused("creating a key of "+string(in.KeySpec)+" for "+string(in.KeyUsage), err, invalid)
	}
}

func aliases(r *run) {
	key, other, alias := r.symmetric(), r.symmetric(), aws.String("alias/"+newName())
	_, err := r.keys.DescribeKey(r.ctx, &kms.DescribeKeyInput{KeyId: alias})
	r.refused("an alias that does not exist", err, notFound)
	_, err = r.keys.CreateAlias(r.ctx, &kms.CreateAliasInput{AliasName: alias, TargetKeyId: key})
	r.must(err)
	names := func(want *string) {
		byARN := strings.Replace(*key, (*key)[strings.Index(*key, ":key/"):], ":"+*alias, 1)
		for _, name := range []*string{alias, &byARN} {
			r.eventually(*name, func() bool {
				out, err := r.keys.DescribeKey(r.ctx, &kms.DescribeKeyInput{KeyId: name})
				return err == nil && *out.KeyMetadata.Arn == *want
			})
		}
	}
	names(key)
	blob := r.encrypt(alias, "by alias", nil)
	if out := r.decrypts("what was encrypted by alias", alias, blob, nil, "by alias"); *out.KeyId != *key {
		r.errorf("decrypted by %s, want %s", *out.KeyId, *key)
	}
	_, err = r.keys.CreateAlias(r.ctx, &kms.CreateAliasInput{AliasName: alias, TargetKeyId: other})
	r.refused("an alias that is taken", err, "AlreadyExistsException")
	_, err = r.keys.UpdateAlias(r.ctx, &kms.UpdateAliasInput{AliasName: alias, TargetKeyId: other})
	r.must(err)
	names(other)
	listed, err := r.keys.ListAliases(r.ctx, &kms.ListAliasesInput{KeyId: other})
	r.must(err)
	if len(listed.Aliases) != 1 || *listed.Aliases[0].AliasName != *alias ||
		!strings.HasSuffix(*other, *listed.Aliases[0].TargetKeyId) {
		r.errorf("listed %+v", listed.Aliases)
	}
	_, err = r.keys.CreateAlias(r.ctx, &kms.CreateAliasInput{AliasName: aws.String("no-prefix"),
		TargetKeyId: key})
	if err == nil {
		r.errorf("an alias without its prefix was created")
	}
	_, err = r.keys.DeleteAlias(r.ctx, &kms.DeleteAliasInput{AliasName: alias})
	r.must(err)
	_, err = r.keys.DeleteAlias(r.ctx, &kms.DeleteAliasInput{AliasName: alias})
	r.refused("deleting an alias that is gone", err, notFound)
}

func namesOfKeys(r *run) {
	key := *r.symmetric()
	prefix, id, _ := strings.Cut(key, ":key/")
	missing := "00000000-0000-4000-8000-000000000000"
	for _, name := range []string{key, id} {
		if got := r.describe(&name); *got.Arn != key {
			r.errorf("%s is %s", name, *got.Arn)
		}
	}
	for _, name := range []string{missing, prefix + ":key/" +
		missing, "no-id", "mrk-no-id", "alias/sealbus-missing-" + id} {
		_, err := r.keys.DescribeKey(r.ctx, &kms.DescribeKeyInput{KeyId: &name})
		r.refused("the key "+name, err, notFound)
		_, err = r.keys.Encrypt(r.ctx, &kms.EncryptInput{KeyId: &name, Plaintext: []byte("x")})
		r.refused("encrypting under "+name, err, notFound)
	}
}

// material is which material a key encrypts with. Not every server says so.
func (r *run) material(key *string) string {
	id := aws.ToString(r.describe(key).CurrentKeyMaterialId)
	if id == "" {
		r.errorf("DescribeKey names no CurrentKeyMaterialId")
		panic(stopped{})
	}
	return id
}

func rotationOnDemand(r *run) {
	key := r.symmetric()
	before := r.encrypt(key, "before", nil)
	was := r.material(key)
	_, err := r.keys.RotateKeyOnDemand(r.ctx, &kms.RotateKeyOnDemandInput{KeyId: key})
	r.must(err)
	r.eventually("the rotation", func() bool { return r.material(key) != was })
	old := r.decrypts("a ciphertext from before the rotation", key, before, nil, "before")
	if aws.ToString(old.KeyMaterialId) != was || aws.ToString(old.KeyId) != *key {
		r.errorf("decrypted with %q of %q, want %s", aws.ToString(old.KeyMaterialId), aws.ToString(old.KeyId),
			was)
	}
	after := r.decrypts("a ciphertext from after it", key, r.encrypt(key, "after", nil), nil, "after")
	if aws.ToString(after.KeyMaterialId) == was {
		r.errorf("encrypted with the material from before the rotation")
	}
	_, err = r.keys.RotateKeyOnDemand(r.ctx, &kms.RotateKeyOnDemandInput{KeyId: signer(r)})
	r.refused("rotating an asymmetric key", err, unsupported)
}

func (r *run) rotationOf(key *string) *kms.GetKeyRotationStatusOutput {
	out, err := r.keys.GetKeyRotationStatus(r.ctx, &kms.GetKeyRotationStatusInput{KeyId: key})
	r.must(err)
	return out
}

func automaticRotation(r *run) {
	key := r.symmetric()
	if r.rotationOf(key).KeyRotationEnabled {
		r.errorf("a key rotates that nobody asked to")
	}
	_, err := r.keys.EnableKeyRotation(r.ctx, &kms.EnableKeyRotationInput{KeyId: key})
	r.must(err)
	r.eventually("automatic rotation", func() bool { return r.rotationOf(key).KeyRotationEnabled })
	_, err = r.keys.DisableKeyRotation(r.ctx, &kms.DisableKeyRotationInput{KeyId: key})
	r.must(err)
	r.eventually("no rotation", func() bool { return !r.rotationOf(key).KeyRotationEnabled })
}

func periodOfRotation(r *run) {
	key := r.symmetric()
	_, err := r.keys.EnableKeyRotation(r.ctx, &kms.EnableKeyRotationInput{KeyId: key})
	r.must(err)
	r.eventually("automatic rotation", func() bool { return r.rotationOf(key).KeyRotationEnabled })
	if got := r.rotationOf(key); aws.ToInt32(got.RotationPeriodInDays) != 365 || got.NextRotationDate == nil {
		r.errorf("it rotates every %d days", aws.ToInt32(got.RotationPeriodInDays))
	}
	_, err = r.keys.EnableKeyRotation(r.ctx, &kms.EnableKeyRotationInput{KeyId: key,
		RotationPeriodInDays: aws.Int32(89)})
	r.refused("a rotation every 89 days", err, invalid)
}

// kindOfKey is a kind of key, and what can be done with a key of it.
type kindOfKey struct {
	make       func(*run) *string
	operations func(r *run, key *string) map[string]func() error
}

// useless takes a key out of use, and wants every operation to fail.
func (r *run) useless(k kindOfKey, code string, take func(key *string) error) {
	key := k.make(r)
	operations := k.operations(r, key)
	r.must(take(key))
	r.eventually(code, func() bool { return !r.describe(key).Enabled })
	for name, operation := range operations {
		var err error
		r.eventually(name+" to fail", func() bool { err = operation(); return err != nil })
		r.refused(name, err, code)
	}
}

func encrypting(r *run, key *string) map[string]func() error {
	blob := r.encrypt(key, "before", nil)
	return map[string]func() error{
		"Encrypt": func() error {
			_, err := r.keys.Encrypt(r.ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
			return err
		},
		"Decrypt": func() error {
			_, err := r.decrypt(key, blob, nil)
			return err
		},
		"GenerateDataKey": func() error {
			_, err := r.dataKey(key, nil)
			return err
		},
	}
}

// decrypting by what the ciphertext says.
func decrypting(r *run, key *string) map[string]func() error {
	blob := r.encrypt(key, "before", nil)
	return map[string]func() error{
		"Decrypt without a key": func() error {
			_, err := r.decrypt(nil, blob, nil)
			return err
		},
	}
}

func rotating(r *run, key *string) map[string]func() error {
	return map[string]func() error{
		"RotateKeyOnDemand": func() error {
			_, err := r.keys.RotateKeyOnDemand(r.ctx, &kms.RotateKeyOnDemandInput{KeyId: key})
			return err
		},
	}
}

func signing(r *run, key *string) map[string]func() error {
	return map[string]func() error{
		"Sign": func() error {
			_, err := r.sign(key, "ECDSA_SHA_256", types.MessageTypeRaw, []byte("x"))
			return err
		},
		"GetPublicKey": func() error {
			_, err := r.keys.GetPublicKey(r.ctx, &kms.GetPublicKeyInput{KeyId: key})
			return err
		},
	}
}

func agreeing(r *run, key *string) map[string]func() error {
	public := r.public(key)
	return map[string]func() error{
		"DeriveSharedSecret": func() error {
			_, err := r.agree(key, public)
			return err
		},
	}
}

func doomedAlias(r *run) {
	key := r.symmetric()
	_, err := r.keys.ScheduleKeyDeletion(r.ctx, &kms.ScheduleKeyDeletionInput{KeyId: key,
		PendingWindowInDays: aws.Int32(7)})
	r.must(err)
	r.eventually(isGoing, func() bool { return !r.describe(key).Enabled })
	_, err = r.keys.EnableKey(r.ctx, &kms.EnableKeyInput{KeyId: key})
	r.refused("enabling a key that is to be deleted", err, isGoing)
	_, err = r.keys.CreateAlias(r.ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/" + newName()),
		TargetKeyId: key})
	r.refused("an alias of a key that is to be deleted", err, isGoing)
}

func multiRegionKeys(r *run) {
	primary := r.key(&kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	if !strings.HasPrefix(*primary.KeyId, "mrk-") || len(*primary.KeyId) != 36 ||
		!isMultiRegion(primary, types.MultiRegionKeyTypePrimary) {
		r.errorf("made %+v", primary)
	}
	there, region := r.elsewhere()
	made, err := r.keys.ReplicateKey(r.ctx, &kms.ReplicateKeyInput{KeyId: primary.KeyId,
		ReplicaRegion: aws.String(region)})
	r.must(err)
	replica := made.ReplicaKeyMetadata
	r.made = append(r.made, madeKey{there, replica.Arn})
	if *replica.KeyId != *primary.KeyId || !strings.Contains(*replica.Arn, ":"+region+":") ||
		!isMultiRegion(replica, types.MultiRegionKeyTypeReplica) {
		r.errorf("the replica is %+v", replica)
	}
	r.eventually("the replica", func() bool {
		out, err := there.DescribeKey(r.ctx, &kms.DescribeKeyInput{KeyId: replica.Arn})
		return err == nil && out.KeyMetadata.Enabled
	})
	context := map[string]string{"source": "a"}
	blob := r.encrypt(primary.Arn, "everywhere", context)
	for _, name := range []*string{replica.Arn, replica.KeyId, nil} {
		out, err := there.Decrypt(r.ctx, &kms.DecryptInput{KeyId: name, CiphertextBlob: blob,
			EncryptionContext: context})
		r.must(err)
		if string(out.Plaintext) != "everywhere" || aws.ToString(out.KeyId) != *replica.Arn {
			r.errorf("the replica %v decrypts to %q by %q", name, out.Plaintext, aws.ToString(out.KeyId))
		}
	}
	_, err = r.keys.Decrypt(r.ctx, &kms.DecryptInput{KeyId: replica.Arn, CiphertextBlob: blob,
		EncryptionContext: context})
	r.refused("the ARN of the replica, at the primary's region", err, notFound)
	_, err = r.keys.ReplicateKey(r.ctx, &kms.ReplicateKeyInput{KeyId: primary.KeyId,
		ReplicaRegion: aws.String(region)})
	r.refused("a second replica in a region", err, "AlreadyExistsException")
	_, err = r.keys.ReplicateKey(r.ctx, &kms.ReplicateKeyInput{KeyId: r.symmetric(),
		ReplicaRegion: aws.String(region)})
	r.refused("a replica of a key of one region", err, unsupported)
}

func isMultiRegion(key *types.KeyMetadata, kind types.MultiRegionKeyType) bool {
	return aws.ToBool(key.MultiRegion) && key.MultiRegionConfiguration != nil &&
		key.MultiRegionConfiguration.MultiRegionKeyType == kind
}

// elsewhere is the client in another region.
func (r *run) elsewhere() (*kms.Client, string) {
	o := r.keys.Options()
	if o.Region == "eu-west-1" {
		o.Region = "us-east-1"
	} else {
		o.Region = "eu-west-1"
	}
	return kms.New(o), o.Region
}

func anotherRegion(r *run) {
	key := r.symmetric()
	blob := r.encrypt(key, "here", nil)
	there, _ := r.elsewhere()
	_, id, _ := strings.Cut(*key, ":key/")
	for _, name := range []*string{key, &id} {
		_, err := there.Decrypt(r.ctx, &kms.DecryptInput{KeyId: name, CiphertextBlob: blob})
		r.refused("the key "+*name+" in another region", err, notFound)
	}
	_, err := there.Decrypt(r.ctx, &kms.DecryptInput{CiphertextBlob: blob})
	if err == nil {
		r.errorf("decrypted in another region")
	}
}

func dryRunsOfEncrypting(r *run) {
	key, yes := r.symmetric(), aws.Bool(true)
	blob := r.encrypt(key, "x", nil)
	_, err := r.keys.GenerateDataKey(r.ctx, &kms.GenerateDataKeyInput{KeyId: key,
		KeySpec: types.DataKeySpecAes256, DryRun: yes})
	r.refused("GenerateDataKey", err, wouldSucceed)
	_, err = r.keys.Encrypt(r.ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x"), DryRun: yes})
	r.refused("Encrypt", err, wouldSucceed)
	_, err = r.keys.Decrypt(r.ctx, &kms.DecryptInput{KeyId: key, CiphertextBlob: blob, DryRun: yes})
	r.refused("Decrypt", err, wouldSucceed)
	_, err = r.keys.Decrypt(r.ctx, &kms.DecryptInput{KeyId: key, DryRun: yes,
		DryRunModifiers: []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext}})
	r.refused("Decrypt of nothing", err, wouldSucceed)
	_, err = r.keys.Sign(r.ctx, &kms.SignInput{KeyId: key, Message: []byte("x"),
		SigningAlgorithm: "ECDSA_SHA_256", DryRun: yes})
	r.refused("Sign with a key that cannot", err, badUsage)
}

func dryRunsOfSigning(r *run) {
	_, err := r.keys.Sign(r.ctx, &kms.SignInput{KeyId: signer(r), Message: []byte("x"),
		SigningAlgorithm: "ECDSA_SHA_256", DryRun: aws.Bool(true)})
	r.refused("Sign", err, wouldSucceed)
}

func dryRunsOfAgreeing(r *run) {
	key := agreer(r)
	_, err := r.keys.DeriveSharedSecret(r.ctx, &kms.DeriveSharedSecretInput{KeyId: key,
		PublicKey: r.public(key), KeyAgreementAlgorithm: "ECDH", DryRun: aws.Bool(true)})
	r.refused("DeriveSharedSecret", err, wouldSucceed)
}

var mostBytes = strings.Repeat("x", 4096)

func limitsOfEncrypting(r *run) {
	key := r.symmetric()
	r.decrypts("4,096 bytes", key, r.encrypt(key, mostBytes, nil), nil, mostBytes)
	_, err := r.keys.Encrypt(r.ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte(mostBytes + "x")})
	r.refused("encrypting 4,097 bytes", err, invalid)
	_, err = r.decrypt(key, bytes.Repeat([]byte("x"), 6145), nil)
	r.refused("decrypting 6,145 bytes", err, invalid)
}

func limitsOfSigning(r *run) {
	key := signer(r)
	_, err := r.sign(key, "ECDSA_SHA_256", types.MessageTypeRaw, []byte(mostBytes))
	r.must(err)
	_, err = r.sign(key, "ECDSA_SHA_256", types.MessageTypeRaw, []byte(mostBytes+"x"))
	r.refused("signing 4,097 bytes", err, invalid)
}

func limitsOfDeletion(r *run) {
	_, err := r.keys.ScheduleKeyDeletion(r.ctx, &kms.ScheduleKeyDeletionInput{KeyId: r.symmetric(),
		PendingWindowInDays: aws.Int32(31)})
	r.refused("deletion in 31 days", err, invalid)
}
