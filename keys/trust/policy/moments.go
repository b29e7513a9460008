package policy

import (
	"time"

	"github.com/sealbus/sealbus/keys"
)

// timeFormat is RFC 3339 in UTC and whole seconds: one text per moment.
const timeFormat = "2006-01-02T15:04:05Z"

type moment struct {
	name string
	at   time.Time
}

// moments are the fields of a schedule by their names in the file.
func moments(s *keys.Schedule) [4]moment {
	return [4]moment{
		{"published", s.Published}, {"active", s.Active}, {"retired", s.Retired}, {"expired", s.Expired},
	}
}
