package quarantine

import (
	"slices"
	"testing"
)

// A record is also found by the name of its file.
func TestRecordByItsFileName(t *testing.T) {
	const id = "20261129T141252.676317343Z-e40915da1baf47dbe5dd97613b520d99"
	ids, err := recordIDs(t.Context(), nil, []string{id + ".json", id})
	if err != nil || !slices.Equal(ids, []string{id, id}) {
		t.Errorf("%q, %v", ids, err)
	}
}
