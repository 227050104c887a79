// Loading a function: its module, CommonJS or ES, and its handler, with errors that name the file and the remedy.

import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import { LoadError, messageOf, placeOf, traceOf, typeOf, withinPackage } from './failure.mjs';

const kTask = '/var/task';
const kMachines = { 3: 'ia32', 40: 'arm', 62: 'x64', 183: 'arm64', 243: 'riscv64' };
const kParseMs = 10_000;
const kParseBytes = 256 * 1024;
const kEndings = ['.mjs', '.cjs', '.js'];

// The file of a handler. Errors: LoadError.
export function fileOf(handler) {
  const module = handler.slice(0, handler.lastIndexOf('.'));
  for (const ending of kEndings) {
    const path = `${kTask}/${module}${ending}`;
    if (existsSync(path)) return path;
  }
  if (existsSync(`${kTask}/${module}.ts`)) {
    throw new LoadError('ModuleNotFound', `'${module}.ts' is TypeScript: build it to JavaScript, and deploy that`);
  }
  const present = readdirSync(kTask).filter((name) => kEndings.some((ending) => name.endsWith(ending)));
  const listing = present.slice(0, 8).join(', ') || 'no JavaScript file';
  throw new LoadError(
    'ModuleNotFound',
    `the package has no '${module}.mjs', '.cjs' or '.js': its top has ${listing}; set handler to FILE.FUNCTION in ebb.yaml`,
  );
}

// What is wrong with an addon for another processor, of which the loader says that it cannot be found; else nothing.
function misfitOf(path) {
  const head = Buffer.alloc(20);
  try {
    const file = openSync(path);
    readSync(file, head);
    closeSync(file);
  } catch {
    return '';
  }
  const theirs = kMachines[head.readUInt16LE(18)] ?? 'another processor';
  if (head.toString('latin1', 0, 4) !== '\x7fELF' || theirs === process.arch) return '';
  return `is built for ${theirs}, this node is ${process.arch}: build it for that`;
}

// What Node prints of an ES module that does not parse: its place, the line, a caret below. The error itself says nothing of it. No code of
// the module's runs for that, since all that is imported is parsed first.
function unparsed(file) {
  const source = `import ${JSON.stringify(pathToFileURL(file).href)};`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', source], {
    encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'], timeout: kParseMs, maxBuffer: kParseBytes,
  });
  return /^file:\/\/\/var\/task\/[^\n]*:\d+\n[^\n]*\n[^\n]*\^[^\n]*\n/m.exec(stderr ?? '')?.[0] ?? '';
}

function explain(error, file) {
  let place = placeOf(error);
  let shown = '';
  if (place === '' && error instanceof SyntaxError) {
    shown = unparsed(file);
    place = placeOf({ stack: shown });
  }
  const trace = shown + traceOf(error);
  const type = typeOf(error);
  let message = messageOf(error).split('\n')[0];
  if (error?.code === 'ERR_MODULE_NOT_FOUND' || error?.code === 'MODULE_NOT_FOUND') {
    const wanted = /^Cannot find (?:package|module) '([^']+)'/.exec(message)?.[1] ?? '';
    if (wanted !== '' && !/^(?:[./]|file:)/.test(wanted)) {
      message += existsSync(`${kTask}/package-lock.json`)
        ? ': name it in dependencies of package.json, run npm install, and deploy again'
        : ': run npm install, and deploy package.json and package-lock.json, which have it installed on the node, or node_modules';
    }
    return new LoadError(type, message.replaceAll(`${kTask}/`, ''), trace);
  }
  if (error?.code === 'ERR_DLOPEN_FAILED') {
    const path = /^(\/[^:]+):/.exec(message)?.[1] ?? '';
    const wrong = misfitOf(path);
    if (wrong !== '') message = `${withinPackage(path)} ${wrong}`;
  }
  return new LoadError(type, `${place ? `${place}: ` : ''}${message || type}`, trace);
}

// The handler. Errors: LoadError only.
export async function load(handler) {
  const name = handler.slice(handler.lastIndexOf('.') + 1);
  const file = fileOf(handler);
  let module;
  try {
    module = await import(pathToFileURL(file).href);
  } catch (error) {
    throw explain(error, file);
  }
  // What a CommonJS module exports is its default; names of it that the parser saw are there as well.
  const found = module[name] ?? module.default?.[name];
  if (typeof found === 'function') return found;
  if (found !== undefined) {
    throw new LoadError('TypeError', `handler '${handler}' is of type ${typeof found}, not a function: it cannot be called`);
  }
  const names = new Set([...Object.keys(module), ...Object.keys(Object(module.default))]);
  const listing = [...names].filter((one) => one !== 'default' && one !== 'module.exports').slice(0, 8).join(', ') || 'nothing';
  throw new LoadError('HandlerNotFound', `handler '${handler}': ${withinPackage(file)} does not export '${name}', but ${listing}`);
}
