// Runs the verifier over every vector of a directory: node run.mjs DIR. One line of JSON for each, in order of file name.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from './verify.mjs';

const directory = process.argv[2];
const names = readdirSync(directory).filter((name) => name.endsWith('.json')).sort();
for (const file of names) {
  const vector = JSON.parse(readFileSync(join(directory, file), 'utf8'));
  const input = vector.input_base64 === undefined
    ? Buffer.from(vector.input ?? '', 'utf8')
    : Buffer.from(vector.input_base64, 'base64');
  const bundle = JSON.parse(readFileSync(join(directory, vector.bundle), 'utf8'));
  const result = open(input, vector.form, bundle, vector.options);
  console.log(JSON.stringify({ name: vector.name, file, ...result }));
}
