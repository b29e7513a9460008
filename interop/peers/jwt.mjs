// Says what aws-jwt-verify thinks of tokens. Input: {now, issuer, client_id, scope, group, jwks, tokens: [...]}.
// Output: [true, false, ...], one for each token.
import { readFileSync } from 'node:fs';
import { CognitoJwtVerifier } from 'aws-jwt-verify';

const asked = JSON.parse(readFileSync(0, 'utf8'));
Date.now = () => asked.now * 1000; // it has no clock of its own
const verifier = CognitoJwtVerifier.create({
  userPoolId: asked.issuer.slice(asked.issuer.lastIndexOf('/') + 1),
  clientId: asked.client_id,
  tokenUse: 'access',
  scope: asked.scope,
  groups: asked.group,
});
verifier.cacheJwks(asked.jwks);
const accepts = (token) => {
  try {
    verifier.verifySync(token);
    return true;
  } catch {
    return false;
  }
};
process.stdout.write(JSON.stringify(asked.tokens.map(accepts)));
