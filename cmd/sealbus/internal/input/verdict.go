package input

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
)

// IgnoreFlags say what hops add to a detail.
type IgnoreFlags struct{ Ignore []string }

func (f *IgnoreFlags) Register(cmd *cobra.Command, otherwise string) {
	cmd.Flags().StringArrayVar(&f.Ignore, "ignore-member", nil,
		"try an embedded event that was changed once more without the members of this `NAME` (default "+
			otherwise+")")
}

func (f *IgnoreFlags) Check() error {
	if err := wire.CheckIgnoreMembers(f.Ignore); err != nil {
		return ui.Usage("name members of the detail that something adds on the way, such as _datadog",
			"--ignore-member: %w", err)
	}
	return nil
}

// EncryptionResult is how the data was encrypted, for programs.
type EncryptionResult struct {
	Fields     []string `json:"fields"` // JSON Pointers; null = all of the data
	Recipients []string `json:"recipients"`
	OpenedWith string   `json:"opened_with"` // "" = it is still encrypted
}

func EncryptionOf(e *envelope.Encryption) *EncryptionResult {
	if e == nil {
		return nil
	}
	return &EncryptionResult{e.Fields, e.Recipients, e.OpenedWith}
}

// CauseOf is the verdict's cause in one line, or what its reason means.
func CauseOf(e *envelope.Error) string {
	if service, ok := errors.AsType[*keys.ServiceError](e.Err); ok {
		return service.Op + " with " + service.KeyID + ": " + awscli.ServiceCause(service)
	}
	if e.Reason == envelope.ReasonStoreUnavailable && e.Err != nil && errtext.IsNetwork(e.Err) {
		return errtext.Reached("the replay store", e.Err).Error()
	}
	if e.Cause == "" {
		return e.Reason.Cause()
	}
	return e.Cause
}
