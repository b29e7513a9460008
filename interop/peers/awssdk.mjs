// Runs checks of the AWS SDK of JavaScript against the server at AWS_ENDPOINT_URL, and prints a JSON object:
// the name of each check, and null or what is wrong.
import assert from 'node:assert/strict';
import * as crypto from 'node:crypto';
import { Readable } from 'node:stream';

import * as db from '@aws-sdk/client-dynamodb';
import * as eb from '@aws-sdk/client-eventbridge';
import * as km from '@aws-sdk/client-kms';
import * as s3 from '@aws-sdk/client-s3';
import * as sq from '@aws-sdk/client-sqs';

const config = { region: 'us-east-1', maxAttempts: 1 }; // the endpoint and the credentials are those of the environment
const bus = new eb.EventBridgeClient(config);
const sqs = new sq.SQSClient(config);
const kms = new km.KMSClient(config);
const objects = new s3.S3Client({ ...config, forcePathStyle: true });
const tables = new db.DynamoDBClient(config);

let made = 0;
const name = (what) => `js-${what}-${++made}`;

// failure is the error of a call, which has to fail.
async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('the call did not fail');
}

async function queue(attributes = {}) {
  const fifo = attributes.FifoQueue === 'true' ? '.fifo' : '';
  const { QueueUrl } = await sqs.send(new sq.CreateQueueCommand({ QueueName: name('queue') + fifo, Attributes: attributes }));
  const { Attributes } = await sqs.send(
    new sq.GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }),
  );
  return { url: QueueUrl, arn: Attributes.QueueArn };
}

async function receive(url, options = {}) {
  const { Messages } = await sqs.send(
    new sq.ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: 5,
      MessageSystemAttributeNames: ['All'],
      MessageAttributeNames: ['All'],
      ...options,
    }),
  );
  return Messages ?? [];
}

const send = (url, body, options = {}) =>
  sqs.send(new sq.SendMessageCommand({ QueueUrl: url, MessageBody: body, ...options }));

const checks = {
  async 'EventBridge: a rule with a queue as its target'() {
    const EventBusName = name('bus');
    const { EventBusArn } = await bus.send(new eb.CreateEventBusCommand({ Name: EventBusName }));
    assert.match(EventBusArn, new RegExp(`:event-bus/${EventBusName}$`));
    const there = await queue();
    const pattern = { source: ['https://orders.example/eu'], detail: { state: ['placed'] } };
    const { RuleArn } = await bus.send(
      new eb.PutRuleCommand({ Name: 'placed', EventBusName, EventPattern: JSON.stringify(pattern) }),
    );
    const put = await bus.send(
      new eb.PutTargetsCommand({ Rule: 'placed', EventBusName, Targets: [{ Id: 'q', Arn: there.arn }] }),
    );
    assert.equal(put.FailedEntryCount, 0);
    const rules = await bus.send(new eb.ListRulesCommand({ EventBusName }));
    assert.deepEqual(
      rules.Rules.map((r) => [r.Name, r.Arn, r.State, JSON.parse(r.EventPattern)]),
      [['placed', RuleArn, 'ENABLED', pattern]],
    );
    const targets = await bus.send(new eb.ListTargetsByRuleCommand({ Rule: 'placed', EventBusName }));
    assert.deepEqual(targets.Targets, [{ Id: 'q', Arn: there.arn }]);

    const entry = (state) => ({
      EventBusName,
      Source: 'https://orders.example/eu',
      DetailType: 'com.example.order.placed.v1',
      Detail: JSON.stringify({ state, total: 12.5, text: 'ü<>' }),
      Time: new Date('2026-03-01T12:00:00Z'),
      Resources: ['arn:aws:s3:::x'],
    });
    const sent = await bus.send(new eb.PutEventsCommand({ Entries: [entry('placed'), entry('paid')] }));
    assert.equal(sent.FailedEntryCount, 0);
    const [message, ...more] = await receive(there.url);
    assert.deepEqual(more, []);
    const { id, ...event } = JSON.parse(message.Body);
    assert.equal(id, sent.Entries[0].EventId);
    assert.deepEqual(event, {
      version: '0',
      'detail-type': 'com.example.order.placed.v1',
      source: 'https://orders.example/eu',
      account: '000000000000',
      time: '2026-03-01T12:00:00Z',
      region: 'us-east-1',
      resources: ['arn:aws:s3:::x'],
      detail: { state: 'placed', total: 12.5, text: 'ü<>' },
    });
  },

  async 'EventBridge: a partial failure'() {
    const there = await queue();
    const EventBusName = name('bus');
    await bus.send(new eb.CreateEventBusCommand({ Name: EventBusName }));
    await bus.send(new eb.PutRuleCommand({ Name: 'all', EventBusName, EventPattern: '{"source":[{"prefix":""}]}' }));
    await bus.send(new eb.PutTargetsCommand({ Rule: 'all', EventBusName, Targets: [{ Id: 'q', Arn: there.arn }] }));
    const entry = (Source, Detail) => ({ EventBusName, Source, DetailType: 't', Detail });
    const out = await bus.send(
      new eb.PutEventsCommand({ Entries: [entry('a', '{"n":1}'), entry('b', 'no JSON'), entry('c', '[]'), entry('d', '{"n":4}')] }),
    );
    assert.equal(out.FailedEntryCount, 2);
    assert.deepEqual(
      out.Entries.map((e) => [typeof e.EventId, e.ErrorCode]),
      [['string', undefined], ['undefined', 'MalformedDetail'], ['undefined', 'MalformedDetail'], ['string', undefined]],
    );
    const bodies = [];
    while (bodies.length < 2) bodies.push(...(await receive(there.url)).map((m) => JSON.parse(m.Body).source));
    assert.deepEqual(bodies.sort(), ['a', 'd']);
  },

  async 'EventBridge: errors'() {
    const missing = await failure(bus.send(new eb.DescribeEventBusCommand({ Name: 'js-missing' })));
    assert.ok(missing instanceof eb.ResourceNotFoundException, missing);
    const pattern = await failure(bus.send(new eb.PutRuleCommand({ Name: 'bad', EventPattern: '{"source":"x"}' })));
    assert.ok(pattern instanceof eb.InvalidEventPatternException, pattern);
    const many = Array.from({ length: 11 }, () => ({ Source: 'a', DetailType: 't', Detail: '{}' }));
    const entries = await failure(bus.send(new eb.PutEventsCommand({ Entries: many })));
    assert.equal(entries.name, 'ValidationException');
    const unknown = await failure(bus.send(new eb.ListPartnerEventSourcesCommand({ NamePrefix: 'x' })));
    assert.equal(unknown.name, 'UnknownOperationException');
  },

  async 'EventBridge: an archive and its replay'() {
    const there = await queue();
    const Name = name('bus');
    const { EventBusArn } = await bus.send(new eb.CreateEventBusCommand({ Name }));
    const { ArchiveArn } = await bus.send(
      new eb.CreateArchiveCommand({ ArchiveName: name('archive'), EventSourceArn: EventBusArn }),
    );
    await bus.send(
      new eb.PutEventsCommand({ Entries: [{ EventBusName: Name, Source: 'a', DetailType: 't', Detail: '{"n":1}' }] }),
    );
    await bus.send(new eb.PutRuleCommand({ Name: 'all', EventBusName: Name, EventPattern: '{"source":["a"]}' }));
    await bus.send(new eb.PutTargetsCommand({ Rule: 'all', EventBusName: Name, Targets: [{ Id: 'q', Arn: there.arn }] }));
    const ReplayName = name('replay');
    await bus.send(
      new eb.StartReplayCommand({
        ReplayName,
        EventSourceArn: ArchiveArn,
        EventStartTime: new Date(Date.now() - 3600_000),
        EventEndTime: new Date(Date.now() + 1000),
        Destination: { Arn: EventBusArn },
      }),
    );
    const [message] = await receive(there.url, { WaitTimeSeconds: 20 });
    const event = JSON.parse(message.Body);
    assert.deepEqual([event['replay-name'], event.detail], [ReplayName, { n: 1 }]);
  },

  async 'SQS: send, receive, delete'() {
    const { url } = await queue();
    const text = 'ü \u{1F600} \n{"a":1}';
    const sent = await send(url, text, {
      MessageAttributes: {
        colour: { DataType: 'String', StringValue: 'blue' },
        bytes: { DataType: 'Binary', BinaryValue: new Uint8Array([0, 255]) },
      },
    });
    assert.equal(sent.MD5OfMessageBody, crypto.createHash('md5').update(text).digest('hex'));
    const [message, ...more] = await receive(url); // the SDK compares the digests, too
    assert.deepEqual(more, []);
    assert.equal(message.MessageId, sent.MessageId);
    assert.equal(message.Body, text);
    assert.equal(message.MessageAttributes.colour.StringValue, 'blue');
    assert.deepEqual([...message.MessageAttributes.bytes.BinaryValue], [0, 255]);
    assert.equal(message.Attributes.ApproximateReceiveCount, '1');
    await sqs.send(new sq.DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: message.ReceiptHandle }));
    const { Attributes } = await sqs.send(new sq.GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] }));
    assert.deepEqual(
      [Attributes.ApproximateNumberOfMessages, Attributes.ApproximateNumberOfMessagesNotVisible],
      ['0', '0'],
    );
  },

  async 'SQS: batches'() {
    const { url } = await queue();
    const out = await sqs.send(
      new sq.SendMessageBatchCommand({
        QueueUrl: url,
        Entries: [{ Id: 'a', MessageBody: 'one' }, { Id: 'b', MessageBody: '\u0000' }, { Id: 'c', MessageBody: 'three' }],
      }),
    );
    assert.deepEqual(out.Successful.map((e) => e.Id), ['a', 'c']);
    assert.deepEqual(out.Failed.map((e) => [e.Id, e.Code, e.SenderFault]), [['b', 'InvalidMessageContents', true]]);
    const got = await receive(url);
    assert.deepEqual(got.map((m) => m.Body).sort(), ['one', 'three']);
    const deleted = await sqs.send(
      new sq.DeleteMessageBatchCommand({
        QueueUrl: url,
        Entries: [{ Id: '1', ReceiptHandle: got[0].ReceiptHandle }, { Id: '2', ReceiptHandle: 'garbage' }],
      }),
    );
    assert.deepEqual(deleted.Successful.map((e) => e.Id), ['1']);
    assert.deepEqual(deleted.Failed.map((e) => [e.Id, e.Code]), [['2', 'ReceiptHandleIsInvalid']]);
  },

  async 'SQS: visibility'() {
    const { url } = await queue({ VisibilityTimeout: '600' });
    await send(url, 'again');
    const [first] = await receive(url);
    assert.deepEqual(await receive(url, { WaitTimeSeconds: 0 }), []);
    await sqs.send(
      new sq.ChangeMessageVisibilityCommand({ QueueUrl: url, ReceiptHandle: first.ReceiptHandle, VisibilityTimeout: 0 }),
    );
    const [second] = await receive(url);
    assert.equal(second.MessageId, first.MessageId);
    assert.notEqual(second.ReceiptHandle, first.ReceiptHandle);
    assert.equal(second.Attributes.ApproximateReceiveCount, '2');
  },

  async 'SQS: FIFO'() {
    const { url } = await queue({ FifoQueue: 'true' });
    const put = (group, id, body) => send(url, body, { MessageGroupId: group, MessageDeduplicationId: id });
    const first = await put('g', '1', 'a1');
    const same = await put('g', '1', 'a1');
    assert.equal(same.MessageId, first.MessageId);
    assert.equal(same.SequenceNumber, first.SequenceNumber);
    await put('g', '2', 'a2');
    await put('h', '3', 'b1');
    const [head] = await receive(url, { MaxNumberOfMessages: 1 });
    assert.equal(head.Body, 'a1');
    assert.equal(head.Attributes.MessageGroupId, 'g');
    const others = await receive(url); // a2 waits for a1
    assert.deepEqual(others.map((m) => m.Body), ['b1']);
    await sqs.send(new sq.DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: head.ReceiptHandle }));
    const next = await receive(url);
    assert.deepEqual(next.map((m) => m.Body), ['a2']);
    assert.ok(BigInt(next[0].Attributes.SequenceNumber) > BigInt(head.Attributes.SequenceNumber));
    const none = await failure(send(url, 'x'));
    assert.equal(none.name, 'MissingParameter');
  },

  async 'SQS: a dead-letter queue'() {
    const dead = await queue();
    const { url, arn } = await queue({
      VisibilityTimeout: '0',
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: 2 }),
    });
    const { MessageId } = await send(url, 'poison');
    for (const count of ['1', '2']) {
      const [message] = await receive(url);
      assert.equal(message.Attributes.ApproximateReceiveCount, count);
    }
    assert.deepEqual(await receive(url, { WaitTimeSeconds: 0 }), []);
    const [message] = await receive(dead.url);
    assert.deepEqual([message.MessageId, message.Body], [MessageId, 'poison']);
    assert.equal(message.Attributes.DeadLetterQueueSourceArn, arn);
  },

  async 'SQS: errors'() {
    const missing = await failure(sqs.send(new sq.GetQueueUrlCommand({ QueueName: 'js-missing' })));
    assert.ok(missing instanceof sq.QueueDoesNotExist, missing);
    const { url } = await queue();
    const handle = await failure(sqs.send(new sq.DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: 'garbage' })));
    assert.ok(handle instanceof sq.ReceiptHandleIsInvalid, handle);
    const { QueueUrl } = await sqs.send(new sq.GetQueueUrlCommand({ QueueName: url.split('/').pop() }));
    assert.equal(QueueUrl, url);
  },

  async 'KMS: signatures that Node verifies'() {
    const message = Buffer.from('message');
    for (const [KeySpec, SigningAlgorithm, MessageType, verify] of [
      ['ECC_NIST_P256', 'ECDSA_SHA_256', 'DIGEST', (key, s) => crypto.verify('sha256', message, key, s)],
      ['ECC_NIST_EDWARDS25519', 'ED25519_SHA_512', 'RAW', (key, s) => crypto.verify(null, message, key, s)],
    ]) {
      const { KeyMetadata } = await kms.send(new km.CreateKeyCommand({ KeySpec, KeyUsage: 'SIGN_VERIFY' }));
      assert.deepEqual(KeyMetadata.SigningAlgorithms.includes(SigningAlgorithm), true, KeySpec);
      const KeyId = KeyMetadata.Arn;
      const Message = MessageType === 'DIGEST' ? crypto.createHash('sha256').update(message).digest() : message;
      const call = { KeyId, Message, MessageType, SigningAlgorithm };
      const { Signature } = await kms.send(new km.SignCommand(call));
      const { PublicKey } = await kms.send(new km.GetPublicKeyCommand({ KeyId }));
      const key = crypto.createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' });
      assert.equal(verify(key, Signature), true, KeySpec);
      const { SignatureValid } = await kms.send(new km.VerifyCommand({ ...call, Signature }));
      assert.equal(SignatureValid, true, KeySpec);
      const wrong = Buffer.from(Signature);
      wrong[wrong.length - 1] ^= 1;
      assert.equal(verify(key, wrong), false, KeySpec);
      const refused = await failure(kms.send(new km.VerifyCommand({ ...call, Signature: wrong })));
      assert.ok(refused instanceof km.KMSInvalidSignatureException, refused);
    }
  },

  async 'KMS: encryption'() {
    const { KeyMetadata } = await kms.send(new km.CreateKeyCommand({}));
    const AliasName = `alias/${name('key')}`;
    await kms.send(new km.CreateAliasCommand({ AliasName, TargetKeyId: KeyMetadata.KeyId }));
    const EncryptionContext = { source: 'https://orders.example/eu' };
    const { CiphertextBlob } = await kms.send(
      new km.EncryptCommand({ KeyId: AliasName, Plaintext: Buffer.from('secret'), EncryptionContext }),
    );
    const out = await kms.send(new km.DecryptCommand({ CiphertextBlob, EncryptionContext }));
    assert.equal(Buffer.from(out.Plaintext).toString(), 'secret');
    assert.equal(out.KeyId, KeyMetadata.Arn);
    for (const context of [{}, { source: 'another' }]) {
      const refused = await failure(kms.send(new km.DecryptCommand({ CiphertextBlob, EncryptionContext: context })));
      assert.ok(refused instanceof km.InvalidCiphertextException, refused);
    }
    const other = await kms.send(new km.CreateKeyCommand({}));
    const refused = await failure(
      kms.send(new km.DecryptCommand({ CiphertextBlob, EncryptionContext, KeyId: other.KeyMetadata.KeyId })),
    );
    assert.ok(refused instanceof km.IncorrectKeyException, refused);
  },

  async 'KMS: a secret that Node shares'() {
    const { KeyMetadata } = await kms.send(new km.CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'KEY_AGREEMENT' }));
    const KeyId = KeyMetadata.KeyId;
    const { PublicKey } = await kms.send(new km.GetPublicKeyCommand({ KeyId }));
    const theirs = crypto.createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' });
    const ours = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { SharedSecret } = await kms.send(
      new km.DeriveSharedSecretCommand({
        KeyId,
        KeyAgreementAlgorithm: 'ECDH',
        PublicKey: ours.publicKey.export({ format: 'der', type: 'spki' }),
      }),
    );
    assert.deepEqual(
      Buffer.from(SharedSecret),
      crypto.diffieHellman({ privateKey: ours.privateKey, publicKey: theirs }),
    );
  },

  async 'KMS: data keys that Node uses'() {
    const { KeyMetadata } = await kms.send(new km.CreateKeyCommand({}));
    const data = await kms.send(new km.GenerateDataKeyCommand({ KeyId: KeyMetadata.KeyId, KeySpec: 'AES_256' }));
    assert.equal(data.Plaintext.length, 32);
    const iv = crypto.randomBytes(12);
    const cipher = crypto.createCipheriv('aes-256-gcm', data.Plaintext, iv);
    const text = Buffer.concat([cipher.update('secret'), cipher.final()]);
    const { Plaintext } = await kms.send(new km.DecryptCommand({ CiphertextBlob: data.CiphertextBlob }));
    assert.deepEqual(Buffer.from(Plaintext), Buffer.from(data.Plaintext));
    const opened = crypto.createDecipheriv('aes-256-gcm', Plaintext, iv).setAuthTag(cipher.getAuthTag());
    assert.equal(opened.update(text, undefined, 'utf8') + opened.final('utf8'), 'secret');
    const again = await kms.send(new km.GenerateDataKeyCommand({ KeyId: KeyMetadata.KeyId, KeySpec: 'AES_256' }));
    assert.notDeepEqual(Buffer.from(again.Plaintext), Buffer.from(data.Plaintext));
  },

  async 'S3: an object'() {
    const Bucket = name('bucket');
    await objects.send(new s3.CreateBucketCommand({ Bucket }));
    const Body = Buffer.from('\u0000ü content');
    const put = await objects.send(
      new s3.PutObjectCommand({ Bucket, Key: 'a b/ü+%.json', Body, ContentType: 'application/json', Metadata: { colour: 'blue' } }),
    );
    assert.equal(put.ETag, `"${crypto.createHash('md5').update(Body).digest('hex')}"`);
    const got = await objects.send(new s3.GetObjectCommand({ Bucket, Key: 'a b/ü+%.json' }));
    assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), Body);
    assert.deepEqual([got.ETag, got.ContentType, got.Metadata], [put.ETag, 'application/json', { colour: 'blue' }]);
    const head = await objects.send(new s3.HeadObjectCommand({ Bucket, Key: 'a b/ü+%.json' }));
    assert.equal(head.ContentLength, Body.length);
    await objects.send(new s3.DeleteObjectCommand({ Bucket, Key: 'a b/ü+%.json' }));
    const gone = await failure(objects.send(new s3.GetObjectCommand({ Bucket, Key: 'a b/ü+%.json' })));
    assert.ok(gone instanceof s3.NoSuchKey, gone);
  },

  async 'S3: conditions'() {
    const Bucket = name('bucket');
    await objects.send(new s3.CreateBucketCommand({ Bucket }));
    const put = (Body, condition) => objects.send(new s3.PutObjectCommand({ Bucket, Key: 'trust.dsse', Body, ...condition }));
    const first = await put('one', { IfNoneMatch: '*' });
    for (const condition of [{ IfNoneMatch: '*' }, { IfMatch: '"00000000000000000000000000000000"' }]) {
      const refused = await failure(put('two', condition));
      assert.deepEqual([refused.name, refused.$metadata.httpStatusCode], ['PreconditionFailed', 412]);
    }
    await put('three', { IfMatch: first.ETag });
    const refused = await failure(put('four', { IfMatch: first.ETag }));
    assert.equal(refused.name, 'PreconditionFailed');
    const got = await objects.send(new s3.GetObjectCommand({ Bucket, Key: 'trust.dsse', IfNoneMatch: first.ETag }));
    assert.equal(await got.Body.transformToString(), 'three');
    const same = await failure(
      objects.send(new s3.GetObjectCommand({ Bucket, Key: 'trust.dsse', IfNoneMatch: got.ETag })),
    );
    assert.equal(same.$metadata.httpStatusCode, 304);
    const made = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) =>
        objects.send(new s3.PutObjectCommand({ Bucket, Key: 'race', Body: String(i), IfNoneMatch: '*' })),
      ),
    );
    assert.equal(made.filter((r) => r.status === 'fulfilled').length, 1);
  },

  async 'S3: a stream, with its checksum behind it'() {
    const Bucket = name('bucket');
    await objects.send(new s3.CreateBucketCommand({ Bucket }));
    const content = crypto.randomBytes(300_000);
    await objects.send(
      new s3.PutObjectCommand({
        Bucket,
        Key: 'stream',
        Body: Readable.from([content.subarray(0, 70_000), content.subarray(70_000)]),
        ContentLength: content.length,
        ChecksumAlgorithm: 'SHA256',
      }),
    );
    const got = await objects.send(new s3.GetObjectCommand({ Bucket, Key: 'stream', ChecksumMode: 'ENABLED' }));
    assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), content); // the SDK compares the checksum, too
    assert.equal(got.ChecksumSHA256, crypto.createHash('sha256').update(content).digest('base64'));
    assert.equal(got.ContentEncoding, undefined);
    const wrong = await failure(
      objects.send(new s3.PutObjectCommand({ Bucket, Key: 'x', Body: 'x', ChecksumSHA256: Buffer.alloc(32).toString('base64') })),
    );
    assert.equal(wrong.name, 'BadDigest');
  },

  async 'S3: a list of pages'() {
    const Bucket = name('bucket');
    await objects.send(new s3.CreateBucketCommand({ Bucket }));
    const keys = ['a/1', 'a/2', 'a/3', 'b/1', 'c'];
    for (const Key of keys) await objects.send(new s3.PutObjectCommand({ Bucket, Key, Body: Key }));
    const listed = [];
    for await (const page of s3.paginateListObjectsV2({ client: objects, pageSize: 2 }, { Bucket })) {
      assert.ok(page.Contents.length <= 2);
      listed.push(...page.Contents.map((o) => o.Key));
    }
    assert.deepEqual(listed, keys);
    const folders = await objects.send(new s3.ListObjectsV2Command({ Bucket, Delimiter: '/' }));
    assert.deepEqual(folders.CommonPrefixes.map((p) => p.Prefix), ['a/', 'b/']);
    assert.deepEqual(folders.Contents.map((o) => [o.Key, o.Size]), [['c', 1]]);
    const missing = await failure(objects.send(new s3.ListObjectsV2Command({ Bucket: 'js-missing' })));
    assert.ok(missing instanceof s3.NoSuchBucket, missing);
  },

  async 'DynamoDB: claims'() {
    const TableName = name('claims');
    await tables.send(
      new db.CreateTableCommand({
        TableName,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      }),
    );
    await db.waitUntilTableExists({ client: tables, maxWaitTime: 30 }, { TableName });
    await tables.send(
      new db.UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification: { AttributeName: 'forget_at', Enabled: true } }),
    );
    const { TimeToLiveDescription } = await tables.send(new db.DescribeTimeToLiveCommand({ TableName }));
    assert.deepEqual(TimeToLiveDescription, { TimeToLiveStatus: 'ENABLED', AttributeName: 'forget_at' });

    const Key = { id: { S: 'a' } };
    const claim = (token, now) =>
      tables.send(
        new db.UpdateItemCommand({
          TableName,
          Key,
          ConditionExpression: 'attribute_not_exists(#id) OR (#phase = :claimed AND #lease <= :now)',
          UpdateExpression: 'SET #phase = :claimed, #token = :token, #lease = :end',
          ExpressionAttributeNames: { '#id': 'id', '#phase': 'phase', '#token': 'token', '#lease': 'lease_end' },
          ExpressionAttributeValues: {
            ':claimed': { S: 'claimed' },
            ':token': { B: Buffer.from(token) },
            ':now': { N: String(now) },
            ':end': { N: String(now + 10) },
          },
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      );
    const claims = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => claim(`t${i}`, 100)));
    const won = claims.findIndex((r) => r.status === 'fulfilled');
    assert.deepEqual(claims.map((r) => r.status === 'fulfilled'), claims.map((_, i) => i === won));
    for (const { reason } of claims.filter((r) => r.status === 'rejected')) {
      assert.ok(reason instanceof db.ConditionalCheckFailedException, reason);
      assert.deepEqual([Buffer.from(reason.Item.token.B).toString(), reason.Item.lease_end.N], [`t${won}`, '110']);
    }
    await claim('later', 110); // the lease has ended
    const { Item } = await tables.send(new db.GetItemCommand({ TableName, Key, ConsistentRead: true }));
    assert.deepEqual(
      [Item.id.S, Item.phase.S, Buffer.from(Item.token.B).toString(), Item.lease_end.N],
      ['a', 'claimed', 'later', '120'],
    );
    const release = (token) =>
      tables.send(
        new db.DeleteItemCommand({
          TableName,
          Key,
          ConditionExpression: '#token = :token',
          ExpressionAttributeNames: { '#token': 'token' },
          ExpressionAttributeValues: { ':token': { B: Buffer.from(token) } },
        }),
      );
    const refused = await failure(release(`t${won}`));
    assert.ok(refused instanceof db.ConditionalCheckFailedException, refused);
    await release('later');
    assert.equal((await tables.send(new db.GetItemCommand({ TableName, Key }))).Item, undefined);
  },

  async 'DynamoDB: errors'() {
    const missing = await failure(tables.send(new db.GetItemCommand({ TableName: 'js-missing', Key: { id: { S: 'a' } } })));
    assert.ok(missing instanceof db.ResourceNotFoundException, missing);
    const scan = await failure(tables.send(new db.ScanCommand({ TableName: 'js-missing' })));
    assert.equal(scan.name, 'UnknownOperationException');
  },
};

const results = {};
for (const [what, check] of Object.entries(checks)) {
  try {
    await check();
    results[what] = null;
  } catch (error) {
    results[what] = String(error.stack ?? error);
  }
}
console.log(JSON.stringify(results));
