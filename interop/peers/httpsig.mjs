// Signs and verifies HTTP messages (RFC 9421) with the npm package http-message-signatures. Reads a JSON array of jobs from
// stdin, and prints the array of results:
//   {"do":"sign","jwk","keyid","alg","fields":[...],"at":seconds,"message","request"}     -> {"headers":{...}}
//   {"do":"verify","jwk","keyid","alg","fields":[...],"at":seconds,"message","request"}   -> {"verified":boolean}
// A message is {"method","url","headers"} or {"status","headers"}; "request" is what a response answers.
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { createSigner, createVerifier, httpbis } from 'http-message-signatures';

const jobs = {
  async sign({ jwk, keyid, alg, fields, at, message, request }) {
    const key = createSigner(createPrivateKey({ key: jwk, format: 'jwk' }), alg, keyid);
    const paramValues = { created: new Date(at * 1000), nonce: 'n1', tag: 'app' };
    const params = ['keyid', 'alg', 'created', 'expires', 'nonce', 'tag'];
    const { headers } = await httpbis.signMessage({ key, name: 'sig', params, paramValues, fields }, message, request);
    return { headers };
  },
  async verify({ jwk, keyid, alg, fields, at, message, request }) {
    Date.now = () => at * 1000; // the package asks the clock
    const verify = createVerifier(createPublicKey({ key: jwk, format: 'jwk' }), alg);
    const config = {
      keyLookup: async (params) => (params.keyid === keyid ? { id: keyid, algs: [alg], verify } : null),
      requiredParams: ['keyid', 'created'],
      requiredFields: fields,
      maxAge: 300,
    };
    try {
      return { verified: (await httpbis.verifyMessage(config, message, request)) === true };
    } catch {
      return { verified: false };
    }
  },
};

const out = [];
for (const job of JSON.parse(await text(process.stdin))) out.push(await jobs[job.do](job));
console.log(JSON.stringify(out));
