package webhook

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
)

func providersCommand(env *ui.Env) *cobra.Command {
	return env.Command(ui.Command{
		Use: "providers [NAME]", Short: "List the providers, or say how one signs", Args: ui.AtMostOne,
		Long: `List the providers whose deliveries can be verified. With a NAME, say how that one signs:
which header, which string, which algorithm, how the secret is written, and whether a time and an ID are
signed.`,
		Example: "sealbus webhook providers\nsealbus webhook providers github",
		Run: func(_ context.Context, args []string) error {
			return listProviders(env, strings.Join(args, ""))
		},
	})
}

// providerResult is how a provider signs, for programs.
type providerResult struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	See       string `json:"see"`
	Signature string `json:"signature"`
	Signed    string `json:"signed"`
	Algorithm string `json:"algorithm"`
	Secret    string `json:"secret"`
	Time      string `json:"time"`
	ID        string `json:"id"`
}

func providerOf(s webhook.Scheme) providerResult {
	d := webhook.Describe(s)
	return providerResult{s.Name(), d.Title, d.See, d.Signature, d.Signed, d.Algorithm, d.Secret, d.Time,
		d.ID}
}

func listProviders(env *ui.Env, name string) error {
	if name != "" {
		s, err := schemeNamed(name, "", "")
		if err != nil {
			return err
		}
		one := providerOf(s)
		return env.Emit(one, func(p *ui.Printer) { printProvider(p, &one) })
	}
	table := ui.Table{Header: []string{"NAME", "PROVIDER", "ALGORITHM", "TIME"}, Folds: []int{1, 2, 3}}
	for _, s := range schemes("", "") {
		one := providerOf(s)
		if env.JSON {
			if err := env.WriteJSON(one); err != nil {
				return err
			}
			continue
		}
		table.Add(ui.Cells(one.Name, one.Title, one.Algorithm, one.Time)...)
	}
	if env.JSON {
		return nil
	}
	p := &ui.Printer{Style: env.Out}
	table.Print(p)
	return env.WriteText(p)
}

func printProvider(p *ui.Printer, r *providerResult) {
	p.Linef("%s", p.Bold(ui.Clean(r.Title)))
	for _, row := range [][2]string{{"provider", r.Name}, {"header", r.Signature}, {"signed", r.Signed},
		{"algorithm", r.Algorithm}, {"secret", r.Secret}, {"time", r.Time}, {"id", r.ID}, {"see", r.See}} {
		if row[1] != "" {
			p.Hanging(p.Dim(row[0])+strings.Repeat(" ", 11-len(row[0]))+ui.Clean(row[1]), 2, 13, p.Width)
		}
	}
}
