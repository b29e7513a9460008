package setup

import (
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// The files of a home that all its producers and consumers share.
const (
	rootsFile      = "trust/roots.json"
	bundleFile     = "trust/trust.dsse"
	timestampFile  = "trust/" + keydoc.TimestampFile
	policyFile     = "trust/policy.yaml"
	publicDir      = "trust/keys"
	rootKeyFile    = "secret/root.key"
	stampKeyFile   = "secret/timestamp.key"
	quarantineFile = "secret/quarantine.key"
	ignoreFile     = ".gitignore"
	makingDir      = "secret/.making" // what is not finished; a private directory
)

// file is a file of the home, for people and programs.
type file struct {
	Path   string `json:"path"` // below the home, with slashes
	What   string `json:"what"`
	Keeper string `json:"keeper"`
	Secret bool   `json:"secret"`
	Laptop bool   `json:"laptop_only"` // in production it is protected otherwise, or elsewhere
}

func keyringFile(name string) string { return "secret/" + name + ".keyring" }

func publicFile(name string) string { return publicDir + "/" + name + ".pub.json" }

// files lists the home, in the order in which people read it.
func (s *site) files() []file {
	list := []file{
		{home.File, "names the files of this home", "everyone here", false, false},
		{ignoreFile, "keeps secret/ and state/ out of git", "everyone here", false, false},
		{policyFile, "who may say what; people review changes", "platform team", false, false},
		{rootsFile, "what consumers trust; each has a copy", "consumers", false, false},
		{bundleFile, "that policy, signed by the root key", "platform team", false, false},
		{timestampFile, "which bundle is the newest, for 7 days", "platform team", false, false},
	}
	for _, p := range s.config.Producers {
		list = append(list, file{publicFile(p.Name), "public key of " + p.Name, "platform team", false, false})
	}
	for _, c := range s.config.Consumers {
		list = append(list, file{publicFile(c.Name), "public key of " + c.Name + ", to encrypt to",
			"platform team", false, false})
	}
	for _, p := range s.config.Producers {
		list = append(list, file{p.Keyring, "signs as " + p.Name + "; its team keeps it", "producer " + p.Name,
			true, true})
	}
	for _, c := range s.config.Consumers {
		list = append(list, file{c.Identity, "decrypts as " + c.Name + "; its team keeps it",
			"consumer " + c.Name, true, true})
	}
	return append(list,
		file{rootKeyFile, "signs bundles; security team, offline", "security team",
			true, true},
		file{stampKeyFile, "signs timestamps, revokes; platform team", "platform team", true, true},
		file{quarantineFile, "signs quarantine records; operators", "consumers", true, true},
		file{"state/", "what programs remember; on this machine", "the programs", false, false})
}
