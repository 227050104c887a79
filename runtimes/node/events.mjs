// Between frames and what a handler sees: the same events, and results, as runtimes/python/events.py and results.py.
//
// In. 'http': the event (payload version 2.0) with body and isBase64Encoded: text types, and valid UTF-8 of no stated
// type, as a string; all else in base64; no body when there is none. 'direct': the payload's JSON when its type is JSON,
// or not stated and it is JSON; null when there is none; else a Buffer.
//
// Out. An object with statusCode is a whole HTTP response. Any other value is the body: a string as text/plain, bytes as
// application/octet-stream, null and undefined as an empty body, the rest as JSON. For a direct call the value is JSON, or
// bytes. A Response of fetch's is a whole HTTP response, its body a stream. What can be iterated over asynchronously (async generators, Readable, ReadableStream), or a generator, alone or
// as the body of a response, is a stream.

import { kFrameBodyBytes, kFrameMetaBytes } from './wire.mjs';

export class BadPayload extends Error {}
export class Unserialisable extends Error {}
export class TooLarge extends Error {}

const kTextTypes = new Set([
  'application/json',
  'application/xml',
  'application/javascript',
  'application/x-javascript',
  'application/x-www-form-urlencoded',
  'application/x-ndjson',
  'application/yaml',
  'application/graphql',
]);
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(body) {
  try {
    return strict.decode(body);
  } catch {
    return undefined;
  }
}

const mediaType = (value) => (value ?? '').split(';', 1)[0].trim().toLowerCase();
const isText = (type) => kTextTypes.has(type) || type.startsWith('text/') || type.endsWith('+json') || type.endsWith('+xml');

function httpEvent(event, body) {
  event.isBase64Encoded = false;
  if (body.length === 0) return event;
  const type = mediaType(event.headers?.['content-type']);
  const text = type === '' || isText(type) ? textOf(body) : undefined;
  event.body = text ?? body.toString('base64');
  event.isBase64Encoded = text === undefined;
  return event;
}

function directEvent(meta, body) {
  const type = mediaType(meta.content_type);
  const stated = type === 'application/json' || type.endsWith('+json');
  if (body.length === 0) {
    if (stated) throw new BadPayload('the payload is empty, its type is JSON: send {} or no content type');
    return null;
  }
  if (type !== '' && !stated) return body;
  const text = textOf(body);
  if (text === undefined) {
    if (stated) throw new BadPayload('the payload is not UTF-8, its type is JSON');
    return body;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    if (stated) throw new BadPayload(`the payload is not JSON, though its type says so: ${error.message}`);
    return body;
  }
}

export function eventOf(meta, body) {
  return meta.kind === 'http' ? httpEvent(meta.event, body) : directEvent(meta, body);
}

function nameOf(value) {
  if (value === null || typeof value !== 'object') return value === null ? 'null' : `of type ${typeof value}`;
  return `of class ${value.constructor?.name ?? 'Object'}`;
}

// Bytes as a Buffer without a copy; undefined for what is none.
export function bytesOf(value) {
  if (Buffer.isBuffer(value)) return value;
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return Buffer.from(value);
  return undefined;
}

export function isStream(value) {
  if (value === null || typeof value !== 'object' || bytesOf(value)) return false;
  return typeof value[Symbol.asyncIterator] === 'function' || (typeof value.next === 'function' && typeof value[Symbol.iterator] === 'function');
}

function dump(value, name = 'the result') {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new Unserialisable(`${name} cannot be sent as JSON: ${error?.message?.split('\n').map((part) => part.trim()).join(' ') ?? error}`);
  }
  if (text === undefined) throw new Unserialisable(`${name} is ${nameOf(value)}, which cannot be sent as JSON`);
  return Buffer.from(text);
}

const kHeaderName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const kHeaderValue = /^[\t\x20-\x7e\x80-\xff]*$/;

function statusOf(value) {
  const status = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (!Number.isInteger(status) || status < 100 || status > 599) {
    throw new Unserialisable(`statusCode is ${String(value).slice(0, 100)}: a number from 100 to 599 is wanted`);
  }
  return status;
}

function headerText(name, value) {
  if (!['string', 'number', 'boolean'].includes(typeof value)) {
    throw new Unserialisable(`the header '${name}' is ${nameOf(value)}: a string is wanted`);
  }
  const text = String(value);
  if (!kHeaderValue.test(text)) {
    throw new Unserialisable(`the header '${name}' has a character that a header cannot hold: ${JSON.stringify(text.slice(0, 100))}`);
  }
  return text;
}

function headersOf(value) {
  const headers = [];
  for (const key of ['headers', 'multiValueHeaders']) {
    const given = value[key];
    if (given === undefined || given === null) continue;
    if (typeof given !== 'object' || Array.isArray(given)) throw new Unserialisable(`${key} is ${nameOf(given)}: an object is wanted`);
    const entries = typeof given.entries === 'function' && !Object.hasOwn(given, 'entries') ? [...given.entries()] : Object.entries(given);
    for (const [name, content] of entries) {
      if (!kHeaderName.test(name)) throw new Unserialisable(`'${String(name).slice(0, 100)}' is not a header's name`);
      for (const one of Array.isArray(content) ? content : [content]) {
        if (one !== undefined && one !== null) headers.push([name, headerText(name, one)]);
      }
    }
  }
  return headers;
}

function cookiesOf(value) {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Unserialisable(`cookies is ${nameOf(value)}: an array of strings is wanted`);
  return value.map((cookie) => headerText('Set-Cookie', cookie));
}

// Status and headers of an answer.
export class Head {
  constructor(status = 200, headers = [], cookies = []) {
    this.status = status;
    this.headers = headers;
    this.cookies = cookies;
  }

  setType(type) {
    if (type && !this.headers.some(([name]) => name.toLowerCase() === 'content-type')) this.headers.push(['content-type', type]);
    return this;
  }

  meta() {
    const meta = Buffer.from(JSON.stringify({ status: this.status, headers: this.headers, cookies: this.cookies }));
    if (meta.length <= kFrameMetaBytes) return meta;
    throw new TooLarge(`headers and cookies of the result are ${meta.length} bytes, the limit is ${kFrameMetaBytes}`);
  }
}

function decoded(body) {
  if (bytesOf(body)) body = bytesOf(body).toString('latin1');
  if (typeof body !== 'string') throw new Unserialisable(`isBase64Encoded is true, but body is ${nameOf(body)}`);
  if (body.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(body)) {
    throw new Unserialisable('isBase64Encoded is true, but body is not base64');
  }
  return Buffer.from(body, 'base64');
}

function response(value) {
  const head = new Head(statusOf(value.statusCode), headersOf(value), cookiesOf(value.cookies));
  const { body } = value;
  if (isStream(body)) {
    if (value.isBase64Encoded) throw new Unserialisable('isBase64Encoded is true, but body is a stream: let it give bytes');
    return { head, stream: body };
  }
  if (value.isBase64Encoded) return { head: head.setType('application/octet-stream'), body: decoded(body) };
  if (body === undefined || body === null) return { head, body: Buffer.alloc(0) };
  if (typeof body === 'string') return { head: head.setType('application/json'), body: Buffer.from(body) };
  const bytes = bytesOf(body);
  if (bytes) return { head: head.setType('application/octet-stream'), body: bytes };
  return { head: head.setType('application/json'), body: dump(body, 'the body of the result') };
}

// What other platforms' handlers return. Told by its tag: to name its class would load all of fetch.
const isResponse = (value) => Object.prototype.toString.call(value) === '[object Response]' && typeof value.headers?.getSetCookie === 'function';

function ofResponse(value) {
  const headers = [...value.headers].filter(([name]) => name !== 'set-cookie').map(([name, text]) => [name, headerText(name, text)]);
  const head = new Head(statusOf(value.status), headers, cookiesOf(value.headers.getSetCookie()));
  return value.body ? { head, stream: value.body } : { head, body: Buffer.alloc(0) };
}

function plain(kind, value) {
  const bytes = bytesOf(value);
  if (bytes) return { head: new Head().setType('application/octet-stream'), body: bytes };
  if (isStream(value)) return { head: new Head(), stream: value };
  if (kind === 'http') {
    if (value === undefined || value === null) return { head: new Head(), body: Buffer.alloc(0) };
    if (typeof value === 'string') return { head: new Head().setType('text/plain; charset=utf-8'), body: Buffer.from(value) };
  }
  return { head: new Head().setType('application/json'), body: dump(value === undefined ? null : value) };
}

// {head, body} or {head, stream}. Errors: Unserialisable, TooLarge; getters of a user's own may throw anything.
export function answerOf(kind, value) {
  const whole = value !== null && typeof value === 'object' && !Array.isArray(value) && 'statusCode' in value;
  const answer = isResponse(value) ? ofResponse(value) : whole && (kind === 'http' || isStream(value.body)) ? response(value) : plain(kind, value);
  if (answer.body?.length > kFrameBodyBytes) {
    throw new TooLarge(
      `the result is ${answer.body.length} bytes, the limit is ${kFrameBodyBytes}: put it into object storage and return where it is`,
    );
  }
  return answer;
}
