// Carries sealed events over HTTP with the CloudEvents SDK, and prints the status of each answer:
//   node http.mjs send MODE URL       reads a JSON array of events, and sends them in that mode
//   node http.mjs forward binary URL  reads an array of {"headers","body"}, and sends the events that the SDK reads in them
import { text } from 'node:stream/consumers';
import { CloudEvent, HTTP } from 'cloudevents';

const [command, mode, url] = process.argv.slice(2);
const input = JSON.parse(await text(process.stdin));
const post = async ({ headers, body }) => {
  const { status } = await fetch(url, { method: 'POST', headers, body, redirect: 'error' });
  console.log(JSON.stringify({ status }));
};
if (mode === 'batch') {
  const events = input.map((event) => new CloudEvent(event));
  await post({ headers: { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' }, body: JSON.stringify(events) });
} else {
  const events = input.map((each) => (command === 'forward' ? HTTP.toEvent(each) : new CloudEvent(each)));
  for (const event of events) await post(HTTP[mode](event));
}
