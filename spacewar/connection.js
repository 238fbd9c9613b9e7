// SPDX-License-Identifier: MIT

// One WebRTC connection to one peer: an RTCPeerConnection with two negotiated data channels, one reliable and ordered,
// one neither. It knows no relay: the offer or answer and the candidates go out through signal() and come in through
// receive(). The description is sent at once and each candidate when it is found (trickle ICE), so that a STUN server
// which does not answer delays nothing.
//
//               both channels open             nothing heard for 2.5 s
//   connecting -------------------->  open  ---------------------------->  degraded
//       |                              |    <----------------------------     |
//       | not open within 20 s         |        something heard               | nothing heard for 20 s
//       v                              v                                      v
//     closed  <----  also if the peer closes it, if ICE fails, or if the peer sends what it must not
//
// Browsers take up to 30 s to notice that a connection is dead, so each side sends a message every BEAT_MS. Beats are
// counted instead of time: a page that was suspended must not take that for silence of the peer. A closed connection
// is not opened again; webrtc-relay.js makes a new one.
//
// The peer is not trusted. The worst that it can do is to close this connection, and to make the browser send ICE
// checks to a few addresses.

export const BEAT_MS = 500;    // ms; browsers make it a second in hidden tabs
const SILENT_BEATS = 5;        // without a message, after which an open connection is degraded
const OPENING_BEATS = 40;      // in which a connection must open, or open again, or else it is closed
const LOSSY_BYTES = 16_384;    // bytes unsent, above which messages that may get lost are dropped
const MOST_CANDIDATES = 32;    // taken from a peer; a computer with many networks has ten
const LONGEST_SDP = 8_192;     // characters of a description; for two channels it has 600
const LONGEST_CANDIDATE = 256; // characters; the longest usual ones have 170
const ICE_SERVERS_MS = 3_000;  // ms to wait for the list of them; the relay carries all messages meanwhile
// An attribute's name begins and ends where we see it: Firefox takes `a= name value` for `a=name:value`.
const LINE_OF_SDP = /^(?:a=[\w-]+(?::.*)?|[b-z]=.+)$/;
// UDP only, and only addresses: a name would make the browser ask DNS servers for it, except for those
// behind which browsers hide the computer's own addresses (mDNS).
const CANDIDATE = new RegExp(String.raw`^candidate:[\w+/]{1,32} [12] udp \d{1,10} ` +
  String.raw`(?:[\d.]{7,15}|[\da-f:.]{2,45}|[\w-]{1,63}\.local) \d{1,5} typ (?:host|srflx|prflx|relay)( .*)?$`, 'i');

export class Connection {
  state = 'connecting';    // for reading only

  #offers;
  #signal;
  #onstate;
  #onmessage;
  #connection = null;      // an RTCPeerConnection
  #reliable = null;        // its channels
  #lossy = null;
  #steps;                  // a promise of all asynchronous steps so far; the next one is chained to it
  #isDescribed = false;    // whether the peer has sent its description
  #candidates = 0;         // taken
  #silentBeats = 0;        // since the last message
  #openingBeats = 0;       // since it was last open, or was made

  /**
   * Starts to connect: with an offer if it `offers`, else by an answer to the peer's. `configuration` is a promise of
   * the RTCConfiguration. signal(msgtype, data) must take its arguments to the peer's receive(). onstate(state) and
   * onmessage(message, isLossy) are called; a message is a string or a Uint8Array.
   */
  constructor({ offers, configuration, signal, onstate, onmessage }) {
    this.#offers = offers;
    this.#signal = signal;
    this.#onstate = onstate;
    this.#onmessage = onmessage;
    this.#steps = Promise.resolve();
    this.#next(async () => this.#create(await configuration));
    if (offers) this.#next(() => this.#describe('offer'));
  }

  /** Sends a message; one that may get lost is dropped if too many wait already. */
  send(message, isLossy = false) {
    const channel = isLossy ? this.#lossy : this.#reliable;
    if (!this.#hasChannels || (isLossy && channel.bufferedAmount > LOSSY_BYTES)) return;
    try {
      channel.send(message);
    } catch {   // the browser's buffers are full, or the peer takes no messages of that length
      this.close();
    }
  }

  /** Bytes that the reliable channel has not sent yet. */
  get buffered() {
    return this.#reliable?.bufferedAmount ?? 0;
  }

  /** Sends the peer a short message, and counts. To be called every BEAT_MS. */
  beat(message) {
    this.send(message, true);
    if (this.state === 'open' && ++this.#silentBeats === SILENT_BEATS) this.#become('degraded');
    if (this.state !== 'open' && ++this.#openingBeats === OPENING_BEATS) this.close();
  }

  close() {
    if (this.state === 'closed') return;
    this.#connection?.close();
    this.#become('closed');
  }

  #become(state) {
    this.state = state;
    this.#onstate(state);
  }

  // ---- The RTCPeerConnection ----

  #create(configuration) {
    if (this.state === 'closed') return;
    const connection = new RTCPeerConnection(configuration);
    this.#connection = connection;
    this.#reliable = this.#channel('reliable', { id: 0 });
    this.#lossy = this.#channel('lossy', { id: 1, ordered: false, maxRetransmits: 0 });
    connection.ondatachannel = () => this.close();   // both are negotiated, so an honest peer opens none
    connection.onicecandidate = ({ candidate }) => {
      if (this.state !== 'closed' && isCandidate(candidate?.candidate)) this.#signal('candidate', candidate.candidate);
    };
    connection.onconnectionstatechange = () => connection.connectionState === 'failed' && this.close();
  }

  #channel(label, options) {
    const channel = this.#connection.createDataChannel(label, { negotiated: true, ...options });
    channel.binaryType = 'arraybuffer';
    channel.onopen = () => this.#heard();
    channel.onclose = () => this.close();
    channel.onmessage = ({ data }) => {
      if (this.state === 'closed') return;
      this.#heard();
      this.#onmessage(typeof data === 'string' ? data : new Uint8Array(data), channel === this.#lossy);
    };
    return channel;
  }

  get #hasChannels() {
    return this.#reliable?.readyState === 'open' && this.#lossy.readyState === 'open';
  }

  #heard() {
    this.#silentBeats = 0;
    if (this.state === 'open' || !this.#hasChannels) return;
    this.#openingBeats = 0;
    this.#become('open');
  }

  // ---- Signalling ----

  /** Takes an `offer`, an `answer` or a `candidate` of the peer, with its data. A second description is ignored. */
  receive(msgtype, data) {
    if (msgtype === 'candidate') return this.#addCandidate(data);
    if (msgtype !== (this.#offers ? 'answer' : 'offer') || this.#isDescribed) return;
    this.#isDescribed = true;
    const sdp = checkedSdp(data);
    if (sdp === null) return this.close();
    this.#next(() => this.#connection.setRemoteDescription({ type: msgtype, sdp }));
    if (!this.#offers) this.#next(() => this.#describe('answer'));
  }

  #addCandidate(candidate) {
    if (!this.#isDescribed || !isCandidate(candidate) || ++this.#candidates > MOST_CANDIDATES) return;
    this.#next(() => {
      this.#connection.addIceCandidate({ candidate, sdpMLineIndex: 0 }).catch(() => {});   // then without this one
    });
  }

  async #describe(type) {
    const connection = this.#connection;
    const { sdp } = type === 'offer' ? await connection.createOffer() : await connection.createAnswer();
    if (this.state === 'closed') return;
    this.#signal(type, sdp);   // before it is set, since then candidates come
    await connection.setLocalDescription({ type, sdp });
  }

  /** Runs a step when all earlier ones are done. One that fails closes the connection. */
  #next(step) {
    this.#steps = this.#steps.then(() => this.state === 'closed' || step()).catch(() => this.close());
  }
}

function isCandidate(line) {
  return typeof line === 'string' && line.length <= LONGEST_CANDIDATE && CANDIDATE.test(line);
}

/** Returns a description without its candidates, or null if it is of anything but data channels. */
function checkedSdp(text) {
  if (typeof text !== 'string' || text.length > LONGEST_SDP) return null;
  const lines = text.split(/[\r\n]+/).filter(line => line && !/^a=candidate/i.test(line));
  const media = lines.filter(line => line.startsWith('m='));
  if (!lines.every(line => LINE_OF_SDP.test(line)) || media.length !== 1) return null;
  return media[0].startsWith('m=application ') ? `${lines.join('\r\n')}\r\n` : null;
}

/**
 * The RTCConfiguration at an address, as JSON, or an empty one if there is none, or not in time: without STUN
 * servers players behind different routers stay on the relay.
 */
export async function configurationFrom(address) {
  const response = await fetch(address, { signal: AbortSignal.timeout(ICE_SERVERS_MS) }).catch(() => null);
  if (!response) return {};   // which the browser reports by itself
  try {
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    const { iceServers, iceTransportPolicy } = await response.json();
    const configuration = { iceServers, iceTransportPolicy };
    new RTCPeerConnection(configuration).close();   // throws if anything is wrong with it
    return configuration;
  } catch (error) {
    console.warn(`No ICE servers from ${address}: ${error.message}`);
    return {};
  }
}
