// A plain process with the handler of hello.mjs: reads an event, answers, ends.
import { readFileSync } from "node:fs";
import { handler } from "./hello.mjs";

console.log(JSON.stringify(handler(JSON.parse(readFileSync(0)), {})));
