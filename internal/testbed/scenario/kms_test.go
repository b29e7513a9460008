package scenario

import (
	"context"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
)

// keyTrouble is what the KMS does to those who decrypt.
type keyTrouble struct {
	fault localaws.CallFault
	deny  bool
	slow  time.Duration // of real time, before the answer
}

func (w *world) faults(action string, _ int) localaws.CallFault {
	t := w.trouble.Load()
	if t == nil || action != "Decrypt" {
		return localaws.NoFault
	}
	time.Sleep(t.slow)
	return t.fault
}

func (w *world) denies(action string) bool {
	t := w.trouble.Load()
	return t != nil && t.deny && action == "Decrypt"
}

func (w *world) kms(region string) *kms.Client {
	return kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(w.aws.URL()), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}

// secretive has the teams encrypt to a new key, and returns its ARN.
func (w *world) secretive() string {
	w.Helper()
	made, err := w.kms("us-east-1").CreateKey(w.Context(), nil)
	w.check(err)
	to, err := awskms.NewRecipient(w.kms("us-east-1"), *made.KeyMetadata.Arn, nil)
	w.check(err)
	w.encrypt, err = envelope.NewEncrypter(envelope.EncryptTo{Services: []keys.ServiceRecipient{to}})
	w.check(err)
	return to.KeyID()
}

func (w *world) decrypter(region, arn string) *envelope.Decrypter {
	w.Helper()
	from, err := awskms.NewIdentity(w.kms(region), arn, &awskms.Options{Timeout: 500 * time.Millisecond})
	w.check(err)
	d, err := envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{from}})
	w.check(err)
	return d
}

// verdicts notes why deliveries had to come again, and what there is to do about it.
type verdicts struct {
	mu   sync.Mutex
	fix  map[envelope.Reason]string
	seen int
}

func (v *verdicts) Delivered(_ context.Context, r consumer.Result) {
	if r.Verdict == nil || r.Outcome != consumer.Retry {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fix[r.Reason()] = r.Verdict.Fix()
	v.seen++
}

// keyFailures are the ways in which a KMS keeps a consumer from decrypting, and how an operator mends each.
var keyFailures = map[string]struct {
	trouble *keyTrouble // nil = of the key, not of the service
	harm    func(w *world, arn string)
	mend    func(w *world, arn string)
	region  string // of the consumer's client, "" = the key's
	fix     string // what it is told to do
}{
	"throttled":         {trouble: &keyTrouble{fault: localaws.Throttled}, fix: "quota of kms:Decrypt"},
	"slow":              {trouble: &keyTrouble{slow: 600 * time.Millisecond}, fix: "network path to KMS"},
	"down for a minute": {trouble: &keyTrouble{fault: localaws.CutBefore}, fix: "network path to KMS"},
	"internal error":    {trouble: &keyTrouble{fault: localaws.InternalError}, fix: "health of KMS"},
	"grant not visible": {trouble: &keyTrouble{deny: true}, fix: "a new grant takes up to five minutes"},
	"wrong region":      {region: "eu-west-1", fix: "make a client for us-east-1"},
	"key disabled": {
		harm: func(w *world, arn string) {
			_, err := w.kms("us-east-1").DisableKey(w.Context(), &kms.DisableKeyInput{KeyId: &arn})
			w.check(err)
		},
		mend: enableKey, fix: "enable the key",
	},
	"pending deletion": {
		harm: func(w *world, arn string) {
			_, err := w.kms("us-east-1").ScheduleKeyDeletion(w.Context(),
				&kms.ScheduleKeyDeletionInput{KeyId: &arn})
			w.check(err)
		},
		mend: func(w *world, arn string) {
			_, err := w.kms("us-east-1").CancelKeyDeletion(w.Context(),
				&kms.CancelKeyDeletionInput{KeyId: &arn})
			w.check(err)
			enableKey(w, arn)
		}, fix: "kms:CancelKeyDeletion",
	},
}

func enableKey(w *world, arn string) {
	_, err := w.kms("us-east-1").EnableKey(w.Context(), &kms.EnableKeyInput{KeyId: &arn})
	w.check(err)
}

// Whatever keeps a consumer from decrypting for a minute, every event is handled when it is over, once;
// nothing is in quarantine or in the dead-letter queue, and no goroutine is left behind.
func TestKMSOutage(t *testing.T) {
	for name, f := range keyFailures {
		t.Run(name, func(t *testing.T) {
			visibility, maxReceives := template(t)
			l := newLine(t, 7, visibility, maxReceives)
			orders := newTeam("orders")
			arn := l.secretive()
			seen := &verdicts{fix: map[envelope.Reason]string{}}
			opts := l.options()
			opts.Observer, l.policy.RequireEncryptedFields = seen, []string{"/card"}
			start := func(region string) {
				l.policy.Decrypter = l.decrypter(region, arn)
				l.deploy(l.start(l.trust(l.key(orders)), l.store(nil), opts, hooks{}).run)
			}
			region := f.region
			if region == "" {
				region = "us-east-1"
			}
			_, err := envelope.Seal(t.Context(), l.event(orders, "first"), l.signer(orders),
				&envelope.SealOptions{Encrypt: l.encrypt, Now: l.clock.Now})
			l.check(err) // the content key is made while all is well
			l.trouble.Store(f.trouble)
			if f.harm != nil {
				f.harm(l.world, arn)
			}
			start(region)
			before := runtime.NumGoroutine()
			for range 2 {
				l.genuine = append(l.genuine, l.publish(orders), l.publish(orders))
				l.pass(step)
			}
			if got := l.books.unhandled(l.genuine); !slices.Equal(got, l.genuine) {
				t.Errorf("not handled: %v, not all of %v", got, l.genuine)
			}
			if fix := seen.fix[envelope.ReasonKMSUnavailable]; len(seen.fix) != 1 ||
				!strings.Contains(fix, f.fix) {
				t.Errorf("reasons %v, fix %q, want %q", slices.Collect(maps.Keys(seen.fix)), fix, f.fix)
			}
			l.trouble.Store(nil)
			if f.mend != nil {
				f.mend(l.world, arn)
			}
			if f.region != "" {
				start("us-east-1")
			}
			l.genuine = append(l.genuine, l.publish(orders))
			l.calm()
			l.books.wantOnce(t, l.genuine)
			l.wantDead(0)
			if got := l.inQuarantine(); len(got) > 0 {
				t.Errorf("in quarantine: %v", got)
			}
			// Connections that are kept are no leak. The runtime tells of no goroutine's end, so the test
			// polls.
			for i := 0; runtime.NumGoroutine() > before+20 && i < 2000; i++ {
				time.Sleep(time.Millisecond)
			}
			if n := runtime.NumGoroutine(); n > before+20 {
				t.Errorf("%d goroutines, %d before", n, before)
			}
		})
	}
}
