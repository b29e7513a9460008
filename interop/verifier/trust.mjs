// Judges trust documents as SPEC.md, section 4.1, says; it shares no code with Go. node trust.mjs DIR plays every vector of
// the directory: a line of JSON for each, by file name.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  anything, base64url, canonical, fail, H, LIMITS, list, nanosOf, need, optional, parseJSON, record, Rejected, SECOND, shallow, string, such,
  timestamp,
} from './formats.mjs';
import { importKey, readEnvelope, verifies } from './verify.mjs';

const TYPE = {
  bundle: 'application/vnd.sealbus.bundle+json', roots: 'application/vnd.sealbus.roots+json',
  timestamp: 'application/vnd.sealbus.timestamp+json',
};
const SKEW = BigInt(LIMITS.timestamp_skew_seconds) * SECOND;

const version = (node) => need(node?.kind === 'number' && /^[1-9]\d{0,15}$/.test(node.value)
  && Number.isSafeInteger(Number(node.value))) && Number(node.value);
const second = such((text) => timestamp(text)?.opened === text);
const keyID = such((text) => base64url(text)?.length === 32);
const isSorted = (ids) => ids.length > 0 && ids.every((id, i) => i === 0 || ids[i - 1] < id);
const lifeOf = ({ issued, expires }) => Number((nanosOf(expires) - nanosOf(issued)) / SECOND);
const secondAt = (nanos) => new Date(Number(nanos / (SECOND / 1000n))).toISOString().replace('.000Z', 'Z');
const hex = (bytes) => H(bytes).toString('hex');

// open verifies a signed document, of which `most` of the keys must have signed, and gives its payload.
function open(text, type, keys, most) {
  const envelope = readEnvelope(parseJSON(Buffer.from(text)));
  need(envelope.type === type, 'wrong_type');
  const signed = keys.filter((key) => envelope.signatures.some(({ keyid, sig }) => keyid === key.id && verifies(key, envelope.pae, sig)));
  need(signed.length >= most, 'threshold');
  const node = shallow(parseJSON(envelope.payload));
  need(canonical(node) === String(envelope.payload));
  return { node, sha256: hex(envelope.payload), payload: String(envelope.payload) };
}

function readTimestamp(text, roots) {
  need(Buffer.byteLength(text) <= LIMITS.timestamp_bytes, 'too_large');
  const { node, sha256 } = open(text, TYPE.timestamp, roots.timestampKeys, 1);
  const reason = such((value) => Buffer.byteLength(value) <= 1024 && !/[\u0000-\u001f\u007f\ufffd]/.test(value));
  const entry = (inner) => record(inner, { at: second, kid: keyID, reason, since: version }, 'refused');
  const session = (inner) => record(inner, { kid: keyID, since: version }, 'refused');
  const ts = record(node, {
    version, roots_version: version, bundle_version: version,
    bundle_sha256: such((digits) => /^[\da-f]{64}$/.test(digits)),
    bundle_since: second, issued: second, expires: second,
    revoked: optional(list(entry, LIMITS.timestamp_revocations)),
    revoked_sessions: optional(list(session, LIMITS.timestamp_revocations)),
  }, 'refused');
  for (const revoked of [ts.revoked, ts.revoked_sessions]) {
    need(!revoked || isSorted(revoked.map(({ kid }) => kid)));
    need(!revoked || revoked.every(({ since }) => since <= ts.version));
  }
  need(nanosOf(ts.bundle_since) <= nanosOf(ts.issued) && lifeOf(ts) > 0 && lifeOf(ts) <= LIMITS.timestamp_seconds);
  return { ...ts, sha256, text };
}

// The part of a grant that every consumer knew before, of which the patterns are not looked at here.
function readGrant(node) {
  const grant = record(node, {
    accounts: optional(list(string)), sources: optional(list(string)), types: optional(list(string)),
    published: optional(second), active: optional(second), retired: optional(second), expired: optional(second),
  }, 'refused');
  const moments = [grant.published, grant.active, grant.retired, grant.expired].filter(Boolean).map(nanosOf);
  need(moments.every((moment, i) => i === 0 || moments[i - 1] <= moment));
  need(!grant.active || grant.active !== grant.retired);
  return grant;
}

function readBundle(text, roots) {
  const { node, sha256 } = open(text, TYPE.bundle, roots.keys, roots.threshold);
  const bundle = record(node, {
    version, issued: second, expires: second, timestamps: optional(version),
    cache: optional((node) => need(version(node) <= LIMITS.cache_seconds)),
    timestamp: optional(such((value) => value === 'required')), keys: anything, revoked_sessions: optional(list(keyID)),
  });
  const entry = {
    kid: string, use: optional(string), revoked: optional(anything), since: optional(second), before: optional(readGrant),
    tainted: optional((mark) => need(mark.raw === 'true')),
  };
  const keys = [...bundle.keys.value.values()].map((key) => record(key, entry));
  need(keys.every(({ use, before }) => !before || use === 'sig'));
  need(keys.every(({ since }) => !since || nanosOf(since) <= nanosOf(bundle.issued)));
  const most = bundle.timestamp ? LIMITS.long_life_seconds : LIMITS.short_life_seconds;
  need(bundle.version >= (roots.min_bundle ?? 0), 'rollback');
  need(lifeOf(bundle) <= most, 'lifetime');
  return { timestamps: 0, ...Object.fromEntries(Object.entries(bundle).filter(([, value]) => value !== undefined)), keys, sha256, text };
}

const imported = ({ keys, timestamp_keys: stamps = [], ...roots }) => ({ ...roots, keys: keys.map(importKey), timestampKeys: stamps.map(importKey) });

// readNextRoots reads the roots that follow, which the old and the new root keys signed.
function readNextRoots(text, old) {
  need(Buffer.byteLength(text) <= LIMITS.roots_bytes, 'too_large');
  const { node, payload } = open(text, TYPE.roots, old.keys, old.threshold);
  const keys = list(anything, LIMITS.signatures);
  const { version: number } = record(node, {
    version, threshold: version, keys, timestamp_keys: optional(keys), expires: optional(second),
    min_bundle: optional(version), min_timestamp: optional(version),
  }, 'refused');
  const roots = imported(JSON.parse(payload));
  const ids = [...roots.keys, ...roots.timestampKeys].map(({ id }) => id);
  need(roots.keys.length >= roots.threshold && new Set(ids).size === ids.length);
  open(text, TYPE.roots, roots.keys, roots.threshold);
  need(number > old.version, 'rollback');
  need(number === old.version + 1, 'newer_roots');
  return roots;
}

// isBy tells whether so many of the keys still sign a document that is held.
function isBy(text, type, keys, most) {
  try {
    return Boolean(open(text, type, keys, most));
  } catch (error) {
    if (error instanceof Rejected) return false;
    throw error;
  }
}

// A consumer: what it holds, and how that changes.
class Consumer {
  constructor(roots) {
    Object.assign(this, { roots, newest: undefined, bundle: undefined, until: undefined, remembered: new Map() });
  }

  clock(now) {
    const least = this.newest ? nanosOf(this.newest.issued) - SKEW : now;
    return now > least ? now : least;
  }

  checkRoots(at) {
    const { expires } = this.roots;
    need(!expires || at < nanosOf(expires), 'expired');
  }

  isAlive(at) {
    const { expires } = this.view();
    return Boolean(expires) && at < nanosOf(expires);
  }

  isAbove({ version: number, bundle_version: bundle }) {
    return number >= (this.roots.min_timestamp ?? 0) && bundle >= (this.roots.min_bundle ?? 0);
  }

  // adopt judges what is held once more, under newer roots.
  adopt(roots) {
    this.roots = roots;
    if (this.newest && !isBy(this.newest.text, TYPE.timestamp, roots.timestampKeys, 1)) {
      Object.assign(this, { newest: undefined, until: undefined, remembered: new Map() });
    }
    if (this.used && !isBy(this.used.text, TYPE.bundle, roots.keys, roots.threshold)) this.used = this.bundle = undefined;
    if (this.bundle && this.bundle.version < (roots.min_bundle ?? 0)) this.bundle = undefined;
    if (this.newest && !this.isAbove(this.newest)) this.until = undefined;
    else if (this.isCurrent()) this.until = this.newest.expires;
  }

  isCurrent() {
    return this.bundle && this.newest?.bundle_sha256 === this.bundle.sha256 && this.newest.roots_version <= this.roots.version;
  }

  // rememberedWith is what is remembered with a timestamp: the highest since, `most` at most, by the list and the ID.
  rememberedWith({ revoked = [], revoked_sessions: sessions = [] }, most = Infinity) {
    const remembered = new Map(this.remembered);
    const add = (id, since) => remembered.set(id, Math.max(remembered.get(id) ?? 0, Math.min(since, most)));
    revoked.forEach(({ kid, since }) => add(`key ${kid}`, since));
    sessions.forEach(({ kid, since }) => add(`session ${kid}`, since));
    return this.undecided(remembered);
  }

  undecided(remembered, { timestamps } = this.bundle ?? { timestamps: 0 }) {
    return new Map([...remembered].filter(([, since]) => since > timestamps));
  }

  hold(ts, now) {
    const was = this.newest ?? { version: 0, roots_version: 0, bundle_version: 0 };
    const used = this.used ?? { version: 0 };
    const end = this.newest && ts.version > was.version ? now : this.clock(now);
    this.checkRoots(end);
    need(nanosOf(ts.issued) <= this.clock(now) + SKEW, 'from_future');
    need(end < nanosOf(ts.expires), 'expired');
    const remembered = this.rememberedWith(ts);
    const fits = remembered.size <= LIMITS.remembered_revocations;
    if (fits && this.newest) this.remembered = this.rememberedWith(ts, this.newest.version); // also if it is refused below
    need(this.isAbove(ts), 'rollback');
    need(ts.version >= was.version && ts.roots_version >= was.roots_version, 'rollback');
    need(ts.bundle_version >= was.bundle_version && ts.bundle_version >= used.version, 'rollback');
    need(ts.version !== was.version || ts.sha256 === was.sha256, 'equivocate');
    need(ts.bundle_version !== was.bundle_version || ts.bundle_sha256 === was.bundle_sha256, 'equivocate');
    need(ts.bundle_version !== used.version || ts.bundle_sha256 === used.sha256, 'equivocate');
    need(fits, 'too_large');
    const staysDead = this.newest && nanosOf(ts.issued) < nanosOf(was.issued) && !this.isAlive(this.clock(now));
    Object.assign(this, { newest: ts, remembered });
    const most = secondAt(nanosOf(ts.issued) + BigInt(LIMITS.timestamp_seconds) * SECOND);
    if (this.isCurrent()) this.until = ts.expires;
    else if (staysDead) this.until = undefined;
    else if (this.until > most) this.until = most;
  }

  use(bundle, now) {
    const ts = this.newest ?? fail('no_timestamp');
    need(ts.roots_version <= this.roots.version, 'newer_roots');
    need(this.isAbove(ts), 'rollback');
    need(bundle.version === ts.bundle_version && bundle.sha256 === ts.bundle_sha256, 'other_bundle');
    this.checkRoots(this.clock(now));
    need(this.clock(now) < nanosOf(bundle.expires), 'expired');
    need(bundle.timestamps < ts.version && bundle.timestamps >= (this.bundle?.timestamps ?? 0), 'rollback');
    Object.assign(this, { bundle, used: bundle, until: ts.expires, remembered: this.undecided(this.remembered, bundle) });
  }

  step({ now, roots, timestamp: text, bundle }) {
    try {
      if (roots) {
        this.adopt(readNextRoots(roots, this.roots));
        return 'ok';
      }
      if (!text) fail('no_timestamp');
      this.hold(readTimestamp(text, this.roots), nanosOf(now));
      if (bundle) this.use(readBundle(bundle, this.roots), nanosOf(now));
      return 'ok';
    } catch (error) {
      if (error instanceof Rejected) return error.message;
      throw error;
    }
  }

  view() {
    if (!this.bundle || !this.until) return {};
    const { version: number, expires, keys, revoked_sessions: sessions = [] } = this.bundle;
    const ids = keys.map(({ kid }) => kid);
    const named = [...this.remembered.keys()].map((name) => name.split(' '));
    const others = named.filter(([list, id]) => list === 'session' || !ids.includes(id)).map(([, id]) => id);
    return {
      version: number, expires: [expires, this.until, this.roots.expires ?? expires].sort()[0],
      revoked: keys.filter(({ kid, revoked }) => revoked || this.remembered.has(`key ${kid}`)).map(({ kid }) => kid).sort(),
      revoked_sessions: [...new Set([...sessions, ...others])].sort(),
    };
  }
}

function readRoots(text) {
  return imported(JSON.parse(text));
}

const directory = process.argv[2];
for (const file of readdirSync(directory).filter((name) => name.endsWith('.json')).sort()) {
  const vector = JSON.parse(readFileSync(join(directory, file), 'utf8'));
  const consumer = new Consumer(readRoots(vector.roots));
  const steps = vector.steps.map((step) => ({
    expect: consumer.step(step), ...consumer.view(), roots_version: step.roots && consumer.roots.version,
  }));
  console.log(JSON.stringify({ file, steps }));
}
