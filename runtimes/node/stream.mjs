// A streamed answer: the head with the first piece, then each piece as it comes, then the end, as runtimes/python/stream.py.
//
// 1. Nothing is sent before there is a piece, so what fails before it is an ordinary error, and a stream without a piece is
//    an ordinary answer.
// 2. The next piece is asked for when the kernel has taken the one before: where the client takes no more, the handler waits.
// 3. Where the answer goes out without its body (HEAD, 204, 304) the source is ended at its first piece.

import { Unserialisable, bytesOf } from './events.mjs';
import { kEnd, kPiece, kResult, kStream, kStreamPieceBytes } from './wire.mjs';

function pieceOf(value, number) {
  if (typeof value === 'string') return Buffer.from(value);
  const bytes = bytesOf(value);
  if (bytes) return bytes;
  throw new Unserialisable(`piece ${number} of the stream is of type ${value === null ? 'null' : typeof value}: strings or bytes are wanted`);
}

// Resolves to the frame that ends the answer, [type, meta], which is not sent yet. Errors: the source's; Unserialisable; TooLarge for the head.
export async function pump(channel, invocation, head, source, headOnly) {
  const bodyless = headOnly || head.status === 204 || head.status === 304;
  let number = 0;
  let began = false;
  for await (const value of source) {
    number += 1;
    const data = pieceOf(value, number);
    if (data.length === 0) continue;
    if (!began) head.setType(typeof value === 'string' ? 'text/plain; charset=utf-8' : 'application/octet-stream');
    if (bodyless) break;
    for (let at = 0; at < data.length; at += kStreamPieceBytes) {
      const part = data.subarray(at, at + kStreamPieceBytes);
      if (began) {
        await channel.send(kPiece, invocation, undefined, part);
      } else {
        const meta = head.meta();
        began = true;
        await channel.send(kStream, invocation, meta, part);
      }
    }
  }
  if (began) return [kEnd];
  if (!headOnly) return [kResult, head.meta()];
  // Its length is that of an answer to GET, where the head says so; else nobody knows it.
  await channel.send(kStream, invocation, head.meta());
  return [kEnd];
}
