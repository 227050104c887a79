'use strict';
// Greetings in Express, as they would run anywhere: nothing in here knows of Ebb.

const express = require('express');

const app = express();
app.use(express.json());

app.get('/', (request, response) => {
  response.type('html').send('<!doctype html><title>Greetings</title><h1>Whom shall I greet?</h1>');
});

app.post('/greetings', (request, response) => {
  const name = request.body?.name;
  if (typeof name !== 'string' || name === '') {
    response.status(400).json({ error: 'a name is wanted' });
    return;
  }
  console.log(`greeting ${name}`);
  response.status(201).json({ greeting: `Hello, ${name}` });
});

app.get('/square/:number', (request, response) => {
  const number = Number(request.params.number);
  response.cookie('last', String(number)).json({ number, square: number * number, query: request.query });
});

// Server-sent events: each goes out when it is written.
app.get('/ticks', async (request, response) => {
  response.set({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (let number = 1; number <= 3; number++) {
    response.write(`data: ${number}\n\n`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  response.end();
});

app.get('/fails', () => {
  throw new Error('this is what a bug looks like');
});

app.listen(process.env.PORT || 3000, '127.0.0.1');
