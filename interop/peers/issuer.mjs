// An issuer of access tokens, npm oidc-provider, at http://127.0.0.1:PORT: the client credentials grant with
// scopes and resources. POST /rotate?alg=ALG makes a new key, which signs from then on; with &drop the keys
// before it are not published any more.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, secret] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const scopes = 'orders/read orders/write';

let keys = [];
let made = 0;
let callback;

function newKey(alg) {
  const { privateKey } = {
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    Ed25519: () => generateKeyPairSync('ed25519'),
  }[alg]();
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `${alg}-${made += 1}` };
}

function rotate(alg, drop) {
  keys = [newKey(alg), ...(drop ? [] : keys)];
  const client = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'], client_secret: secret,
    id_token_signed_response_alg: alg };
  const provider = new Provider(issuer, {
    jwks: { keys },
    scopes: scopes.split(' ').concat('orders/delete'),
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'Ed25519'] },
    clients: [
      { ...client, client_id: 'basic', scope: scopes },
      { ...client, client_id: 'post', scope: scopes, token_endpoint_auth_method: 'client_secret_post' },
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({ scope: `${scopes} orders/delete`, audience: resource,
          accessTokenFormat: 'jwt', accessTokenTTL: 3600, jwt: { sign: { alg } } }),
      },
    },
  });
  callback = provider.callback();
}

rotate('RS256');
createServer((req, res) => {
  const url = new URL(req.url, issuer);
  if (req.method === 'POST' && url.pathname === '/rotate') {
    rotate(url.searchParams.get('alg'), url.searchParams.has('drop'));
    res.end();
    return;
  }
  callback(req, res);
}).listen(Number(port), '127.0.0.1');
