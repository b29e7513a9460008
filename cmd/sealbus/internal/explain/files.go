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
		causes: []string{"a bundle was given where roots are wanted, or the other way around"},
		cures:  []cure{{platformTeam, "look which file is which: `sealbus inspect FILE` says its kind"}},
	}},
	"threshold": {"too few of the pinned root keys signed the document", more{
		causes: []string{
			"root key holders have not signed yet",
			"the roots file is of another environment",
			"the file was changed after it was signed",
		},
		cures: []cure{
			{platformTeam, "have more root key holders sign it: `sealbus trust sign`"},
			{consumerTeam, "pin the roots file that belongs to this bundle"},
			{securityTeam, "find out who can write the file, if it was changed"},
		},
	}},
	"rollback": {"the document is older than one that was seen before", more{
		causes: []string{"an old copy is served: a cache, a restored backup", "an attacker serves an old bundle"},
		cures: []cure{
			{platformTeam, "publish the newest bundle, and build from it (--previous)"},
			{securityTeam, "find out who can write the origin, if no one restored a backup"},
		},
	}},
	"equivocate": {"two documents of one version have different content", more{
		causes: []string{"two people built a bundle at once, from the same previous one",
			"a holder of the keys signed two, to show them to different consumers"},
		cures: []cure{
			{securityTeam, "find out who signed two documents of one version"},
			{platformTeam, "build one with a higher version, and publish it alone"},
		},
	}},
	"no_timestamp": {"the bundle counts only with a timestamp, and there is none", more{
		causes: []string{"timestamp.dsse is not beside the bundle", "no timestamp was signed yet"},
		cures: []cure{
			{platformTeam, "publish timestamp.dsse beside the bundle; `sealbus trust timestamp` signs one"},
			{consumerTeam, "give --roots with the roots file that names the timestamp keys"},
		},
	}},
	"other_bundle": {"the timestamp names another bundle than this one", more{
		causes: []string{"the bundle was renewed and its timestamp was not", "the two were fetched at different times"},
		cures: []cure{
			{platformTeam, "sign a timestamp for the new bundle, and publish both together"},
			{consumerTeam, "fetch both together, from one origin"},
		},
	}},
	"newer_roots": {"the document was signed under newer roots than are pinned here", more{
		causes: []string{"the root keys were changed, and this machine has the roots file from before"},
		cures:  []cure{{consumerTeam, "get the newest roots file from a place that you trust, and pin it"}},
	}},
	"lifetime": {"the bundle lives longer than such a bundle may", more{
		causes: []string{"the bundle was built without the roots that name timestamp keys, or by hand"},
		cures:  []cure{{platformTeam, "build it anew with `sealbus trust build --roots FILE`"}},
	}},
	"policy": {"the trust policy file is not good", more{
		causes: []string{
			"a member is misspelled, or has a value that is not allowed",
			"a change of the policy would refuse events that are on their way",
		},
		cures: []cure{{platformTeam, "correct the place that the message names, and have the change reviewed"}},
	}},
	"wrong_passphrase": {"the passphrase does not open the file", more{
		causes: []string{"another passphrase was given than the one the file was made with",
			"the passphrase file ends with more than one line break"},
		cures: []cure{{producerTeam, "give the passphrase that the file was made with; it cannot be read without it"}},
	}},
	"not_authentic": {"the quarantine record was not written under this key", more{
		causes: []string{
			"the key of the quarantine was changed, and this is a record from before",
			"someone without the key wrote or changed the record",
		},
		cures: []cure{
			{consumerTeam, "try the keys that this consumer had before; do not reopen the record without them"},
			{securityTeam, "find out who can write to the quarantine, if no key fits"},
		},
	}},
}
