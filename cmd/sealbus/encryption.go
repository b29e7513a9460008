package main

import (
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/envelope"
)

// encryptionResult says for programs how the data of a verified event was encrypted.
type encryptionResult struct {
	Whole      bool     `json:"whole"`       // all of the data was
	Fields     []string `json:"fields"`      // JSON Pointers of the members that were
	Recipients []string `json:"recipients"`  // key IDs, as the event names them
	OpenedWith string   `json:"opened_with"` // key ID; "" = it is still encrypted
}

// encryptionOf is nil if the data was not encrypted.
func encryptionOf(e *envelope.Encryption) *encryptionResult {
	if e == nil {
		return nil
	}
	return &encryptionResult{
		Whole: e.Fields == nil, Fields: append([]string{}, e.Fields...), Recipients: append([]string{}, e.Recipients...), OpenedWith: e.OpenedWith,
	}
}

// what is what was encrypted, for people.
func (e *encryptionResult) what() string {
	if e.Whole {
		return "the data"
	}
	return strings.Join(e.Fields, ", ")
}

// talkEncryption says on standard error what a verified event was encrypted to, and with what it was opened.
func (a *app) talkEncryption(e *encryptionResult) {
	switch {
	case e == nil:
	case e.OpenedWith == "":
		fmt.Fprintf(a.stderr, "  %s %s, to %s\n", a.talk.yellow("still encrypted:"), clean(e.what()), clean(recipientNames(e.Recipients)))
	case len(e.Recipients) == 1:
		fmt.Fprintf(a.stderr, "  %s %s, with %s\n", a.talk.green("decrypted:"), clean(e.what()), clean(shortKey(e.OpenedWith)))
	default:
		fmt.Fprintf(a.stderr, "  %s %s, with %s; it was encrypted to %s\n", a.talk.green("decrypted:"), clean(e.what()), clean(shortKey(e.OpenedWith)), count(len(e.Recipients), "recipient"))
	}
}

// recipientNames are key IDs that an event names, for people.
func recipientNames(ids []string) string {
	short := make([]string, len(ids))
	for i, id := range ids {
		if short[i] = shortKey(id); id == "" {
			short[i] = "somebody who is not named"
		}
	}
	return strings.Join(short, ", ")
}

// shortKey is a key ID for tables; the ARN of a key with the beginning of what it ends in.
func shortKey(id string) string {
	if !isARN(id) {
		return shortID(id)
	}
	where, key, ok := strings.Cut(id, ":key/")
	if !ok {
		return shorten(id)
	}
	return shorten(where) + ":key/" + shortID(key)
}
