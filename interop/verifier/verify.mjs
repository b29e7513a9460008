// A verifier of sealed events, written from SPEC.md alone (section numbers are its). It shares no code with the Go packages.
import { createHash, createPublicKey, verify as verifyRaw } from 'node:crypto';

const EVENT_TYPE = 'https://cloudevents.io/verifiability/dsse/v0.1';
const DELEGATION_TYPE = 'application/vnd.sealbus.delegation+json';
const MiB = 1048576;
const CORE = ['id', 'source', 'specversion', 'type', 'datacontenttype', 'dataschema', 'subject', 'time'];
const FURTHEST_LAST = ['unknown_key', 'bad_signature', 'revoked_key', 'key_not_valid', 'source_not_allowed',
  'type_not_allowed', 'account_mismatch'];
const DOCUMENTED = new Map(Object.entries({
  Timestamp: 'recordedtime expirytime deprecationfrom deprecationsunset',
  Integer: 'sampledrate severitynumber opcuametadatamajorversion opcuametadataminorversion opcuastatus',
  Boolean: 'deprecated bamptxcompleted', 'URI-reference': 'dataref', URI: 'deprecationmigration', Binary: '',
  String: 'audience authtype authid authclaims bamtxid bampid bamptxid bamptxsid bamptxsstatus correlationid causationid '
    + 'dataclassification dataregulation datacategory partitionkey sequence sequencetype severitytext traceparent tracestate',
}).flatMap(([type, names]) => names.split(' ').map((name) => [name, type])));

class Rejected extends Error {}
const fail = (reason = 'malformed') => { throw new Rejected(reason); };
const need = (condition, reason) => condition || fail(reason);
const H = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();

// Section 1. JSON.parse knows the grammar; the walk adds what it lacks: raw text, exact numbers, no duplicates, no lone surrogates.
function parseJSON(bytes) {
  try {
    const source = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    JSON.parse(source);
    const tokens = source.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]]|[^\s,:{}[\]"]+/g);
    const next = () => tokens.next().value;
    const walk = ({ 0: raw, index }) => {
      const kind = { '{': 'object', '[': 'array', '"': 'string', t: 'true', f: 'false', n: 'null' }[raw[0]] ?? 'number';
      if (kind === 'string') return { kind, raw, depth: 0, value: need(JSON.parse(raw).isWellFormed()) && JSON.parse(raw) };
      if (kind !== 'object' && kind !== 'array') return { kind, raw, depth: 0, value: raw };
      const node = { kind, depth: 1, value: new Map() };
      let token = next();
      for (; !/[}\]]/.test(token[0][0]); token = next()) {
        const name = kind === 'object' ? walk(token).value : node.value.size;
        const member = walk(kind === 'object' ? next() : token);
        need(!node.value.has(name)) && node.value.set(name, member);
        node.depth = Math.max(node.depth, member.depth + 1);
      }
      return { ...node, raw: source.slice(index, token.index + 1) };
    };
    return walk(next());
  } catch {
    return fail();
  }
}

// Readers take a node (or undefined where a member is absent) and give its value; they reject what they do not know.
const string = (node) => need(node?.kind === 'string') && node.value;
const object = (node) => need(node?.kind === 'object') && node.value;
const anything = (node) => need(node);
const optional = (reader) => (node) => node && reader(node);
const such = (reader, test) => (node) => need(test(reader(node))) && reader(node);
const list = (reader, max = Infinity, tooMany = 'malformed') => (node) => {
  need(node?.kind === 'array') && need(node.value.size <= max, tooMany);
  return [...node.value.values()].map(reader);
};
function record(node, readers, others = 'ignored') {
  need(others === 'ignored' || [...object(node).keys()].every((name) => Object.hasOwn(readers, name)));
  return Object.fromEntries(Object.entries(readers).map(([name, reader]) => [name, reader(object(node).get(name))]));
}

function base64(text, alphabet = 'standard') {
  const urlSafe = alphabet === 'either' && !/[+/]/.test(text);
  const standard = urlSafe ? text.replaceAll('-', '+').replaceAll('_', '/') : text;
  const bytes = Buffer.from(standard, 'base64');
  return bytes.toString('base64') === standard ? bytes : undefined;
}
const digest = (node) => base64(such(string, (text) => base64(text)?.length === 32)(node));

// Section 9. What has no canonical form ends in `modified` (section 7).
function canonical({ kind, value, raw }) {
  if (kind === 'array') return `[${[...value.values()].map(canonical)}]`;
  if (kind === 'object') return `{${[...value.keys()].sort().map((k) => `${JSON.stringify(k)}:${canonical(value.get(k))}`)}}`;
  if (kind === 'string') return JSON.stringify(value);
  return kind === 'number' ? canonicalNumber(raw) : raw;
}
function canonicalNumber(text) {
  const { sign, digits, exponent } = decimal(text);
  if (digits === '') return '0';
  if (exponent >= 0 && digits.length + exponent <= 21) return sign + digits + '0'.repeat(exponent);
  const shortest = String(need(Number.isFinite(Number(text)), 'modified') && Number(text));
  need(decimal(shortest).digits === digits && decimal(shortest).exponent === exponent, 'modified');
  return shortest;
}
function decimal(text) {
  const [, sign, whole, fraction = '', power = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE](.+))?$/.exec(text);
  const significant = (whole + fraction).replace(/^0+/, '');
  const digits = significant.replace(/(?<!0)0+$/, '');
  return { sign, digits, exponent: Number(power) - fraction.length + significant.length - digits.length };
}

// Section 2.
const isInteger = (text) => /^(?:0|-?[1-9]\d*)$/.test(text) && Number(text) === (Number(text) | 0);
const isName = (text) => /^[a-z0-9]{1,64}$/.test(text);
const isKnown = (name) => CORE.includes(name) || name === 'dssematerial';
const shallow = (tree) => need(tree.depth <= 64) && tree;

function readEvent(node) {
  need(Buffer.byteLength(node.raw) <= MiB, 'too_large');
  const { data, data_base64: encoded, ...members } = Object.fromEntries(object(node));
  const attributes = new Map(Object.entries(members).map(readAttribute).filter(([, text]) => text !== ''));
  need([...attributes.keys()].filter((name) => !isKnown(name)).length <= 128, 'too_large');
  need(attributes.get('specversion') === '1.0' && ['id', 'source', 'type'].every((name) => attributes.has(name)));
  need(!attributes.has('time') || timestamp(attributes.get('time')));
  need(!data || !encoded || encoded.kind === 'null');
  const [mediaType] = (attributes.get('datacontenttype') ?? 'application/json').split(';');
  const isJSON = /^[^/]+\/(?:.*\+)?json$/is.test(mediaType.replace(/^[ \t]+|[ \t]+$/g, ''));
  const bytes = data ? Buffer.from(isJSON ? data.raw : string(data)) : decodeData(encoded);
  if (bytes.length === 0) return { attributes, isJSON };
  return { attributes, isJSON, data: bytes, tree: isJSON ? shallow(data ?? parseJSON(bytes)) : undefined };
}
const decodeData = (node) => (!node || node.kind === 'null' ? '' : base64(string(node)) ?? fail());

function readAttribute([name, { kind, value }]) {
  need(isName(name));
  need(['string', 'null'].includes(kind) || (!isKnown(name) && (['true', 'false'].includes(kind) || isInteger(value))));
  if (kind === 'null') return [name, ''];
  need(Buffer.byteLength(value) <= (name === 'dssematerial' ? 65536 : 8192), 'too_large');
  return need(!/[\p{Cc}\p{NChar}]/u.test(value)) && [name, value];
}

function timestamp(text) {
  const shape = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))?$/;
  const [, local, fraction = '', sign = '+', hours = 0, minutes = 0] = shape.exec(text) ?? [];
  const read = Date.parse(`${local}Z`);
  if (isNaN(read) || new Date(read).toISOString().slice(0, 19) !== local) return undefined; // 30 February, 24:00
  const utc = new Date(read - Number(`${sign}1`) * (60 * hours + Number(minutes)) * 60000);
  if (utc.getUTCFullYear() < 1 || utc.getUTCFullYear() > 9999) return undefined;
  const nanos = BigInt(utc.getTime()) * 1000000n + BigInt(fraction.padEnd(9, '0'));
  return { nanos, seconds: `${utc.toISOString().slice(0, 19)}Z`, isWhole: !/[1-9]/.test(fraction) };
}
const nanosOf = (text) => timestamp(text)?.nanos;
const fromSeconds = (seconds) => BigInt(seconds) * 1000000000n;

// Section 12.
function readDelivery(node) {
  const notEmpty = such(string, (text) => text !== '');
  const delivery = record(node, { source: notEmpty, 'detail-type': notEmpty, detail: anything, account: optional(string) });
  const members = delivery.detail.kind === 'object' ? delivery.detail.value : new Map();
  const isEmbedded = members.get('cloudevent')?.kind === 'object';
  need(!isEmbedded || !members.has('specversion'));
  need(isEmbedded || members.has('specversion'), 'unsigned');
  return { ...(isEmbedded ? readEmbedded : readEvent)(delivery.detail), delivery };
}
function readEmbedded({ value, raw }) {
  const { cloudevent, ...rest } = Object.fromEntries(value);
  const event = readEvent(cloudevent);
  need(event.isJSON && !cloudevent.value.has('data') && !cloudevent.value.has('data_base64'));
  need(Buffer.byteLength(raw) - Buffer.byteLength(cloudevent.raw) <= MiB, 'too_large');
  const depth = Object.values(rest).reduce((deepest, member) => Math.max(deepest, member.depth + 1), 1);
  return { ...event, isEmbedded: true, tree: shallow({ kind: 'object', value: new Map(Object.entries(rest)), depth }) };
}

// Section 3.
function readEnvelope(node) {
  const bytes = such((inner) => base64(string(inner), 'either'), (decoded) => decoded);
  const signature = (inner) => record(inner, { keyid: optional(string), sig: string, delegation: optional(anything) });
  const envelope = record(node, { payloadType: string, payload: bytes, signatures: list(signature, 16, 'too_large') });
  need(envelope.signatures.length > 0);
  need(envelope.signatures.filter(({ delegation }) => delegation).length <= 4, 'too_large');
  const head = `DSSEv1 ${Buffer.byteLength(envelope.payloadType)} ${envelope.payloadType} ${envelope.payload.length} `;
  return { ...envelope, pae: Buffer.concat([Buffer.from(head), envelope.payload]) };
}

// Sections 4 and 5.
function importKey(jwk) {
  const names = jwk.kty === 'EC' ? ['crv', 'kty', 'x', 'y'] : ['crv', 'kty', 'x'];
  const required = Object.fromEntries(names.map((name) => [name, jwk[name]]));
  const algorithm = { 'OKP/Ed25519': 'Ed25519', 'EC/P-256': 'ES256' }[`${jwk.kty}/${jwk.crv}`];
  return { ...jwk, required, algorithm, id: H(JSON.stringify(required)).toString('base64url') };
}
function verifies(key, pae, sig) {
  const raw = base64(sig, 'either');
  if (key.use !== 'sig' || !key.algorithm || !raw?.length) return false;
  const handle = createPublicKey({ key: key.required, format: 'jwk' });
  if (key.algorithm === 'Ed25519') return verifyRaw(null, pae, handle, raw);
  return raw.length === 64 && verifyRaw('sha256', pae, { key: handle, dsaEncoding: 'ieee-p1363' }, raw);
}

// trySignature gives what the signature verifies as, [{ key, statement? }], or the Reason why it does not.
function trySignature(signature, pae, keys) {
  if (signature.delegation) return tryDelegated(signature, pae, keys);
  const named = keys.filter((key) => key.id === signature.keyid || key.aliases?.includes(signature.keyid));
  const found = named.filter((key) => verifies(key, pae, signature.sig));
  if (found.length > 0) return found.map((key) => ({ key }));
  return named.length > 0 || !signature.keyid ? 'bad_signature' : 'unknown_key';
}
function tryDelegated({ keyid, sig, delegation }, pae, keys) {
  try {
    const envelope = readEnvelope(delegation);
    need(envelope.payloadType === DELEGATION_TYPE && envelope.signatures.length === 1 && !envelope.signatures[0].delegation);
    const found = trySignature(envelope.signatures[0], envelope.pae, keys);
    if (!Array.isArray(found)) return found;
    const statement = { ...readStatement(parseJSON(envelope.payload)), digest: H(envelope.pae) };
    need(statement.session.id === keyid && verifies(statement.session, pae, sig));
    return found.map(({ key }) => ({ key, statement }));
  } catch (error) {
    if (error instanceof Rejected) return 'bad_signature';
    throw error;
  }
}
function readStatement(node) {
  const second = such(string, (text) => timestamp(text)?.seconds === text);
  const names = optional(list(string, 64));
  const jwk = (inner) => record(inner, { crv: string, kty: string, x: string }, 'refused');
  const statement = record(node, { session: jwk, not_before: second, not_after: second, sources: names, types: names }, 'refused');
  const lifetime = nanosOf(statement.not_after) - nanosOf(statement.not_before);
  need(lifetime > 0n && lifetime <= fromSeconds(3600) && `${statement.session.kty}/${statement.session.crv}` === 'OKP/Ed25519');
  return { ...statement, session: importKey({ ...statement.session, use: 'sig' }) };
}

// Section 6.
function readPayload(node) {
  const name = such(string, (text) => isName(text) && !isKnown(text) && text !== 'data');
  const payload = record(node, { core: digest, ext: optional(digest),
    signedextattrs: optional(list(name, 128, 'too_large')), sealbus: optional(readSealbus) });
  const { ext, signedextattrs: names = [], sealbus } = payload;
  need(!ext === !payload.signedextattrs && new Set(names).size === names.length);
  const fits = (type, i) => type === (DOCUMENTED.get(names[i]) ?? type);
  need(!sealbus || (names.includes('recordedtime') && sealbus.types.length === names.length && sealbus.types.every(fits)));
  return { ...payload, names };
}
function readSealbus(node) {
  const { v } = record(node, { v: such(anything, ({ kind, value }) => kind === 'number' && /^\d+$/.test(value)) });
  need(v.value === '1', 'unsupported');
  const pointers = such(list(such(string, (text) => /^(?:\/|$)/.test(text))), (texts) => texts.length > 0);
  return record(node, {
    v: anything,
    producer: such(string, (text) => text !== '' && Buffer.byteLength(text) <= 256),
    time: optional(such(string, (text) => timestamp(text) && /^[^.]+(?:\.\d*[1-9])?Z$/.test(text))),
    types: list(such(string, (type) => [...DOCUMENTED.values()].includes(type))),
    enc: optional((enc) => enc.value === 'jwe' || pointers(enc)),
    delegations: optional(such(list(digest), (all) => all.every((d, i) => (i ? Buffer.compare(all[i - 1], d) < 0 : true)))),
  }, 'refused');
}

// Section 7 leaves in event.data and in the attributes what was verified.
function openCore(event, { core, sealbus }) {
  const time = timestamp(event.attributes.get('time'));
  const hashed = CORE.map((name) => H((name === 'time' ? time?.seconds : event.attributes.get(name)) ?? ''));
  if (event.isEmbedded || !H(...hashed, H(event.data ?? '')).equals(core)) {
    event.data = Buffer.from(canonical(event.tree ?? fail('modified')));
    need(H(...hashed, H(event.data)).equals(core), 'modified');
  }
  need(!sealbus || time?.nanos === nanosOf(sealbus.time), 'modified');
  if (time) event.attributes.set('time', sealbus?.time ?? time.seconds);
}

// Section 8. typed gives what a text is hashed as and opens as, or undefined if it is none of that type.
function typed(type, text) {
  const time = type === 'Timestamp' && timestamp(text);
  if (type === 'Timestamp') return time && { bytes: time.seconds, opened: time.seconds, isExact: time.isWhole };
  if (type === 'Binary') return base64(text) && { bytes: base64(text), opened: text, isExact: true };
  if (type === 'Boolean' || type === 'Integer') {
    const fits = type === 'Boolean' ? /^(?:true|false)$/.test(text) : isInteger(text);
    return fits ? { bytes: text, opened: JSON.parse(text), isExact: true } : undefined;
  }
  return { bytes: text, opened: text, isExact: true };
}
function openExtensions({ attributes }, { ext, names, sealbus }, options) {
  const configured = new Map(Object.entries(options.extension_types ?? {}));
  const typeOf = (name) => DOCUMENTED.get(name) ?? configured.get(name);
  const opened = new Map();
  let isReadable = true;
  const attempt = names.map((name, i) => {
    const type = sealbus?.types[i] ?? typeOf(name) ?? 'String';
    need(!sealbus || type !== 'Binary' || configured.get(name) === 'Binary', 'unsupported');
    if (!attributes.has(name)) return H('');
    const value = typed(type, attributes.get(name));
    need(!sealbus || value?.isExact, 'modified');
    isReadable &&= value !== undefined;
    opened.set(name, value?.opened);
    return H(value?.bytes ?? attributes.get(name));
  });
  if (!ext) return opened;
  if (H(...attempt).equals(ext)) return need(isReadable, 'unsupported') && opened;
  const guesses = [['Timestamp'], ['Timestamp', 'Binary']].map((guessed) => names.map((name) => {
    const text = attributes.get(name) ?? '';
    const found = (typeOf(name) ? [typeOf(name)] : guessed).map((type) => typed(type, text)).find((value) => value);
    return H(found?.bytes ?? text);
  }));
  return fail(!sealbus && guesses.some((guess) => H(...guess).equals(ext)) ? 'unsupported' : 'modified');
}

// Section 10.
function refusal({ key, statement }, { event, payload, opened, sealedAt, bundle, options, now, skew }) {
  const within = (from, to, at) => (!from || nanosOf(from) - skew <= at) && (!to || at < nanosOf(to));
  const all = (matches, lists, text) => lists.every((patterns) => matches(patterns, text));
  const { attributes, delivery } = event;
  const beforeRevocation = options.unsafe_accept_before_revocation && sealedAt < nanosOf(key.revoked?.at);
  const checks = [
    ['bad_signature', !statement || payload.sealbus?.delegations?.some((bound) => bound.equals(statement.digest))],
    ['revoked_key', !key.revoked || beforeRevocation],
    ['revoked_key', !statement || !bundle.revoked_sessions?.includes(statement.session.id)],
    ['key_not_valid', within(key.published, key.expired, now) && within(key.active, key.retired, sealedAt ?? now)],
    ['key_not_valid', !statement || (sealedAt && within(statement.not_before, statement.not_after, sealedAt))],
    ['key_not_valid', !payload.sealbus || payload.sealbus.producer === key.producer],
    ['source_not_allowed', [key, statement ?? key].every(({ sources }) => matchesSource(sources, attributes.get('source')))],
    ['type_not_allowed', [key, statement ?? key].every(({ types }) => matchesType(types, attributes.get('type')))],
    ['account_mismatch', !key.accounts || options.unsafe_ignore_account
      || key.accounts.includes(delivery?.account ?? options.account)],
  ];
  return checks.find(([, passes]) => !passes)?.[0];
}
const matchesPrefix = (pattern, text) => text.startsWith(pattern.slice(0, -1)) && text.length >= pattern.length;
const matchesType = (patterns = [], type) => patterns.some((pattern) => pattern === '*' || pattern === type
  || (pattern.endsWith('.*') && matchesPrefix(pattern, type)));
function matchesSource(patterns = [], source) {
  const [, scheme, authority, rest = source] = /^([a-z][a-z\d+.-]*:)?\/\/([^/?#]*)(.*)$/is.exec(source) ?? [];
  const noHost = authority === '' && (!scheme || rest === '' || rest.startsWith('//'));
  const dots = rest.split(/[/?#]/).some((segment) => /^(?:\.|%2e){1,2}$/i.test(segment));
  if (/^$|[\0-\x20\x7f\\]/.test(source) || noHost || /@|%40/.test(authority) || dots || /%2f|%5c/i.test(rest)) return false;
  return patterns.some((pattern) => pattern === source || (matchesPrefix(pattern, source)
    && (pattern.endsWith('/*') || (/^urn:/i.test(pattern) && pattern.endsWith(':*')))));
}

// Section 11.
function checkConsumer({ event, payload, opened, sealedAt, options, now, skew }, algorithms) {
  const [source, type] = ['source', 'type'].map((name) => event.attributes.get(name));
  const { delivery = { source: options.outer?.source, 'detail-type': options.outer?.detail_type } } = event;
  need((options.required_algorithms ?? []).every((algorithm) => algorithms.includes(algorithm)), 'bad_signature');
  need((delivery.source ?? source) === source && (delivery['detail-type'] ?? type) === type, 'envelope_mismatch');
  need(!options.sources || matchesSource(options.sources, source), 'source_not_allowed');
  need(!options.types || matchesType(options.types, type), 'type_not_allowed');
  need(!options.audience || opened.get('audience')?.split(' ').includes(options.audience), 'audience_mismatch');
  need(!opened.has('expirytime') || now < nanosOf(opened.get('expirytime')), 'expired');
  if (options.max_age_seconds) {
    need(sealedAt || options.unsafe_allow_undated, 'undated');
    need(!sealedAt || sealedAt <= now + skew, 'from_future');
    need(!sealedAt || now - sealedAt <= fromSeconds(options.max_age_seconds), 'expired');
  }
  need(!payload.sealbus?.enc, 'not_a_recipient');
  const isPortable = (text) => /^(?:[\w.~:/?#[\]@!$&'()*+,;=-]|%[\da-f]{2})*$/i.test(text) && !/^[a-z\d+.-]*[A-Z][\w+.-]*:/.test(text);
  need(isPortable(source) && isPortable(event.attributes.get('dataschema') ?? ''), 'unsupported');
}

export function open(input, form, bundle, options) {
  try {
    return verify(input, form, bundle, options);
  } catch (error) {
    if (error instanceof Rejected) return { verdict: 'rejected', reason: error.message };
    throw error;
  }
}

function verify(input, form, bundle, options) {
  need(input.length <= (form === 'eventbridge' ? MiB + 65536 : MiB), 'too_large');
  const event = (form === 'eventbridge' ? readDelivery : readEvent)(parseJSON(input));
  const material = event.attributes.get('dssematerial') ?? fail('unsigned');
  const envelope = readEnvelope(parseJSON(base64(material) ?? fail()));
  need(envelope.payloadType === EVENT_TYPE, 'unsupported');
  const [now, skew] = [nanosOf(options.now), fromSeconds(options.skew_seconds ?? 300)];
  need(!bundle.expires || now < nanosOf(bundle.expires), 'trust_unavailable');
  const keys = bundle.keys.map(importKey);
  const tried = envelope.signatures.map((signature) => trySignature(signature, envelope.pae, keys));
  const [verified, reasons] = [tried.filter(Array.isArray).flat(), tried.filter((result) => !Array.isArray(result))];
  if (verified.length === 0) fail(reasons.includes('bad_signature') ? 'bad_signature' : 'unknown_key');
  const payload = readPayload(parseJSON(envelope.payload));
  openCore(event, payload);
  const opened = openExtensions(event, payload, options);
  const sealedAt = nanosOf(opened.get('recordedtime') ?? event.attributes.get('time'));
  const context = { event, payload, opened, sealedAt, bundle, options, now, skew };
  const refusals = verified.map((signature) => refusal(signature, context));
  const counted = verified.filter((_, i) => !refusals[i]);
  if (counted.length === 0) fail(FURTHEST_LAST.findLast((reason) => [...reasons, ...refusals].includes(reason)));
  const signers = counted.flatMap(({ key, statement }) => (statement ? [{ ...key, algorithm: undefined },
    { ...statement.session, producer: key.producer }] : [key])).sort((a, b) => (a.id < b.id ? -1 : 1));
  const [{ producer }] = signers;
  const mine = signers.filter((key) => key.producer === producer);
  checkConsumer(context, mine.map((key) => key.algorithm));
  const keyIds = [...new Set(mine.map((key) => key.id))];
  return { verdict: 'verified', event: openedEvent(event, opened, options.mode), producer, keyIds };
}

// openedEvent lays the event out as the vectors do: attributes, then the verified extensions by name, then the data.
function openedEvent({ attributes, isJSON, data }, opened, mode) {
  const order = ['specversion', 'id', 'source', 'type', 'datacontenttype', 'dataschema', 'subject', 'time'];
  const extensions = mode === 'core-only' ? [] : [...opened].sort(([a], [b]) => (a < b ? -1 : 1));
  const members = [...order.filter((name) => attributes.has(name)).map((name) => [name, attributes.get(name)]), ...extensions];
  const texts = members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  if (data) texts.push(isJSON ? `"data":${data}` : `"data_base64":"${data.toString('base64')}"`);
  return `{${texts}}`;
}
