// The smallest functions in JavaScript: one greets whoever is named in the query, ?name=Ada; one streams.

import { setTimeout as pause } from 'node:timers/promises';

export async function handler(event, context) {
  const name = event.queryStringParameters?.name ?? 'world';
  console.log('greeting', name);
  return { message: `hello, ${name}` };
}

export async function* count(event, context) {
  for (let number = 1; number <= 5; ++number) {
    yield `${number}\n`;
    await pause(200);
  }
}
