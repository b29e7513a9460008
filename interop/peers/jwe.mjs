// Reads a JSON array of jobs from stdin, does them with jose and prints the array of results.
//   {"do":"decrypt","jwe":General JSON,"jwk":private key}                     -> {"plaintext","aad","protected"} (base64url, an object), {"error"} else
//   {"do":"field","jwe":compact,"key":base64url}                              -> {"plaintext","protected"}
//   {"do":"encrypt","plaintext","aad","protected":{...},"to":[{"header","jwk"}]} -> {"jwe"}
import { text } from 'node:stream/consumers';
import { base64url, compactDecrypt, generalDecrypt, GeneralEncrypt, importJWK } from 'jose';

const alg = 'ECDH-ES+A256KW';
const only = { keyManagementAlgorithms: [alg, 'dir'], contentEncryptionAlgorithms: ['A256GCM'] };

const jobs = {
  async decrypt({ jwe, jwk }) {
    const got = await generalDecrypt(jwe, await importJWK(jwk, alg), only);
    return { plaintext: base64url.encode(got.plaintext), aad: base64url.encode(got.additionalAuthenticatedData), protected: got.protectedHeader };
  },
  async field({ jwe, key }) {
    const got = await compactDecrypt(jwe, base64url.decode(key), only);
    return { plaintext: base64url.encode(got.plaintext), protected: got.protectedHeader };
  },
  async encrypt({ plaintext, aad, protected: header, to }) {
    const jwe = new GeneralEncrypt(base64url.decode(plaintext)).setProtectedHeader(header);
    if (aad) jwe.setAdditionalAuthenticatedData(base64url.decode(aad));
    for (const { header: own, jwk } of to) jwe.addRecipient(await importJWK(jwk, alg)).setUnprotectedHeader(own);
    return { jwe: await jwe.encrypt() };
  },
};

const attempt = async (job) => {
  try {
    return await jobs[job.do](job);
  } catch (e) {
    return { error: e.code ?? String(e) };
  }
};
console.log(JSON.stringify(await Promise.all(JSON.parse(await text(process.stdin)).map(attempt))));
