package localaws

import (
	"strconv"
	"strings"
	"time"
)

// The buckets of EventBridge.
const (
	bucketBuses     = "events.buses"     // by name
	bucketArchives  = "events.archives"  // by name
	bucketArchived  = "events.archived"  // by the name of the archive, a space and the order of the events
	bucketReplays   = "events.replays"   // by name
	bucketShipments = "events.shipments" // in their order: what was accepted and is not delivered
	bucketEndpoints = "events.endpoints" // ARNs by name
)

type keptBus struct {
	Description, Policy string
	Created             time.Time
	Rules               []keptRule
}

type keptRule struct {
	Name, Description, Pattern string
	Enabled                    bool
	Targets                    []ruleTarget
}

// saveBus is called with s.mu locked.
func (s *Server) saveBus(b *bus) {
	if s.journal == nil {
		return
	}
	row := keptBus{Description: b.description, Policy: b.policy, Created: b.created}
	for _, r := range b.rules {
		row.Rules = append(row.Rules, keptRule{r.name, r.description, r.text, r.enabled, r.targets})
	}
	s.journal.put(bucketBuses, b.name, row)
}

func (s *Server) loadBus(name string, row *keptBus) error {
	b := &bus{name: name, description: row.Description, policy: row.Policy, created: row.Created}
	for _, kept := range row.Rules {
		p, err := parsePattern(kept.Pattern)
		if err != nil {
			return err
		}
		r := &rule{name: kept.Name, description: kept.Description, enabled: kept.Enabled, text: kept.Pattern,
			pattern: p}
		for _, t := range kept.Targets {
			t.rule = s.ruleARN(b, r)
			r.targets = append(r.targets, t)
			s.sinkOfQueue(t.Arn)
		}
		b.rules = append(b.rules, r)
	}
	s.buses[name] = b
	return nil
}

// sinkOfQueue makes the sink of a queue, if there is none; other targets have theirs when the program names
// them.
func (s *Server) sinkOfQueue(arn string) {
	if isQueueARN(arn) {
		s.addSink(arn, &sink{take: s.deliverToQueue, first: true})
	}
}

type keptEvent struct {
	ID, DetailType, Source, Account, Region string
	At                                      time.Time
	Resources                               []string
	Detail                                  string // a string, so that no byte changes
}

// saveArchived is called with s.mu locked.
func (s *Server) saveArchived(a *archive, e *event) {
	if s.journal == nil {
		return
	}
	if e.order == 0 {
		e.order = s.newOrder()
	}
	s.journal.put(bucketArchived, archivedKey(a, e), keptEvent{e.id, e.detailType, e.source, e.account, e.region,
		e.at, e.resources, string(e.detail)})
}

func archivedKey(a *archive, e *event) string { return a.name + " " + orderKey(e.order) }

func (s *Server) loadArchived(key string, row *keptEvent) error {
	name, order, _ := strings.Cut(key, " ")
	n, err := strconv.ParseUint(order, 16, 64)
	if err != nil {
		return err
	}
	s.sawOrder(n)
	a, err := s.findArchive(name)
	if err != nil { // a version that removed the archive before its events was killed meanwhile
		s.journal.remove(bucketArchived, key)
		return nil
	}
	a.events = append(a.events, &event{row.ID, row.DetailType, row.Source, row.Account, row.Region, row.At,
		row.Resources, []byte(row.Detail), "", n})
	return nil
}

type keptArchive struct {
	Description, Source, Pattern string
	Created                      time.Time
}

// saveArchive is called with s.mu locked.
func (s *Server) saveArchive(a *archive) {
	s.journal.put(bucketArchives, a.name, keptArchive{a.description, a.source, a.text, a.created})
}

// dropArchive is called with s.mu locked. All goes at once: a replay counts the events of its archive.
func (s *Server) dropArchive(a *archive) {
	rows := []row{{bucketArchives, a.name, nil}}
	for _, e := range a.events {
		rows = append(rows, row{bucketArchived, archivedKey(a, e), nil})
	}
	s.journal.change(rows...)
}

func (s *Server) loadArchive(name string, row *keptArchive) (err error) {
	a := &archive{name: name, description: row.Description, source: row.Source, text: row.Pattern,
		created: row.Created}
	if a.text != "" {
		a.pattern, err = parsePattern(a.text)
	}
	s.archives = append(s.archives, a)
	return err
}

type keptReplay struct {
	Description, Archive string
	Destination          replayDestination
	From, To             time.Time
	Started, Ended, Last time.Time
	State                string
	Done, Total          int
}

// saveReplay is called with s.mu locked.
func (s *Server) saveReplay(r *replay) {
	s.journal.put(bucketReplays, r.name, keptReplay{r.description, r.archive, r.destination, r.from, r.to,
		r.started, r.ended, r.last, r.state, r.done, r.total})
}

func (s *Server) loadReplay(name string, row *keptReplay) error {
	r := &replay{name, row.Description, row.Archive, row.Destination, row.From, row.To, row.Started, row.Ended,
		row.Last, row.State, row.Done, row.Total}
	s.replays = append(s.replays, r)
	return nil
}

// resumeReplays goes on with those that were not over.
func (s *Server) resumeReplays() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.replays {
		if r.state != starting && r.state != running && r.state != cancelling {
			continue
		}
		if a, err := s.findArchive(strings.TrimPrefix(r.archive, s.arn("archive/"))); err == nil {
			s.goReplay(r, a)
			continue
		}
		r.state, r.ended = failed, s.opts.Now()
		s.saveReplay(r)
	}
}

type keptShipment struct {
	Doc    string
	Target ruleTarget
	Rule   string
	Since  time.Time
}

func (s *Server) saveShipment(d *shipment) {
	if s.journal == nil {
		return
	}
	d.key = orderKey(s.newOrder())
	s.journal.put(bucketShipments, d.key, keptShipment{string(d.doc), d.target, d.target.rule, d.since})
}

// arrived are the rows that change when the delivery is over.
func (d *shipment) arrived() []row {
	if d.key == "" {
		return nil
	}
	return []row{{bucketShipments, d.key, nil}}
}

// loadEvents also delivers what was not delivered.
func (s *Server) loadEvents() error {
	var waiting []*shipment
	loadShipment := func(key string, row *keptShipment) error {
		row.Target.rule = row.Rule
		d := &shipment{key: key, doc: []byte(row.Doc), target: row.Target, since: row.Since}
		if isQueueARN(d.target.Arn) || s.opts.Now().Sub(d.since) < d.target.maxAge() {
			waiting = append(waiting, d)
		} else { // its function may never come again
			s.journal.change(d.arrived()...)
		}
		n, err := strconv.ParseUint(key, 16, 64)
		s.sawOrder(n)
		return err
	}
	for _, b := range []struct {
		bucket string
		load   func(string, []byte) error
	}{
		{bucketBuses, decodedRow(s.loadBus)},
		{bucketArchives, decodedRow(s.loadArchive)},
		{bucketArchived, decodedRow(s.loadArchived)},
		{bucketReplays, decodedRow(s.loadReplay)},
		{bucketShipments, decodedRow(loadShipment)},
		{bucketEndpoints, decodedRow(func(name string, arn *string) error {
			s.endpoints[name] = *arn
			return nil
		})},
	} {
		if err := s.journal.load(b.bucket, b.load); err != nil {
			return err
		}
	}
	if s.buses["default"] == nil {
		s.buses["default"] = &bus{name: "default", created: s.opts.Now()}
		s.saveBus(s.buses["default"])
	}
	s.pending.add(len(waiting))
	for _, d := range waiting {
		s.sinkOfQueue(d.target.Arn)
		s.ship(d)
	}
	s.resumeReplays()
	return nil
}
