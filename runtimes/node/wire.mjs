// Frames of the channel (src/wire/frame.h), spoken by a Node process: the same as runtimes/python/wire.py.
// The daemon is trusted by the runtime, so what the protocol does not know ends the process.

import { writeSync } from 'node:fs';

export const kFrameMetaBytes = 256 * 1024; // limits::kFrameMetaBytes
export const kFrameBodyBytes = 32 * 1024 * 1024; // limits::kHttpBodyBytes
export const kStreamPieceBytes = 64 * 1024; // limits::kStreamPieceBytes

export const kInvoke = 1;
export const kResult = 2;
export const kError = 3;
export const kReady = 4;
export const kStream = 6;
export const kPiece = 7;
export const kEnd = 8;
export const kOut = 9;
export const kErr = 10;

const kHeaderBytes = 32;
const kMagic = 0xebf1;
const kVersion = 1;
export const kNoInvocation = Buffer.alloc(16);

function headed(type, invocation, meta, bodyBytes) {
  const head = Buffer.allocUnsafe(kHeaderBytes + meta.length);
  head.writeUInt16LE(kMagic, 0);
  head[2] = kVersion;
  head[3] = type;
  head.writeUInt32LE(meta.length, 4);
  head.writeUInt32LE(bodyBytes, 8);
  head.writeUInt32LE(0, 12);
  invocation.copy(head, 16);
  meta.copy(head, kHeaderBytes);
  return head;
}

const kNothing = Buffer.alloc(0);

export class Channel {
  // `take` gets each kInvoke frame as {meta, body, invocation}; `ended` is called when the daemon has closed.
  constructor(socket, take, ended) {
    this.take = take;
    this.parts = [];
    this.have = 0;
    this.wanted = kHeaderBytes;
    this.socket = socket;
    this.socket.on('data', (data) => this.received(data));
    this.socket.on('end', ended);
    this.socket.on('error', ended);
  }

  received(data) {
    this.parts.push(data);
    this.have += data.length;
    while (this.have >= this.wanted) {
      const all = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts, this.have);
      if (all.readUInt16LE(0) !== kMagic || all[2] !== kVersion || all[3] !== kInvoke) {
        throw new Error('ebb: instance: malformed frame on the channel');
      }
      const bodyAt = kHeaderBytes + all.readUInt32LE(4);
      const total = bodyAt + all.readUInt32LE(8);
      this.parts = [all];
      this.wanted = total;
      if (this.have < total) return;
      const rest = all.subarray(total);
      this.parts = rest.length > 0 ? [rest] : [];
      this.have = rest.length;
      this.wanted = kHeaderBytes;
      this.take({
        meta: JSON.parse(all.toString('utf8', kHeaderBytes, bodyAt)),
        body: all.subarray(bodyAt, total),
        invocation: Buffer.from(all.subarray(16, kHeaderBytes)),
      });
    }
  }

  // Settles when the kernel has taken all of the frame: where the daemon takes no more, it waits.
  send(type, invocation, meta = kNothing, body = kNothing) {
    return new Promise((resolve) => {
      const head = headed(type, invocation, meta, body.length);
      if (body.length === 0) {
        this.socket.write(head, resolve);
      } else {
        this.socket.cork();
        this.socket.write(head);
        this.socket.write(body, resolve);
        this.socket.uncork();
      }
    });
  }

  // For the last words of a process: as much as the socket takes at once, and nothing in the middle of another frame.
  sendNow(type, invocation, meta) {
    if (this.socket.writableLength > 0) return;
    try {
      writeSync(this.socket._handle.fd, headed(type, invocation, meta, 0));
    } catch {
      // Nobody reads it any more: the end of the process says enough.
    }
  }

  // Whether a wait for the daemon keeps the event loop alive.
  holdsLoop(holds) {
    if (holds) this.socket.ref();
    else this.socket.unref();
  }
}
