// The formats of texts in SPEC.md by section: strict JSON, base64, canonical JSON, timestamps, typed values, patterns.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';

export class Rejected extends Error {}
export const fail = (reason = 'malformed') => { throw new Rejected(reason); };
export const need = (condition, reason) => condition || fail(reason);

// 1. The table of limits, as data.
const table = JSON.parse(readFileSync(new URL('../../vectors/limits/limits.json', import.meta.url), 'utf8'));
export const LIMITS = Object.fromEntries(table.map(({ name, value }) => [name, value]));

export const H = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();

// 2
export function isJSONType(contentType = 'application/json') {
  const [mediaType] = contentType.split(';');
  return /^[^/]+\/(?:.*\+)?json$/is.test(mediaType.replace(/^[ \t]+|[ \t]+$/g, ''));
}

// 4. A key ID; and Node has ML-DSA only from OpenSSL 3.5 on.
const THUMBPRINT = { EC: ['crv', 'kty', 'x', 'y'], AKP: ['alg', 'kty', 'pub'], OKP: ['crv', 'kty', 'x'] };
export const requiredOf = (jwk) => Object.fromEntries((THUMBPRINT[jwk.kty] ?? THUMBPRINT.OKP).map((name) => [name, jwk[name]]));
export const thumbprint = (jwk) => H(JSON.stringify(requiredOf(jwk))).toString('base64url');
export const mldsa65 = (pub, message, sig) => sig.length === 3309 && ml_dsa65.verify(sig, message, Buffer.from(pub, 'base64url'));

// 1. JSON.parse knows the grammar; the walk keeps raw texts and numbers, and refuses duplicates and lone surrogates.
export function parseJSON(bytes) {
  try {
    const source = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    JSON.parse(source);
    const tokens = source.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]]|[^\s,:{}[\]"]+/g);
    const next = () => tokens.next().value;
    const walk = ({ 0: raw, index }) => {
      const kind = { '{': 'object', '[': 'array', '"': 'string', t: 'true', f: 'false', n: 'null' }[raw[0]] ?? 'number';
      const scalar = { kind, raw, depth: 0, at: index, value: kind === 'string' ? JSON.parse(raw) : raw };
      if (kind !== 'object' && kind !== 'array') return need(scalar.value.isWellFormed()) && scalar;
      const node = { kind, depth: 1, at: index, value: new Map() }; // an array's members are named 0, 1, 2 ...
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
export const shallow = (node) => need(node.depth <= LIMITS.depth) && node;
export const shallowObject = (members) => members.reduce((object, [name, member]) => shallow({
  ...object, value: object.value.set(name, member), depth: Math.max(object.depth, member.depth + 1),
}), { kind: 'object', value: new Map(), depth: 1 });

export function base64(text, alphabet = 'standard') {
  const isURL = alphabet === 'either' && !/[+/]/.test(text);
  const standard = isURL ? text.replaceAll('-', '+').replaceAll('_', '/') : text;
  const bytes = Buffer.from(standard, 'base64');
  return bytes.toString('base64') === standard ? bytes : undefined;
}

export function base64url(text) {
  const bytes = Buffer.from(text, 'base64url');
  return need(bytes.toString('base64url') === text) && bytes;
}

// Readers take a node, undefined where a member is absent, and give its value or reject it.
export const string = (node) => need(node?.kind === 'string') && node.value;
export const anything = (node) => need(node);
export const optional = (reader) => (node) => node && reader(node);
export const such = (test, reader = string) => (node) => need(test(reader(node))) && reader(node);
export const list = (reader, max = Infinity, tooMany = 'malformed') => (node) => {
  need(node?.kind === 'array') && need(node.value.size <= max, tooMany);
  return [...node.value.values()].map(reader);
};
export const digest = (node) => base64(such((text) => base64(text)?.length === 32)(node));
export function record(node, readers, others = 'ignored') {
  need(node?.kind === 'object');
  need(others === 'ignored' || [...node.value.keys()].every((name) => Object.hasOwn(readers, name)));
  return Object.fromEntries(Object.entries(readers).map(([name, reader]) => [name, reader(node.value.get(name))]));
}

// 12.1. Header values, whose bytes are the characters of a string.
export function utf8(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, 'latin1'));
  } catch {
    return fail();
  }
}
export function headerText(value) {
  const quoted = /^"((?:[^"\\]|\\.)*)"$/s.exec(value)?.[1];
  const bytes = quoted?.replace(/\\(.)/gs, '$1') ?? (need(!value.startsWith('"')) && value);
  need(!/%(?![\da-f]{2})/i.test(bytes));
  return utf8(bytes.replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))));
}

// 9. What has no canonical form ends in `modified`, by section 7. Numbers that are slow to convert are counted.
export function canonical({ kind, value, raw }, tiny = { left: LIMITS.tiny_numbers }) {
  if (kind === 'array') return `[${[...value.values()].map((element) => canonical(element, tiny))}]`;
  const member = (name) => `${JSON.stringify(name)}:${canonical(value.get(name), tiny)}`;
  if (kind === 'object') return `{${[...value.keys()].sort().map(member)}}`;
  if (kind === 'string') return JSON.stringify(value);
  if (kind === 'number' && Math.abs(Number(raw)) < 1e-307 && Number(raw) !== 0) need(tiny.left-- > 0, 'modified');
  return kind === 'number' ? canonicalNumber(raw) : raw;
}
export function canonicalOrNone(node) {
  try {
    return Buffer.from(canonical(node));
  } catch (error) {
    if (error instanceof Rejected) return undefined;
    throw error;
  }
}
function canonicalNumber(text) {
  const [sign, digits, exponent] = decimal(text);
  if (digits === '') return '0';
  if (exponent >= 0 && digits.length + exponent <= 21) return sign + digits + '0'.repeat(exponent);
  const shortest = String(need(Number.isFinite(Number(text)), 'modified') && Number(text));
  return need(String(decimal(shortest)) === String(decimal(text)), 'modified') && shortest;
}
function decimal(text) {
  const [, sign, whole, fraction = '', power = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE](.+))?$/.exec(text);
  const significant = (whole + fraction).replace(/^0+/, '');
  const digits = significant.replace(/(?<!0)0+$/, '');
  return [sign, digits, Number(power) - fraction.length + significant.length - digits.length];
}

// 2. Names, integers and timestamps; instants are nanoseconds.
export const isName = (text) => /^[a-z0-9]+$/.test(text) && text.length <= LIMITS.name_chars;
const SMALL = { '\u017f': 's', '\u212a': 'k', '\u0130': 'i', '\u0131': 'i' };
export const foldCase = (name) => name.replace(/[A-Z\u017f\u212a\u0130\u0131]/g, (c) => SMALL[c] ?? c.toLowerCase());
export const SECOND = 1000000000n;
export const isInteger = (text) => /^(?:0|-?[1-9]\d*)$/.test(text) && Number(text) === (Number(text) | 0);
export function timestamp(text) {
  const shape = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))?$/;
  const [, local, fraction = '', sign = '+', hours = 0, minutes = 0] = shape.exec(text) ?? [];
  const read = Date.parse(`${local}Z`);
  if (fraction.length > LIMITS.fraction_digits || isNaN(read) || new Date(read).toISOString().slice(0, 19) !== local) return undefined; // 30 February, 24:00
  const utc = new Date(read - Number(`${sign}1`) * (60 * hours + Number(minutes)) * 60000);
  const seconds = `${utc.toISOString().slice(0, 19)}Z`;
  if (!(seconds > '0001-01-01T00:00:00Z' && utc.getUTCFullYear() <= 9999)) return undefined;
  const nanos = BigInt(utc.getTime()) * 1000000n + BigInt(fraction.padEnd(9, '0'));
  return { nanos, hashed: seconds, opened: seconds, isCut: /[1-9]/.test(fraction) };
}
export const nanosOf = (text) => timestamp(text)?.nanos;

// 8. What a text of each type is hashed as and opens as; nothing for a text that is not of the type.
const plain = (text) => ({ hashed: text, opened: text });
export const TYPES = {
  Boolean: (text) => (text === 'true' || text === 'false' ? { hashed: text, opened: text === 'true' } : undefined),
  Integer: (text) => (isInteger(text) ? { hashed: text, opened: Number(text) } : undefined),
  Binary: (text) => base64(text) && { hashed: base64(text), opened: text },
  Timestamp: timestamp, String: plain, URI: plain, 'URI-reference': plain,
};
export const DOCUMENTED = new Map(Object.entries({
  Timestamp: 'recordedtime originalrecordedtime expirytime deprecationfrom deprecationsunset',
  Integer: 'sampledrate severitynumber opcuametadatamajorversion opcuametadataminorversion opcuastatus',
  Boolean: 'deprecated bamptxcompleted', 'URI-reference': 'dataref', URI: 'deprecationmigration',
  String: 'audience authtype authid authclaims bamtxid bampid bamptxid bamptxsid bamptxsstatus correlationid'
    + ' causationid dataclassification dataregulation datacategory partitionkey sequence sequencetype severitytext'
    + ' traceparent tracestate',
}).flatMap(([type, names]) => names.split(' ').map((name) => [name, type])));

export const isSubset = (some = [], all) => some.every((each) => all.includes(each));

// 10. Patterns, and 11.7: URIs that a reader's URL type keeps as they are.
const isBelow = (pattern, text) => text.startsWith(pattern.slice(0, -1)) && text.length >= pattern.length;
export const isType = (patterns, type) => (patterns ?? []).some((pattern) => pattern === '*' || pattern === type
  || (pattern.endsWith('.*') && pattern.indexOf('*') === pattern.length - 1 && isBelow(pattern, type)));
const cut = (text) => /^([a-z][a-z\d+.-]*:)?(?:\/\/([^/?#]*))?(.*)$/is.exec(text) ?? [];
function sourcePrefix(pattern) {
  const prefix = pattern.slice(0, -1);
  const [, scheme = '', authority, rest] = cut(prefix);
  if (pattern.indexOf('*') !== pattern.length - 1) return undefined;
  if (prefix.endsWith('/')) return authority === undefined || rest !== '' ? prefix : undefined;
  return /^urn:$/i.test(scheme) && authority === undefined && /.:$/s.test(rest) ? prefix : undefined;
}
// Bytes are Latin-1 characters here, so that overlong UTF-8 survives.
const isLookalike = /[\u037e\u2024-\u2026\u2047-\u2049\u2100\u2101\u2105\u2106\u2488-\u249b\u33c2\u33c7\u33d8\ufe14\ufe16\ufe19\ufe30\ufe52\ufe54\ufe56\ufe5f\ufe68\ufe6a\ufe6b\uff03\uff05\uff0e\uff0f\uff1b\uff1f\uff20\uff3c\u{1f100}]/u;
function isAmbiguous(...parts) {
  let [authority, rest] = parts.map((part) => Buffer.from(part).toString('latin1'));
  for (let layer = 0; layer <= 3; layer++) {
    const dots = rest.split(/[/?#]/).some((segment) => /^ *\.{1,2}(?: [. ]*)?(?:;|$)/.test(segment));
    const escape = /%(?:2f|5c|[01][\da-f]|7f|u[\da-f]{4})/i.test(authority + rest);
    if (dots || escape || authority.includes('@')) return true;
    const decoded = [authority, rest].map((part) => part.replace(/%([\da-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16))));
    if (decoded[0] === authority && decoded[1] === rest) {
      const text = Buffer.from(`${authority}\0${rest}`, 'latin1');
      return /[\xc0\xc1]|\xe0[\x80\x81]|\xf0\x80/.test(text.toString('latin1')) || isLookalike.test(text.toString());
    }
    [authority, rest] = decoded;
  }
  return true;
}
export function isSource(patterns, source) {
  const [, scheme, authority, rest = ''] = cut(source);
  const isNoHost = authority === '' && !(scheme && /^\/(?!\/)/.test(rest));
  if (/^$|[\0-\x20\x7f\\]/.test(source) || isNoHost || isAmbiguous(authority ?? '', rest)) return false;
  return (patterns ?? []).some((pattern) => {
    const prefix = pattern.includes('*') ? sourcePrefix(pattern) : undefined;
    const covers = prefix !== undefined && (cut(prefix)[2] !== undefined || authority === undefined);
    return pattern === source ? !pattern.includes('*') : covers && isBelow(pattern, source);
  });
}
export const isPortable = (text) => /^(?:[\w.~:/?#[\]@!$&'()*+,;=-]|%[\da-f]{2})*$/i.test(text)
  && !/^[a-z\d+.-]*[A-Z][\w+.-]*:/.test(text);

// 6. JSON Pointers.
export const parsePointer = (text) => text.split('/').slice(1).map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
export const isPointer = (text) => /^(?:\/(?:[^~]|~[01])*)?$/s.test(text);
export const isWithin = (inner, outer) => outer.every((token, i) => inner[i] === token);
export function find(node, path) {
  const [name, ...rest] = path;
  if (name === undefined || !node) return node;
  if (node.kind === 'object') return find(node.value.get(name), rest);
  return node.kind === 'array' && /^(?:0|[1-9]\d*)$/.test(name) ? find(node.value.get(Number(name)), rest) : undefined;
}

// 11.6. Names that differ in case only: regular expressions know Unicode's simple case folding.
const escaped = (text) => [...text].map((char) => `\\u{${char.codePointAt(0).toString(16)}}`).join('');
export const isSameName = (name, other) => new RegExp(`^(?:${escaped(name)})$`, 'iu').test(other);
