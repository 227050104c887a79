// Several calls at a time (`concurrency` above 1): each comes over a connection of its own to a port on the instance's loopback, with the same
// frames as on the channel. A connection that ends before its call is answered says that the client has left.
//
// 1. What a call writes to process.stdout and process.stderr, however late and from whatever it started, goes over its own connection, so that
//    the log knows whose it is. All else (addons, other processes, what is written after the answer) goes to the streams as ever.
// 2. Who connects is the daemon, or code of the same function: what is no frame closes its connection and nothing else.

import { AsyncLocalStorage } from 'node:async_hooks';
import { createServer } from 'node:net';

import { Channel, kErr, kOut, kStreamPieceBytes } from './wire.mjs';

const kWaiting = 256; // connections that are not yet accepted

// Nobody reads the answer any more.
class Gone extends Error {}

class Connection extends Channel {
  call = null;

  received(data) {
    try {
      super.received(data);
    } catch {
      this.socket.destroy();
    }
  }

  async send(type, invocation, meta, body) {
    if (this.socket.destroyed) {
      this.call?.leave();
      throw new Gone('the client has left');
    }
    await super.send(type, invocation, meta, body);
  }
}

export class Several {
  #calls = new AsyncLocalStorage();
  #server;

  // `take` makes a call of a frame and runs it: (connection, frame) -> Call. Resolves when connections are accepted.
  static async listen(take) {
    const several = new Several();
    several.#server = createServer({ noDelay: true }, (socket) => several.#accept(socket, take));
    await new Promise((resolve, reject) => several.#server.on('error', reject).listen({ port: 0, host: '127.0.0.1', backlog: kWaiting }, resolve));
    several.#share(process.stdout, kOut);
    several.#share(process.stderr, kErr);
    return several;
  }

  get port() {
    return this.#server.address().port;
  }

  // The call that the running code belongs to, or undefined.
  get present() {
    return this.#calls.getStore();
  }

  // Runs `task` as part of a call.
  within(call, task) {
    return this.#calls.run(call, task);
  }

  #accept(socket, take) {
    const connection = new Connection(socket, (frame) => {
      if (connection.call?.open) throw new Error('a second call on a connection');
      connection.call = take(connection, frame);
    }, () => socket.destroy());
    socket.on('close', () => connection.call?.leave());
  }

  #share(stream, type) {
    const write = stream.write.bind(stream);
    stream.write = (chunk, encoding, callback) => {
      const call = this.present;
      if (!call?.open || (typeof chunk !== 'string' && !ArrayBuffer.isView(chunk))) return write(chunk, encoding, callback);
      const done = typeof encoding === 'function' ? encoding : callback;
      const bytes = typeof chunk === 'string' // a copy: the caller may write over its own
        ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8')
        : Buffer.from(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      for (let at = 0; at < bytes.length; at += kStreamPieceBytes) {
        void call.channel.send(type, call.invocation, undefined, bytes.subarray(at, at + kStreamPieceBytes)).catch(() => {});
      }
      if (done) process.nextTick(done);
      return true;
    };
  }
}
