package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionResult struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "version", short: "Print the version of this program",
		run: func(context.Context, []string) error { return a.tellVersion() },
	})
}

// tellVersion is for `sealbus version`, and for --version, which people try first.
func (a *app) tellVersion() error {
	v := currentVersion()
	return a.emit(v, func(p *printer) {
		p.linef("sealbus %s %s", p.bold(v.Version), p.dim("("+v.Go+", "+v.Platform+")"))
	})
}

// currentVersion is what the Go tool recorded when it built the program.
func currentVersion() versionResult {
	v := versionResult{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}
