package localaws

import (
	"maps"
	"slices"
	"strings"
)

const aliasPrefix = "alias/"

var aliasPattern = expression(`^[a-zA-Z0-9:/_-]+$`)

type aliasInput struct {
	AliasName   string
	TargetKeyID string `json:"TargetKeyId"`
}

// findAlias is the key of an alias in this region.
func (k *kmsRegion) findAlias(name string) (*kmsKey, error) {
	arn := k.arnIn(k.region, name)
	if y := k.keys.byARN[k.keys.aliases[arn]]; y != nil {
		return y, nil
	}
	return nil, noAlias(arn)
}

func noAlias(arn string) error { return refuse("NotFoundException", "Alias %s is not found.", arn) }

func (k *kmsRegion) createAlias(in *aliasInput) (nothing, error) {
	arn, y, err := k.aliasing(in)
	if err != nil {
		return nothing{}, err
	}
	if k.keys.aliases[arn] != "" {
		return nothing{}, refuse("AlreadyExistsException", "An alias with the name %s already exists", arn)
	}
	k.keys.aliases[arn] = y.arn
	k.journal.put(bucketAliases, arn, y.arn)
	return nothing{}, nil
}

// updateAlias points an alias at another key of the same kind.
func (k *kmsRegion) updateAlias(in *aliasInput) (nothing, error) {
	arn, y, err := k.aliasing(in)
	if err != nil {
		return nothing{}, err
	}
	old, err := k.findAlias(in.AliasName)
	if err != nil {
		return nothing{}, err
	}
	if old.usage != y.usage || (old.spec == symmetric) != (y.spec == symmetric) {
		return nothing{}, invalid("Alias %s cannot be changed from a key of usage %s to one of usage %s.",
			arn, old.usage, y.usage)
	}
	k.keys.aliases[arn] = y.arn
	k.journal.put(bucketAliases, arn, y.arn)
	return nothing{}, nil
}

// aliasing is the ARN of an alias that is to be written, and its key.
func (k *kmsRegion) aliasing(in *aliasInput) (arn string, y *kmsKey, err error) {
	var c constraints
	c.length("aliasName", len(in.AliasName), 1, 256)
	if !aliasPattern().MatchString(in.AliasName) {
		c.violated("Value at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", aliasPattern())
	}
	if err := c.err(); err != nil {
		return "", nil, err
	}
	name, prefixed := strings.CutPrefix(in.AliasName, aliasPrefix)
	switch {
	case !prefixed || name == "":
		return "", nil, refuse("InvalidAliasNameException", "Invalid identifier")
	case strings.HasPrefix(name, "aws/"):
		return "", nil, refuse("NotAuthorizedException", "")
	case strings.Contains(in.TargetKeyID, aliasPrefix):
		return "", nil, invalid("Aliases must refer to keys. Not aliases")
	}
	y, err = k.find(in.TargetKeyID)
	if err == nil {
		err = y.staying()
	}
	return k.arnIn(k.region, in.AliasName), y, err
}

func (k *kmsRegion) deleteAlias(in *aliasInput) (nothing, error) {
	arn := k.arnIn(k.region, in.AliasName)
	if k.keys.aliases[arn] == "" {
		return nothing{}, noAlias(arn)
	}
	delete(k.keys.aliases, arn)
	k.journal.remove(bucketAliases, arn)
	return nothing{}, nil
}

type aliasEntry struct {
	AliasName, AliasArn string
	TargetKeyID         string `json:"TargetKeyId"`
}

type listAliasesOutput struct {
	Aliases   []aliasEntry
	Truncated bool
}

// listAliases lists those of a key, or of the region, in one page.
func (k *kmsRegion) listAliases(in *keyInput) (*listAliasesOutput, error) {
	var of *kmsKey
	if in.KeyID != "" {
		var err error
		if of, err = k.find(in.KeyID); err != nil {
			return nil, err
		}
	}
	out := &listAliasesOutput{Aliases: []aliasEntry{}}
	for _, arn := range slices.Sorted(maps.Keys(k.keys.aliases)) {
		y := k.keys.byARN[k.keys.aliases[arn]]
		if y.region == k.region && (of == nil || of == y) {
			out.Aliases = append(out.Aliases, aliasEntry{strings.TrimPrefix(arn, k.arnIn(k.region, "")), arn,
				y.id})
		}
	}
	return out, nil
}
