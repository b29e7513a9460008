package loadhome

import (
	"errors"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/privatefile"
)

// Failed is an error of package home as the commands report it.
func Failed(err error) error {
	if e, ok := errors.AsType[*ui.Error](err); ok {
		return e
	}
	missing, isMissing := errors.AsType[*home.MissingError](err)
	copied, isCopy := errors.AsType[*home.CopiedError](err)
	switch {
	case isMissing && missing.Command != "":
		return ui.WrongFile("make it with `"+missing.Command+"`, or name another home with --home DIR", "%s", missing.What)
	case isMissing && missing.Several != "":
		return ui.WrongFile("add --"+missing.Several+" NAME", "%s", missing.What)
	case isMissing:
		return ui.WrongFile("see to "+home.File+", or name another home with --home DIR", "%s", missing.What)
	case isCopy:
		return ui.WrongFile("if you trust its author, add --home "+ui.ShellQuote(copied.Dir)+
			"; else give the files by their flags", "the home in the working directory was not made here, or the directory is another user's")
	case errors.Is(err, privatefile.ErrLocked):
		return ui.Unavailable("run it again when that command has ended", "another command is changing the home")
	}
	return ui.WrongFile("correct that, or name another home with --home DIR", "%w", err)
}
