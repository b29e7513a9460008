package localaws

import (
	"slices"
	"strings"
	"time"
)

// archive keeps the events of a bus that match its pattern, until it is deleted.
type archive struct {
	name        string
	description string
	source      string // the ARN of the bus
	text        string // of the pattern; "" = it matches all
	pattern     *pattern
	created     time.Time
	events      []*event
}

// replay is one of an archive's events between two times.
type replay struct {
	name, description, archive string // archive is an ARN
	destination                replayDestination
	from, to                   time.Time // of the events
	started, ended, last       time.Time // ended is zero until it is over
	state                      string
	done, total                int // events of the archive: it has passed done of the first total
}

// The states of a replay.
const (
	starting   = "STARTING"
	running    = "RUNNING"
	completed  = "COMPLETED"
	cancelling = "CANCELLING"
	cancelled  = "CANCELLED"
	failed     = "FAILED"
)

type replayDestination struct {
	Arn        string
	FilterArns []string `json:",omitempty"`
}

// Archive keeps the events that are put on a bus from now on, for Replay.
func (s *Server) Archive(bus string) error {
	_, err := s.createArchive(&createArchiveInput{ArchiveName: "of-" +
		strings.ReplaceAll(bus, "/", "-"), EventSourceArn: s.arn("event-bus/" + bus)})
	return err
}

// Replay delivers the events of a bus again whose time is between from and to, both included, with the name
// as their replay-name. Drain waits for them.
func (s *Server) Replay(name, bus string, from, to time.Time) error {
	_, err := s.startReplay(&startReplayInput{
		ReplayName: name, EventSourceArn: s.arn("archive/of-" + strings.ReplaceAll(bus, "/", "-")),
		EventStartTime: seconds(from), EventEndTime: seconds(to),
		Destination: replayDestination{Arn: s.arn("event-bus/" + bus)},
	})
	return err
}

type createArchiveInput struct{ ArchiveName, Description, EventSourceArn, EventPattern string }

type createArchiveOutput struct {
	ArchiveArn, State string
	CreationTime      float64
}

func (s *Server) createArchive(in *createArchiveInput) (*createArchiveOutput, error) {
	a := &archive{name: in.ArchiveName, description: in.Description, source: in.EventSourceArn,
		text: in.EventPattern, created: s.opts.Now()}
	if in.EventPattern != "" {
		var err error
		if a.pattern, err = parsePattern(in.EventPattern); err != nil {
			return nil, refuse("InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.findBus(in.EventSourceArn); err != nil {
		return nil, err
	}
	if !namePattern().MatchString(a.name) || len(a.name) > 48 {
		return nil, invalid("Parameter ArchiveName is not valid.")
	}
	if slices.ContainsFunc(s.archives, func(old *archive) bool { return old.name == a.name }) {
		return nil, refuse("ResourceAlreadyExistsException", "Archive %s already exists.", a.name)
	}
	s.archives = append(s.archives, a)
	s.saveArchive(a)
	return &createArchiveOutput{s.arn("archive/" + a.name), "ENABLED", seconds(a.created)}, nil
}

// keep adds an event to the archives of its bus. One that is replayed is not kept again.
func (s *Server) keep(busName string, e *event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.archives {
		if busNameOf(a.source) != busName {
			continue
		}
		if a.pattern != nil {
			if fields, err := decode(e.json(e.detail)); err != nil || !a.pattern.matches(fields) {
				continue
			}
		}
		a.events = append(a.events, e)
		s.saveArchived(a, e)
	}
}

type startReplayInput struct {
	ReplayName, Description, EventSourceArn string
	EventStartTime, EventEndTime            float64
	Destination                             replayDestination
}

type replayOutput struct {
	ReplayArn       string
	ReplayStartTime float64 `json:",omitempty"`
	State           string
}

func (s *Server) startReplay(in *startReplayInput) (*replayOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.archives, func(a *archive) bool { return s.arn("archive/"+a.name) == in.EventSourceArn })
	switch {
	case !namePattern().MatchString(in.ReplayName):
		return nil, invalid("Parameter ReplayName is not valid.")
	case s.findReplay(in.ReplayName) != nil:
		return nil, refuse("ResourceAlreadyExistsException", "Replay %s already exists.", in.ReplayName)
	case i < 0:
		_, name, _ := strings.Cut(in.EventSourceArn, "archive/")
		return nil, invalid("Parameter EventSourceArn is not valid. Reason: Archive %s does not exist.", name)
	case s.archives[i].source != in.Destination.Arn:
		return nil,
			invalid("Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.")
	case !isTime(in.EventStartTime) || !isTime(in.EventEndTime):
		return nil, invalid("Parameter EventStartTime or EventEndTime is not valid.")
	case in.EventStartTime >= in.EventEndTime:
		return nil,
			invalid("Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.")
	}
	r := &replay{
		name: in.ReplayName, description: in.Description, archive: in.EventSourceArn,
		destination: in.Destination,
		from:        time.UnixMilli(int64(in.EventStartTime * 1000)),
		to:          time.UnixMilli(int64(in.EventEndTime * 1000)), started: s.opts.Now(), state: starting,
	}
	s.replays = append(s.replays, r)
	r.total = len(s.archives[i].events)
	s.saveReplay(r)
	s.goReplay(r, s.archives[i])
	return &replayOutput{s.arn("replay/" + r.name), seconds(r.started), starting}, nil
}

// goReplay is called with s.mu locked. The events are those that the archive had when the replay started.
func (s *Server) goReplay(r *replay, a *archive) {
	events := slices.Clone(a.events[:min(r.total, len(a.events))])
	s.pending.add(1)
	s.background.Go(func() {
		defer s.pending.add(-1)
		s.replayAll(r, events)
	})
}

// replayAll delivers the events until it is cancelled. A replay that a kill ended goes on where it was.
func (s *Server) replayAll(r *replay, events []*event) {
	if s.opts.Replaying != nil {
		s.opts.Replaying(r.name)
	}
	for i := r.done; i < len(events); i++ {
		e := events[i]
		if e.at.Before(r.from) || e.at.After(r.to) {
			continue
		}
		if !s.advance(r, running, e.at, i) {
			break
		}
		again := *e
		again.replay = r.name
		s.route(busNameOf(r.destination.Arn), &again, false, r.destination.FilterArns...)
	}
	s.advance(r, completed, time.Time{}, len(events))
	s.journal.flush()
}

// advance changes the state and tells whether the replay goes on. last is the time of the event that is next;
// zero = none. done is how many events it has passed. A server that is closed leaves the replay as it is.
func (s *Server) advance(r *replay, state string, last time.Time, done int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil && s.journal != nil {
		return false
	}
	if state == completed || r.state == cancelling {
		r.ended = s.opts.Now()
	}
	goesOn := r.state != cancelling && r.state != cancelled
	if !goesOn {
		r.state = cancelled
	} else if r.state, r.done = state, done; !last.IsZero() {
		r.last = last
	}
	s.saveReplay(r)
	return goesOn && s.ctx.Err() == nil
}

// findReplay is called with s.mu locked; nil = none.
func (s *Server) findReplay(name string) *replay {
	if i := slices.IndexFunc(s.replays, func(r *replay) bool { return r.name == name }); i >= 0 {
		return s.replays[i]
	}
	return nil
}

type replayInput struct{ ReplayName string }

func noReplay(name string) error {
	return refuse("ResourceNotFoundException", "Replay %s does not exist.", name)
}

func (s *Server) cancelReplay(in *replayInput) (*replayOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.findReplay(in.ReplayName)
	switch {
	case r == nil:
		return nil, noReplay(in.ReplayName)
	case r.state != starting && r.state != running:
		return nil, refuse("IllegalStatusException", "Replay %s is not in a valid state for this operation.",
			r.name)
	}
	r.state = cancelling
	s.saveReplay(r)
	return &replayOutput{ReplayArn: s.arn("replay/" + r.name), State: cancelling}, nil
}

type listedReplay struct {
	ReplayName, EventSourceArn, State             string
	EventStartTime, EventEndTime, ReplayStartTime float64
	EventLastReplayedTime                         float64 `json:",omitempty"`
	ReplayEndTime                                 float64 `json:",omitempty"`
}

type describedReplay struct {
	listedReplay
	ReplayArn   string
	Description string `json:",omitempty"`
	Destination replayDestination
}

func (r *replay) listed() listedReplay {
	l := listedReplay{
		ReplayName: r.name, EventSourceArn: r.archive, State: r.state,
		EventStartTime: seconds(r.from), EventEndTime: seconds(r.to), ReplayStartTime: seconds(r.started),
	}
	if !r.last.IsZero() {
		l.EventLastReplayedTime = seconds(r.last)
	}
	if !r.ended.IsZero() {
		l.ReplayEndTime = seconds(r.ended)
	}
	return l
}

func (s *Server) describeReplay(in *replayInput) (*describedReplay, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.findReplay(in.ReplayName)
	if r == nil {
		return nil, noReplay(in.ReplayName)
	}
	return &describedReplay{r.listed(), s.arn("replay/" + r.name), r.description, r.destination}, nil
}

type listReplaysInput struct {
	listInput
	EventSourceArn, State string
}

type listReplaysOutput struct {
	Replays   []listedReplay
	NextToken string `json:",omitempty"`
}

func (s *Server) listReplays(in *listReplaysInput) (*listReplaysOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*replay
	for _, r := range s.replays {
		if (in.EventSourceArn == "" || r.archive == in.EventSourceArn) &&
			(in.State == "" || r.state == in.State) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *replay) int { return strings.Compare(a.name, b.name) })
	found, next := page(&in.listInput, all, func(r *replay) string { return r.name })
	out := &listReplaysOutput{Replays: []listedReplay{}, NextToken: next}
	for _, r := range found {
		out.Replays = append(out.Replays, r.listed())
	}
	return out, nil
}
