package trust

import "time"

// DefaultMinInterval is defaultMinInterval.
const DefaultMinInterval = defaultMinInterval

// Holding lets the vectors play the judgement step by step.
type Holding struct{ h holding }

// Step judges a signed timestamp and a signed bundle; nil = it is not at hand.
func (s *Holding) Step(roots *Roots, timestamp, bundle []byte, minVersion int64, now time.Time) error {
	if s.h.roots == nil {
		s.h.chain = chainOf(roots)
	}
	if timestamp == nil {
		return s.h.pending()
	}
	h, err := s.h.holdSigned(timestamp, minVersion, now)
	if err == nil && bundle != nil {
		var b *Bundle
		if b, err = openAnyTime(bundle, s.h.roots); err == nil {
			if h, err = h.use(b, now); err == nil {
				h.signedBundle = bundle
			}
		}
	}
	s.h = *h
	return err
}

// StepRoots judges the signed roots that follow. The version is that of the roots at hand then.
func (s *Holding) StepRoots(roots *Roots, signed []byte) (version int64, err error) {
	if s.h.roots == nil {
		s.h.chain = chainOf(roots)
	}
	c, err := s.h.next(signed)
	if err == nil {
		s.h = *s.h.adopt(c)
	}
	return s.h.roots.version, err
}

// View is the bundle in use; nil = none.
func (s *Holding) View() *Bundle { return s.h.view }
