// SPDX-License-Identifier: MIT

// The thread of a ThreadedSocket: the worker that has the WebSocket. Its methods are the words of the page
// to it, which stand with its own in threaded-socket.js.

const BATCH_MS = 8;     // ms between batches: nothing waits for the next one unless messages come faster
const BUFFERED_MS = 50; // ms between looks at how much is still unsent

export class SocketThread {
  #post;
  #create;
  #later;
  #socket = null;
  #lossy = [];
  #batch = new Map();     // messages by kind: '<id> <msgtype>' if that type is lossy, else a number of its own
  #numbers = 0;           // given so far
  #handled = true;        // whether the page is done with the last batch
  #resting = false;       // whether that went out less than BATCH_MS ago
  #watching = false;      // what is unsent

  /** `post` takes a word and a value to the page; the others are the browser's, but for tests. */
  constructor(post, { create = url => new WebSocket(url), later = (action, ms) => setTimeout(action, ms) } = {}) {
    this.#post = post;
    this.#create = create;
    this.#later = later;
  }

  open({ url, lossy }) {
    this.#lossy = lossy;
    try {
      this.#socket = this.#create(url);
    } catch (refused) {   // by the browser, which forbids ws: to a page that came over https:
      return this.#post('close', { code: 1006, reason: refused.message });
    }
    const socket = this.#socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => this.#post('open');
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = ({ code, reason }) => {
      if (this.#batch.size) this.#post('messages', [...this.#batch.values()]);
      this.#post('close', { code, reason });
    };
  }

  send(message) {
    if (this.#socket.readyState > 1) return;   // it is closing, which the page will hear
    this.#socket.send(message);
    if (!this.#watching) this.#later(() => this.#watch(), BUFFERED_MS);
    this.#watching = true;
  }

  handled() {
    this.#handled = true;
    this.#pass();
  }

  close(code) {
    this.#batch.clear();
    this.#socket.onmessage = null;
    this.#socket.close(code);
  }

  /** Takes a message from the relay. An older one that it supersedes has not been seen by the page. */
  #take(message) {
    const kind = this.#kindOf(message);
    this.#batch.delete(kind);
    this.#batch.set(kind, message);
    this.#pass();
  }

  #kindOf(message) {
    if (typeof message !== 'string') return ++this.#numbers;
    const first = message.indexOf(' ');
    const second = message.indexOf(' ', first + 1);
    const head = second < 0 ? message : message.slice(0, second);
    return this.#lossy.includes(head.slice(first + 1)) ? head : ++this.#numbers;
  }

  /** Gives the page what is there, if it is time. */
  #pass() {
    if (!this.#handled || this.#resting || !this.#batch.size) return;
    this.#post('messages', [...this.#batch.values()]);
    this.#batch.clear();
    this.#handled = false;
    this.#resting = true;
    this.#later(() => {
      this.#resting = false;
      this.#pass();
    }, BATCH_MS);
  }

  #watch() {
    const { bufferedAmount } = this.#socket;
    this.#post('buffered', bufferedAmount);
    this.#watching = bufferedAmount > 0;
    if (this.#watching) this.#later(() => this.#watch(), BUFFERED_MS);
  }
}

if (globalThis.WorkerGlobalScope) {
  const thread = new SocketThread((word, value) => postMessage([word, value]));
  globalThis.onmessage = ({ data: [word, value] }) => thread[word](value);
}
