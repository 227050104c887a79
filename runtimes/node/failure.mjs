// A failure of user code as text: its type, its message, and a stack trace without the runtime's own frames.

import { inspect } from 'node:util';

const kTraceCharacters = 32 * 1024;
const kMessageCharacters = 8 * 1024;
const kOurs = new URL('.', import.meta.url);
const kTask = '/var/task/';

// The function cannot be loaded. `trace` is what goes into the log, or empty.
export class LoadError extends Error {
  constructor(type, message, trace = '') {
    super(message);
    this.type = type;
    this.trace = trace;
  }
}

function cut(text, characters) {
  if (text.length <= characters) return text;
  const half = characters / 2;
  return `${text.slice(0, half)}\n... ${text.length - characters} characters left out ...\n${text.slice(-half)}`;
}

export function typeOf(error) {
  try {
    if (!(error instanceof Error)) return error === null ? 'null' : typeof error;
    const named = error.name;
    const made = error.constructor?.name;
    return String(named === 'Error' && made ? made : named);
  } catch {
    return 'Error'; // getters of a user's own class may throw anything
  }
}

export function messageOf(error) {
  try {
    let text = error instanceof Error ? String(error.message) : typeof error === 'string' ? error : inspect(error, { depth: 2 });
    // "fetch failed" alone says nothing.
    if (error instanceof Error && error.cause instanceof Error && error.cause.message) text += `: ${error.cause.message}`;
    return cut(text, kMessageCharacters);
  } catch {
    return '(the error cannot be read: it throws)';
  }
}

const isOurs = (line) => line.includes(kOurs.href) || line.includes(kOurs.pathname);

// Of each stack, what stands above the runtime's own frames: below those is nothing of the user's.
function withoutOurs(lines) {
  let below = false;
  return lines.filter((line) => {
    if (!/^\s+at /.test(line)) {
      below = false;
      return true;
    }
    below ||= isOurs(line);
    return !below && !line.includes('node:internal/');
  });
}

export function traceOf(error) {
  try {
    return cut(withoutOurs(inspect(error, { depth: 4 }).split('\n')).join('\n'), kTraceCharacters) + '\n';
  } catch {
    return `${typeOf(error)}: ${messageOf(error)}\n`;
  }
}

// 'index.js line 3', where the failure is in the package; else ''.
export function placeOf(error) {
  try {
    const found = /(?:file:\/\/)?\/var\/task\/(.+?):(\d+)/.exec(String(error.stack));
    return found ? `${found[1]} line ${found[2]}` : '';
  } catch {
    return '';
  }
}

export const withinPackage = (path) => (path.startsWith(kTask) ? path.slice(kTask.length) : path);
