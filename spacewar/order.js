// SPDX-License-Identifier: MIT

// Two ways lead to a peer, the relay and a data channel. Each keeps the order of what it carries, but
// when a sender changes from one to the other, the second may be faster than the first, and a channel
// that broke may still bring, later, what was given up. This puts it right, for one peer:
//
// What goes into the channel is numbered, beginning with the word that says so; the numbers themselves
// need not be sent, since a channel loses nothing as long as it lives.
//
//     through the relay            over the channel
//     path webrtc 4                ' path 4'            from now on over the channel; this is its no. 4
//                                  no. 5, 6, 7 ...      wait over there until `path webrtc 4` came
//     path relay 6                                      through the relay again, and no. 6 and 7 next
//     no. 6, no. 7, no. 8 ...                           what was there already is skipped
//
// Each side tells the other from time to time (`got`) what came. The rest is kept until then: so a
// channel may break at any time, and nothing is lost, doubled or overtaken.
//
// When the relay is lost, what it carried has come or never will: then nothing waits for it.

const WAITING = 1_048_576;   // bytes that may wait, or be kept: a second's at 8 Mbit/s
const OVERHEAD = 64;         // bytes that any message costs
const LARGE = 16_384;        // characters or bytes: what is larger might not fit into a channel's message
const PATH = /^(webrtc|relay) ([1-9]\d{0,14})$/;
const WORD = /^ path ([1-9]\d{0,14})$/;

export class Order {
  direct = false;     // whether what is sent now goes over the channel; for reading only, like got
  got = 0;            // the channel's last number that was received and handed on

  #relay;
  #channel;
  #receive;
  #sent = 0;          // the channel's last number that was sent
  #kept = [];         // the last ones sent, of which we don't know whether they came
  #keptSize = 0;
  #granted = 0;       // the number of the last `path webrtc`
  #flowing = false;   // whether no `path relay` came since
  #begun = 0;         // the number with which the channel began what it brings now
  #waiting = [];      // what it brought before the relay granted it
  #waitingSize = 0;
  #skip = 0;          // how many of the relay's next messages the channel has already brought
  #alone = false;     // whether there is no relay between us

  /** Functions that take a message: to send it on either way, and to receive it from the channel. */
  constructor({ relay, channel, receive }) {
    this.#relay = relay;
    this.#channel = channel;
    this.#receive = receive;
  }

  // ---- What we send ----

  /** The channel is good: from now on it is used. */
  rise() {
    if (this.direct) return;
    this.direct = true;
    this.#sent++;
    this.#relay(`path webrtc ${this.#sent}`);
    this.#channel(` path ${this.#sent}`);
  }

  /** It is not: what may have been lost in it is sent again. */
  fall() {
    if (!this.direct) return;
    this.direct = false;
    const again = this.#kept;
    this.#relay(`path relay ${this.#sent - again.length + 1}`);
    this.#kept = [];
    this.#keptSize = 0;
    for (const message of again) this.#relay(message);
  }

  /** Sends a message the way that is used; what does not fit into the channel makes a detour. */
  send(message) {
    if (!this.direct) return this.#relay(message);
    if (message.length > LARGE) {
      if (this.#alone) return false;
      this.fall();
      const sent = this.#relay(message);
      this.rise();
      return sent;
    }
    this.#sent++;
    this.#kept.push(message);
    this.#keptSize += sizeOf(message);
    this.#channel(message);
    return true;
  }

  /** The peer got everything up to that number; one that says too much may miss something, itself. */
  acknowledge(number) {
    const left = this.#sent - number;
    if (Number.isNaN(left) || left >= this.#kept.length) return;   // no number, or an old one
    for (const message of this.#kept.splice(0, this.#kept.length - left)) this.#keptSize -= sizeOf(message);
  }

  /** Whether more waits than may, here or for the peer to say that it came. */
  get full() {
    return this.#keptSize > WAITING || this.#waitingSize > WAITING;
  }

  // ---- What we receive ----

  /** The peer has gone over to the other way: the data of a `path` that came through the relay. */
  switched(data) {
    const [, way, digits] = PATH.exec(data) ?? [];
    if (way === 'webrtc') this.#grant(Number(digits));
    if (way !== 'relay') return;
    this.#flowing = false;
    this.#skip = Math.max(0, this.got - Number(digits) + 1);
  }

  /**
   * Whether a message that came through the relay is a new one. It isn't if the channel has brought it, nor
   * as long as all comes over a channel that is well: then it was for what the peer took for somebody else.
   * If that is not well, the peer lost it before it knew us again: now we are somebody else.
   */
  isNew(channelIsWell = true) {
    if (this.#flowing) return !channelIsWell;
    if (this.#skip === 0) return true;
    this.#skip--;
    return false;
  }

  /** Whatever came over the channel. */
  take(message) {
    const [, digits] = typeof message === 'string' && WORD.exec(message) || [];
    if (digits) return this.#begin(Number(digits));
    if (this.#begun === this.#granted && this.#flowing) return this.#hand(message);
    if (this.#begun <= this.#granted) return;   // given up, and sent again through the relay
    this.#waiting.push(message);
    this.#waitingSize += sizeOf(message);
  }

  /** What waits comes again through the relay: the channel is closed, or begins anew. */
  forget() {
    this.#waiting = [];
    this.#waitingSize = 0;
  }

  #begin(number) {
    this.#begun = number;
    this.forget();
    if (this.#alone) this.#grant(number);
  }

  #grant(number) {
    this.#granted = this.got = number;
    this.#flowing = true;
    if (this.#begun !== number) return;
    const waited = this.#waiting;
    this.forget();
    for (const message of waited) this.#hand(message);
  }

  #hand(message) {
    this.got++;
    this.#receive(message);
  }

  // ---- Without the relay ----

  /** What waits for the relay need wait no longer. */
  relayLost() {
    this.#alone = true;
    if (this.#begun > this.#granted) this.#grant(this.#begun);
  }

  relayBack() {
    this.#alone = false;
  }
}

function sizeOf(message) {
  return message.length + OVERHEAD;
}
