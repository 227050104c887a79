// The program of `http`: node:http on $PORT. With $PROCESSES, as a plain server, so many of them share the port.
import cluster from "node:cluster";
import { createServer } from "node:http";

if (cluster.isPrimary && process.env.PROCESSES) {
  for (let count = 0; count < Number(process.env.PROCESSES); ++count) cluster.fork();
} else {
  createServer((request, response) => {
    const body = JSON.stringify({ message: "hello, world" });
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
  }).listen(Number(process.env.PORT), "127.0.0.1");
}
