package quarantine

import (
	"context"
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/quarantine"
)

// shownHash is how much of an ID's hash a list shows where there is no room for the whole ID.
const shownHash = 12

// mostMatches is how many records an ambiguous beginning is shown to match.
const mostMatches = 5

// hashOf is the part of an ID that follows the time; "" = it is not the ID of a record.
func hashOf(id string) string {
	if _, ok := quarantine.TimeOf(id); !ok {
		return ""
	}
	return id[strings.LastIndexByte(id, '-')+1:]
}

// beginsRecord reports whether the ID, or the hash in it, begins with what was given.
func beginsRecord(id, given string) bool {
	return strings.HasPrefix(id, given) || strings.HasPrefix(hashOf(id), given)
}

// isRecordID reports whether it is a whole ID, so that nothing has to be looked for.
func isRecordID(given string) bool {
	_, ok := quarantine.TimeOf(given)
	return ok || strings.HasPrefix(given, "message-")
}

// recordIDs makes whole IDs of those that were given, each of which may be the beginning of one, or of the
// hash in it. All that are not whole are looked for in one go.
func recordIDs(ctx context.Context, store quarantine.Store, given []string) ([]string, error) {
	ids, open := append([]string{}, given...), map[int][]string{}
	for i, id := range given {
		if file := strings.TrimSuffix(id, ".json"); file != id && isRecordID(file) {
			ids[i] = file // the name of its file in a directory, as ls shows it
			continue
		}
		switch {
		case isRecordID(id):
		case len(id) < loadkeys.MinPrefix:
			return nil, ui.Usage("give more of it, or the whole ID",
				"%q is too short for the beginning of an ID: at least %s", id,
				ui.Count(loadkeys.MinPrefix, "character"))
		default:
			open[i] = nil
		}
	}
	if len(open) == 0 {
		return ids, nil
	}
	for e, err := range store.List(ctx, nil) {
		if err != nil {
			return nil, err
		}
		for i, matches := range open {
			if beginsRecord(e.ID, given[i]) && len(matches) <= mostMatches {
				open[i] = append(matches, e.ID)
			}
		}
	}
	for i := range given {
		matches, searched := open[i]
		if !searched || len(matches) == 0 { // the store says that there is no such record
			continue
		}
		if len(matches) > 1 {
			return nil, ambiguous(given[i], matches)
		}
		ids[i] = matches[0]
	}
	return ids, nil
}

func ambiguous(given string, matches []string) error {
	more := ""
	if len(matches) > mostMatches {
		matches, more = matches[:mostMatches], " and others"
	}
	return ui.Usage("give more of it", "several records begin with %q: %s%s", given,
		strings.Join(matches, ", "), more)
}

// shortRecordIDs are beginnings of the hashes of the IDs: as short as they are still told apart in this list.
// A text that is no record's ID stays as it is.
func shortRecordIDs(ids []string) []string {
	size := shownHash
	for size < 32 && repeated(ids, size) {
		size++
	}
	short := make([]string, len(ids))
	for i, id := range ids {
		if short[i] = id; hashOf(id) != "" {
			short[i] = hashOf(id)[:size]
		}
	}
	return short
}

func repeated(ids []string, size int) bool {
	seen := map[string]string{}
	for _, id := range ids {
		hash := hashOf(id)
		if hash == "" {
			continue
		}
		if other, ok := seen[hash[:size]]; ok && other != id {
			return true
		}
		seen[hash[:size]] = id
	}
	return false
}
