// Verifies and decrypts one sealed event whose data is encrypted to a key of AWS KMS, with KMS Decrypt and Node's own crypto.
//   node open.mjs trusted.json arn:aws:kms:... < event.json     trusted.json: {"producer", "sources": ["https://.../"], "key": JWK}
// It knows one Ed25519 or P-256 key, no rotation, no revocation, no replay store: those are what a sealbus consumer adds.
import { createDecipheriv, createHash, createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DecryptCommand, KMSClient } from '@aws-sdk/client-kms';

const [trustFile, keyArn] = process.argv.slice(2);
const trusted = JSON.parse(readFileSync(trustFile, 'utf8'));
const event = JSON.parse(readFileSync(0, 'utf8'));
const need = (ok, why) => {
  if (ok) return ok;
  console.error(`refused: ${why}`);
  process.exit(1);
};
const H = (bytes) => createHash('sha256').update(bytes ?? '').digest();
const same = (a, b) => a.length === b.length && timingSafeEqual(a, b);
const base64 = (text) => Buffer.from(text, 'base64');
const unbase64url = (text) => Buffer.from(text, 'base64url');
// Canonical JSON of what has no numbers: a JWE is all strings.
const canonical = (v) => (Array.isArray(v) ? `[${v.map(canonical)}]` : v && typeof v === 'object'
  ? `{${Object.keys(v).sort().map((k) => `${JSON.stringify(k)}:${canonical(v[k])}`)}}` : need(typeof v === 'string', 'not all strings') && JSON.stringify(v));

// The signature, of the one trusted key, over the payload.
const envelope = JSON.parse(base64(need(event.dssematerial, 'unsigned')));
const type = 'https://cloudevents.io/verifiability/dsse/v0.1';
const body = base64(need(envelope.payloadType === type && envelope.payload, 'another payload type'));
const pae = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${body.length} `), body]);
const key = { key: createPublicKey({ key: trusted.key, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
const algorithm = trusted.key.kty === 'EC' ? 'sha256' : null;
need(envelope.signatures.some(({ sig, delegation }) => !delegation && verify(algorithm, pae, key, base64(sig))), 'no signature of the trusted key');

// What it covers: attributes, data, signed extensions; and what the key may say.
const signed = JSON.parse(body);
const { v, producer, time = '', types, enc } = need(signed.sealbus, 'not sealed by sealbus');
const seconds = time.replace(/\.\d+Z$/, 'Z');
const core = [event.id, event.source, event.specversion, event.type, event.datacontenttype, event.dataschema, event.subject, seconds];
need(v === 1 && (event.time ?? '') === time, 'another time than was signed');
need(same(H(Buffer.concat([...core, canonical(event.data)].map(H))), base64(signed.core)), 'the data or an attribute was changed');
need(types.every((t) => ['String', 'Timestamp', 'URI', 'URI-reference'].includes(t)), 'an extension of a type that is not read here');
need(same(H(Buffer.concat(signed.signedextattrs.map((name) => H(event[name])))), base64(signed.ext)), 'an extension was changed');
need(producer === trusted.producer && trusted.sources.some((s) => event.source.startsWith(s)), 'the key may not speak for this source');
const age = Date.now() - Date.parse(event.recordedtime);
need(signed.signedextattrs.includes('recordedtime') && age > -300_000 && age < 86_700_000, 'not fresh');
need(!signed.signedextattrs.includes('expirytime') || Date.now() < Date.parse(event.expirytime), 'expired');

// Only now a key is touched: KMS decrypts the content key, for events of this source.
const jwe = need(enc === 'jwe' && event.data, 'not encrypted as a whole');
const { id, source } = event;
const bound = need(unbase64url(jwe.aad).toString() === canonical({ id, producer, source, type: event.type }) && jwe.aad, 'made for another event');
const mine = need(jwe.recipients.find(({ header }) => header.alg === 'urn:sealbus:jwe:aws-kms' && header.kid === keyArn), 'not for this key');
const { Plaintext: secret } = await new KMSClient().send(new DecryptCommand({
  KeyId: keyArn, CiphertextBlob: unbase64url(mine.encrypted_key), EncryptionContext: { 'sealbus:source': source } }));
const header = JSON.parse(unbase64url(jwe.protected));
need(header.enc === 'A256GCM' && same(createHmac('sha256', secret).update('sealbus/v1/key-commitment').digest(), unbase64url(header.kc)), 'under another key');
const decipher = createDecipheriv('aes-256-gcm', secret, unbase64url(jwe.iv), { authTagLength: 16 }).setAuthTag(unbase64url(jwe.tag)).setAAD(Buffer.from(`${jwe.protected}.${bound}`));
process.stdout.write(Buffer.concat([decipher.update(unbase64url(jwe.ciphertext)), decipher.final()]));
