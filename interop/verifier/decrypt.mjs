// Opens encrypted data, written from SPEC.md alone. Nothing here runs before a signature and the rest of the checks passed.
import { createDecipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import {
  anything, base64url, fail, find, H, isJSONType, isPointer, isSameName, isWithin, LIMITS, list, need, optional, parseJSON,
  parsePointer, record, shallow, string, such, thumbprint,
} from './formats.mjs';

const [AGREED, KMS] = ['ECDH-ES+A256KW', 'urn:sealbus:jwe:aws-kms'];
const SPACE = /^[ \t\r\n]|[ \t\r\n]$/;

// 6. The member enc.
export function readEnc(node) {
  if (node.kind === 'string') return need(node.value === 'jwe') && { isWhole: true, fields: [] };
  const fields = list(such(isPointer), LIMITS.encrypted_fields, 'too_large')(node).map((text) => ({ text, path: parsePointer(text) }));
  const overlaps = ({ path }, i) => fields.some((other, j) => i !== j && isWithin(path, other.path));
  return need(fields.length > 0 && !fields.some(overlaps)) && { fields };
}

// 11.6
function isClear(node, path, fields, at = []) {
  if (fields.some((field) => isWithin(at, field.path))) return false;
  if (at.length === path.length || !(node.value instanceof Map)) return at.length === path.length;
  return [...node.value].some(([name, member]) => isSameName(path[at.length], `${name}`) && isClear(member, path, fields, [...at, `${name}`]));
}
export function checkEncrypted({ event, payload, options }) {
  const { isWhole, fields = [] } = payload.sealbus?.enc ?? {};
  need(isWhole || !options.require_encrypted, 'not_encrypted');
  const isCovered = (text) => isWhole || (isPointer(text)
    && (!event.data || (event.isJSON && !isClear(parseJSON(event.data), parsePointer(text), fields))));
  need((options.require_encrypted_fields ?? []).every(isCovered), 'not_encrypted');
  need(!payload.sealbus?.enc || options.identities || options.remote_identities || options.services, 'not_a_recipient');
}

// 15.1. JWE: base64url, headers, entries of recipients.
const sized = (text, size) => need(base64url(text).length === size) && base64url(text);
const atMost = (most, text = '') => need(Buffer.byteLength(text) <= most, 'too_large') && text;
const encodedLength = (bytes) => Math.ceil((bytes * 4) / 3);
const members = (node) => need(node?.kind === 'object') && [...node.value];
const [PROTECTED_ONLY, TEXTS] = [['enc', 'cty', 'kc', 'ctx'], ['enc', 'cty', 'kc', 'ctx', 'alg', 'kid', 'apu', 'apv']];
function addHeader(known, node, isProtected) {
  if (!node) return known;
  const parameters = members(node);
  need(parameters.length <= LIMITS.header_parameters, 'too_large');
  const header = new Map(known);
  for (const [name, value] of parameters) {
    need(!known.has(name)) && need(name !== 'crit' && name !== 'zip', 'unsupported');
    need(isProtected || !PROTECTED_ONLY.includes(name), 'unsupported');
    const jwk = { kty: optional(string), crv: optional(string), x: optional(string), y: optional(string), d: (d) => need(!d) };
    header.set(name, TEXTS.includes(name) ? string(value) : name === 'epk' ? record(value, jwk) : value);
    if (name === 'apu' || name === 'apv') header.set(name, base64url(header.get(name)));
  }
  return header;
}
function readProtected(text) {
  const header = addHeader(new Map(), parseJSON(base64url(atMost(LIMITS.protected_chars, text))), true);
  return need(header.get('enc') === 'A256GCM', 'unsupported') && header;
}
function readEntry(known, node) {
  const { header, encrypted_key: text = '' } = record(node, { header: optional(anything), encrypted_key: optional(string) });
  atMost(LIMITS.header_bytes, header?.raw);
  return toEntry(addHeader(known, header), text);
}
function toEntry(header, text) {
  const encryptedKey = base64url(atMost(encodedLength(LIMITS.encrypted_key_bytes), text));
  const entry = { alg: header.get('alg'), kid: header.get('kid') ?? '', epk: header.get('epk'), header, encryptedKey };
  need(entry.alg) && need(entry.alg !== AGREED || (encryptedKey.length === 40 && entry.epk?.crv !== undefined));
  return need(entry.alg !== KMS || (encryptedKey.length > 0 && entry.kid)) && entry;
}
function readEntries(known, node) {
  const entries = such((all) => all.length > 0, list((each) => readEntry(known, each), LIMITS.recipients, 'too_large'))(node);
  return needKnown(entries);
}
const isKnown = ({ alg, epk }) => alg === KMS || (alg === AGREED && ['P-256', 'X25519'].includes(epk.crv));
const needKnown = (entries) => need(entries.some(isKnown), 'unsupported') && entries;
const sealed = (iv, ciphertext, tag) => ({ iv: sized(iv, 12), ciphertext: base64url(ciphertext), tag: sized(tag, 16) });

function readMessage(node) {
  const texts = ['protected', 'aad', 'iv', 'ciphertext', 'tag', 'encrypted_key'].map((name) => [name, optional(string)]);
  const others = ['unprotected', 'header', 'recipients'].map((name) => [name, optional(anything)]);
  const message = record(node, Object.fromEntries([...texts, ...others]));
  const { protected: head, aad, iv, ciphertext, tag, unprotected, header, recipients } = message;
  need([iv, ciphertext, tag].every((text) => text !== undefined)) && need(head !== undefined, 'unsupported');
  need(head && aad !== '' && !(recipients && header));
  [unprotected, header].forEach((each) => atMost(LIMITS.header_bytes, each?.raw));
  const known = readProtected(head);
  const shared = addHeader(known, unprotected);
  const kc = known.get('kc');
  if (kc !== undefined) sized(kc, 32);
  const entries = recipients ? readEntries(shared, recipients) : needKnown([toEntry(addHeader(shared, header), message.encrypted_key)]);
  const bound = aad === undefined ? head : `${head}.${aad}`;
  const binding = aad === undefined ? undefined : base64url(atMost(encodedLength(LIMITS.bound_bytes), aad)).toString();
  return { ...sealed(iv, ciphertext, tag), bound, binding, kc, cty: known.get('cty') ?? '', entries };
}
function readField(text) {
  const parts = text.split('.');
  need(parts.length === 5) && need(parts[1] === '');
  const header = readProtected(parts[0]);
  need(header.get('alg') === 'dir', 'unsupported');
  sized(header.get('kid') ?? '', 32);
  const field = { ...sealed(parts[2], parts[3], parts[4]), bound: parts[0], kc: header.get('kid') };
  need(field.ciphertext.length > 0 && field.ciphertext.length % 32 === 0);
  return { ...field, binding: base64url(atMost(encodedLength(LIMITS.bound_bytes), header.get('ctx'))).toString() || undefined };
}

// 15.2. What is encrypted must belong to this event.
function readSecret({ event, payload, extensions, options }) {
  const { producer, enc } = payload.sealbus;
  const [id, source, type] = ['id', 'source', 'type'].map((name) => event.attributes.get(name));
  const binding = (pointer) => JSON.stringify({ id, pointer, producer, source, type });
  need(event.data && event.isJSON);
  const document = parseJSON(event.data);
  if (enc.isWhole) {
    const message = readMessage(document);
    const [isCommitted, isBound] = [message.kc !== undefined, message.binding !== undefined];
    need(options.unsafe_allow_uncommitted || (isCommitted && isBound), 'decrypt_failed');
    return need(!isBound || message.binding === binding(), 'decrypt_failed') && { message, entries: message.entries };
  }
  const attribute = need(extensions.find(({ name }) => name === 'jwerecipients'));
  const entries = readEntries(new Map(), parseJSON(Buffer.from(attribute.text)));
  const fields = enc.fields.map(({ text, path }) => {
    const node = find(document, path);
    const field = readField(string(node));
    return need(field.binding === binding(text), 'decrypt_failed') && { ...field, at: node.at, raw: node.raw };
  });
  need(fields.every(({ kc }) => kc === fields[0].kc), 'decrypt_failed');
  return { fields, entries };
}

// 15.3. Why a try failed. The first three say no more than that entry and identity do not fit.
const [UNFIT, LOCKED, UNCOMMITTED, UNOPENED, NO_ANSWER, BROKEN] = ['unfit', 'locked', 'uncommitted', 'unopened', 'no answer', 'broken'];
class Failed extends Error {
  constructor(why) { super(); this.why = why; }
}
const when = (condition, why) => { if (!condition) throw new Failed(why); };
const attempt = (why, work) => {
  try { return work(); } catch (error) { throw error instanceof Failed ? error : new Failed(why); }
};
function unwrap({ epk, header, encryptedKey }, { jwk }) {
  when(epk.crv === jwk.crv, UNFIT);
  const { kty, crv, x, y } = epk;
  const point = attempt(BROKEN, () => {
    need(kty === jwk.kty) && sized(x ?? '', 32) && (kty === 'OKP' || sized(y ?? '', 32));
    return createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' });
  });
  const agreed = attempt(UNFIT, () => diffieHellman({ privateKey: createPrivateKey({ key: jwk, format: 'jwk' }), publicKey: point }));
  const number = (n) => Buffer.from([n >>> 24, n >>> 16, n >>> 8, n]);
  const infos = [Buffer.from(AGREED), header.get('apu') ?? '', header.get('apv') ?? ''].map((info) => Buffer.from(info));
  const kek = H(number(1), agreed, ...infos.flatMap((info) => [number(info.length), info]), number(256));
  const key = attempt(LOCKED, () => {
    const decipher = createDecipheriv('id-aes256-wrap', kek, Buffer.alloc(8, 0xa6));
    return Buffer.concat([decipher.update(encryptedKey), decipher.final()]);
  });
  when(key.some((byte) => byte !== 0), BROKEN);
  return key;
}
function decipher(key, { iv, ciphertext, tag, bound, kc }) {
  const commitment = createHmac('sha256', key).update('sealbus/v1/key-commitment').digest('base64url');
  when(kc === undefined || kc === commitment, UNCOMMITTED);
  return attempt(UNOPENED, () => {
    const gcm = createDecipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(bound)).setAuthTag(tag);
    return Buffer.concat([gcm.update(ciphertext), gcm.final()]);
  });
}
function unpad(bytes) {
  const value = bytes.toString('latin1').replace(/ +$/, '');
  when(value !== '' && !SPACE.test(value) && Math.ceil(value.length / 32) * 32 === bytes.length, BROKEN);
  return bytes.subarray(0, value.length);
}
const decryptAll = ({ message, fields }, key) => (message ? decipher(key, message) : fields.map((field) => unpad(decipher(key, field))));
function findTries({ entries }, { identities = [], remote_identities: remote = [], services = [] }) {
  const named = (list, isRemote) => list.map((jwk) => ({ jwk, id: thumbprint(jwk), isRemote }));
  const pairs = [...named(identities, false), ...named(remote, true)];
  const keys = services.map(({ key_id: id, answers }) => ({ id, isRemote: true, answers: structuredClone(answers) }));
  const fitting = (owners, fits) => owners.flatMap((owner) => entries.filter((entry) => fits(owner, entry)).map((entry) => ({ entry, owner, asked: 0 })));
  const all = [
    ...fitting(pairs, ({ id }, { alg, kid }) => alg === AGREED && kid === id),
    ...fitting(keys, ({ id }, { alg, kid }) => alg === KMS && kid === id),
    ...fitting(pairs, ({ jwk }, { alg, kid, epk }) => alg === AGREED && kid === '' && epk.crv === jwk.crv)];
  const room = { true: LIMITS.service_calls, false: LIMITS.tries };
  const tries = all.filter(({ owner: { isRemote } }) => (room[isRemote] -= 1) >= 0);
  return { tries, isCut: tries.length < all.length };
}
function ask({ answers }, { encryptedKey }) {
  const list = answers[encryptedKey.toString('base64url')] ?? [];
  when(list.length > 0, BROKEN);
  const answer = list.length > 1 ? list.shift() : list[0];
  when(answer !== null, NO_ANSWER);
  const key = base64url(answer);
  when(key.length === 32 && key.some((byte) => byte !== 0), UNCOMMITTED);
  return key;
}
// isWrong: a service has answered, and not with what the event commits to (without a commitment, with what opens it).
function isWrong(why, { entry, owner }, { message }) {
  if (owner.jwk) return owner.isRemote && entry.kid !== '' && why === LOCKED;
  return why === UNCOMMITTED || (why === UNOPENED && message !== undefined && message.kc === undefined);
}
function unlock(secret, options) {
  const { tries, isCut } = findTries(secret, options);
  const reasons = new Set([isCut ? 'too_large' : 'not_a_recipient']);
  if (tries.some(({ entry }) => entry.kid !== '')) reasons.add('decrypt_failed');
  let calls = 0;
  for (let round = 0; round < LIMITS.service_answers; round += 1) {
    for (const each of tries.filter(({ asked }) => asked === round)) {
      const { entry, owner } = each;
      if (owner.isRemote && calls === LIMITS.service_calls) continue;
      calls += owner.isRemote;
      try {
        return { plain: decryptAll(secret, owner.jwk ? unwrap(entry, owner) : ask(owner, entry)), openedWith: owner.id };
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        const wrong = isWrong(error.why, each, secret);
        each.asked = wrong ? round + 1 : Infinity;
        if (wrong || error.why === NO_ANSWER) reasons.add('kms_unavailable');
        if (![UNFIT, LOCKED, UNCOMMITTED].includes(error.why)) reasons.add('decrypt_failed');
      }
    }
  }
  return fail(['kms_unavailable', 'too_large', 'decrypt_failed', 'not_a_recipient'].find((reason) => reasons.has(reason)));
}

// 15.4. The event that was sealed.
function restoreFields(source, fields, values) {
  const pieces = fields.map(({ at, raw }, i) => ({ at, raw, value: parseJSON(values[i]) && values[i].toString() }));
  const put = (text, { at, raw, value }) => text.slice(0, at) + value + text.slice(at + raw.length);
  return Buffer.from(pieces.sort((a, b) => b.at - a.at).reduce(put, source));
}
function restoreType(cty) {
  need(Buffer.byteLength(cty) <= LIMITS.attribute_bytes && !/[\p{Cc}\p{NChar}]/u.test(cty));
  return cty === '' ? 'application/json' : cty.includes('/') ? cty : `application/${cty}`;
}
export function decrypt(context) {
  const { event, extensions, payload, options } = context;
  if (!payload.sealbus?.enc) return { event: { ...event, extensions } };
  const secret = readSecret(context);
  const { plain, openedWith } = unlock(secret, options);
  const attributes = new Map(event.attributes);
  if (secret.message) attributes.set('datacontenttype', restoreType(secret.message.cty));
  else attributes.delete('jwerecipients');
  const isJSON = isJSONType(attributes.get('datacontenttype'));
  const data = secret.message ? plain : restoreFields(event.data.toString(), secret.fields, plain);
  if (isJSON) shallow(parseJSON(data));
  const fields = payload.sealbus.enc.fields.map(({ text }) => text);
  const encryption = { recipients: secret.entries.map(({ kid }) => kid), opened_with: openedWith };
  if (fields.length > 0) encryption.fields = fields;
  const kept = extensions.filter(({ name }) => secret.message || name !== 'jwerecipients');
  return { event: { ...event, attributes, extensions: kept, isJSON, data: data.length > 0 ? data : undefined }, encryption };
}
