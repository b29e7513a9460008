package main

import (
	"slices"
	"strings"
	"time"

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

	next string
}

func describeEncryptionKeys(b *trust.Bundle, now time.Time) []encShown {
	list := []encShown{}
	for _, k := range b.EncryptionKeys() {
		s := encShown{
			KeyID: k.KeyID(), Alg: string(k.Recipient.Curve()), Consumer: k.Consumer, State: k.StateAt(now),
			Published: formatTime(k.Schedule.Published), Active: formatTime(k.Schedule.Active),
			Retired: formatTime(k.Schedule.Retired), Expired: formatTime(k.Schedule.Expired), next: nextStep(&k.Schedule, now),
		}
		if k.Revoked != nil {
			s.RevokedAt, s.RevokedReason, s.next = formatTime(k.Revoked.At), k.Revoked.Reason, k.Revoked.Reason
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(x, y encShown) int { return strings.Compare(x.Consumer, y.Consumer) })
	return list
}

func printEncryptionKeys(p *printer, list []encShown) {
	if len(list) == 0 {
		return
	}
	p.linef("")
	t := table{header: []string{"CONSUMER", "KEY", "ALG", "STATE", "NEXT"}}
	for _, k := range list {
		t.add(cell{k.Consumer, p.bold}, cell{shortID(k.KeyID), nil}, cell{k.Alg, nil}, stateCell(p, k.State), cell{k.next, nil})
	}
	t.print(p)
}
