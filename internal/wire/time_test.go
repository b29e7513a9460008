package wire

import (
	"fmt"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2024-02-29T23:59:59Z":                "2024-02-29T23:59:59Z",
		"2024-02-29T23:59:59":                 "2024-02-29T23:59:59Z",
		"2024-02-29T23:59:59.5":               "2024-02-29T23:59:59.5Z",
		"2000-02-29T00:00:00.000000000Z":      "2000-02-29T00:00:00Z",
		"2000-02-29T00:00:00.120Z":            "2000-02-29T00:00:00.12Z",
		"2024-01-01T00:00:00.123456789+14:00": "2023-12-31T10:00:00.123456789Z",
		"2024-12-31T23:00:00-01:30":           "2025-01-01T00:30:00Z",
		"2024-01-01T00:00:00-00:00":           "2024-01-01T00:00:00Z",
		"2024-01-01T00:00:00+23:59":           "2023-12-31T00:01:00Z",
		"0001-01-01T00:00:01Z":                "0001-01-01T00:00:01Z",
		"0000-12-31T23:30:01-00:30":           "0001-01-01T00:00:01Z",
		"9999-12-31T23:59:59.999999999Z":      "9999-12-31T23:59:59.999999999Z",
	} {
		got, err := ParseTime(text)
		if err != nil || got.Format(time.RFC3339Nano) != want || got.Location() != time.UTC {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	for _, text := range []string{
		"", "2024", "2024-01-01", "2024-01-01T00:00Z", "2024-01-01 00:00:00Z", "2024-01-01t00:00:00Z",
		"2024-01-01T00:00:00z",
		"2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-04-31T00:00:00Z", "2024-00-01T00:00:00Z",
		"2024-13-01T00:00:00Z",
		"2024-01-00T00:00:00Z", "2024-01-32T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z",
		"2016-12-31T23:59:60Z",
		"2024-01-01T00:00:00.Z", "2024-01-01T00:00:00.", "2024-01-01T00:00:00,5Z",
		"2024-01-01T00:00:00.1234567890Z",
		"2024-01-01T00:00:00+1:00", "2024-01-01T00:00:00+0100", "2024-01-01T00:00:00+01",
		"2024-01-01T00:00:00+24:00",
		"2024-01-01T00:00:00+01:60", "2024-01-01T00:00:00 01:00", "2024-01-01T00:00:00ZZ",
		" 2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z ",
		"+2024-01-01T00:00:00Z", "12024-01-01T00:00:00Z", "2024-1-01T00:00:00Z", "-024-01-01T00:00:00Z",
		"２024-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.5Z", "0000-12-31T23:30:00-00:30", "0000-01-01T00:00:00Z",
		"0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
	} {
		if got, err := ParseTime(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// Every day of 400 years, and the days around them that do not exist, as package time has them.
func TestCalendar(t *testing.T) {
	for year := 1896; year < 2304; year++ {
		for month := 1; month <= 12; month++ {
			last := time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
			for day := 0; day <= 32; day++ {
				text := fmt.Sprintf("%04d-%02d-%02dT00:00:00Z", year, month, day)
				if got, err := ParseTime(text); (err == nil) != (1 <= day && day <= last) || err == nil &&
					got.Day() != day {
					t.Fatalf("%s: %v, %v", text, got, err)
				}
			}
		}
	}
}

// The core digest has the time in UTC and without its fraction, which is cut off, not rounded.
func TestCoreDigestOfTime(t *testing.T) {
	if CoreDigest(&Event{Time: "2024-01-01T00:00:59.999999999+01:00"},
		&Absent) != CoreDigest(&Event{Time: "2023-12-31T23:00:59Z"}, &Absent) {
		t.Error("a fraction or a zone changes the digest")
	}
	if CoreDigest(&Event{Time: "2023-12-31T23:00:59Z"},
		&Absent) == CoreDigest(&Event{Time: "2023-12-31T23:01:00Z"}, &Absent) {
		t.Error("seconds do not change the digest")
	}
	if got, err := formatTime("time", time.Date(2024, 1, 1, 0, 0, 59, 999999999,
		time.FixedZone("", 3600))); got != "2023-12-31T23:00:59.999999999Z" || err != nil {
		t.Error(got, err)
	}
}

func TestParseTimeAllocatesNothing(t *testing.T) {
	for _, text := range []string{"2024-01-01T00:00:00.123456789+14:00", "2024-01-01T00:00:00.1234567890Z",
		"x"} {
		if n := testing.AllocsPerRun(100, func() { ParseTime(text) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}
