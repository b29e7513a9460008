package localaws

import (
	"container/list"
	"slices"
	"strings"
	"sync"
	"time"
)

// queues are the queues of the account. Its lock guards the queues, too.
type queues struct {
	mu      sync.Mutex
	byName  map[string]*queue
	changed chan struct{} // closed and replaced whenever a message may have become visible
}

// queue is one of them. Its messages are in the order in which they were sent.
type queue struct {
	name, arn, url string
	fifo           bool
	attributes     map[string]string
	redrive        *redrivePolicy // nil = none
	created        time.Time
	modified       time.Time
	purged         time.Time

	messages    list.List // of *message
	byID        map[string]*list.Element
	sent        map[string]*message // FIFO: by deduplication ID, also of messages that are gone
	sentInOrder []remembered        // the same, oldest first
	groups      map[string]int      // FIFO: how many messages each has
	taken       map[*message]bool   // FIFO: what was received and is not deleted; some may be visible again
	sequence    uint64
}

// message is one that was sent.
type message struct {
	id, body      string
	order         uint64 // in which messages entered their queues
	key           string // of its rows in the journal, which do not move with it
	attributes    map[string]messageAttribute
	trace         string // AWSTraceHeader; "" = none
	group, dedup  string
	sequence      string
	sent          time.Time
	entered       time.Time // into this queue, which is what deduplication looks back to
	visibleAt     time.Time
	delayed       bool // it waits for its delay, and not for who received it
	firstReceived time.Time
	receives      int
	before        int    // receives in other queues, which do not count in this one
	receipt       string // the newest handle
	source        string // the queue that gave it up; "" = none
	again         bool   // Queues.Duplicate: it is to be delivered once more
	twin          bool   // again, while it is in flight
}

func (q *queue) int(attribute string) int { return number(q.attributes[attribute]) }

func (q *queue) seconds(attribute string) time.Duration {
	return time.Duration(q.int(attribute)) * time.Second
}

// wake makes those who wait for messages look again. It is called with the lock held.
func (k *queues) wake() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// find is called with the lock held. Of a URL, the account and the name count.
func (s *Server) findQueue(url string) (*queue, error) {
	if url == "" {
		return nil, missingParameter("QueueUrl")
	}
	parts := strings.Split(strings.TrimSuffix(url, "/"), "/")
	q := s.queues.byName[parts[len(parts)-1]]
	if q == nil || len(parts) > 1 && parts[len(parts)-2] != s.opts.Account {
		return nil, noQueue()
	}
	return q, nil
}

// queueByARN is nil if there is none. It is called with the lock held.
func (s *Server) queueByARN(arn string) *queue {
	name, _ := strings.CutPrefix(arn, s.queueARN(""))
	if q := s.queues.byName[name]; q != nil && q.arn == arn {
		return q
	}
	return nil
}

func (s *Server) queueARN(name string) string {
	return "arn:aws:sqs:" + s.opts.Region + ":" + s.opts.Account + ":" + name
}

func isQueueARN(arn string) bool { return strings.HasPrefix(arn, "arn:aws:sqs:") }

var queueNamePattern = expression(`^[-_A-Za-z0-9]{1,80}$`)

const fifoSuffix = ".fifo"

type createQueueInput struct {
	QueueName  string
	Attributes map[string]string
}

type queueURL struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *Server) createQueue(in *createQueueInput) (*queueURL, error) {
	stem, fifo := strings.CutSuffix(in.QueueName, fifoSuffix)
	fifo = fifo && in.Attributes["FifoQueue"] == "true"
	switch {
	case in.QueueName == "":
		return nil, missingParameter("QueueName")
	case !queueNamePattern().MatchString(in.QueueName) && !(fifo && queueNamePattern().MatchString(stem)) ||
		len(in.QueueName) > 80:
		return nil,
			invalidValue("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	case !fifo && in.Attributes["FifoQueue"] == "true":
		return nil,
			invalidValue("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length")
	}
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	if old := s.queues.byName[in.QueueName]; old != nil {
		return old.sameAs(in.Attributes)
	}
	q := s.newQueue(in.QueueName, fifo)
	q.attributes, q.created = defaultAttributes(fifo), s.opts.Now()
	if err := s.setAttributes(q, in.Attributes, true); err != nil {
		return nil, err
	}
	s.queues.byName[q.name] = q
	return &queueURL{q.url}, nil
}

func (s *Server) newQueue(name string, fifo bool) *queue {
	return &queue{
		name: name, arn: s.queueARN(name), url: s.URL() + "/" + s.opts.Account + "/" + name, fifo: fifo,
		byID: map[string]*list.Element{}, sent: map[string]*message{}, groups: map[string]int{},
		taken: map[*message]bool{},
	}
}

// sameAs answers who creates a queue that is there.
func (q *queue) sameAs(attributes map[string]string) (*queueURL, error) {
	for name, value := range attributes {
		if q.attributes[name] != value {
			return nil, refuseSQS("QueueNameExists",
				"A queue already exists with the same name and a different value for attribute %s", name)
		}
	}
	return &queueURL{q.url}, nil
}

func (s *Server) deleteQueue(in *queueInput) (nothing, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nothing{}, err
	}
	rows := []row{{bucketQueues, q.name, nil}}
	for key := range q.sent {
		rows = append(rows, row{bucketSent, sentKey(q, key), nil})
	}
	s.dropAll(q, rows...)
	delete(s.queues.byName, q.name)
	s.queues.wake()
	return nothing{}, nil
}

type queueInput struct {
	QueueURL string `json:"QueueUrl"`
}

type getQueueURLInput struct{ QueueName, QueueOwnerAWSAccountID string }

func (s *Server) getQueueURL(in *getQueueURLInput) (*queueURL, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q := s.queues.byName[in.QueueName]
	if q == nil || in.QueueOwnerAWSAccountID != "" && in.QueueOwnerAWSAccountID != s.opts.Account {
		return nil, noQueue()
	}
	return &queueURL{q.url}, nil
}

type listQueuesInput struct {
	QueueNamePrefix, NextToken string
	MaxResults                 int
}

type listQueuesOutput struct {
	QueueURLs []string `json:"QueueUrls,omitempty"`
	NextToken string   `json:",omitempty"`
}

// maxListed is how many queues the service lists to who wants no pages.
const maxListed = 1000

func (s *Server) listQueues(in *listQueuesInput) (*listQueuesOutput, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	var names []string
	for name := range s.queues.byName {
		if strings.HasPrefix(name, in.QueueNamePrefix) && name > in.NextToken {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := &listQueuesOutput{}
	if n := in.MaxResults; n > 0 && n < len(names) {
		names, out.NextToken = names[:n], names[n-1]
	}
	for _, name := range names[:min(len(names), maxListed)] {
		out.QueueURLs = append(out.QueueURLs, s.queues.byName[name].url)
	}
	return out, nil
}

// purgePause is how long a queue is not purged again.
const purgePause = time.Minute

func (s *Server) purgeQueue(in *queueInput) (nothing, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nothing{}, err
	}
	now := s.opts.Now()
	if now.Sub(q.purged) < purgePause {
		return nothing{}, refuseSQS("PurgeQueueInProgress",
			"Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
	}
	q.purged = now
	s.dropAll(q, queueRow(q))
	return nothing{}, nil
}
