package localaws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// newKept is a fake with a directory.
func newKept(t *testing.T) *queues {
	t.Helper()
	return newQueues(t, &localaws.Options{Dir: filepath.Join(t.TempDir(), "dir")})
}

// kill ends the server as a kill does, and starts another one with the directory.
func (q *queues) kill() {
	q.t.Helper()
	q.server.Kill()
	q.begin()
	q.sqs = newQueueClient(q.server.URL())
}

// acknowledged is each kind of change, as a step before the kill and a check after it.
var acknowledged = map[string]func(q *queues){
	"buses":                keptBuses,
	"rules and targets":    keptRules,
	"archives":             keptArchives,
	"replays":              keptReplays,
	"queues":               keptQueues,
	"messages":             keptMessages,
	"receipts":             keptReceipts,
	"FIFO":                 keptFIFO,
	"dead-letter queues":   keptDeadLetters,
	"purge":                keptPurge,
	"keys":                 keptKeys,
	"states of keys":       keptStates,
	"replicas and aliases": keptReplicas,
	"mappings":             keptMappings,
	"pending deliveries":   keptDeliveries,
	"endpoints":            keptEndpoints,
}

func TestNothingAcknowledgedIsLostOverAKill(t *testing.T) {
	for name, play := range acknowledged {
		t.Run(name, func(t *testing.T) { play(newKept(t)) })
	}
}

func keptBuses(q *queues) {
	ctx := q.t.Context()
	for _, name := range []string{"kept", "gone"} {
		_, err := q.client.CreateEventBus(ctx, &eventbridge.CreateEventBusInput{Name: aws.String(name),
			Description: aws.String("of " + name)})
		q.check(err)
	}
	_, err := q.client.PutPermission(ctx, &eventbridge.PutPermissionInput{EventBusName: aws.String("kept"),
		Policy: aws.String(`{"Statement":[]}`)})
	q.check(err)
	_, err = q.client.DeleteEventBus(ctx, &eventbridge.DeleteEventBusInput{Name: aws.String("gone")})
	q.check(err)
	list := func() string {
		out, err := q.client.ListEventBuses(ctx, &eventbridge.ListEventBusesInput{})
		q.check(err)
		doc, err := json.Marshal(out.EventBuses)
		q.check(err)
		return string(doc)
	}
	before := list()
	if !strings.Contains(before, "of kept") || !strings.Contains(before, "Statement") ||
		!strings.Contains(before, "event-bus/default") || strings.Contains(before, "gone") {
		q.t.Errorf("buses: %s", before)
	}
	q.kill()
	if after := list(); after != before {
		q.t.Errorf("buses after the kill: %s, before: %s", after, before)
	}
}

func keptRules(q *queues) {
	ctx := q.t.Context()
	_, arn := q.create("q", nil)
	for _, name := range []string{"on", "off", "gone"} {
		_, err := q.client.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String(name),
			EventPattern: aws.String(`{"source":["` + command + `"]}`), Description: aws.String("rule " + name)})
		q.check(err)
	}
	_, err := q.client.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String("off")})
	q.check(err)
	_, err = q.client.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String("on")})
	q.check(err)
	_, err = q.client.EnableRule(ctx, &eventbridge.EnableRuleInput{Name: aws.String("on")})
	q.check(err)
	_, err = q.client.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: aws.String("gone")})
	q.check(err)
	for _, rule := range []string{"on", "off"} {
		_, err = q.client.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String(rule),
			Targets: []types.Target{{Id: aws.String("kept"), Arn: aws.String(arn),
				RetryPolicy: &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(3)}},
				{Id: aws.String("removed"), Arn: aws.String(arn)}}})
		q.check(err)
		_, err = q.client.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: aws.String(rule),
			Ids: []string{"removed"}})
		q.check(err)
	}
	list := func() string {
		rules, err := q.client.ListRules(ctx, &eventbridge.ListRulesInput{})
		q.check(err)
		targets, err := q.client.ListTargetsByRule(ctx,
			&eventbridge.ListTargetsByRuleInput{Rule: aws.String("on")})
		q.check(err)
		doc, err := json.Marshal([]any{rules.Rules, targets.Targets})
		q.check(err)
		return string(doc)
	}
	before := list()
	q.kill()
	if after := list(); after != before || strings.Contains(after, "gone") ||
		strings.Contains(after, "removed") {
		q.t.Errorf("rules after the kill: %s, before: %s", after, before)
	}
	q.put(entry(`{"n":1}`))
	got := q.receive(queueURL(q, "q"))
	if len(got) != 1 || !strings.Contains(*got[0].Body, `"n":1`) {
		q.t.Errorf("the rule delivers %q", bodies(got))
	}
}

// queueURL is that of the server as it is now: its port may have changed.
func queueURL(q *queues, name string) string {
	q.t.Helper()
	out, err := q.sqs.GetQueueUrl(q.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	q.check(err)
	return *out.QueueUrl
}

func keptArchives(q *queues) {
	ctx := q.t.Context()
	_, arn := q.create("q", nil)
	archive := q.archive("default", "kept")
	q.archive("default", "gone")
	q.put(entry(`{"n":1}`), entry(`{"n":2}`))
	_, err := q.client.DeleteArchive(ctx, &eventbridge.DeleteArchiveInput{ArchiveName: aws.String("gone")})
	q.check(err)
	q.kill()
	q.put(entry(`{"n":3}`))
	list, err := q.client.ListArchives(ctx, &eventbridge.ListArchivesInput{})
	q.check(err)
	if len(list.Archives) != 1 || list.Archives[0].EventCount != 3 {
		q.t.Errorf("archives: %+v", list.Archives)
	}
	q.rule("default", `{"source":["`+command+`"]}`, arn)
	q.mustStart(archive, "default", "again")
	q.drain()
	var got []string
	for _, m := range q.receive(queueURL(q, "q")) {
		var e struct{ Detail struct{ N int } }
		q.check(json.Unmarshal([]byte(*m.Body), &e))
		got = append(got, fmt.Sprint(e.Detail.N))
	}
	if slices.Sort(got); strings.Join(got, " ") != "1 2 3" {
		q.t.Errorf("replayed: %q", got)
	}
	q.kill()
	out, err := q.client.DescribeReplay(ctx, &eventbridge.DescribeReplayInput{ReplayName: aws.String("again")})
	q.check(err)
	if out.State != types.ReplayStateCompleted {
		q.t.Errorf("the replay is %s", out.State)
	}
	q.drain()
	if left := q.left(queueURL(q, "q")); left != "0 3 0" {
		q.t.Errorf("the replay that was over came again: %s", left)
	}
}

// keptReplays: a replay that a kill ends goes on, and one that was cancelled does not.
func keptReplays(q *queues) {
	held := make(chan struct{})
	release := make(chan struct{})
	q.opts.Replaying = func(string) { held <- struct{}{}; <-release }
	q.kill()
	_, arn := q.create("q", nil)
	archive := q.archive("default", "a")
	q.put(entry(`{"n":1}`))
	q.rule("default", `{"source":["`+command+`"]}`, arn)
	q.mustStart(archive, "default", "goes-on")
	<-held
	q.mustStart(archive, "default", "cancelled")
	<-held
	_, err := q.client.CancelReplay(q.t.Context(), &eventbridge.CancelReplayInput{
		ReplayName: aws.String("cancelled")})
	q.check(err)
	q.opts.Replaying = nil
	q.server.Abandon()
	close(release)
	q.kill()
	q.drain()
	for name, want := range map[string]types.ReplayState{"goes-on": types.ReplayStateCompleted,
		"cancelled": types.ReplayStateCancelled} {
		out, err := q.client.DescribeReplay(q.t.Context(),
			&eventbridge.DescribeReplayInput{ReplayName: aws.String(name)})
		q.check(err)
		if out.State != want {
			q.t.Errorf("replay %s is %s", name, out.State)
		}
	}
	got := strings.Join(bodies(q.receive(queueURL(q, "q"))), "\n")
	if !strings.Contains(got, `"replay-name":"goes-on"`) || strings.Contains(got, `"replay-name":"cancelled"`) {
		q.t.Errorf("delivered: %s", got)
	}
}

func keptQueues(q *queues) {
	dead, arn := q.create("dead", nil)
	url, _ := q.create("q", map[string]string{"VisibilityTimeout": "77",
		"RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":2}`})
	gone, _ := q.create("gone", nil)
	q.send(gone, "gone")
	_, err := q.sqs.SetQueueAttributes(q.t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url),
		Attributes: map[string]string{"DelaySeconds": "3"}})
	q.check(err)
	_, err = q.sqs.DeleteQueue(q.t.Context(), &sqs.DeleteQueueInput{QueueUrl: aws.String(gone)})
	q.check(err)
	before := q.attributes(url)
	q.kill()
	url = queueURL(q, "q")
	if after := q.attributes(url); fmt.Sprint(after) != fmt.Sprint(before) || after["DelaySeconds"] != "3" {
		q.t.Errorf("attributes after the kill: %v, before: %v", after, before)
	}
	list, err := q.sqs.ListQueues(q.t.Context(), &sqs.ListQueuesInput{})
	q.check(err)
	if len(list.QueueUrls) != 2 {
		q.t.Errorf("queues: %q", list.QueueUrls)
	}
	again, _ := q.create("gone", nil)
	q.want("a queue that was made again", again)
	q.want("the dead-letter queue", dead)
}

func keptMessages(q *queues) {
	url, _ := q.create("q", nil)
	q.send(url, "deleted", "in flight", "a", "b <&> \u2028 \U0001f600", "c")
	_, err := q.sqs.SendMessage(q.t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(url),
		MessageBody: aws.String("delayed"), DelaySeconds: 20,
		MessageAttributes: map[string]sqstypes.MessageAttributeValue{
			"text":  {DataType: aws.String("String"), StringValue: aws.String("<é>")},
			"bytes": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}}}})
	q.check(err)
	two, err := q.sqs.ReceiveMessage(q.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(url),
		MaxNumberOfMessages: 2, VisibilityTimeout: 10})
	q.check(err)
	q.delete(url, two.Messages[0])
	q.kill()
	url = queueURL(q, "q")
	if left := q.left(url); left != "3 1 1" {
		q.t.Errorf("after the kill: %s", left)
	}
	q.want("visible", url, "a", "b <&> \u2028 \U0001f600", "c")
	q.clock.move(10 * time.Second)
	got := q.want("after its timeout", url, "in flight")
	if got[0].Attributes["ApproximateReceiveCount"] != "2" {
		q.t.Errorf("its attributes: %v", got[0].Attributes)
	}
	q.clock.move(10 * time.Second)
	got = q.want("after its delay", url, "delayed")
	a := got[0].MessageAttributes
	if *a["text"].StringValue != "<é>" || string(a["bytes"].BinaryValue) != "\x00\xff" {
		q.t.Errorf("attributes: %v", a)
	}
}

// keptReceipts: a handle is as good after a kill as before.
func keptReceipts(q *queues) {
	url, _ := q.create("q", nil)
	q.send(url, "first", "second")
	got := q.want("before", url, "first", "second")
	_, err := q.sqs.ChangeMessageVisibility(q.t.Context(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: aws.String(url), ReceiptHandle: got[1].ReceiptHandle, VisibilityTimeout: 100})
	q.check(err)
	q.kill()
	url = queueURL(q, "q")
	q.delete(url, got[0])
	q.clock.move(99 * time.Second)
	q.want("before the timeout that was set", url)
	q.clock.move(time.Second)
	q.want("after it", url, "second")
	q.delete(url, got[1]) // not the newest handle: it stays
	q.kill()
	if left := q.left(queueURL(q, "q")); left != "0 1 0" {
		q.t.Errorf("at the end: %s", left)
	}
}

func keptFIFO(q *queues) {
	url, _ := q.create("q.fifo", map[string]string{"FifoQueue": "true"})
	send := func(body, group, id string) *sqs.SendMessageOutput {
		out, err := q.sqs.SendMessage(q.t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(url),
			MessageBody: aws.String(body), MessageGroupId: aws.String(group), MessageDeduplicationId: aws.String(id)})
		q.check(err)
		return out
	}
	first := send("a1", "a", "1")
	send("a2", "a", "2")
	one, err := q.sqs.ReceiveMessage(q.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(url),
		MaxNumberOfMessages: 1, VisibilityTimeout: 60})
	q.check(err)
	q.kill()
	url = queueURL(q, "q.fifo")
	again := send("a1", "a", "1")
	if *again.MessageId != *first.MessageId || *again.SequenceNumber != *first.SequenceNumber {
		q.t.Errorf("a duplicate after the kill is %s, not %s", *again.MessageId, *first.MessageId)
	}
	if third := send("b1", "b", "3"); *third.SequenceNumber <= *first.SequenceNumber {
		q.t.Errorf("sequence %s after %s", *third.SequenceNumber, *first.SequenceNumber)
	}
	q.want("while its group waits", url, "b1")
	q.delete(url, one.Messages...)
	q.want("when its group is free", url, "a2")
	q.clock.move(5 * time.Minute) // the window is over
	q.kill()
	url = queueURL(q, "q.fifo")
	if late := send("a1", "c", "1"); *late.MessageId == *first.MessageId {
		q.t.Error("it is a duplicate after the window, too")
	}
}

func keptDeadLetters(q *queues) {
	dead, arn := q.create("dead", nil)
	url, _ := q.create("q", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + arn +
		`","maxReceiveCount":2}`, "VisibilityTimeout": "1"})
	q.send(url, "poison")
	for range 2 {
		q.want("received", url, "poison")
		q.clock.move(time.Second)
		q.kill()
		url, dead = queueURL(q, "q"), queueURL(q, "dead")
	}
	q.want("after two receipts", url)
	q.kill()
	got := q.want("the dead-letter queue", dead, "poison")
	if a := got[0].Attributes; a["ApproximateReceiveCount"] != "3" ||
		!strings.HasSuffix(a["DeadLetterQueueSourceArn"], ":q") {
		q.t.Errorf("its attributes: %v", a)
	}
	q.delete(dead, got...)
	q.kill()
	if left := q.left(url) + " " + q.left(dead); left != "0 0 0 0 0 0" {
		q.t.Errorf("at the end: %s", left)
	}
}

func keptPurge(q *queues) {
	url, _ := q.create("q", nil)
	q.send(url, "a", "b")
	_, err := q.sqs.PurgeQueue(q.t.Context(), &sqs.PurgeQueueInput{QueueUrl: aws.String(url)})
	q.check(err)
	q.send(url, "c")
	q.kill()
	q.want("after a purge", queueURL(q, "q"), "c")
}

// keptKeys: what was sealed or signed before is opened and verified after.
func keptKeys(q *queues) {
	ctx := q.t.Context()
	symmetric, hmac := q.key("", ""), q.key("HMAC_256", "GENERATE_VERIFY_MAC")
	agree := q.key("ECC_NIST_P256", "KEY_AGREEMENT")
	signers := map[kmstypes.KeySpec]kmstypes.SigningAlgorithmSpec{"ECC_NIST_P256": "ECDSA_SHA_256",
		"ECC_NIST_EDWARDS25519": "ED25519_SHA_512", "ML_DSA_44": "ML_DSA_SHAKE_256",
		"ML_DSA_65": "ML_DSA_SHAKE_256", "ML_DSA_87": "ML_DSA_SHAKE_256"}
	signed := map[kmstypes.KeySpec]*kms.SignOutput{}
	for spec, algorithm := range signers {
		var err error
		signed[spec], err = q.keys().Sign(ctx, &kms.SignInput{KeyId: q.key(spec, "SIGN_VERIFY"),
			Message: []byte("m"), SigningAlgorithm: algorithm})
		q.check(err)
	}
	sealed, err := q.keys().Encrypt(ctx, &kms.EncryptInput{KeyId: symmetric, Plaintext: []byte("secret")})
	q.check(err)
	_, err = q.keys().RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: symmetric})
	q.check(err)
	rotated := *q.describeKey(symmetric).CurrentKeyMaterialId
	mac, err := q.keys().GenerateMac(ctx, &kms.GenerateMacInput{KeyId: hmac, Message: []byte("m"),
		MacAlgorithm: "HMAC_SHA_256"})
	q.check(err)
	public, err := q.keys().GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: agree})
	q.check(err)
	shared := func() string {
		out, err := q.keys().DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: agree,
			KeyAgreementAlgorithm: "ECDH", PublicKey: public.PublicKey})
		q.check(err)
		return string(out.SharedSecret)
	}
	secret := shared()
	q.kill()
	opened, err := q.keys().Decrypt(ctx, &kms.DecryptInput{KeyId: symmetric,
		CiphertextBlob: sealed.CiphertextBlob})
	q.check(err)
	if got := *q.describeKey(symmetric).CurrentKeyMaterialId; got != rotated {
		q.t.Error("the rotation was lost")
	}
	if string(opened.Plaintext) != "secret" || shared() != secret {
		q.t.Error("another plaintext, or another shared secret")
	}
	_, err = q.keys().VerifyMac(ctx, &kms.VerifyMacInput{KeyId: hmac, Message: []byte("m"), Mac: mac.Mac,
		MacAlgorithm: "HMAC_SHA_256"})
	q.check(err)
	for _, s := range signed {
		_, err := q.keys().Verify(ctx, &kms.VerifyInput{KeyId: s.KeyId, Message: []byte("m"),
			Signature: s.Signature, SigningAlgorithm: s.SigningAlgorithm})
		q.check(err)
	}
}

func (q *queues) describeKey(arn *string) *kmstypes.KeyMetadata {
	q.t.Helper()
	out, err := q.keys().DescribeKey(q.t.Context(), &kms.DescribeKeyInput{KeyId: arn})
	q.check(err)
	return out.KeyMetadata
}

func keptStates(q *queues) {
	ctx := q.t.Context()
	disabled, enabled, going, spared, rotating := q.key("", ""), q.key("", ""), q.key("", ""), q.key("", ""),
		q.key("", "")
	for _, key := range []*string{disabled, enabled} {
		_, err := q.keys().DisableKey(ctx, &kms.DisableKeyInput{KeyId: key})
		q.check(err)
	}
	_, err := q.keys().EnableKey(ctx, &kms.EnableKeyInput{KeyId: enabled})
	q.check(err)
	for _, key := range []*string{going, spared} {
		_, err = q.keys().ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: key,
			PendingWindowInDays: aws.Int32(7)})
		q.check(err)
	}
	_, err = q.keys().CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: spared})
	q.check(err)
	_, err = q.keys().EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: rotating,
		RotationPeriodInDays: aws.Int32(90)})
	q.check(err)
	q.kill()
	for key, want := range map[*string]kmstypes.KeyState{disabled: "Disabled", enabled: "Enabled",
		going: "PendingDeletion", spared: "Disabled", rotating: "Enabled"} {
		if got := q.describeKey(key).KeyState; got != want {
			q.t.Errorf("a key is %s, not %s", got, want)
		}
	}
	material := *q.describeKey(rotating).CurrentKeyMaterialId
	q.clock.move(90 * 24 * time.Hour)
	rotated := *q.describeKey(rotating).CurrentKeyMaterialId
	if rotated == material {
		q.t.Error("the key did not rotate")
	}
	q.kill()
	if got := *q.describeKey(rotating).CurrentKeyMaterialId; got != rotated {
		q.t.Error("the rotation was lost")
	}
	_, err = q.keys().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: going})
	if codeOf(err) != "NotFoundException" {
		q.t.Errorf("a key that went: %v", err)
	}
}

func keptReplicas(q *queues) {
	ctx := q.t.Context()
	made, err := q.keys().CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: aws.Bool(true),
		Description: aws.String("d"), Policy: aws.String("{}")})
	q.check(err)
	primary := made.KeyMetadata.Arn
	_, err = q.keys().ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: primary,
		ReplicaRegion: aws.String("eu-west-1")})
	q.check(err)
	other := q.key("", "")
	for alias, key := range map[string]*string{"kept": primary, "moved": primary, "gone": other} {
		_, err = q.keys().CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/" + alias),
			TargetKeyId: key})
		q.check(err)
	}
	_, err = q.keys().UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: aws.String("alias/moved"),
		TargetKeyId: other})
	q.check(err)
	_, err = q.keys().DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: aws.String("alias/gone")})
	q.check(err)
	sealed, err := q.keys().Encrypt(ctx, &kms.EncryptInput{KeyId: primary, Plaintext: []byte("x")})
	q.check(err)
	before := q.describeKey(primary)
	q.kill()
	if after := q.describeKey(primary); *after.MultiRegionConfiguration.PrimaryKey.Arn !=
		*before.MultiRegionConfiguration.PrimaryKey.Arn ||
		len(after.MultiRegionConfiguration.ReplicaKeys) != 1 || *after.Description != "d" {
		q.t.Errorf("the key is %+v", after)
	}
	there := newKeyClient(q.server.URL(), "eu-west-1")
	opened, err := there.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	q.check(err)
	if string(opened.Plaintext) != "x" {
		q.t.Errorf("the replica opens %q", opened.Plaintext)
	}
	for alias, want := range map[string]*string{"kept": primary, "moved": other} {
		if got := q.describeKey(aws.String("alias/" + alias)).Arn; *got != *want {
			q.t.Errorf("alias %s is of %s", alias, *got)
		}
	}
	if _, err := q.keys().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/gone")}); err == nil {
		q.t.Error("an alias that was deleted is there")
	}
}

func (q *queues) mappings() []lambdatypes.EventSourceMappingConfiguration {
	q.t.Helper()
	client := lambda.New(lambda.Options{Region: "us-east-1", BaseEndpoint: aws.String(q.server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	out, err := client.ListEventSourceMappings(q.t.Context(), &lambda.ListEventSourceMappingsInput{})
	q.check(err)
	return out.EventSourceMappings
}

// keptMappings: the function is given again, and gets what it did not handle.
func keptMappings(q *queues) {
	url, arn := q.create("q", nil)
	started := make(chan struct{})
	hang := func(ctx context.Context, _ json.RawMessage) (any, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	q.check(q.server.MapQueue(arn, "f", hang, &localaws.Mapping{BatchSize: 7}))
	q.send(url, "m")
	<-started
	q.kill()
	list, _ := json.Marshal(q.mappings())
	got := make(chan string, 1)
	q.check(q.server.MapQueue(arn, "f", func(_ context.Context, event json.RawMessage) (any, error) {
		got <- string(event)
		return nil, nil
	}, &localaws.Mapping{BatchSize: 7}))
	again, _ := json.Marshal(q.mappings())
	if string(again) != string(list) || !strings.Contains(string(again), ":7") {
		q.t.Errorf("mappings: %s, and before %s", again, list)
	}
	q.clock.move(30 * time.Second)
	if event := <-got; !strings.Contains(event, `"body":"m"`) {
		q.t.Errorf("the function got %s", event)
	}
	q.check(q.server.DrainQueue(q.t.Context(), arn))
	q.check(q.server.Close())
	q.begin()
	q.sqs = newQueueClient(q.server.URL())
	if left := q.left(queueURL(q, "q")); left != "0 0 0" {
		q.t.Errorf("after it was handled: %s", left)
	}
}

// keptDeliveries: an event that was accepted and not delivered is delivered by the next server, also to a
// function that is given later, and one that was delivered is not.
func keptDeliveries(q *queues) {
	started := make(chan struct{}, 2)
	arn := q.server.Function("f", func(ctx context.Context, event []byte) error {
		if strings.Contains(string(event), `"n":1`) {
			return nil
		}
		started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	q.rule("default", `{"source":["`+command+`"]}`, arn)
	entries := []types.PutEventsRequestEntry{entry(`{"n":1}`), entry(`{"n":2}`), entry(`{"n":3}`)}
	out, err := q.client.PutEvents(q.t.Context(), &eventbridge.PutEventsInput{Entries: entries})
	q.check(err)
	if out.FailedEntryCount != 0 {
		q.t.Fatal(out)
	}
	<-started // of n = 2; n = 3 waits behind it
	// An answer comes after all that was queued: the delivery of n = 1 is among it.
	q.create("any", nil)
	q.kill()
	q.kill() // before anyone takes them
	got := make(chan string, 10)
	q.server.Function("f", func(_ context.Context, event []byte) error {
		got <- string(event)
		return nil
	})
	q.drain()
	close(got)
	var all []string
	for event := range got {
		var e struct{ Detail struct{ N int } }
		q.check(json.Unmarshal([]byte(event), &e))
		all = append(all, fmt.Sprint(e.Detail.N))
	}
	if strings.Join(all, " ") != "2 3" {
		q.t.Errorf("the next server delivered %q", all)
	}
}

// TestNothingIsAcknowledgedWithoutAJournal: no call that may have changed something is answered as if it had.
func TestNothingIsAcknowledgedWithoutAJournal(t *testing.T) {
	q := newKept(t)
	url, arn := q.create("q", nil)
	q.rule("default", `{"source":["`+command+`"]}`, arn)
	q.server.Abandon()
	for range 2 {
		_, err := q.client.PutEvents(t.Context(), &eventbridge.PutEventsInput{
			Entries: []types.PutEventsRequestEntry{entry(`{}`)}})
		if codeOf(err) != "InternalException" {
			t.Errorf("PutEvents: %v", err)
		}
		_, err = q.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(url),
			MessageBody: aws.String("x")})
		if codeOf(err) != "InternalFailure" {
			t.Errorf("SendMessage: %v", err)
		}
		_, err = q.keys().CreateKey(t.Context(), &kms.CreateKeyInput{})
		if codeOf(err) != "KMSInternalException" {
			t.Errorf("CreateKey: %v", err)
		}
	}
	q.kill() // the next server is as good as new
	if left := q.left(queueURL(q, "q")); left != "0 0 0" {
		t.Errorf("the queue has %s", left)
	}
}

// TestUndeliveredEventsAreGivenUp: an event for a function that does not come back waits for as long as its
// target lets it, and Drain does not wait for ever.
func TestUndeliveredEventsAreGivenUp(t *testing.T) {
	q := newKept(t)
	arn := q.server.Function("f", func(ctx context.Context, _ []byte) error {
		<-ctx.Done()
		return ctx.Err()
	})
	q.rule("default", `{"source":["`+command+`"]}`, arn)
	_, err := q.client.PutEvents(t.Context(), &eventbridge.PutEventsInput{
		Entries: []types.PutEventsRequestEntry{entry(`{}`)}})
	q.check(err)
	q.clock.move(24*time.Hour - 1)
	q.kill()
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.server.Drain(short); err == nil {
		t.Error("the event was given up before its time")
	}
	q.clock.move(1)
	q.kill()
	q.drain()
}

func keptEndpoints(q *queues) {
	first := q.server.Endpoint("e", "http://127.0.0.1:1")
	q.check(q.ruleTo("r", types.Target{Id: aws.String("1"), Arn: aws.String(first)}))
	q.kill()
	if again := q.server.Endpoint("e", "http://127.0.0.1:1"); again != first {
		q.t.Errorf("the endpoint is %s, and was %s", again, first)
	}
}

func TestDirectoryIsOfOneAccount(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, &localaws.Options{Dir: dir})
	w.check(w.server.Close())
	if s, err := localaws.Start(&localaws.Options{Dir: dir, Account: account}); err == nil {
		_ = s.Close()
		t.Error("another account was taken")
	}
	w.begin() // the file is not locked
}

// TestOnlyProgramsOnThisMachineCall: what a page in a browser sends is refused, also after its name was
// pointed at this machine.
func TestOnlyProgramsOnThisMachineCall(t *testing.T) {
	w := newWorld(t, nil)
	ask := func(host, header string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL(), strings.NewReader("{}"))
		w.check(err)
		r.Header.Set("X-Amz-Target", "AWSEvents.ListEventBuses")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x")
		if r.Host = host; header != "" {
			r.Header.Set(header, "https://attacker.example")
		}
		resp, err := http.DefaultClient.Do(r)
		w.check(err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for _, host := range []string{"", "127.0.0.1:4570", "localhost", "[::1]:80", "::1", "a.localhost:1",
		"127.9.9.9"} {
		if got := ask(host, ""); got != http.StatusOK {
			t.Errorf("host %q: %d", host, got)
		}
	}
	for _, host := range []string{"attacker.example", "attacker.example:4570", "127.0.0.1.attacker.example",
		"localhost.attacker.example", "10.0.0.1", "0.0.0.0", "169.254.169.254"} {
		if got := ask(host, ""); got != http.StatusForbidden {
			t.Errorf("host %q: %d", host, got)
		}
	}
	for _, header := range []string{"Origin", "Sec-Fetch-Site"} {
		if got := ask("", header); got != http.StatusForbidden {
			t.Errorf("with %s: %d", header, got)
		}
	}
	open := newWorld(t, &localaws.Options{UnsafeListen: true, Addr: "127.0.0.1:0"})
	w.server = open.server
	for _, host := range []string{"host.docker.internal", "devbox:4570", "devbox.local", "192.168.1.5:4570",
		"[fd00::1]:4570"} {
		if got := ask(host, ""); got != http.StatusOK {
			t.Errorf("host %q, with UnsafeListen: %d", host, got)
		}
	}
	for _, host := range []string{"attacker.example:4570", "192.168.1.5.attacker.example", "localhost.example"} {
		if got := ask(host, ""); got != http.StatusForbidden {
			t.Errorf("host %q, with UnsafeListen: %d", host, got)
		}
	}
}

func TestListensOnThisMachineOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "example.com:80", "10.0.0.1:1", "127.0.0.1"} {
		if s, err := localaws.Start(&localaws.Options{Addr: addr}); err == nil {
			_ = s.Close()
			t.Errorf("it listens at %s", addr)
		}
	}
	s, err := localaws.Start(&localaws.Options{Addr: "localhost:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRequestIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL(),
		strings.NewReader(strings.Repeat(" ", 16<<20+1)))
	w.check(err)
	resp, err := localaws.Transport{}.RoundTrip(r)
	if err != nil {
		return // the connection was closed while it was written: refused, too
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}
