// Package home opens the directory that `sealbus init` makes, and makes producers and consumers out of it.
// A home has keys, trust and a file, sealbus.yaml, which names them. It is for a laptop, for tests, and for a
// beginning.
//
//	p, err := home.Producer("", "orders", bus, nil)   // "" = $SEALBUS_HOME, else the working directory
//	c, err := home.Consumer("", "billing", replay.NewMemory(nil), nil)
//
// In production the private keys are in different hands: a producer has its keyring alone (package keys, or
// keys/awskms), a consumer has its roots file alone and fetches the bundle (package keys/trust), and the root
// keys are offline. Then use producer.New and consumer.New: Producer and Consumer only fill in their
// arguments.
//
// # The file
//
//	version: 1
//	audience: central                        # events are sealed for it, and consumers want it; absent = any
//	trust:
//	  roots: trust/roots.json
//	  bundle: trust/trust.dsse
//	  timestamp: trust/timestamp.dsse        # beside the bundle
//	  state: state/trust                     # the newest bundle that was seen
//	  min_version: 7                         # optional: no older bundle counts
//	  policy: trust/policy.yaml              # from here on: for those who keep the trust; all optional
//	  keys: trust/keys                       # a directory: NAME.pub.json
//	  root_key: secret/root.key
//	  timestamp_key: secret/timestamp.key
//	producers:
//	  orders: {keyring: secret/orders.keyring, sources: ["https://orders.example/*"]}
//	consumers:
//	  billing: {identity: secret/billing.keyring}   # and sources, types, audience
//	quarantine_key: secret/quarantine.key
//
// A consumer accepts its sources; without any, those of the producers in the file. A producer's sources are
// for that only: its keyring and the trust policy say what it may sign.
//
// # Threat model
//
// An attacker who can write into a home decides who is trusted. So every file, and every directory on the way
// to it, must belong to the user or to root, and no other user may write there. No path leaves the home,
// and none leads over a symbolic link. A file with a private key is for its owner only.
//
// An attacker who gives away a directory with a sealbus.yaml wants programs that run in there to trust it. So
// a home that is only found in the working directory counts where `sealbus init` made it for this user or for
// root, and not in a copy: name a copy, by SEALBUS_HOME or by the argument. Nor does init go on with files of
// an unfinished home that came from elsewhere, or with a .gitignore there that lets git take the keys.
//
// A thief of the home has all of its keys.
//
// # Stability
//
// The file format is stable at version 1. So are Find, Open, Producer, Consumer, QuarantineKeys and Renew.
package home
