package ui

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ShellQuote makes one word of text for the shell that a fix is pasted into.
func ShellQuote(text string) string {
	plain := func(r rune) bool {
		return r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:=@,+", r))
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// Fix is the advice of a verdict or an error, with the command that says more about its Reason. A word that
// is none of ours, as of a record that a newer version wrote, is left out.
func Fix(advice, reason string) string {
	foreign := func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }
	more := "sealbus explain " + reason
	if advice == "" || reason == "" || strings.ContainsFunc(reason, foreign) || strings.Contains(advice, more) {
		return advice
	}
	return advice + " (more: " + more + ")"
}

// Most is how much of one value is shown, in characters.
const Most = 120

func Shorten(text string) string {
	if r := []rune(text); len(r) > Most {
		return string(r[:Most]) + "…"
	}
	return text
}

// ShortID is the beginning of a key ID that the commands accept, for tables.
func ShortID(id string) string {
	const shown = 12
	if len(id) <= shown {
		return id
	}
	return id[:shown] + "…"
}

func PrintList(p *Printer, label string, list []string) {
	for _, item := range list {
		p.Hangingf(len(label), "%s%s", label, Clean(item))
		label = fmt.Sprintf("%*s", len(label), "")
	}
}

func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Count is "1 key", "2 keys".
func Count(n int, what string) string { return CountOf(n, what, what+"s") }

// CountOf is count for words with another plural.
func CountOf(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func ShortenTo(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
