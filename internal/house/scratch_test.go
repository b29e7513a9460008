package house

import (
	"go/types"
	"sort"
	"strings"
	"testing"
)

func TestScratchList(t *testing.T) {
	var out []string
	for path, pkg := range exported(t) {
		for _, name := range pkg.Scope().Names() {
			f, ok := pkg.Scope().Lookup(name).(*types.Func)
			if !ok || !f.Exported() {
				continue
			}
			res := f.Signature().Results()
			n := res.Len()
			if n == 0 || res.At(n-1).Type().String() != "error" {
				continue
			}
			for _, p := range []string{"New", "Open", "Parse", "Watch", "Fetch", "Read", "Create", "Generate", "Handler", "Events", "Guard", "KEK", "Keyring", "Origin", "HTTPS", "SignWith", "Delegate", "Provider", "Google", "Validated", "Standard", "HTTPSig", "Encrypt", "Load"} {
				if strings.HasPrefix(name, p) {
					out = append(out, path+"."+name+strings.ReplaceAll(f.Signature().String()[4:], "github.com/sealbus/sealbus/", ""))
					break
				}
			}
		}
	}
	sort.Strings(out)
	t.Log("\n" + strings.Join(out, "\n"))
}
