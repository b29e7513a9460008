// Package tenants has the commands about the file that says which client speaks for which tenant.
package tenants

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/schema"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/tenants"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Group("tenants", "Check the file that says which client speaks for which tenant",
		"Where callers have tokens, one reviewed file says which client may send events of which sources and "+
			"types, and how many. docs/webhooks.md has its fields.",
		checkCommand(env))
}

type checkFlags struct {
	client, source, typ string
	scopes, groups      []string
}

func checkCommand(env *ui.Env) *cobra.Command {
	f := &checkFlags{}
	cmd := env.Command(ui.Command{
		Use: "check FILE", Short: "Say whether a file of tenants is good, and what a client may send",
		Args: ui.Exactly("FILE"),
		Long: `Read a file of tenants, and the schemas that it names, as the gateway would. The first fault is
named with its line.

--client says for which tenant a client speaks, if its token has these scopes and groups, and with --source
and --type whether it may send such an event.

Exit status: 0 the file is good and the client may, 1 the client may not, 2 the file is not good.`,
		Example: `sealbus tenants check tenants.yaml
sealbus tenants check tenants.yaml --client 4f9c2d --scope events/write \
  --source https://acme.example/shop --type com.acme.order`,
		Run: func(_ context.Context, files []string) error { return check(env, f, files[0]) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.client, "client", "", "judge the client of this `ID`")
	flags.StringArrayVar(&f.scopes, "scope", nil, "with --client: a `SCOPE` of its token")
	flags.StringArrayVar(&f.groups, "group", nil, "with --client: a `GROUP` of its user")
	flags.StringVar(&f.source, "source", "", "with --client: the `SOURCE` of an event")
	flags.StringVar(&f.typ, "type", "", "with --source: the `TYPE` of the event")
	return cmd
}

// result is what was found, for programs.
type result struct {
	File    string          `json:"file"`
	Issuer  string          `json:"issuer"`
	Tenants []string        `json:"tenants"`
	Clients int             `json:"clients"`
	Tenant  string          `json:"tenant,omitempty"` // of --client
	Reason  envelope.Reason `json:"reason,omitempty"` // why the client may not
	Finding string          `json:"finding,omitempty"`
}

func check(env *ui.Env, f *checkFlags, file string) error {
	switch {
	case f.client == "" && (f.source != "" || f.typ != "" || len(f.scopes)+len(f.groups) > 0):
		return ui.Usage("add --client ID, or drop them", "--scope, --group, --source and --type are about a client")
	case (f.source == "") != (f.typ == ""):
		return ui.Usage("give both, or none", "--source and --type name an event together")
	}
	doc, err := env.ReadFile(file, tenants.MaxFile)
	if err != nil {
		return err
	}
	all, err := tenants.Parse(doc, func(name string) (envelope.Validator, error) {
		return schema.ReadSet(os.DirFS(filepath.Dir(file)), name)
	})
	if err != nil {
		return ui.WrongFile("correct it; docs/webhooks.md has its fields", "%s: %w", ui.NameOf(file), err)
	}
	r := result{File: ui.NameOf(file), Issuer: all.Issuer(), Tenants: all.Names(), Clients: len(all.ClientIDs())}
	exit := ui.ExitDone
	if f.client != "" {
		if err := f.judge(all, &r); err != nil {
			r.Reason, r.Finding, exit = webhook.ReasonOf(err), errtext.Plain(err), ui.ExitRejected
		}
	}
	if err := env.Emit(r, func(p *ui.Printer) { f.print(p, &r) }); err != nil {
		return err
	}
	return ui.Ended(exit)
}

// judge judges the client, and the event that it would send.
func (f *checkFlags) judge(all *tenants.Tenants, r *result) error {
	tenant, err := all.Find(tenants.Caller{Issuer: all.Issuer(), ClientID: f.client, Scopes: f.scopes,
		Groups: f.groups})
	if err != nil {
		return err
	}
	r.Tenant = tenant.Name()
	if f.source == "" {
		return nil
	}
	return tenant.Check(f.source, f.typ)
}

func (f *checkFlags) print(p *ui.Printer, r *result) {
	p.Hangingf(2, "%s: %s, %d clients of %s", ui.Clean(r.File), p.Green("good"), r.Clients, ui.Clean(r.Issuer))
	p.Hangingf(4, "  tenants: %s", strings.Join(r.Tenants, ", "))
	client := ui.Clean(f.client)
	switch {
	case r.Finding != "":
		p.Linef("%s: %s", client, p.Red("may not"))
		p.Hangingf(4, "  %s", ui.Clean(r.Finding))
	case f.source != "":
		p.Linef("%s: %s send it, for the tenant %s", client, p.Green("may"), r.Tenant)
	case f.client != "":
		p.Linef("%s: %s for the tenant %s", client, p.Green("speaks"), r.Tenant)
	}
}
