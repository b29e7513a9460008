// A verifier of sealed events, written from SPEC.md alone: the numbers are its sections. It shares no code with Go.
import { createPublicKey, verify } from 'node:crypto';
import { checkEncrypted, decrypt, readEnc } from './decrypt.mjs';
import {
  anything, base64, canonicalOrNone, digest, DOCUMENTED, fail, foldCase, H, headerText, isInteger, isJSONType, isName, isPortable, isSource,
  isSubset, isType, LIMITS, list, mldsa65, nanosOf, need, optional, parseJSON, record, Rejected, requiredOf, SECOND, shallow, shallowObject, string,
  such, thumbprint, timestamp, TYPES, utf8,
} from './formats.mjs';

const EVENT_TYPE = 'https://cloudevents.io/verifiability/dsse/v0.1';
const DELEGATION_TYPE = 'application/vnd.sealbus.delegation+json';
const CORE = ['id', 'source', 'specversion', 'type', 'datacontenttype', 'dataschema', 'subject', 'time'];
const REASONS = ['unknown_key', 'bad_signature', 'revoked_key', 'key_not_valid', 'source_not_allowed',
  'type_not_allowed', 'account_mismatch']; // of section 10, the one that got furthest last

// 2
const isKnown = (name) => CORE.includes(name) || name === 'dssematerial';
const isReserved = (name) => isKnown(name) || ['data', 'data_base64', 'cloudevent'].includes(name);
const isOfAnotherFormat = (name) => name === 'detail-type' || name === 'unverified_id';
function readEvent(node) {
  need(node.kind === 'object') && need(Buffer.byteLength(node.raw) <= LIMITS.event_bytes, 'too_large');
  const { data, data_base64: encoded, ...members } = Object.fromEntries(node.value);
  const named = Object.entries(members).filter(([name]) => isName(name));
  const attributes = new Map(named.map(readAttribute).filter(([, text]) => text !== ''));
  const others = Object.entries(members).filter(([name]) => !isName(name));
  const ignored = others.map(([name]) => foldCase(name));
  need(others.every(([name, { depth }]) => depth < LIMITS.depth && !isOfAnotherFormat(name)));
  need(!ignored.some((name) => isReserved(name) || attributes.has(name)));
  need([...attributes.keys()].filter((name) => !isKnown(name)).length + ignored.length <= LIMITS.extensions, 'too_large');
  checkCore(attributes);
  need(!data || !encoded || encoded.kind === 'null');
  const isJSON = isJSONType(attributes.get('datacontenttype'));
  const decoded = !encoded || encoded.kind === 'null' ? '' : base64(string(encoded)) ?? fail();
  const bytes = data ? Buffer.from(isJSON ? data.raw : string(data)) : decoded;
  if (bytes.length === 0) return { attributes, ignored, isJSON };
  return { attributes, ignored, isJSON, data: bytes, tree: isJSON ? shallow(data ?? parseJSON(bytes)) : undefined };
}
function checkCore(attributes) {
  need(attributes.get('specversion') === '1.0' && ['id', 'source', 'type'].every((name) => attributes.has(name)));
  need(!attributes.has('time') || timestamp(attributes.get('time')));
}
function readAttribute([name, { kind, value }]) {
  need(['string', 'null'].includes(kind) || (!isKnown(name) && (['true', 'false'].includes(kind) || isInteger(value))));
  if (kind === 'null') return [name, ''];
  need(Buffer.byteLength(value) <= LIMITS[name === 'dssematerial' ? 'material_bytes' : 'attribute_bytes'], 'too_large');
  return need(!/[\p{Cc}\p{NChar}]/u.test(value)) && [name, value];
}

// 12
function readDelivery(node, { ignore_members: ignore = ['_datadog'] }) {
  const there = such((text) => text !== '');
  const delivery = record(node, { source: there, 'detail-type': there, detail: anything, account: optional(string) });
  shallowObject([...node.value].filter(([name]) => name !== 'detail'));
  const { cloudevent, ...rest } = Object.fromEntries(need(delivery.detail.kind === 'object') && delivery.detail.value);
  const isEmbedded = cloudevent?.kind === 'object';
  need(isEmbedded || rest.specversion, 'unsigned') && need(!isEmbedded || !rest.specversion);
  if (!isEmbedded) return { ...readEvent(delivery.detail), delivery };
  const event = readEvent(cloudevent);
  need(event.isJSON && !cloudevent.value.has('data') && !cloudevent.value.has('data_base64'));
  need(Buffer.byteLength(delivery.detail.raw) <= LIMITS.detail_bytes, 'too_large');
  const kept = Object.entries(rest).filter(([name]) => !ignore.includes(name));
  return { ...event, tree: shallowObject(Object.entries(rest)), kept: shallowObject(kept), delivery, isEmbedded };
}

// 12.1
function readHTTP(input) {
  const end = `\r\n${input.subarray(0, LIMITS.http_header_bytes).toString('latin1')}`.indexOf('\r\n\r\n') + 2;
  need(end >= 2, input.length > LIMITS.http_header_bytes ? 'too_large' : 'malformed');
  const content = input.subarray(end);
  need(content.length <= LIMITS.http_content_bytes, 'too_large');
  const lines = input.subarray(0, end).toString('latin1').split('\r\n').slice(0, -2).map(readLine);
  const named = lines.filter(([name]) => name).map(([name, value]) => readAttribute([name, { kind: 'string', value }]));
  const [names, attributes] = [named.map(([name]) => name), new Map(named.filter(([, text]) => text !== ''))];
  need(new Set(names).size === names.length);
  need(names.filter((name) => !isKnown(name)).length <= LIMITS.extensions, 'too_large');
  checkCore(attributes);
  const isJSON = isJSONType(attributes.get('datacontenttype'));
  if (content.length === 0) return { attributes, ignored: [], isJSON };
  return { attributes, ignored: [], isJSON, data: content, tree: isJSON ? shallow(parseJSON(content)) : undefined };
}
function readLine(line) {
  const [, header, value] = /^([\w!#$%&'*+.^`|~-]+):[ \t]*(.*?)[ \t]*$/s.exec(line) ?? fail();
  const [isType, [, name]] = [/^content-type$/i.test(header), /^ce-(.*)/.exec(header.toLowerCase()) ?? []];
  if (isType) return need(!/^application\/cloudevents/i.test(value)) && ['datacontenttype', utf8(value)];
  need(name === undefined || (isName(name) && name !== 'data' && name !== 'datacontenttype'));
  return name === undefined ? [] : [name, headerText(value)];
}

// 3
export function readEnvelope(node) {
  const signature = (inner) => record(inner, { keyid: optional(string), sig: string, delegation: optional(anything) });
  const signatures = such((all) => all.length > 0, list(signature, LIMITS.signatures, 'too_large'));
  const envelope = record(node, { payloadType: string, payload: such((text) => base64(text, 'either')), signatures });
  need(envelope.signatures.filter(({ delegation }) => delegation).length <= LIMITS.delegated_signatures, 'too_large');
  const [type, payload] = [envelope.payloadType, base64(envelope.payload, 'either')];
  const pae = Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `), payload]);
  return { type, payload, pae, signatures: envelope.signatures };
}

// 4, 5
export function importKey(jwk) {
  const algorithm = { 'OKP/Ed25519': 'Ed25519', 'EC/P-256': 'ES256', 'AKP/ML-DSA-65': 'ML-DSA-65' }[`${jwk.kty}/${jwk.crv ?? jwk.alg}`];
  return { ...jwk, required: requiredOf(jwk), algorithm, id: thumbprint(jwk) };
}
export function verifies({ algorithm, required }, pae, sig) {
  const raw = base64(sig, 'either');
  if (!algorithm || !raw?.length || algorithm === 'ML-DSA-65') return Boolean(algorithm && raw) && mldsa65(required.pub, pae, raw);
  const key = createPublicKey({ key: required, format: 'jwk' });
  if (algorithm === 'Ed25519') return verify(null, pae, key, raw);
  return raw.length === 64 && verify('sha256', pae, { key, dsaEncoding: 'ieee-p1363' }, raw);
}

// trySignature gives what the signature verifies as, [{ key, statement? }], or the Reason why it does not.
function trySignature({ keyid, sig, delegation }, pae, keys) {
  if (delegation) return tryDelegated(keyid, sig, delegation, pae, keys);
  const named = keys.filter((key) => key.id === keyid || key.aliases?.includes(keyid));
  const found = named.filter((key) => verifies(key, pae, sig)).map((key) => ({ key }));
  return found.length > 0 ? found : named.length > 0 ? 'bad_signature' : 'unknown_key';
}
// tryNameless takes a signature without a keyid: of what an event may cost, every key that is tried is one.
const SIZES = { Ed25519: 64, ES256: 64, 'ML-DSA-65': 3309 };
function tryNameless({ sig }, pae, keys, attributes, tries) {
  const size = base64(sig, 'either')?.length;
  const may = keys.filter(({ algorithm, sources, types }) => algorithm && SIZES[algorithm] === size
    && isSource(sources, attributes.get('source')) && isType(types, attributes.get('type')));
  if (may.length > tries.left) return 'unknown_key';
  const found = may.sort((a, b) => (a.id < b.id ? -1 : 1)).find((key) => tries.left-- > 0 && verifies(key, pae, sig));
  return found ? [{ key: found }] : 'unknown_key';
}
function tryDelegated(keyid, sig, delegation, pae, keys) {
  try {
    const envelope = readEnvelope(delegation);
    need(envelope.type === DELEGATION_TYPE && envelope.signatures.length === 1 && !envelope.signatures[0].delegation);
    const found = trySignature(envelope.signatures[0], envelope.pae, keys);
    if (typeof found === 'string') return found;
    const statement = { ...readStatement(shallow(parseJSON(envelope.payload))), digest: H(envelope.pae) };
    need(statement.session.id === keyid && verifies(statement.session, pae, sig));
    return found.map(({ key }) => ({ key, statement }));
  } catch {
    return 'bad_signature';
  }
}
function readStatement(node) {
  const second = such((text) => timestamp(text)?.opened === text);
  const names = optional(list(string, LIMITS.session_patterns));
  const jwk = (inner) => record(inner, { crv: string, kty: string, x: string }, 'refused');
  const readers = { session: jwk, not_before: second, not_after: second, sources: names, types: names };
  const statement = record(node, readers, 'refused');
  const session = importKey(statement.session);
  const lifetime = nanosOf(statement.not_after) - nanosOf(statement.not_before);
  need(lifetime > 0n && lifetime <= BigInt(LIMITS.session_seconds) * SECOND && session.algorithm === 'Ed25519');
  return { ...statement, session };
}

// 6
function readPayload(node) {
  const names = list(such((text) => isName(text) && !isKnown(text) && text !== 'data'), LIMITS.signed_names, 'too_large');
  const optionals = { ext: optional(digest), signedextattrs: optional(names), sealbus: optional(readSealbus) };
  const { core, ext, signedextattrs: signed, sealbus } = record(node, { core: digest, ...optionals });
  need(!ext === !signed && new Set(signed).size === (signed ?? []).length) && need(!sealbus?.isUnknown, 'unsupported');
  const fits = (type, i) => type === (DOCUMENTED.get(signed[i]) ?? type);
  need(!sealbus || (signed?.includes('recordedtime') && sealbus.types.length === signed.length));
  need(!sealbus || sealbus.types.every(fits));
  return { core, ext, names: signed ?? [], sealbus };
}
function readSealbus(node) {
  const { v } = record(node, { v: such(({ kind, value }) => kind === 'number' && /^\d+$/.test(value), anything) });
  if (v.value !== '1') return { isUnknown: true };
  const some = (reader) => such((all) => all.length > 0, reader);
  const isAscending = (all) => all.every((item, i) => i === 0 || Buffer.compare(all[i - 1], item) < 0);
  return record(node, {
    v: anything,
    producer: such((text) => text !== '' && Buffer.byteLength(text) <= LIMITS.producer_bytes),
    time: optional(such((text) => timestamp(text) && /^[^.]+(?:\.\d*[1-9])?Z$/.test(text))),
    types: list(such((type) => Object.hasOwn(TYPES, type))),
    enc: optional(readEnc),
    delegations: optional(such(isAscending, some(list(digest, LIMITS.bound_delegations, 'too_large')))),
  }, 'refused');
}

// 7. Leaves in event.data and in the attributes what was verified.
function openCore(event, { core, sealbus }) {
  const time = timestamp(event.attributes.get('time'));
  const hashed = CORE.map((name) => H((name === 'time' ? time?.hashed : event.attributes.get(name)) ?? ''));
  const matches = (data) => data !== undefined && H(...hashed, H(data)).equals(core);
  if (event.isEmbedded || !matches(event.data ?? '')) {
    event.data = [event.tree, event.kept].map((tree) => tree && canonicalOrNone(tree)).find(matches) ?? fail('modified');
  }
  need(!sealbus || time?.nanos === nanosOf(sealbus.time), 'modified');
  if (time) event.attributes.set('time', sealbus?.time ?? time.opened);
}

// 8
function openExtensions({ attributes }, { ext, names, sealbus }, options) {
  const configured = new Map(Object.entries(options.extension_types ?? {}));
  const read = (guesses) => names.map((name, i) => {
    const text = attributes.get(name) ?? '';
    const type = sealbus?.types[i] ?? DOCUMENTED.get(name) ?? configured.get(name);
    const value = text !== '' && (type ? [type] : guesses).map((each) => TYPES[each](text)).find((found) => found);
    return { name, text, type, ...(value || { hashed: text, isUnreadable: text !== '' }) };
  });
  const matches = (values) => H(...values.map(({ hashed }) => H(hashed))).equals(ext);
  const values = read(['String']);
  for (const { name, type, isUnreadable, isCut } of sealbus ? values : []) {
    need(type !== 'Binary' || configured.get(name) === 'Binary', 'unsupported');
    need(!isUnreadable && !isCut, 'modified');
  }
  if (ext && (!matches(values) || values.some(({ isUnreadable }) => isUnreadable))) {
    const attempts = sealbus ? [] : [['String'], ['Timestamp'], ['Timestamp', 'Binary']];
    fail(attempts.some((types) => matches(read(types))) ? 'unsupported' : 'modified');
  }
  return values.filter(({ text }) => text !== '');
}

// 10
function refusal({ key, statement }, { event, payload, sealedAt, bundle, options, now, skew }) {
  const within = (from, to, at) => (!from || nanosOf(from) - skew <= at) && (!to || at < nanosOf(to));
  const [isDated, allowed] = [sealedAt !== undefined, statement ? [key, statement] : [key]];
  const account = options.account ?? event.delivery?.account;
  const revokedIds = bundle.keys.filter(({ revoked }) => revoked).map(({ kid }) => kid).concat(bundle.revoked_sessions);
  const checks = [
    ['bad_signature', !statement || payload.sealbus?.delegations?.some((bound) => bound.equals(statement.digest))],
    ['revoked_key', !key.revoked || (options.unsafe_accept_before_revocation && sealedAt < nanosOf(key.revoked.at))],
    ['revoked_key', !statement || !revokedIds.includes(statement.session.id)],
    ['key_not_valid', within(key.published, key.expired, now) && within(key.active, key.retired, sealedAt ?? now)],
    ['key_not_valid', !statement || (isDated && within(statement.not_before, statement.not_after, sealedAt))],
    ['key_not_valid', !payload.sealbus || payload.sealbus.producer === key.producer],
    ['source_not_allowed', allowed.every(({ sources }) => isSource(sources, event.attributes.get('source')))],
    ['type_not_allowed', allowed.every(({ types }) => isType(types, event.attributes.get('type')))],
    ['account_mismatch', !key.accounts || options.unsafe_ignore_account || key.accounts.includes(account)],
  ];
  return checks.find(([, passes]) => !passes)?.[0];
}

// 11
function checkConsumer({ event, payload, extensions, signed, sealedAt, options, now, skew }, algorithms) {
  const [source, type, schema = ''] = ['source', 'type', 'dataschema'].map((name) => event.attributes.get(name));
  const outer = event.delivery ?? { source: options.outer?.source, 'detail-type': options.outer?.detail_type };
  need(isSubset(options.required_algorithms, algorithms), 'bad_signature');
  need((outer.source ?? source) === source && (outer['detail-type'] ?? type) === type, 'envelope_mismatch');
  need(!options.sources || isSource(options.sources, source), 'source_not_allowed');
  need(!options.types || isType(options.types, type), 'type_not_allowed');
  need(!options.audience || signed('audience')?.split(' ').includes(options.audience), 'audience_mismatch');
  need(!signed('expirytime') || now < nanosOf(signed('expirytime')), 'expired');
  if (options.max_age_seconds && need(sealedAt !== undefined || options.unsafe_allow_undated, 'undated')) {
    need(sealedAt === undefined || sealedAt <= now + skew, 'from_future');
    need(sealedAt === undefined || now - sealedAt <= BigInt(options.max_age_seconds) * SECOND, 'expired');
  }
  checkEncrypted({ event, payload, options });
  const uris = extensions.filter((extension) => /^URI/.test(extension.type)).map(({ text }) => text);
  need([source, schema, ...uris].every(isPortable) && !source.endsWith('#'), 'unsupported');
}

function openEvent(input, form, bundle, options) {
  need(form === 'http' || input.length <= LIMITS[form === 'eventbridge' ? 'delivery_bytes' : 'event_bytes'], 'too_large');
  const event = form === 'http' ? readHTTP(input) : (form === 'eventbridge' ? readDelivery : readEvent)(parseJSON(input), options);
  const material = base64(event.attributes.get('dssematerial') ?? fail('unsigned')) ?? fail();
  const envelope = readEnvelope(shallow(parseJSON(material)));
  need(envelope.type === EVENT_TYPE, 'unsupported');
  const [now, skew] = [nanosOf(options.now), BigInt(options.skew_seconds ?? 300) * SECOND];
  need(!bundle.expires || now < nanosOf(bundle.expires), 'trust_unavailable');
  const keys = bundle.keys.filter(({ use }) => use === 'sig').map(importKey);
  const tries = { left: LIMITS.nameless_tries };
  const tried = envelope.signatures.map((signature) => (signature.keyid || signature.delegation
    ? trySignature(signature, envelope.pae, keys) : tryNameless(signature, envelope.pae, keys, event.attributes, tries)));
  const verified = tried.filter(Array.isArray).flat();
  if (verified.length === 0) fail(REASONS.findLast((reason) => tried.includes(reason)));
  const payload = readPayload(shallow(parseJSON(envelope.payload)));
  need(!payload.names.some((name) => event.ignored.includes(name)));
  openCore(event, payload);
  const extensions = openExtensions(event, payload, options);
  const signed = (name) => extensions.find((extension) => extension.name === name)?.opened;
  const sealedAt = nanosOf(signed('recordedtime') ?? event.attributes.get('time'));
  const context = { event, payload, extensions, signed, sealedAt, bundle, options, now, skew };
  const refusals = verified.map((signature) => refusal(signature, context));
  const counted = verified.filter((_, i) => !refusals[i]).sort((a, b) => (a.key.id < b.key.id ? -1 : 1));
  if (counted.length === 0) fail(REASONS.findLast((reason) => [...tried, ...refusals].includes(reason)));
  const ownOf = ({ key: { producer } }) => counted.filter(({ key }) => key.producer === producer);
  const algorithms = (own) => own.map(({ key, statement }) => (statement?.session ?? key).algorithm);
  const own = ownOf(counted.find((one) => isSubset(options.required_algorithms, algorithms(ownOf(one)))) ?? counted[0]);
  checkConsumer(context, algorithms(own));
  const keyIds = [...new Set(own.map(({ key }) => key.id))];
  return { verdict: 'verified', producer: own[0].key.producer, keyIds, ...decrypt(context) };
}

// open judges one event; a refusal is a result, not an error.
export function open(input, form, bundle, options) {
  try {
    return openEvent(input, form, bundle, options);
  } catch (error) {
    if (error instanceof Rejected) return { verdict: 'rejected', reason: error.message };
    throw error;
  }
}
