package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys/trust"
)

// migration is a live stream of four teams that begin to seal, one after the other, and the consumer that
// goes from no checks over migrating to enforcing meanwhile. The bus delivers as it may: twice, out of order,
// re-written.
type migration struct {
	*line
	origin *origin
	store  *store
	trust  *trust.RemoteSource
	report *consumer.Readiness

	orders, stock, users, legacy *team

	unsealed map[string]bool // the events without a signature
	flaky    map[string]bool // the events whose first handling failed
	reliable bool            // true: none fails
}

func newMigration(t *testing.T, seed uint64) *migration {
	t.Helper()
	l := newLineOf(newWorld(t, seed, localaws.Delivery{Duplicate: 0.1, Reorder: 3, Reserialise: true}),
		3*time.Minute, 12)
	m := &migration{
		line: l, store: l.store(nil), unsealed: map[string]bool{}, flaky: map[string]bool{},
		orders: newTeam("orders"), stock: newTeam("stock"), users: newTeam("users"),
		legacy: newTeam("legacy"),
	}
	for _, p := range m.teams() {
		p.unsealed = true
	}
	m.origin = l.origin(nil, 24*time.Hour, m.keys()...) // the keys are in the policy before anybody uses them
	m.trust = m.origin.fetch()
	m.report = consumer.NewReadiness(m.trust)
	return m
}

func (m *migration) teams() []*team { return []*team{m.orders, m.stock, m.users, m.legacy} }

// keys are those that the teams should sign with.
func (m *migration) keys() (list []*trust.Key) {
	for _, p := range m.teams() {
		list = append(list, m.key(p))
	}
	return list
}

// live is the stream, for twice as long as a message that failed is hidden.
func (m *migration) live() {
	m.Helper()
	for end := m.since() + 2*m.visibility; m.since() < end; m.pass(step) {
		m.each()
	}
}

// each has each team publish.
func (m *migration) each() {
	for _, p := range m.teams() {
		m.one(p)
	}
}

func (m *migration) one(p *team) string {
	id := m.publish(p)
	m.genuine = append(m.genuine, id)
	m.unsealed[id] = p.unsealed
	return id
}

// fails has the first handling of every fifth event fail.
func (m *migration) fails(id string) error {
	if m.reliable || m.flaky[id] || m.serialOf(id)%5 != 0 {
		return nil
	}
	m.flaky[id] = true
	return errors.New("not now")
}

func (m *migration) serialOf(id string) int {
	m.Helper()
	_, number, _ := strings.Cut(id, "-")
	n, err := strconv.Atoi(number)
	m.check(err)
	return n
}

// asEver handles an event without verifying it, as before the migration.
func (m *migration) asEver(in map[string]int, body []byte) error {
	id, err := idOf(body)
	if err == nil {
		err = m.fails(id)
	}
	if err == nil {
		m.books.note(in, id)
	}
	return err
}

// off is the function as it was before there were signatures.
func (m *migration) off(_ context.Context, payload json.RawMessage) (any, error) {
	var b batch
	if err := json.Unmarshal(payload, &b); err != nil {
		return nil, err
	}
	var response awslambda.SQSResponse
	for _, r := range b.Records {
		if m.asEver(m.books.plain, []byte(r.Body)) != nil {
			response.BatchItemFailures = append(response.BatchItemFailures,
				awslambda.SQSItemFailure{ItemIdentifier: r.MessageID})
		}
	}
	return response, nil
}

// replace deploys other code while the stream goes on. Some events failed under the old one and are hidden;
// others came while Lambda ran neither. All of these are for the new one.
func (m *migration) replace(c code) {
	m.Helper()
	m.settle()
	failing := m.waiting()
	m.deploy(func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("throttled") })
	m.each()
	m.settle()
	if n := m.waiting(); failing == 0 && !m.reliable || n < failing+len(m.teams()) {
		m.Errorf("%d and %d events in flight: the switch is not put to the test", failing, n)
	}
	m.deploy(c)
}

// consume deploys the consumer, for which these teams are migrating, and which enforces for the others.
func (m *migration) consume(migrating ...*team) {
	m.Helper()
	opts := m.options()
	opts.Observer = m.report
	for _, p := range migrating {
		opts.UnsafeMigration = append(opts.UnsafeMigration, consumer.Migration{
			Source: "https://" + p.name + ".example/*", Type: "*",
			Until: m.clock.Now().Add(30 * 24 * time.Hour),
			Handle: func(_ context.Context, msg consumer.Message, _ *envelope.Error) error {
				return m.asEver(m.books.migrating, msg.Body)
			},
		})
	}
	m.replace(m.start(m.trust, m.store, opts, hooks{before: m.fails}).run)
}

// wantReport wants a new period of the stream to end with exactly these teams not ready, each for these
// reasons.
func (m *migration) wantReport(when string, want map[string][]envelope.Reason) {
	m.Helper()
	m.live() // until what was in flight is handled
	m.report.Reset()
	m.live()
	got := map[string][]envelope.Reason{}
	for _, p := range m.report.NotReady(m.Context()) {
		reasons := []envelope.Reason{}
		for _, g := range p.Gaps {
			reasons = append(reasons, g.Reason)
		}
		got[p.Producer] = reasons
		if p.UnverifiedSource != "" {
			m.Errorf("%s: %s", when, p.String())
		}
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		m.Errorf("%s: the report is %v, not %v", when, got, want)
	}
	if n := len(m.report.Producers(m.Context())); n != len(m.teams()) {
		m.Errorf("%s: the report has %d producers", when, n)
	}
}

// reopen sends everything that is in quarantine for a Reason back to the queue, and returns what that was.
func (m *migration) reopen(reason envelope.Reason) (ids []string) {
	m.Helper()
	for _, e := range m.quarantined() {
		if e.Record.Reason != reason {
			continue
		}
		id, err := idOf(e.Record.Message.Body)
		m.check(err, sqs.Reopen(m.Context(), m.sqs, m.from.url, e), m.bin.Remove(m.Context(), e.ID))
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// done is where an event was handled.
func (m *migration) done(id string) (plain, migrating, verified int) {
	m.books.mu.Lock()
	defer m.books.mu.Unlock()
	return m.books.plain[id], m.books.migrating[id], len(m.books.runs[id])
}

// account demands that every event was handled, and that the handler saw no unsigned one. A verified event
// was handled once. An event that was not verified may have been handled twice, as before the migration.
func (m *migration) account() {
	m.Helper()
	for _, id := range m.genuine {
		plain, migrating, verified := m.done(id)
		switch {
		case plain+migrating+verified == 0:
			m.Errorf("%s is lost", id)
		case verified > 1:
			m.Errorf("%s was verified, and handled %d times", id, verified)
		case m.unsealed[id] && verified > 0:
			m.Errorf("%s was signed by nobody, and is in the handler", id)
		}
	}
	if list := m.quarantined(); len(list) > 0 {
		m.Errorf("%d events are still in quarantine: %v", len(list), m.inQuarantine())
	}
	m.wantDead(0)
}

type reasons = []envelope.Reason

var unsigned = reasons{envelope.ReasonUnsigned}

// TestMigration goes from no checks to migrating to enforced, on a live stream. No event is lost at any of
// the switches. At each point the report names exactly the producers that still have something to do.
func TestMigration(t *testing.T) {
	m := newMigration(t, 11)
	m.deploy(m.off)
	m.live()

	m.consume(m.teams()...)
	m.wantReport("nobody seals", map[string]reasons{"orders": unsigned, "stock": unsigned, "users": unsigned,
		"legacy": unsigned})

	m.orders.unsealed = false
	m.wantReport("orders seals", map[string]reasons{"stock": unsigned, "users": unsigned, "legacy": unsigned})

	m.stock.unsealed = false
	m.users.unsealed, m.users.audience = false, "somewhere else"
	m.wantReport("users seals for another audience",
		map[string]reasons{"users": {envelope.ReasonAudienceMismatch}, "legacy": unsigned})

	m.users.audience, m.users.label = audience, "not in the policy"
	m.wantReport("users seals with a key that is in no bundle",
		map[string]reasons{"users": {envelope.ReasonUnknownKey}, "legacy": unsigned})

	m.origin.publish(24*time.Hour, m.keys()...)
	m.wantReport("its key is in the bundle", map[string]reasons{"legacy": unsigned})

	m.enforced()
	m.keyTooEarly()
	m.lateTeam()
	m.wantReport("all seal", map[string]reasons{})
	m.calm()
	m.account()
}

// enforced switches to enforcement although legacy is not ready, which an operator decided. Its events in
// flight are not lost either.
func (m *migration) enforced() {
	m.Helper()
	if got := m.inQuarantine(); len(got) > 0 {
		m.Errorf("in quarantine while migrating: %v", got)
	}
	m.consume()
	m.wantReport("enforced", map[string]reasons{"legacy": unsigned})
	refused := m.inQuarantine()
	if len(refused) != 1 || len(refused[envelope.ReasonUnsigned]) < 10 {
		m.Fatalf("in quarantine: %v", refused)
	}
	for _, id := range refused[envelope.ReasonUnsigned] {
		if !m.unsealed[id] || !strings.HasPrefix(id, m.legacy.name) {
			m.Errorf("%s is in quarantine as unsigned", id)
		}
	}
}

// keyTooEarly: a team signs with a key before it is in the bundle. That is refused, and reopened when it is.
func (m *migration) keyTooEarly() {
	m.Helper()
	m.orders.label = "too early"
	m.live()
	m.origin.publish(24*time.Hour, m.keys()...)
	m.live()
	early := m.reopen(envelope.ReasonUnknownKey)
	if len(early) < 10 {
		m.Errorf("of those that came too early only %v were refused", early)
	}
	m.live()
	for _, id := range early {
		if _, _, verified := m.done(id); verified != 1 {
			m.Errorf("%s was reopened, and handled %d times", id, verified)
		}
	}
}

// lateTeam lets legacy seal at last. The consumer migrates once more, for as long as it takes to reopen the
// events that legacy had not sealed.
func (m *migration) lateTeam() {
	m.Helper()
	m.legacy.unsealed = false
	m.live()
	m.consume(m.legacy)
	late := m.reopen(envelope.ReasonUnsigned)
	m.live()
	for _, id := range late {
		if _, migrating, verified := m.done(id); migrating == 0 || verified > 0 {
			m.Errorf("%s was reopened: %d times with the callback, %d times handled", id, migrating, verified)
		}
	}
	m.consume()
}

// A migration ends by itself at its end date: the consumer enforces from then on, even if people forgot it.
func TestMigrationEndsOnItsDate(t *testing.T) {
	m := newMigration(t, 12)
	m.reliable = true
	m.consume(m.teams()...)
	end := m.since() + 30*24*time.Hour
	m.settle()
	m.clock.Advance(end - time.Second - m.since())
	m.origin.publish(24*time.Hour, m.keys()...)
	before := m.one(m.legacy)
	m.pass(time.Second)
	after := m.one(m.legacy)
	m.settle()
	_, migrating, _ := m.done(before)
	_, not, verified := m.done(after)
	if migrating == 0 || not+verified != 0 {
		t.Errorf("before the end: %d times with the callback; after it: %d, handled %d", migrating, not,
			verified)
	}
	if got := m.inQuarantine()[envelope.ReasonUnsigned]; !slices.Equal(got, []string{after}) {
		t.Errorf("in quarantine: %v", got)
	}
}
