// Reads {"jwks","tokens"} from stdin, verifies each token (JWS, compact) with the key of the JWK Set that it names, and
// prints the payloads as a JSON array; null = refused.
import { text } from 'node:stream/consumers';
import { compactVerify, createLocalJWKSet } from 'jose';

const { jwks, tokens } = JSON.parse(await text(process.stdin));
const keys = createLocalJWKSet(jwks);
const verify = (token) => compactVerify(token, keys).then(
  ({ payload }) => new TextDecoder().decode(payload),
  () => null,
);
console.log(JSON.stringify(await Promise.all(tokens.map(verify))));
