package loadhome

// Flags are the flags of the table by command: those that a home fills in, and those that keep it from that.
func Flags() map[string][]string {
	all := map[string][]string{}
	for path, u := range uses {
		list := append([]string{}, u.main...)
		for _, p := range u.parts {
			list = append(list, p.fills...)
		}
		all[path] = list
	}
	return all
}

// MayLack are flags of groups that not every command has.
var MayLack = []string{"kms", "tink-kek", "passphrase-file", "insecure-no-passphrase"}
