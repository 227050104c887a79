// The handler of app.py in JavaScript.
import { setTimeout as pause } from "node:timers/promises";

const kPieces = 2;

export async function* handler(event, context) {
  for (let number = 0; number < kPieces; ++number) {
    if (number > 0) await pause(5);
    yield `${process.hrtime.bigint()}\n`;
  }
}
