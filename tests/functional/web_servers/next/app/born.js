// Which process answers.
export const born = (globalThis.born ??= `${process.pid}-${Date.now()}`);
