// Reads a JWK Set from stdin, imports each key with jose and prints its thumbprint (RFC 7638, SHA-256) as a JSON array of
// {"kid","thumbprint","type"}.
import { text } from 'node:stream/consumers';
import { calculateJwkThumbprint, importJWK } from 'jose';

const { keys } = JSON.parse(await text(process.stdin));
const read = async (jwk) => ({
  kid: jwk.kid,
  thumbprint: await calculateJwkThumbprint(jwk, 'sha256'),
  type: (await importJWK(jwk)).type,
});
console.log(JSON.stringify(await Promise.all(keys.map(read))));
