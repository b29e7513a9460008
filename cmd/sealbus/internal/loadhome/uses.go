package loadhome

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// use is what a command takes from a home.
type use struct {
	// main are the flags of which one alone says that the command is not about the home.
	main     []string
	parts    []part
	args     func(c *call) ([]string, error) // the arguments, if none is given; nil = they have no default
	audience bool                            // it seals for the audience of the home
	besides  bool                            // it takes from a found home what stands beside the arguments
	not      func(c *call) bool              // such a call needs no home; nil = every call does
	optional bool                            // the command is of use without
	choose   []string                        // "producer", "consumer": whose files they are
	changes  bool                            // it changes files that init and renewals change too
}

func (u *use) chooses(role string) bool { return slices.Contains(u.choose, role) }

// has reports whether a home has a value for the flag.
func (u *use) has(flag string) bool {
	return slices.ContainsFunc(u.parts, func(p part) bool { return slices.Contains(p.fills, flag) })
}

// part is a group of flags that are filled in together, unless one of them is given.
type part struct {
	fills  []string
	unless []string
	when   func(c *call) bool // nil = always
	fill   func(c *call) error
}

var (
	signing   = []string{"keyring", "kms", "tink-kek", "passphrase-file", "insecure-no-passphrase"}
	judging   = []string{"trust", "roots", "trust-state"}
	accepting = []string{"allow-source", "allow-type"}
	opening   = []string{"identity", "tink-kek", "passphrase-file", "insecure-no-passphrase", "keep-encrypted"}
	protected = []string{"passphrase-file", "insecure-no-passphrase"}
)

// The parts.
var (
	keyringPart = part{fills: []string{"keyring"}, unless: signing, fill: fillKeyring}
	ownerPart   = part{fills: []string{"keyring"}, unless: signing, fill: fillOwner}
	trustPart   = part{fills: judging, unless: judging, fill: fillTrust}
	requirePart = part{unless: append([]string{"require-trust"}, judging...), fill: func(c *call) error {
		return c.set("require-trust", "true")
	}}
	audiencePart = part{unless: []string{"audience"}, fill: func(c *call) error {
		return c.set("audience", texts(c.home.Config().Audience)...)
	}}
	acceptPart = part{fills: []string{"allow-source"}, unless: accepting, fill: fillAccepted}
	wantedPart = part{unless: []string{"audience"}, fill: func(c *call) error {
		e, err := c.consumer()
		if err != nil {
			return err
		}
		return c.set("audience", texts(c.home.Config().AudienceOf(e))...)
	}}
	identityPart = part{unless: opening, fill: fillIdentity}
	namePart     = part{unless: []string{"name"}, fill: func(c *call) error {
		e, err := c.consumer()
		if err != nil {
			return err
		}
		return c.set("name", texts(e.Name)...)
	}}
	quarantinePart = part{unless: []string{"quarantine-key-file"}, when: given("quarantine"),
		fill: fillFile("quarantine-key-file", func(f *home.Config) string { return f.QuarantineKey })}
	keyFilePart = part{fills: []string{"key-file"}, unless: []string{"key-file"},
		fill: fillFile("key-file", func(f *home.Config) string { return f.QuarantineKey })}
	policyPart = part{fills: []string{"policy"}, unless: []string{"policy"},
		fill: fillFile("policy", func(f *home.Config) string { return f.Trust.Policy })}
	rootsPart = part{fills: []string{"roots"}, unless: []string{"roots"},
		fill: fillFile("roots", func(f *home.Config) string { return f.Trust.Roots })}
	previousPart = part{unless: []string{"previous"},
		fill: fillFile("previous", func(f *home.Config) string { return f.Trust.Bundle })}
	rootPart = part{fills: []string{"root"}, unless: append([]string{"root"}, protected...),
		fill: fillSecret("root", func(f *home.Config) string { return f.Trust.RootKey })}
	buildPart = part{fills: []string{"keys", "out"}, unless: []string{"keys", "previous", "out", "roots", "timestamp",
		"timestamp-key"}, fill: fillBuild}
	stampPart = part{fills: []string{"key", "roots", "bundle", "previous", "out"}, unless: append([]string{"key", "roots",
		"bundle", "previous", "out"}, protected...), fill: fillTimestamp}
	lifePart = part{unless: []string{"expires"}, fill: func(c *call) error { return c.set("expires", "7d") }}
)

func given(flag string) func(c *call) bool { return func(c *call) bool { return c.isGiven(flag) } }

func (p part) only(when func(c *call) bool) part {
	p.when = when
	return p
}

// uses are the commands that find a home, each with what they take from it.
var uses = map[string]use{
	"keys new":    {main: signing, parts: []part{ownerPart}, not: unowned},
	"keys list":   own(ownerPart),
	"keys export": own(ownerPart),
	"keys retire": own(ownerPart),
	"keys prune":  own(ownerPart),
	"keys rotate": own(ownerPart, trustPart),
	"keys status": own(part{fills: []string{"keyring"}, unless: signing, fill: fillStatus}, trustPart),

	"trust add": {changes: true, main: []string{"policy"}, parts: []part{policyPart}, args: refreshedPublic,
		besides: true, choose: both},
	"trust build":  {changes: true, main: []string{"policy", "root", "out"}, parts: []part{policyPart, buildPart, rootPart}},
	"trust revoke": {changes: true, main: []string{"policy"}, parts: []part{policyPart}},
	"trust taint":  {changes: true, main: []string{"policy"}, parts: []part{policyPart}},
	"trust sign":   {changes: true, main: []string{"root", "roots"}, parts: []part{rootsPart, rootPart}, args: bundleArg},
	"trust show":   {main: []string{"roots"}, parts: []part{rootsPart}, args: bundleArg},
	"trust verify": {main: []string{"roots"}, parts: []part{rootsPart}, args: bundleArg},
	"trust diff":   {args: bundleAndPolicy},
	"trust timestamp": {changes: true, main: []string{"key", "roots", "bundle", "previous", "out"},
		parts: []part{stampPart, lifePart}},
	"trust simulate": {main: []string{"policy", "previous"}, parts: []part{policyPart, previousPart}},

	"seal": {main: signing, audience: true, choose: both[:1],
		parts: []part{keyringPart, audiencePart, trustPart.only(given("encrypt-to"))}},
	"publish": {main: signing, audience: true, choose: both[:1],
		parts: []part{keyringPart, audiencePart, requirePart, trustPart}},
	"open": {main: judging, choose: both[1:],
		parts: []part{trustPart, acceptPart, wantedPart, identityPart}},
	"listen": {main: judging, choose: both[1:],
		parts: []part{trustPart, acceptPart, wantedPart, namePart, quarantinePart, identityPart}},
	"inspect": {main: judging, parts: []part{trustPart}, optional: true},
	"gateway": {main: slices.Concat(signing, judging), not: given("check"), choose: both, parts: []part{
		keyringPart.only(given("bus")), audiencePart, requirePart.only(given("bus")), trustPart,
		acceptPart.only(given("queue")), namePart.only(given("queue")), quarantinePart}},

	"quarantine list":   {main: []string{"key-file"}, parts: []part{keyFilePart}},
	"quarantine show":   {main: reading, choose: both[1:], parts: judged},
	"quarantine reopen": {main: reading, choose: both[1:], parts: judged},
	"quarantine remove": {main: []string{"key-file"}, parts: []part{keyFilePart}},

	"doctor": {main: slices.Concat(signing, judging, []string{"bus", "queue", "function", "redis", "table", "may-sign",
		"may-encrypt", "may-decrypt"}), choose: both[:1], parts: []part{trustPart, keyringPart.only(hasProducer)}},
}

var (
	both    = []string{"producer", "consumer"}
	reading = append([]string{"key-file"}, judging...)
	judged  = []part{keyFilePart, trustPart, acceptPart.only(hasConsumer), wantedPart.only(hasConsumer),
		identityPart.only(hasConsumer)}
)

// own is a command about the keys of one owner.
func own(parts ...part) use { return use{main: signing, parts: parts, choose: both} }

// unowned reports whether `keys new` is about an owner of whom no home knows.
func unowned(c *call) bool {
	h, err := c.find()
	if err != nil {
		return true
	}
	_, isProducer := h.Config().Producer(c.text("producer"))
	_, isConsumer := h.Config().Consumer(c.text("consumer"))
	return (c.text("producer") == "" || isProducer != nil) && (c.text("consumer") == "" || isConsumer != nil)
}

func hasProducer(c *call) bool { return len(c.home.Config().Producers) > 0 }

func hasConsumer(c *call) bool { return len(c.home.Config().Consumers) > 0 }

// text is the value of a flag; "" = it has none.
func (c *call) text(flag string) string {
	if f := c.cmd.Flags().Lookup(flag); f != nil {
		return f.Value.String()
	}
	return ""
}

// texts is the value, or none if there is none.
func texts(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// consumer is the chosen consumer. A home that has producers only has one without a name, who accepts what
// they send.
func (c *call) consumer() (*home.ConsumerEntry, error) {
	name := c.text("consumer")
	if name == "" && !hasConsumer(c) {
		return &home.ConsumerEntry{}, nil
	}
	return c.home.Config().Consumer(name)
}

func fillKeyring(c *call) error {
	e, err := c.home.Config().Producer(c.text("producer"))
	if err != nil {
		return err
	}
	// a keyring says whose it is; the command takes the name for the owner of keys elsewhere
	return errors.Join(c.private("keyring", e.Keyring), c.cmd.Flags().Lookup("producer").Value.Set(""))
}

// fillOwner is the keyring of the producer or consumer that is chosen: without either, of the only producer.
func fillOwner(c *call) error {
	if c.text("consumer") == "" {
		if c.cmd.Name() == "new" {
			e, err := c.home.Config().Producer(c.text("producer"))
			if err != nil {
				return err
			}
			return c.private("keyring", e.Keyring)
		}
		return fillKeyring(c)
	}
	e, err := c.home.Config().Consumer(c.text("consumer"))
	if err != nil {
		return err
	}
	if c.cmd.Name() != "new" {
		if err := c.cmd.Flags().Lookup("consumer").Value.Set(""); err != nil {
			return err
		}
	}
	return c.private("keyring", e.Identity)
}

// fillStatus is all keyrings of the home, or that of the chosen owner.
func fillStatus(c *call) error {
	if c.text("producer")+c.text("consumer") != "" {
		return fillOwner(c)
	}
	f := c.home.Config()
	for _, p := range f.Producers {
		if err := c.private("keyring", p.Keyring); err != nil {
			return err
		}
	}
	for _, e := range f.Consumers {
		if e.Identity != "" {
			if err := c.private("keyring", e.Identity); err != nil {
				return err
			}
		}
	}
	return nil
}

func fillIdentity(c *call) error {
	e, err := c.consumer()
	if err != nil || e.Identity == "" {
		return err
	}
	if f := c.cmd.Flags().Lookup("consumer"); f != nil && c.cmd.Name() != "reopen" {
		_ = f.Value.Set("") // it is read for a Tink keyset
	}
	return c.private("identity", e.Identity)
}

// private sets the flag to a file with a private key and, if that has no passphrase, says so.
func (c *call) private(flag, name string) error {
	path, err := c.home.Secret(name)
	if err != nil {
		return missing(name, err)
	}
	doc, _, err := privatefile.ReadBounded(path, privatefile.MaxSize)
	if err != nil {
		return err
	}
	defer clear(doc)
	if !bytes.HasPrefix(doc, []byte("age-encryption.org/")) && c.cmd.Flags().Lookup("insecure-no-passphrase") != nil {
		if err := c.set("insecure-no-passphrase", "true"); err != nil {
			return err
		}
	}
	return c.set(flag, path)
}

func missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &home.MissingError{What: name + " is missing, which " + home.File + " names: take it from a backup",
			Err: fs.ErrNotExist}
	}
	return err
}

// fillTrust judges by the trust of the home, whose timestamp is renewed if it is about to expire.
func fillTrust(c *call) error {
	t := &c.home.Config().Trust
	renewed, err := c.home.Renew(c.cmd.Context(), c.env.Clock())
	if renewed {
		c.env.Sayf("renewed %s for 7 days: it was about to expire", t.Timestamp)
	}
	if err != nil {
		c.env.Warnf("the timestamp was not renewed: %v", err)
	}
	bundle, err := c.home.Public(t.Bundle)
	if err != nil {
		return missing(t.Bundle, err)
	}
	roots, err := c.home.Public(t.Roots)
	if err != nil {
		return missing(t.Roots, err)
	}
	if t.State != "" {
		state, err := c.home.Place(t.State)
		if err != nil {
			return err
		}
		if err := c.set("trust-state", state); err != nil {
			return err
		}
	}
	c.judges = true
	return errors.Join(c.set("trust", bundle), c.set("roots", roots))
}

func fillAccepted(c *call) error {
	e, err := c.consumer()
	if err != nil {
		return err
	}
	sources, err := c.home.Config().SourcesOf(e)
	if err != nil {
		return err
	}
	return errors.Join(c.set("allow-source", sources...), c.set("allow-type", e.Types...))
}

// fillFile sets the flag to a public file, or to a secret one that has no passphrase.
func fillFile(flag string, of func(*home.Config) string) func(*call) error {
	return func(c *call) error {
		name := of(c.home.Config())
		if name == "" {
			return nil // the command says that the flag is missing
		}
		look := c.home.Public
		if name == c.home.Config().QuarantineKey {
			look = c.home.Secret
		}
		path, err := look(name)
		if err != nil {
			return missing(name, err)
		}
		return c.set(flag, path)
	}
}

func fillSecret(flag string, of func(*home.Config) string) func(*call) error {
	return func(c *call) error {
		if name := of(c.home.Config()); name != "" {
			return c.private(flag, name)
		}
		return nil
	}
}

// fillBuild has the next bundle follow that of the home, in its place.
func fillBuild(c *call) error {
	t := &c.home.Config().Trust
	if t.Keys != "" {
		dir, err := c.home.Public(t.Keys)
		if err != nil {
			return missing(t.Keys, err)
		}
		files, err := PublicFiles(dir)
		if err != nil {
			return err
		}
		if err := c.set("keys", files...); err != nil {
			return err
		}
	}
	bundle, err := c.home.Place(t.Bundle)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(bundle); err == nil {
		if err := c.set("previous", bundle); err != nil {
			return err
		}
	}
	roots, err := c.home.Public(t.Roots)
	if err != nil {
		return missing(t.Roots, err)
	}
	if err := errors.Join(c.set("out", bundle), c.set("roots", roots)); err != nil || t.Timestamp == "" {
		return err
	}
	stamp, err := c.home.Place(t.Timestamp)
	if err != nil {
		return err
	}
	if err := c.set("timestamp", stamp); err != nil || t.TimestampKey == "" {
		return err
	}
	return c.private("timestamp-key", t.TimestampKey)
}

func fillTimestamp(c *call) error {
	t := &c.home.Config().Trust
	stamp, err := c.home.Public(t.Timestamp)
	if err != nil {
		return missing(t.Timestamp, err)
	}
	bundle, err := c.home.Public(t.Bundle)
	if err != nil {
		return missing(t.Bundle, err)
	}
	roots, err := c.home.Public(t.Roots)
	if err != nil {
		return missing(t.Roots, err)
	}
	return errors.Join(c.private("key", t.TimestampKey), c.set("roots", roots), c.set("bundle", bundle),
		c.set("previous", stamp), c.set("out", stamp))
}

func bundleArg(c *call) ([]string, error) {
	path, err := c.home.Public(c.home.Config().Trust.Bundle)
	return []string{path}, err
}

func bundleAndPolicy(c *call) ([]string, error) {
	bundle, err := c.home.Public(c.home.Config().Trust.Bundle)
	if err != nil {
		return nil, err
	}
	policy, err := c.home.Public(c.home.Config().Trust.Policy)
	return []string{bundle, policy}, err
}

// refreshedPublic is the file with the public keys of the chosen owner, after it was written anew from its
// keyring: a new key is in there, or a new end of an old one.
func refreshedPublic(c *call) ([]string, error) {
	name, ring := c.text("producer"), ""
	if consumer := c.text("consumer"); consumer != "" {
		e, err := c.home.Config().Consumer(consumer)
		if err != nil {
			return nil, err
		}
		name, ring = e.Name, e.Identity
	} else {
		e, err := c.home.Config().Producer(name)
		if err != nil {
			return nil, err
		}
		name, ring = e.Name, e.Keyring
		if err := c.set("producer", name); err != nil {
			return nil, err
		}
	}
	path, err := c.home.Secret(ring)
	if err != nil {
		return nil, missing(ring, err)
	}
	opened, err := keys.OpenKeyring(path, "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
	if err != nil {
		return nil, err
	}
	unlock, err := c.lock(c.cmd.Context())
	if err != nil {
		return nil, err
	}
	defer unlock()
	public, err := c.home.Place(c.home.Config().Trust.Keys + "/" + name + ".pub.json")
	if err != nil {
		return nil, err
	}
	gone, err := goneButListed(c, public, name, opened.PublicKeys())
	if err != nil {
		return nil, err
	}
	set, err := keys.FormatJWKSet(append(opened.PublicKeys(), gone...)...)
	if err != nil {
		return nil, err
	}
	return []string{public}, privatefile.Swap(public, set)
}

// goneButListed are the keys of the public file that the keyring has no more, and that the policy still lists
// under that name: no bundle can be built without their public halves, which are nowhere else.
func goneButListed(c *call, public, name string, ring []keys.PublicKey) (gone []keys.PublicKey, err error) {
	doc, _, err := privatefile.ReadBounded(public, keydoc.MaxBundle)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	was, err := keys.ParseJWKSet(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", public, err)
	}
	listed, err := listedKeys(c, name)
	for _, k := range was {
		isOf := func(o keys.PublicKey) bool { return o.KeyID() == k.KeyID() }
		if listed[k.KeyID()] && !slices.ContainsFunc(ring, isOf) {
			gone = append(gone, k)
		}
	}
	return gone, err
}

// listedKeys are the IDs of the keys that the policy lists under that name.
func listedKeys(c *call, name string) (map[string]bool, error) {
	path := c.text("policy")
	doc, _, err := privatefile.ReadBounded(path, keydoc.MaxPolicy)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the command says so, or makes it
	}
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var list []policy.Key
	for _, o := range p.Producers {
		if o.Name == name {
			list = append(list, o.Keys...)
		}
	}
	for _, o := range p.Consumers {
		if o.Name == name {
			list = append(list, o.Keys...)
		}
	}
	ids := map[string]bool{}
	for _, k := range list {
		ids[k.ID] = true
	}
	return ids, nil
}
