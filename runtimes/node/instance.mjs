// An instance of `runtime: node`: the process serves the invocations of one function, one at a time, until its channel ends.
//
//     node --max-old-space-size=N /ebb/runtime/node/instance.mjs FUNCTION     in /var/task, the walls up
//
// FUNCTION is JSON: app, name, version, handler, memory_bytes, timeout_ms, channel (a descriptor), began_ns (on the
// monotonic clock), and `uses`: what the function was seen to use (warm.mjs), null where it is being tried out to learn just
// that. runtimes/python/node_program.py starts it: by exec in an instance, as a child to try a deployment out.

import { Context } from './context.mjs';
import { BadPayload, TooLarge, Unserialisable, answerOf, eventOf } from './events.mjs';
import { LoadError, messageOf, traceOf, typeOf } from './failure.mjs';
import { load } from './loading.mjs';
import { pump } from './stream.mjs';
import { usesOf, warm } from './warm.mjs';
import { Channel, kError, kNoInvocation, kReady, kResult } from './wire.mjs';

const told = JSON.parse(process.argv[2]);
process.argv.splice(1, 2, '/var/task');

const leave = process.reallyExit.bind(process); // user code may replace process.exit, and hears of it
const onTrial = told.uses === null;
let handler;
let current = null; // the invocation at hand: its 16 bytes
let giveUp = null; // ends the wait for a handler that nothing can wake any more: the event loop is empty then

function report(text) {
  if (onTrial) return; // who tries it out says what it hears
  try {
    process.stderr.write(text);
  } catch {
    // Closed by the handler: its own affair.
  }
}

const errorMeta = (kind, type, message, trace = '') => Buffer.from(JSON.stringify({ kind, type, message, trace }));

// The answer is on its way before it settles, so that an end of the process cannot follow it with a second one.
function answered(type, meta, body) {
  const invocation = current;
  current = null;
  return channel.send(type, invocation, meta, body);
}

function fail(error) {
  const trace = traceOf(error);
  report(trace);
  return answered(kError, errorMeta('raised', typeOf(error), messageOf(error), trace));
}

function refuse(kind, error) {
  report(`${error.message}\n`);
  return answered(kError, errorMeta(kind, error.constructor.name, error.message));
}

function neverSettles() {
  const error = new Error('nothing is under way that could settle the promise of the handler, call its callback or go on with its stream');
  error.name = 'NeverSettles';
  error.stack = `${error.name}: ${error.message}`;
  return error;
}

// What the handler returns, resolves to, or gives to its callback.
function call(event, context) {
  return new Promise((resolve, reject) => {
    const callback = (error, value) => (error === null || error === undefined ? resolve(value) : reject(error));
    const value = handler(event, context, callback);
    if (value !== undefined || handler.length < 3) resolve(value);
  });
}

async function serve(event, meta, invocation) {
  const value = await call(event, new Context(told, meta));
  let answer;
  try {
    answer = answerOf(meta.kind, value);
  } catch (error) {
    // A toJSON or a getter of the user's own may throw anything.
    throw error instanceof TooLarge || error instanceof Unserialisable ? error : new Unserialisable(`the result cannot be read: ${messageOf(error)}`);
  }
  if (answer.stream === undefined) return answered(kResult, answer.head.meta(), answer.body);
  await pump(channel, invocation, answer.head, answer.stream, meta.head_only === true);
  if (current === invocation) current = null;
}

async function invoke({ meta, body, invocation }) {
  current = invocation;
  let event;
  try {
    event = eventOf(meta, body);
  } catch (error) {
    if (error instanceof BadPayload) return refuse('raised', error);
    throw error;
  }
  let giveUpHere;
  const stuck = new Promise((_, reject) => {
    giveUpHere = () => reject(neverSettles());
  });
  giveUp = giveUpHere;
  channel.holdsLoop(false);
  try {
    await Promise.race([serve(event, meta, invocation), stuck]);
  } catch (error) {
    if (error instanceof TooLarge) await refuse('too_large', error);
    else if (error instanceof Unserialisable) await refuse('unserialisable', error);
    else await fail(error);
  } finally {
    if (giveUp === giveUpHere) { // else the next invocation is here already
      giveUp = null;
      channel.holdsLoop(true);
    }
  }
}

const channel = new Channel(told.channel, (frame) => void invoke(frame), () => leave(0));

process.on('beforeExit', () => {
  if (handler === undefined) {
    failInit(new LoadError('NeverReady', `the module of handler '${told.handler}' never finishes loading: its top-level await waits for nothing`));
  }
  channel.holdsLoop(true);
  giveUp?.();
});

process.on('uncaughtException', (error) => {
  if (process.listenerCount('uncaughtException') > 1) return; // the user's own listener has it
  const trace = traceOf(error);
  report(trace);
  if (handler === undefined) failInit(new LoadError(typeOf(error), messageOf(error), trace));
  if (current !== null) channel.sendNow(kError, current, errorMeta('ended', typeOf(error), messageOf(error), trace));
  current = null;
  leave(1);
});

process.on('exit', (status) => {
  const what = `process.exit(${status}) was called`;
  if (handler === undefined) failInit(new LoadError('ProcessExit', `${what} while the module was being loaded`));
  if (current !== null) channel.sendNow(kError, current, errorMeta('ended', 'ProcessExit', `${what} before the handler answered`));
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
channel.holdsLoop(true);
const spent = process.hrtime.bigint() - BigInt(told.began_ns);
const learnt = onTrial ? `,"uses":${JSON.stringify(usesOf(told.handler))}` : '';
channel.send(kReady, kNoInvocation, Buffer.from(`{"init_ns":${spent}${learnt}}`));
