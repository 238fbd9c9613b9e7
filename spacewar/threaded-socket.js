// SPDX-License-Identifier: MIT

/**
 * A WebSocket in a thread of its own, as far as ws-relay.js uses one. Browsers bring each message to the page
 * as a task, and 20,000 tasks a second leave time for nine frames, whatever is done in them. Here a worker
 * takes the messages and brings the page at most one batch in 8 ms. Of messages of the types in `lossy` only
 * a sender's latest is in it, since it supersedes the others. Words to the worker, then from it:
 *
 *     open { url, lossy }   send message   handled: the last batch   close code
 *     open   messages [...]   buffered bytes   close { code, reason }
 */
export class ThreadedSocket {
  readyState = WebSocket.CONNECTING;
  bufferedAmount = 0;    // bytes, as last told
  onmessage = null;
  onclose = null;
  #worker = new Worker(new URL('socket-thread.js', import.meta.url), { type: 'module' });

  constructor(url, lossy) {
    this.#worker.onmessage = ({ data: [word, value] }) => this.#words[word](value);
    this.#worker.onerror = ({ message }) => this.#words.close({ code: 1006, reason: message ?? '' });
    this.#post('open', { url, lossy });
  }

  send(message) {
    this.#post('send', message);
  }

  close(code) {
    if (this.readyState === WebSocket.CLOSED) return;
    this.readyState = WebSocket.CLOSING;
    this.#post('close', code);
  }

  #post(word, value) {
    this.#worker.postMessage([word, value]);
  }

  #words = {
    open: () => {
      this.readyState = WebSocket.OPEN;
    },
    messages: messages => {
      for (const data of messages) this.onmessage?.({ data });
      this.#post('handled');
    },
    buffered: bytes => {
      this.bufferedAmount = bytes;
    },
    close: detail => {
      this.#worker.terminate();
      this.readyState = WebSocket.CLOSED;
      this.onclose?.(detail);
    },
  };
}
