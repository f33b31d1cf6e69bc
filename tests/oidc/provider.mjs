// A provider of identities for tests: oidc-provider with its own pages for logging in, on a port of its choice.
//
// Prints its port as a line. Each line on standard input is JSON, { "redirect": URL, "alg": "RS256" | "ES256" }: it then begins anew with
// fresh keys, knows one client, and prints "ready". Whoever logs in as `alice`, `bob`, `mallory` or any other name is that one.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

const people = {
  alice: { name: 'Alice Liddell', preferred_username: 'alice', email: 'alice@example.com', email_verified: true, groups: ['staff', 'ops'] },
  bob: { name: 'Bob', preferred_username: 'alice', email: 'bob@example.com', email_verified: true, groups: ['staff', 'ops'] },
  carol: { preferred_username: 'carol', email: 'carol@example.com', email_verified: true, groups: ['staff'] },
  mallory: { preferred_username: 'mallory', email: 'mallory@example.com', email_verified: false, groups: ['ops'] },
};

let listener = (request, response) => response.writeHead(503).end();
const server = createServer((request, response) => listener(request, response));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));

function key(type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: randomUUID() };
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { redirect, alg } = JSON.parse(line);
    const provider = new Provider(`http://127.0.0.1:${server.address().port}`, {
      clients: [
        {
          client_id: 'desk',
          client_secret: 'a secret: with +/=% in it',
          redirect_uris: [redirect],
          id_token_signed_response_alg: alg,
          application_type: 'native',
        },
      ],
      jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
      scopes: ['openid', 'profile', 'email', 'groups'],
      claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
      findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
      cookies: { keys: [randomUUID()] },
      pkce: { required: () => true },
    });
    listener = provider.callback();
    console.log('ready');
  })
  .on('close', () => process.exit(0));
