// The program of `node`, which a plain process (plain.mjs) runs as well.
export function handler(event, context) {
  return { message: "hello, world" };
}
