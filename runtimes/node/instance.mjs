// An instance of `runtime: node`: the process serves the invocations of one function until its channel ends: one at a time over the channel, or
// `concurrency` of them, each over a connection of its own (several.mjs).
//
//     node --max-old-space-size=N /ebb/runtime/node/instance.mjs FUNCTION     in /var/task, the walls up
//
// FUNCTION is JSON: app, name, version, handler, memory_bytes, timeout_ms, concurrency, channel (a descriptor), began_ns (on the
// monotonic clock), and `uses`: what the function was seen to use (warm.mjs), null where it is being tried out to learn just
// that. runtimes/python/node_program.py starts it: by exec in an instance, as a child to try a deployment out.

import { Socket } from 'node:net';

import { Call, errorMeta } from './call.mjs';
import { LoadError, messageOf, traceOf, typeOf } from './failure.mjs';
import { load } from './loading.mjs';
import { usesOf, warm } from './warm.mjs';
import { Channel, kError, kNoInvocation, kReady } from './wire.mjs';

const told = JSON.parse(process.argv[2]);
process.argv.splice(1, 2, '/var/task');

const leave = process.reallyExit.bind(process); // user code may replace process.exit, and hears of it
const onTrial = told.uses === null;
const running = new Set(); // the calls under way
let handler;
let several = null; // what takes calls beside the channel

function report(text) {
  if (onTrial) return; // who tries it out says what it hears
  try {
    process.stderr.write(text);
  } catch {
    // Closed by the handler: its own affair.
  }
}

// While a call is under way no wait for the next keeps the event loop alive: one that empties means that nothing can go on. Where there may be
// several, another call, or the leave of a client, may be what this one waits for.
async function run(call) {
  running.add(call);
  channel.holdsLoop(several !== null);
  await call.run(handler);
  running.delete(call);
  if (running.size === 0) channel.holdsLoop(true);
}

function take(from, frame) {
  const call = new Call(from, frame, told, report);
  if (several === null) void run(call);
  else several.within(call, () => void run(call));
  return call;
}

// Whose code runs now, where that can be told.
const present = () => (several === null ? [...running].at(-1) : several.present);

const channel = new Channel(new Socket({ fd: told.channel, readable: true, writable: true }), (frame) => take(channel, frame), () => leave(0));

process.on('beforeExit', () => {
  if (handler === undefined) {
    failInit(new LoadError('NeverReady', `the module of handler '${told.handler}' never finishes loading: its top-level await waits for nothing`));
  }
  channel.holdsLoop(true);
  for (const call of running) call.giveUp();
});

process.on('uncaughtException', (error) => {
  if (process.listenerCount('uncaughtException') > 1) return; // the user's own listener has it
  const trace = traceOf(error);
  report(trace);
  if (handler === undefined) failInit(new LoadError(typeOf(error), messageOf(error), trace));
  present()?.end(typeOf(error), messageOf(error), trace);
  leave(1);
});

process.on('exit', (status) => {
  const what = `process.exit(${status}) was called`;
  if (handler === undefined) failInit(new LoadError('ProcessExit', `${what} while the module was being loaded`));
  present()?.end('ProcessExit', `${what} before the handler answered`);
});

function failInit(error) {
  if (error.trace === '') report(`${error.type}: ${error.message}\n`);
  channel.sendNow(kError, kNoInvocation, errorMeta('init', error.type, error.message, error.trace));
  leave(1);
}

channel.holdsLoop(false);
await warm(told.uses ?? []);
try {
  handler = await load(told.handler);
} catch (error) {
  report(error.trace ?? '');
  failInit(error instanceof LoadError ? error : new LoadError(typeOf(error), messageOf(error), traceOf(error)));
}
if (told.concurrency > 1 && !onTrial) several = await (await import('./several.mjs')).Several.listen(take);
channel.holdsLoop(true);
const spent = process.hrtime.bigint() - BigInt(told.began_ns);
const learnt = onTrial ? `,"uses":${JSON.stringify(usesOf(told.handler))}` : '';
const port = several === null ? '' : `,"port":${several.port}`;
channel.send(kReady, kNoInvocation, Buffer.from(`{"init_ns":${spent}${learnt}${port}}`));
