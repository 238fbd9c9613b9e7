// SPDX-License-Identifier: MIT

// The thread of a ThreadedSocket: a worker, and no module, since browsers came to know those late. The words
// between page and worker are [word, value] and stand in threaded-socket.js.

const EVERY = 8;          // ms between batches: none waits for the next one unless messages come faster
const BUFFERED = 50;      // ms between looks at how much is still unsent

let socket = null;
let lossy = [];
let batch = new Map();    // messages by what supersedes them: '<id> <msgtype>' if that type is lossy, else a number
let numbers = 0;          // given to those that nothing supersedes
let handled = true;       // whether the page is done with the last batch
let resting = false;      // whether that was less than EVERY ago
let watching = null;      // the timer that looks at what is unsent

const words = {
  open({ url, lossy: msgtypes }) {
    lossy = msgtypes;
    try {
      socket = new WebSocket(url);
    } catch (refused) {
      return tell('close', { code: 1006, reason: refused.message });
    }
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => tell('open');
    socket.onmessage = ({ data }) => take(data);
    socket.onclose = ({ code, reason }) => {
      if (batch.size) tell('messages', [...batch.values()]);
      tell('close', { code, reason });
      close();
    };
  },

  send(message) {
    socket.send(message);
    watching ??= setInterval(tellBuffered, BUFFERED);
  },

  handled() {
    handled = true;
    pass();
  },

  close(code) {
    socket.onmessage = null;
    socket.onclose = () => close();
    socket.close(code);
  },
};

onmessage = ({ data: [word, value] }) => words[word](value);

function tell(word, value) {
  postMessage([word, value]);
}

/** Takes a message from the relay; the page has not seen the older one that it may supersede. */
function take(message) {
  const kind = kindOf(message);
  batch.delete(kind);
  batch.set(kind, message);
  pass();
}

function kindOf(message) {
  if (typeof message !== 'string') return ++numbers;
  const first = message.indexOf(' ');
  const second = message.indexOf(' ', first + 1);
  const head = second < 0 ? message : message.slice(0, second);
  return lossy.includes(head.slice(first + 1)) ? head : ++numbers;
}

/** Gives the page what is there, if it has time. */
function pass() {
  if (!handled || resting || !batch.size) return;
  tell('messages', [...batch.values()]);
  batch = new Map();
  handled = false;
  resting = true;
  setTimeout(() => {
    resting = false;
    pass();
  }, EVERY);
}

function tellBuffered() {
  tell('buffered', socket.bufferedAmount);
  if (socket.bufferedAmount) return;
  clearInterval(watching);
  watching = null;
}
