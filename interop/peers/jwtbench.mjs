// Measures aws-jwt-verify on a token of the vectors, beside the check of its signature alone. They take turns in
// short rounds, and the fastest round of each counts.
import { readFileSync } from 'node:fs';
import { createPublicKey, verify } from 'node:crypto';
import { CognitoJwtVerifier } from 'aws-jwt-verify';

const file = new URL('../../webhook/authn/testdata/jwt-cognito.json', import.meta.url);
const { now, issuer, client_id: clientId, scope, group: groups, jwks, tokens } = JSON.parse(readFileSync(file));
Date.now = () => now * 1000;
const verifier = CognitoJwtVerifier.create({ userPoolId: issuer.slice(issuer.lastIndexOf('/') + 1), clientId,
  tokenUse: 'access', scope, groups });
verifier.cacheJwks(jwks);
const token = tokens.find((t) => t.name === 'good').token;
const dot = token.lastIndexOf('.');
const signed = Buffer.from(token.slice(0, dot));
const signature = Buffer.from(token.slice(dot + 1), 'base64url');
const key = createPublicKey({ key: jwks.keys[0], format: 'jwk' });
const ways = {
  raw: () => { if (!verify('RSA-SHA256', signed, key, signature)) throw new Error('refused'); },
  'aws-jwt-verify': () => verifier.verifySync(token),
};
const best = {};
for (let turn = 0; turn < 500; turn++) {
  for (const [name, way] of Object.entries(ways)) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < 20; i++) way();
    const took = Number(process.hrtime.bigint() - start) / 20;
    best[name] = Math.min(best[name] ?? took, took);
  }
}
for (const [name, ns] of Object.entries(best)) {
  console.log(`${name}: ${(ns / 1000).toFixed(1)} us, ${(ns / best.raw).toFixed(2)} x raw`);
}
