// Signs and verifies webhooks with the packages that the providers publish. Reads a JSON array of jobs from stdin, and
// prints the array of results:
//   {"do":"sign","peer","secrets":[...],"id","at":seconds,"target","body"}  -> {"target","headers":{...},"body"}
//   {"do":"verify","peer","secrets":[one],"at","headers","body"}            -> {"verified":boolean}
// "form" in place of "body" is an object of parameters, which twilio signs. Where a header takes several signatures, there is
// one of each secret.
import { text } from 'node:stream/consumers';
import { sign as signGitHub } from '@octokit/webhooks-methods';
import { Webhook as Standard } from 'standardwebhooks';
import Stripe from 'stripe';
import { Webhook as Svix } from 'svix';
import twilio from 'twilio/lib/webhooks/webhooks.js';

// Standard Webhooks and Svix differ in the names of the headers.
const standard = (Webhook, prefix) => ({
  sign: ({ secrets, id, at, body }) => ({
    [`${prefix}-id`]: id,
    [`${prefix}-timestamp`]: String(at),
    [`${prefix}-signature`]: secrets.map((s) => new Webhook(s).sign(id, new Date(at * 1000), body)).join(' '),
  }),
  verify: ({ secrets, headers, body }) => void new Webhook(secrets[0]).verify(body, headers),
});

const one = (list) => {
  if (list.length !== 1) throw new Error(`${list.length} secrets, not 1`);
  return list[0];
};

const base = 'https://hooks.example';
const peers = {
  standardwebhooks: standard(Standard, 'webhook'),
  svix: standard(Svix, 'svix'),
  stripe: {
    // While a secret is rolled, Stripe sends a v1 of each.
    sign: ({ secrets, at, body }) => {
      const signed = secrets.map((secret) => Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at }));
      return { 'stripe-signature': [signed[0], ...signed.slice(1).map((s) => s.slice(s.indexOf(',') + 1))].join(',') };
    },
  },
  github: {
    sign: async ({ secrets, body }) => ({ 'x-hub-signature-256': await signGitHub(one(secrets), body) }),
  },
  twilio: {
    sign: (job) => {
      if (!job.form) job.target += `${job.target.includes('?') ? '&' : '?'}bodySHA256=${twilio.getExpectedBodyHash(job.body)}`;
      const signature = twilio.getExpectedTwilioSignature(one(job.secrets), base + job.target, job.form ?? {});
      return { 'x-twilio-signature': signature, 'content-type': job.form ? 'application/x-www-form-urlencoded' : 'application/json' };
    },
  },
};

const jobs = {
  async sign(job) {
    const headers = await peers[job.peer].sign(job);
    return { target: job.target, headers, body: job.form ? new URLSearchParams(job.form).toString() : job.body };
  },
  verify(job) {
    Date.now = () => job.at * 1000; // the packages ask the clock
    try {
      peers[job.peer].verify(job);
      return { verified: true };
    } catch (e) {
      if (e.name !== 'WebhookVerificationError') throw e;
      return { verified: false };
    }
  },
};

const out = [];
for (const job of JSON.parse(await text(process.stdin))) out.push(await jobs[job.do](job));
console.log(JSON.stringify(out));
