package webhook

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
)

func lintCommand(env *ui.Env) *cobra.Command {
	return env.Command(ui.Command{
		Use: "lint RECIPE...", Short: "Say what is wrong with a recipe of your own",
		Args: ui.AtLeastOne("RECIPE"),
		Long: `Read recipes, and write everything that is wrong with each: a signature that covers too
little, parts of the signed string that can be cut in two ways, a key or an algorithm that a header could
choose, no time or no ID where the recipe does not say "none".

Exit status: 0 all recipes are good, 1 something is wrong with one.`,
		Example: "sealbus webhook lint acme.json",
		Run:     func(_ context.Context, files []string) error { return lint(env, files) },
	})
}

// lintResult is what was found in one recipe, for programs.
type lintResult struct {
	File     string   `json:"file"`
	Name     string   `json:"name"` // "" = it cannot be read, or something is wrong
	Findings []string `json:"findings"`
}

func lint(env *ui.Env, files []string) error {
	exit := ui.ExitDone
	for _, file := range files {
		doc, err := env.ReadFile(file, webhook.MaxRecipe)
		if err != nil {
			return err
		}
		r := lintResult{File: ui.NameOf(file), Findings: []string{}}
		for _, finding := range webhook.Lint(doc) {
			r.Findings = append(r.Findings, finding.Error())
			exit = ui.ExitRejected
		}
		if s, err := webhook.ParseRecipe(doc); err == nil {
			r.Name = s.Name()
		}
		if err := env.Emit(r, func(p *ui.Printer) { printLint(p, &r) }); err != nil {
			return err
		}
	}
	return ui.Ended(exit)
}

func printLint(p *ui.Printer, r *lintResult) {
	if len(r.Findings) == 0 {
		p.Hangingf(2, "%s: %s, the recipe %s", ui.Clean(r.File), p.Green("good"), ui.Clean(r.Name))
		return
	}
	p.Linef("%s: %s", ui.Clean(r.File), p.Red(ui.Count(len(r.Findings), "finding")))
	for _, finding := range r.Findings {
		p.Hangingf(4, "  %s", ui.Clean(finding))
	}
}
