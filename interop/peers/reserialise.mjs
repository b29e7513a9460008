// Reads a structured CloudEvent from stdin, parses it with the CloudEvents SDK as an HTTP receiver does, and prints it as
// the SDK serialises it: what a service that forwards events does to it.
import { text } from 'node:stream/consumers';
import { HTTP } from 'cloudevents';

const headers = { 'content-type': 'application/cloudevents+json' };
console.log(JSON.stringify(HTTP.toEvent({ headers, body: await text(process.stdin) })));
