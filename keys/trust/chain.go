package trust

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sealbus/sealbus/internal/dsse"
)

const (
	// maxRootsSteps bounds how many roots one refresh follows. The next one goes on.
	maxRootsSteps = 64
	// maxKeptSteps bounds the signed roots in the state file. Programs with older roots have to fetch the
	// steps before.
	maxKeptSteps = 32
)

// errBehind is (wrapped in) the refusal of a state file that begins with newer roots than are at hand.
var errBehind = errors.New("publish the roots between, or give this program the newer roots file")

// chain is the newest roots that a consumer knows, and the signed steps that lead to them. The state file
// keeps the steps, so that newer roots in it are verified like those of a host. It is immutable.
type chain struct {
	roots *Roots
	first []byte   // the payload of the roots that the steps follow, which a program pinned
	steps [][]byte // signed, each one version higher; the last one is roots
}

func chainOf(r *Roots) chain { return chain{roots: r, first: r.Payload()} }

// next is c with the roots that follow.
func (c chain) next(signed []byte) (chain, error) {
	r, err := c.roots.Next(signed)
	if err != nil {
		return c, err
	}
	c.roots, c.steps = r, append(slices.Clip(c.steps), signed)
	if len(c.steps) > maxKeptSteps {
		if c.first, err = payloadOf(c.steps[0]); err != nil {
			return c, err
		}
		c.steps = c.steps[1:]
	}
	return c, nil
}

// extended is c with those steps of a state file that follow it. The roots of the file before them are not
// verified, because c needs none of them.
func (c chain) extended(kept chain) (chain, error) {
	oldest := kept.roots.version - int64(len(kept.steps))
	if oldest > c.roots.version {
		return c, refuse(WhyRollback, "roots version %d, and the state file begins with version %d: %w",
			c.roots.version, oldest, errBehind)
	}
	if kept.roots.version < c.roots.version {
		return c, nil
	}
	same, steps := kept.first, kept.steps
	if n := c.roots.version - oldest; n > 0 {
		payload, err := payloadOf(steps[n-1])
		if err != nil {
			return c, err
		}
		same, steps = payload, steps[n:]
	}
	if string(same) != string(c.roots.Payload()) {
		return c, refuse(WhyEquivocate, "roots version %d with another content than the state file knows: "+
			"give changed roots a higher version", c.roots.version)
	}
	for _, signed := range steps {
		var err error
		if c, err = c.next(signed); err != nil {
			return c, fmt.Errorf("its roots: %w", err)
		}
	}
	return c, nil
}

// parseChain reads the roots of a state file, which it does not verify.
func parseChain(documents [][]byte) (chain, error) {
	c := chain{first: documents[0], steps: documents[1:]}
	r, err := parseRootsPayload(c.first)
	for i := 0; i < len(c.steps) && err == nil; i++ {
		var payload []byte
		if payload, err = payloadOf(c.steps[i]); err != nil {
			break
		}
		was := r.version
		if r, err = parseRootsPayload(payload); err == nil && r.version != was+1 {
			err = errors.New("a version is left out")
		}
	}
	if err != nil {
		return c, fmt.Errorf("its roots: %s", err.Error())
	}
	c.roots = r
	return c, nil
}

func payloadOf(signed []byte) ([]byte, error) {
	e, err := dsse.Parse(signed)
	if err != nil {
		return nil, err
	}
	return e.Payload, nil
}
