// A call: from its kInvoke frame to the end of its answer, on the channel that the frame came by.

import { Context } from './context.mjs';
import { BadPayload, TooLarge, Unserialisable, answerOf, eventOf } from './events.mjs';
import { messageOf, traceOf, typeOf } from './failure.mjs';
import { pump } from './stream.mjs';
import { kError, kResult } from './wire.mjs';

export const errorMeta = (kind, type, message, trace = '') => Buffer.from(JSON.stringify({ kind, type, message, trace }));

function neverSettles() {
  const error = new Error('nothing is under way that could settle the promise of the handler, call its callback or go on with its stream');
  error.name = 'NeverSettles';
  error.stack = `${error.name}: ${error.message}`;
  return error;
}

// What the handler returns, resolves to, or gives to its callback.
function valueOf(handler, event, context) {
  return new Promise((resolve, reject) => {
    const callback = (error, value) => (error === null || error === undefined ? resolve(value) : reject(error));
    const value = handler(event, context, callback);
    if (value !== undefined || handler.length < 3) resolve(value);
  });
}

export class Call {
  #meta;
  #body;
  #context;
  #giveUp; // ends the wait for a handler that nothing can wake any more: the event loop is empty then

  constructor(channel, { meta, body, invocation }, told, report) {
    this.channel = channel;
    this.invocation = invocation;
    this.open = true; // nothing that ends it has been sent, and somebody waits for it
    this.report = report; // puts text into its log
    this.#meta = meta;
    this.#body = body;
    this.#context = new Context(told, meta);
  }

  // Settles when it is answered; never rejects.
  async run(handler) {
    const stuck = new Promise((_, reject) => {
      this.#giveUp = () => reject(neverSettles());
    });
    try {
      await Promise.race([this.#serve(handler), stuck]);
    } catch (error) {
      if (this.open) await this.#tell(error); // else the client has left, and the handler stops for that
    }
  }

  async #serve(handler) {
    const event = eventOf(this.#meta, this.#body);
    this.#body = null; // the handler alone holds a large one
    const value = await valueOf(handler, event, this.#context);
    let answer;
    try {
      answer = answerOf(this.#meta.kind, value);
    } catch (error) {
      // A toJSON or a getter of the user's own may throw anything.
      throw error instanceof TooLarge || error instanceof Unserialisable ? error : new Unserialisable(`the result cannot be read: ${messageOf(error)}`);
    }
    if (answer.stream === undefined) return this.#answer(kResult, answer.head.meta(), answer.body);
    const [type, meta] = await pump(this.channel, this.invocation, answer.head, answer.stream, this.#meta.head_only === true);
    return this.#answer(type, meta);
  }

  // It is closed before the answer is sent, which may take as long as its client likes: nothing follows it, no word of its own and no second one
  // at an end of the process.
  #answer(type, meta, body) {
    if (!this.open) return undefined;
    this.open = false;
    return this.channel.send(type, this.invocation, meta, body).catch(() => {}); // the client has left meanwhile
  }

  #tell(error) {
    if (error instanceof BadPayload) return this.#refuse('raised', error);
    if (error instanceof TooLarge) return this.#refuse('too_large', error);
    if (error instanceof Unserialisable) return this.#refuse('unserialisable', error);
    const trace = traceOf(error);
    this.report(trace);
    return this.#answer(kError, errorMeta('raised', typeOf(error), messageOf(error), trace));
  }

  #refuse(kind, error) {
    this.report(`${error.message}\n`);
    return this.#answer(kError, errorMeta(kind, error.constructor.name, error.message));
  }

  // The event loop is empty.
  giveUp() {
    this.#giveUp();
  }

  // Its client has left. What it does is told so, and goes on or not.
  leave() {
    if (!this.open) return;
    this.open = false;
    this.#context.abort();
  }

  // The process ends, and why.
  end(type, message, trace) {
    if (this.open) this.channel.sendNow(kError, this.invocation, errorMeta('ended', type, message, trace));
    this.open = false;
  }
}
