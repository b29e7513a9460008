// Runs the verifier over every vector of a directory (node run.mjs DIR): a line of JSON for each, by file name.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from './verify.mjs';

const CORE = ['specversion', 'id', 'source', 'type', 'datacontenttype', 'dataschema', 'subject', 'time'];

// render lays a verified event out as the README of the vectors says.
function render({ attributes, extensions, isJSON, data }, mode) {
  const members = CORE.filter((name) => attributes.has(name)).map((name) => [name, attributes.get(name)]);
  if (mode !== 'core-only') members.push(...extensions.map(({ name, opened }) => [name, opened]));
  const texts = members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  if (data) texts.push(isJSON ? `"data":${String(data).trim()}` : `"data_base64":"${data.toString('base64')}"`);
  return `{${texts}}`;
}

// unsigned gives the extension attributes that nobody signed, as `passthrough` returns them, apart.
function unsigned({ attributes, extensions }) {
  const others = new Set([...CORE, 'dssematerial', ...extensions.map(({ name }) => name)]);
  return Object.fromEntries([...attributes].filter(([name]) => !others.has(name)));
}

function judge(directory, file) {
  const vector = JSON.parse(readFileSync(join(directory, file), 'utf8'));
  const bundle = JSON.parse(readFileSync(join(directory, vector.bundle), 'utf8'));
  const { text, times } = vector.repeat ?? { text: '\u001f', times: 1 };
  const whole = vector.input?.replace('\u001f', () => text.repeat(times));
  const input = Buffer.from(vector.input_base64 ?? whole ?? '', vector.input_base64 ? 'base64' : 'utf8');
  const { verdict, reason, event, producer, keyIds, encryption } = open(input, vector.form, bundle, vector.options);
  const { mode } = vector.options;
  return {
    file, verdict, reason, producer, key_ids: keyIds, encryption,
    event: event && render(event, mode),
    unverified: event && mode === 'passthrough' ? unsigned(event) : undefined,
  };
}

const directory = process.argv[2];
for (const file of readdirSync(directory).filter((name) => name.endsWith('.json')).sort()) {
  console.log(JSON.stringify(judge(directory, file)));
}
