package localaws

import (
	"maps"
	"slices"
	"time"
)

// The states of a key. https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
const (
	enabled         = "Enabled"
	disabled        = "Disabled"
	pendingDeletion = "PendingDeletion"
)

func (y *kmsKey) state() string {
	switch {
	case !y.deletion.IsZero():
		return pendingDeletion
	case y.disabled:
		return disabled
	}
	return enabled
}

// staying is an error of a key that is about to go.
func (y *kmsKey) staying() error {
	if y.state() == pendingDeletion {
		return refuse("KMSInvalidStateException", "%s is pending deletion.", y.arn)
	}
	return nil
}

// working is an error of a key that cannot be used.
func (y *kmsKey) working() error {
	if y.state() == disabled {
		return refuse("DisabledException", "%s is disabled.", y.arn)
	}
	return y.staying()
}

func (k *kmsRegion) enableKey(in *keyInput) (nothing, error)  { return k.setDisabled(in, false) }
func (k *kmsRegion) disableKey(in *keyInput) (nothing, error) { return k.setDisabled(in, true) }

func (k *kmsRegion) setDisabled(in *keyInput, to bool) (nothing, error) {
	y, err := k.find(in.KeyID)
	if err != nil {
		return nothing{}, err
	}
	if err := y.staying(); err != nil {
		return nothing{}, err
	}
	y.disabled = to
	k.saveKey(y)
	return nothing{}, nil
}

type deletionInput struct {
	KeyID               string `json:"KeyId"`
	PendingWindowInDays *int
}

type deletionOutput struct {
	KeyID               string `json:"KeyId"`
	DeletionDate        float64
	KeyState            string
	PendingWindowInDays int
}

// The days for which a key waits for its deletion.
const (
	shortestWindow = 7
	longestWindow  = 30
)

const day = 24 * time.Hour

func (k *kmsRegion) scheduleKeyDeletion(in *deletionInput) (*deletionOutput, error) {
	window := longestWindow
	if in.PendingWindowInDays != nil {
		window = *in.PendingWindowInDays
	}
	var c constraints
	if c.between("pendingWindowInDays", window, shortestWindow, longestWindow); len(c) > 0 {
		return nil, c.err()
	}
	y, err := k.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := y.staying(); err != nil {
		return nil, err
	}
	y.deletion = k.now.Add(time.Duration(window) * day)
	k.saveKey(y)
	return &deletionOutput{y.arn, seconds(y.deletion), pendingDeletion, window}, nil
}

type keyARNOutput struct {
	KeyID string `json:"KeyId"`
}

// cancelKeyDeletion leaves the key disabled.
func (k *kmsRegion) cancelKeyDeletion(in *keyInput) (*keyARNOutput, error) {
	y, err := k.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	if y.state() != pendingDeletion {
		return nil, refuse("KMSInvalidStateException", "%s is not pending deletion.", y.arn)
	}
	y.deletion, y.disabled = time.Time{}, true
	k.saveKey(y)
	return &keyARNOutput{y.arn}, nil
}

// catchUp does what was due: it rotates and deletes.
func (k *kmsRegion) catchUp() {
	for arn, y := range k.keys.byARN {
		if y.shared.rotateUntil(k.now) {
			k.saveKey(y)
		}
		if y.deletion.IsZero() || k.now.Before(y.deletion) {
			continue
		}
		delete(k.keys.byARN, arn)
		var aliases []string
		maps.DeleteFunc(k.keys.aliases, func(alias, of string) bool {
			if of == arn {
				aliases = append(aliases, alias)
			}
			return of == arn
		})
		y.shared.replicas = slices.DeleteFunc(y.shared.replicas, func(r *kmsKey) bool { return r == y })
		k.forgetKey(y, aliases)
	}
}

type replicateInput struct {
	KeyID               string `json:"KeyId"`
	ReplicaRegion       string
	Description, Policy string
}

type replicateOutput struct {
	ReplicaKeyMetadata *keyMetadata
	ReplicaPolicy      string
}

var regionPattern = expression(`^([a-z]+-){2,3}\d+$`)

// replicateKey makes a key of the same ID and material in another region.
func (k *kmsRegion) replicateKey(in *replicateInput) (*replicateOutput, error) {
	y, err := k.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := y.working(); err != nil {
		return nil, err
	}
	arn := k.arnIn(in.ReplicaRegion, "key/"+y.id)
	switch {
	case !y.shared.multi || y.replica:
		return nil, refuse("UnsupportedOperationException", "%s is not a multi-Region primary key.", y.arn)
	case !matches(regionPattern, in.ReplicaRegion) || !matches(scopeRegion, in.ReplicaRegion):
		return nil, invalid("Invalid replica region %s", in.ReplicaRegion)
	case k.keys.byARN[arn] != nil:
		return nil, refuse("AlreadyExistsException", "%s already exists.", arn)
	}
	replica := k.add(&kmsKey{
		id: y.id, region: in.ReplicaRegion, spec: y.spec, usage: y.usage, description: in.Description,
		policy: in.Policy, replica: true, shared: y.shared,
	})
	k.saveKey(replica)
	return &replicateOutput{k.describe(replica), in.Policy}, nil
}
