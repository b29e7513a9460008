package trust

import (
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// encShown is one encryption key of a bundle.
type encShown struct {
	KeyID         string     `json:"key_id"`
	Alg           string     `json:"alg"` // the curve
	Consumer      string     `json:"consumer"`
	State         keys.State `json:"state"`
	Published     string     `json:"published,omitempty"`
	Active        string     `json:"active,omitempty"`
	Retired       string     `json:"retired,omitempty"`
	Expired       string     `json:"expired,omitempty"`
	RevokedAt     string     `json:"revoked_at,omitempty"`
	RevokedReason string     `json:"revoked_reason,omitempty"`
	Tainted       bool       `json:"tainted,omitempty"`
	Since         string     `json:"since,omitempty"` // when the grant was first vouched for

	next string
}

func describeEncryptionKeys(b *trust.Bundle, now time.Time) []encShown {
	list := []encShown{}
	for _, k := range b.EncryptionKeys() {
		s := encShown{
			KeyID: k.KeyID(), Alg: string(k.Recipient.Curve()), Consumer: k.Consumer, State: k.StateAt(now),
			Published: ui.FormatTime(k.Schedule.Published), Active: ui.FormatTime(k.Schedule.Active),
			Retired: ui.FormatTime(k.Schedule.Retired), Expired: ui.FormatTime(k.Schedule.Expired),
			Tainted: k.Tainted, Since: ui.FormatTime(k.Since), next: nextOf(k, now),
		}
		if k.Revoked != nil {
			s.RevokedAt, s.RevokedReason, s.next = ui.FormatTime(k.Revoked.At), k.Revoked.Reason,
				k.Revoked.Reason
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(x, y encShown) int { return strings.Compare(x.Consumer, y.Consumer) })
	return list
}

func printEncryptionKeys(p *ui.Printer, list []encShown) {
	if len(list) == 0 {
		return
	}
	p.Linef("")
	t := ui.Table{Header: []string{"CONSUMER", "KEY", "ALG", "STATE", "NEXT"}}
	for _, k := range list {
		t.Add(ui.Painted(k.Consumer, p.Bold), ui.Painted(ui.ShortID(k.KeyID), nil), ui.Painted(k.Alg, nil),
			loadkeys.StateCell(p, k.State), ui.Painted(k.next, nil))
	}
	t.Print(p)
}
