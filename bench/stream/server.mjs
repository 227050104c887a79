// The streams of app.py from a web server; what is posted is counted and dropped.
import { createServer } from "node:http";
import { handler } from "./pieces.mjs";

const kLarge = Buffer.alloc(65536, "x");

async function* large(count) {
  for (let number = 0; number < count; ++number) yield kLarge;
}

async function send(response, pieces) {
  for await (const piece of pieces) {
    if (!response.write(piece)) await new Promise((resume) => response.once("drain", resume));
  }
  response.end();
}

createServer(async (request, response) => {
  if (request.method === "POST") {
    let bytes = 0;
    for await (const piece of request) bytes += piece.length;
    response.end(String(bytes));
    return;
  }
  const count = new URL(request.url, "http://localhost").searchParams.get("pieces");
  await send(response, count === null ? handler() : large(Number(count)));
}).listen(Number(process.env.PORT), "127.0.0.1");
