package explain

// fileWord is a word that a command says of a file, and of no event. Such a word is the member "reason" of an
// error, too.
type fileWord struct {
	meaning string
	more
}

// fileWords are those of trust.BundleWhy that are no Reason, and those of the commands themselves.
var fileWords = map[string]fileWord{
	"wrong_type": {"the document was signed as another kind of document", more{
		causes: []string{
			"a bundle, a roots file or a timestamp was given where another one of these is wanted",
			"an attacker serves a genuine document in the place of another one",
		},
		cures: []cure{
			{platformTeam, "look which file is which: `sealbus inspect FILE` says its kind"},
			{securityTeam, "find out who can write the file, if each one was in its place"},
		},
	}},
	"threshold": {"too few of the keys that the pinned roots name signed the document", more{
		causes: []string{
			"root key holders have not signed yet",
			"the roots file is of another environment",
			"a timestamp was signed by a key that the roots do not name as a timestamp key",
			"the file was changed after it was signed, or is a forgery",
		},
		cures: []cure{
			{platformTeam, "have more root key holders sign it with `sealbus trust sign`, each after " +
				"`sealbus trust sign --show`: a forged file must get no signature"},
			{consumerTeam, "if you follow another environment, get its roots file from a place that you " +
				"trust; never pin roots that came with the bundle"},
			{securityTeam, "find out who can write the file, if it was changed"},
		},
	}},
	"rollback": {"the document is older than one that was seen before", more{
		causes: []string{
			"an old copy is served: a cache, a restored backup",
			"the timestamp beside the bundle is older than one that the bundle took over",
			"the roots want a newer bundle or timestamp, or are older than those that the program has seen",
			"an attacker serves an old bundle, in which a key is not revoked yet",
		},
		cures: []cure{
			{platformTeam, "publish the newest bundle, and build from it (--previous)"},
			{platformTeam, "sign a new timestamp, or hand out the newest roots file, if the message names " +
				"these"},
			{securityTeam, "find out who can write the origin, if no one restored a backup"},
			{consumerTeam, "keep the state file: without it an old bundle would pass"},
		},
	}},
	"equivocate": {"two documents of one version have different content", more{
		causes: []string{
			"two people built a bundle at once, from the same previous one",
			"two jobs signed a timestamp, or roots were changed, under one version",
			"a holder of the keys, or a thief of them, signed two, to show them to different consumers",
		},
		cures: []cure{
			{securityTeam, "find out who signed two documents of one version"},
			{platformTeam, "make one with a higher version, and publish it alone"},
			{consumerTeam, "keep the state file: it shows that there are two"},
		},
	}},
	"no_timestamp": {"the bundle counts only with a timestamp, and there is none", more{
		causes: []string{
			"timestamp.dsse is not beside the bundle",
			"no timestamp was signed yet",
			"the pinned roots name no timestamp keys, and the bundle wants a timestamp",
			"an attacker took the timestamp away, for its revocations not to be seen",
		},
		cures: []cure{
			{platformTeam, "publish timestamp.dsse beside the bundle; `sealbus trust timestamp` signs one"},
			{consumerTeam, "give --roots with the roots file that names the timestamp keys"},
			{securityTeam, "find out who can write the origin, if the timestamp was there"},
		},
	}},
	"other_bundle": {"the timestamp names another bundle than this one", more{
		causes: []string{
			"the bundle was renewed and its timestamp was not",
			"the two were fetched at different times",
			"an old bundle is served beside a new timestamp: by a cache, or by an attacker",
		},
		cures: []cure{
			{platformTeam, "sign a timestamp for the newest bundle, and publish both together"},
			{consumerTeam, "fetch both together, from one origin"},
			{securityTeam, "find out who can write the origin, if both were published together"},
		},
	}},
	"newer_roots": {"the document was signed under newer roots than are pinned here", more{
		causes: []string{"the root keys were changed, and this machine has the roots file from before"},
		cures: []cure{
			{platformTeam, "publish beside the bundle the roots between those of before and the newest"},
			{consumerTeam, "get the newest roots file from a place that you trust, and pin it"},
		},
	}},
	"lifetime": {"the bundle lives longer than such a bundle may", more{
		causes: []string{
			"the bundle was built without the roots that name timestamp keys, or by hand",
			"the roots got timestamp keys after the bundle was built",
		},
		cures: []cure{{platformTeam, "build it anew with `sealbus trust build --roots FILE`"}},
	}},
	"roots": {"the roots file that a command needs is not good", more{
		causes: []string{
			"the file is empty, damaged or too large, or is another kind of file",
			"someone changed the file",
		},
		cures: []cure{
			{platformTeam, "correct what the message names, or take the file from where the root key " +
				"holders keep it"},
			{consumerTeam, "get the newest roots file from a place that you trust"},
			{securityTeam, "find out who can write the file, if it was changed"},
		},
	}},
	"policy": {"the trust policy file is not good", more{
		causes: []string{
			"a member is misspelled, or has a value that is not allowed",
			"a key has no file with its public half, or such a file has no key in the policy",
			"a change of the policy would refuse events that are on their way",
			"the policy lets someone do more than the previous bundle",
		},
		cures: []cure{
			{platformTeam, "correct the place that the message names, and have the change reviewed"},
			{securityTeam, "review a policy that allows more, before `sealbus trust build --widen NAME` " +
				"builds it"},
		},
	}},
	"wrong_passphrase": {"the passphrase does not open the file", more{
		causes: []string{
			"another passphrase was given than the one the file was made with",
			"the first line of the passphrase file has a space too many, or is not the passphrase",
		},
		cures: []cure{
			{producerTeam, "give the passphrase that the file was made with; it cannot be read without it"},
			{consumerTeam, "do so for the keyring of a consumer"},
			{platformTeam, "do so for the file of a root key"},
		},
	}},
	"not_authentic": {"the quarantine record was not written under this key", more{
		causes: []string{
			"the key of the quarantine was changed, and this is a record from before",
			"the key is that of another quarantine, or the record is damaged",
			"someone without the key wrote or changed the record",
		},
		cures: []cure{
			{consumerTeam, "try the keys that this consumer had before; do not reopen the record without " +
				"them"},
			{securityTeam, "find out who can write to the quarantine, if no key fits"},
		},
	}},
}
