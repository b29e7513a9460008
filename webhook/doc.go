// Package webhook verifies what third parties send over HTTP.
package webhook
