// Package dialing says which addresses the commands that send webhooks may call.
package dialing

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dialguard"
)

// Flags allow more than https at public addresses.
type Flags struct {
	allow        []string
	InsecureHTTP bool
}

func (f *Flags) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.allow, "allow", nil,
		"also send into this network, which is not public, a `CIDR` such as 127.0.0.0/8")
	flags.BoolVar(&f.InsecureHTTP, "insecure-http", false,
		"also send by http: everyone on the way can read and change the messages")
}

// Networks are those of --allow.
func (f *Flags) Networks() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range f.allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, ui.Usage("write it as 127.0.0.0/8, or 10.1.2.3/32 for one address",
				"--allow: %q is no network", text)
		}
		list = append(list, p)
	}
	return list, nil
}

// Fix says which flag allows what the guard refused; "" = the error is another one.
func Fix(err error) string {
	refused, ok := errors.AsType[*dialguard.RefusedError](err)
	switch {
	case !ok:
		return ""
	case refused.Reason == dialguard.BadScheme:
		return "use https, or add --insecure-http"
	case refused.Reason == dialguard.LocalName:
		return "for this machine, write 127.0.0.1 and add --allow 127.0.0.0/8"
	case refused.Reason == dialguard.PortRefused:
		return "use the port of https, or add --allow-port"
	case refused.Reason != dialguard.NotPublic:
		return "write the URL as https://HOST/PATH, with a plain name or address"
	case isMetadata(refused.Rule):
		return "no flag allows this address: it hands out credentials of the cloud"
	}
	return "if the network is yours, add --allow CIDR: --allow 127.0.0.0/8 is this machine"
}

// isMetadata reports whether the rule is one that no option of the guard lifts.
func isMetadata(rule string) bool {
	for _, word := range []string{"metadata", "credentials", "time service", "DNS server", "wire server"} {
		if strings.HasPrefix(rule, word) {
			return true
		}
	}
	return false
}
