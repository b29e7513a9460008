package tinkkeys

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
)

// scheduleSuffix is what the name of the schedule has more than that of the keyset.
const scheduleSuffix = ".schedule"

// The indices of Keyset.files.
const (
	keysetFile = iota
	scheduleFile
)

// Reschedule writes new schedules of keys, by key ID, into the file beside the keyset. Each key that is not
// named keeps the one that it has. The keyset itself does not change.
func (k *Keyset) Reschedule(schedules map[string]keys.Schedule) error {
	if k.path == "" {
		return errors.New("tinkkeys: this keyset was not read from a file, so it has no schedule")
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	k.mu.RLock()
	entries, next := slices.Clone(k.entries), maps.Clone(k.schedules)
	k.mu.RUnlock()
	if next == nil {
		next = map[string]keys.Schedule{}
	}
	for id, s := range schedules {
		if !slices.ContainsFunc(entries, func(e Entry) bool { return e.KeyID() == id && id != "" }) {
			return fmt.Errorf("tinkkeys: no key %.64q in the keyset", id)
		}
		if err := s.Check(); err != nil {
			return fmt.Errorf("tinkkeys: key %s: %w", id, err)
		}
		next[id] = s.WholeSeconds()
	}
	var public []keys.PublicKey
	for _, e := range entries {
		if e.Schedule = next[e.KeyID()]; e.KeyID() != "" {
			public = append(public, e.PublicKey)
		}
	}
	content, err := keys.FormatJWKSet(public...)
	if err != nil {
		return fmt.Errorf("tinkkeys: %w", err)
	}
	if err := k.replace(scheduleFile, content); err != nil {
		return err
	}
	k.adopt(next)
	return nil
}

// adopt makes the schedules those of the keys.
func (k *Keyset) adopt(schedules map[string]keys.Schedule) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.schedules, k.entries = schedules, slices.Clone(k.entries)
	for i := range k.entries {
		k.entries[i].Schedule = schedules[k.entries[i].KeyID()]
	}
}

// readSchedule reads the schedule of a keyset that was read, if there is one. Keys in it that the keyset does
// not have are left out: a process that was killed may have left them.
func (k *Keyset) readSchedule() error {
	path, err := filepath.EvalSymlinks(k.path) // one schedule, whatever name the keyset was opened by
	if err != nil {
		return fmt.Errorf("tinkkeys: %w", err)
	}
	k.files = []privatefile.Seen{{Path: k.path, Digest: sha256.Sum256(k.content)}, {Path: path + scheduleSuffix}}
	schedule := &k.files[scheduleFile]
	content, _, err := privatefile.ReadBounded(schedule.Path, privatefile.MaxSize)
	if errors.Is(err, os.ErrNotExist) {
		return k.checkNoSchedule()
	}
	if err != nil {
		return fmt.Errorf("tinkkeys: the schedule: %w", err)
	}
	list, err := keys.ParseJWKSet(content)
	if err != nil {
		return fmt.Errorf("tinkkeys: %s is not the schedule of a keyset: %w", schedule.Path, err)
	}
	schedules := map[string]keys.Schedule{}
	for _, p := range list {
		if p.Producer != k.owner.producer || p.Consumer != k.owner.consumer {
			return fmt.Errorf("tinkkeys: %s is the schedule of another owner", schedule.Path)
		}
		schedules[p.KeyID()] = p.Schedule
	}
	schedule.Digest = sha256.Sum256(content)
	k.adopt(schedules)
	return nil
}

// checkNoSchedule refuses a keyset whose schedule cannot be read: a link that leads nowhere, or a schedule
// beside a link to the keyset. Without its schedule a key would sign after it has retired.
func (k *Keyset) checkNoSchedule() error {
	schedule, beside := k.files[scheduleFile].Path, k.path+scheduleSuffix
	_, err := os.Lstat(beside)
	switch {
	case isLink(schedule):
		return fmt.Errorf("tinkkeys: the schedule %s is a link to a file that is not there", schedule)
	case isLink(k.path) && err == nil:
		return fmt.Errorf("tinkkeys: the schedule %s is not read, because %s is a link: it must be %s", beside,
			k.path, schedule)
	}
	return nil
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}

// replace puts content in place of one of the files, unless another program has changed one of them, or is
// at it. The caller holds changing.
func (k *Keyset) replace(which int, content []byte) error {
	if err := privatefile.ReplaceOne(k.files, which, content); err != nil {
		return fmt.Errorf("tinkkeys: %w", err)
	}
	k.files[which].Digest = sha256.Sum256(content)
	return nil
}
