// SPDX-License-Identifier: MIT

// The messages to and from one peer over two paths, the relay and a data channel: in order, and each exactly
// once. Each path keeps the order of what it carries, but one may be faster than the other, and a channel may
// break with messages in it. So the sender
//
//   - numbers the messages for the channel. The numbers need not be sent: a channel loses nothing while it lives.
//   - uses the channel only when all that it sent through the relay has arrived. Until then, messages wait.
//   - keeps each message until the peer acknowledges its number. When it gives the channel up, it retransmits the
//     rest through the relay, and the receiver skips what the channel has brought.
//   - has no more than a window of them on the channel. The others wait for acknowledgements.
//
//        path        sender                                      receiver
//        relay       path webrtc 4        through the relay -->  all before it has come; this counts as no. 4
//        switching                        <-- over the channel   ' ack 4', repeated with each beat
//        webrtc      ' path 4'            over the channel -->   takes what the channel brings from now on
//                    messages no. 5 to 9  over the channel -->
//                                         <-- over the channel   ' ack 6'
//        relay       path relay 7         through the relay -->  takes nothing from the channel until its next ' path'
//                    messages no. 7 to 9  through the relay -->  skips those that the channel has brought
//
// The two directions are independent of each other.

const LARGEST = 16_384;       // characters or bytes of a message for the channel: some channels take 64 KiB
const KEPT_BYTES = 4_194_304; // bytes: the relay, too, closes a receiver that is that far behind
const WINDOW_BYTES = 65_536;  // bytes on the channel, not acknowledged, after which the next message waits: browsers
                              // lose part of a larger burst, and Chromium then sends nothing for seconds
const ACK_BYTES = WINDOW_BYTES / 4;   // bytes received after which to acknowledge: a full window waits for no beat
const SLOW_BEATS = 10;        // in which a peer must acknowledge ACK_BYTES while messages wait
const OVERHEAD_BYTES = 64;    // bytes that a message counts beside its characters or bytes
const PATH = /^(webrtc|relay) ([1-9]\d{0,14})$/;

export class MessageStream {
  // For reading only.
  path = 'relay';       // of what is sent: 'relay', 'switching' or 'webrtc'
  isAccepting = false;  // whether messages from the channel count

  #relay;
  #channel;
  #deliver;
  #onpath;
  #last = 0;            // number of the last message for the channel, or of the last `path webrtc`
  #kept = [];           // messages for the channel that are not acknowledged; the last has the number #last
  #keptSize = 0;        // bytes
  #passed = 0;          // how many of the kept, from the first on, have been passed to the channel ...
  #passedSize = 0;      // ... and their bytes
  #slowBeats = 0;       // while messages wait: since the peer has acknowledged a change of path, or ACK_BYTES ...
  #taken = 0;           // ... of which it has acknowledged so many
  #received = 0;        // number of the last message from the channel
  #granted = null;      // number of the peer's `path webrtc`, or null after its `path relay`
  #unreported = 0;      // bytes received since the last acknowledgement
  #skip = 0;            // how many of the next messages from the relay the channel has brought

  /**
   * `relay` and `channel` are functions that send a message on either path, `deliver` takes a message from the
   * channel. `onpath` is called with 'webrtc' or 'relay' when the path has changed.
   */
  constructor({ relay, channel, deliver, onpath }) {
    this.#relay = relay;
    this.#channel = channel;
    this.#deliver = deliver;
    this.#onpath = onpath;
  }

  // ---- To the peer ----

  /** Sends a message, or has it wait for the channel. One that is too large for that goes through the relay. */
  send(message) {
    if (this.path === 'relay') return this.#relay(message);
    if (!fitsChannel(message)) {
      this.useRelay();
      const sent = this.#relay(message);
      this.useChannel();
      return sent;
    }
    if (typeof message !== 'string') message = message.slice();   // the caller may use its buffer again
    this.#last++;
    this.#kept.push(message);
    this.#keptSize += sizeOf(message);
    if (this.path === 'webrtc') this.#fillWindow();
    return true;
  }

  /** Passes messages to the channel until the window is full. */
  #fillWindow() {
    while (this.#passed < this.#kept.length && this.#passedSize < WINDOW_BYTES) {
      const message = this.#kept[this.#passed++];
      this.#passedSize += sizeOf(message);
      this.#channel(message);   // which may close, and all that is kept goes through the relay
    }
  }

  /** Switches to the channel, which is open. */
  useChannel() {
    if (this.path !== 'relay') return;
    this.path = 'switching';
    this.#relay(`path webrtc ${++this.#last}`);
  }

  /** Switches to the relay, and retransmits what the channel may have lost. */
  useRelay() {
    const was = this.path;
    if (was === 'relay') return;
    this.path = 'relay';
    const kept = this.#kept;
    this.#kept = [];
    this.#keptSize = this.#passed = this.#passedSize = 0;
    this.#relay(`path relay ${this.#last - kept.length + 1}`);
    for (const message of kept) this.#relay(message);
    if (was === 'webrtc') this.#onpath('relay');
  }

  /** Takes the number of an ` ack` from the channel: the peer has all up to that, if the channel was passed so many. */
  acknowledged(number) {
    const before = this.#last - this.#kept.length;
    if (this.path === 'switching' && number === before) {
      this.#slowBeats = this.#taken = 0;
      this.#channel(` path ${number}`);
      this.#fillWindow();
      if (this.path !== 'switching') return;   // the channel has closed, and all that went through the relay
      this.path = 'webrtc';
      this.#onpath('webrtc');
    } else if (this.path === 'webrtc' && number > before && number <= before + this.#passed) {
      const taken = this.#kept.splice(0, number - before);
      const size = taken.reduce((sum, message) => sum + sizeOf(message), 0);
      this.#passed -= taken.length;
      this.#passedSize -= size;
      this.#keptSize -= size;
      this.#taken += size;
      if (this.#taken >= ACK_BYTES) this.#slowBeats = this.#taken = 0;
      this.#fillWindow();
    }
  }

  /** Bytes that the channel has not been passed yet: the change of path, or what is there, is not acknowledged. */
  get waiting() {
    return this.#keptSize - this.#passedSize;
  }

  /** To be called with each beat. */
  beat() {
    if (this.waiting > 0) this.#slowBeats++;
    else this.#slowBeats = this.#taken = 0;
  }

  /** Whether the peer is too far behind with its acknowledgements, or too slow: others wait for what is buffered. */
  get isBehind() {
    return this.#keptSize > KEPT_BYTES || this.#slowBeats >= SLOW_BEATS;
  }

  // ---- From the peer ----

  /** Takes the data of a `path` from the relay: the peer changes its path. */
  pathChanged(data) {
    const [, path, digits] = PATH.exec(data) ?? [];
    if (!path) return;
    const number = Number(digits);
    this.isAccepting = false;
    if (path === 'relay') {
      this.#granted = null;
      this.#skip = Math.max(0, this.#received - number + 1);
    } else {
      this.#granted = this.#received = number;
      this.#acknowledge();
    }
  }

  /** Whether the message that has come from the relay was on the channel too. To be called once for each. */
  skipsNext() {
    if (this.#skip === 0) return false;
    this.#skip--;
    return true;
  }

  /** Takes the number of a ` path` from the channel. What came before it has also been sent through the relay. */
  channelStarts(number) {
    this.isAccepting = number === this.#granted;
  }

  /** Takes a message from the channel. */
  receive(message) {
    if (!this.isAccepting) return;
    this.#received++;
    this.#unreported += sizeOf(message);
    this.#deliver(message);
    if (this.#unreported > ACK_BYTES) this.#acknowledge();
  }

  /** What to send to the peer over the channel with each beat. */
  get acknowledgement() {
    return ` ack ${this.#received}`;
  }

  #acknowledge() {
    this.#unreported = 0;
    this.#channel(this.acknowledgement);
  }
}

export function fitsChannel(message) {
  return message.length <= LARGEST;
}

function sizeOf(message) {
  return message.length + OVERHEAD_BYTES;
}
