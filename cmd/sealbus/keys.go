package main

import (
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/spf13/cobra"
)

func (a *app) keysCommand() *cobra.Command {
	return a.group("keys", "Make, list and export a producer's signing keys and a consumer's encryption keys",
		"A keyring is a producer's own private signing keys, or a consumer's own private encryption keys. The public halves are\n"+
			"exported, for the people who keep the trust.",
		a.keysNewCommand(), a.keysListCommand(), a.keysExportCommand())
}

// scheduleFlags are moments as they were typed.
type scheduleFlags struct{ publish, activate, retire, expire string }

// schedule reads the moments, relative ones from a.now().
func (a *app) schedule(f scheduleFlags) (keys.Schedule, error) {
	var s keys.Schedule
	for _, m := range []struct {
		flag, text string
		at         *time.Time
	}{
		{"publish", f.publish, &s.Published}, {"activate", f.activate, &s.Active},
		{"retire", f.retire, &s.Retired}, {"expire", f.expire, &s.Expired},
	} {
		if m.text == "" {
			continue
		}
		t, err := parseMoment(m.text, a.now())
		if err != nil {
			return s, flagFailed(m.flag, err)
		}
		*m.at = t.Truncate(time.Second)
	}
	if err := s.Check(); err != nil {
		return s, usage("correct the moments: published, active, retired, expired follow each other", "%w", err)
	}
	return s, nil
}
