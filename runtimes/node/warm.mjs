// The first request that a process of Node makes or serves takes 10 ms more than the next, its first fetch 30: code that is loaded and
// compiled when it is first used. An instance uses it once before the function is loaded, so that this is part of its start (which
// a spare has behind it) and not of the first call. Only what the function uses: it costs memory too.
//
// What it uses is learnt when a deployment is tried out, and may be wrong both ways at no more than that price.

import { readFileSync } from 'node:fs';

import { fileOf } from './loading.mjs';

const kLimitMs = 1000; // for a machine that is hardly running: the start goes on without

// Of a function that is loaded: some of 'http' (Node's server and client) and 'fetch'.
export function usesOf(handler) {
  const uses = [];
  if (process.moduleLoadList?.includes('NativeModule http')) uses.push('http');
  // fetch loads itself at its first call. A bundle, as most functions are, is one file; one that calls it elsewhere is not seen.
  try {
    if (/\bfetch\s*\(/.test(readFileSync(fileOf(handler), 'utf8'))) uses.push('fetch');
  } catch {
    // The function has moved its own file: nothing is known of it.
  }
  return uses;
}

const kBody = '{"warm":true}';
const kHeaders = { 'content-type': 'application/json' };

async function exchanges(http, uses, server, signal) {
  await new Promise((resolve, reject) => server.on('error', reject).listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  if (uses.includes('http')) {
    await new Promise((resolve, reject) => {
      const request = http.request(url, { method: 'POST', agent: false, headers: kHeaders, signal }, (answer) => answer.resume().on('end', resolve).on('error', reject));
      request.on('error', reject).end(kBody);
    });
  }
  if (uses.includes('fetch')) await (await fetch(url, { method: 'POST', headers: kHeaders, body: kBody, signal })).json();
}

// Settles when nothing of it is left open; never rejects. To be called before any code of the user's runs: nobody who patches or watches
// these modules sees it.
export async function warm(uses) {
  if (uses.length === 0 || process.env.NODE_OPTIONS) return; // which may have loaded code of the user's already
  const { default: http } = await import('node:http');
  const server = http.createServer((request, answer) => {
    request.resume().on('end', () => answer.writeHead(200, kHeaders).end(kBody));
  });
  try {
    await exchanges(http, uses, server, AbortSignal.timeout(kLimitMs));
  } catch {
    // It is then as it was: the first call takes longer.
  }
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections?.();
  });
}
