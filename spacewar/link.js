// SPDX-License-Identifier: MIT

// One connection to one peer: an RTCPeerConnection with two data channels, one that loses nothing and
// keeps the order, and one in which no message waits for another that got lost. It knows no relay: what the
// two browsers must tell each other in order to connect (an offer, an answer, and the addresses at which
// each may be reached, candidates) goes out through signal() and comes in through take().
//
// Descriptions are sent at once and each candidate as it is found (trickle ICE), so that a server that
// does not answer delays nothing. Browsers notice very late that a connection is dead: so each side
// says something twice a second, and one from which nothing is heard is not healthy. The side that
// offered then lets ICE look for new ways, once. What does not get well is closed. All is counted in
// beats, not in ms: a page that slept draws no conclusions from it.
//
// All that is taken comes from strangers. The worst that it can do is to close this connection, and to
// make the browser ask a few addresses whether they are the peer, as WebRTC does.

export const BEAT = 500;       // ms; browsers make it a second in hidden tabs
const ICE_ANSWER = 3_000;      // ms that we wait for the list of ICE servers; the relay serves meanwhile
const SILENT = 5;              // beats without a word after which a connection is not healthy
const ILL = 40;                // beats for which it may be, or not be open yet, until it is closed
const CLOGGED = 16_384;        // bytes unsent above which what may get lost is dropped
const DESCRIPTIONS = 2;        // taken from a peer: the first, and one for new ways
const CANDIDATES = 32;         // taken with each; a computer with many networks has ten
const SDP = 8_192;             // characters of a description; for two channels it has 600
const LINE = 256;              // characters of a candidate; the longest usual ones have 170
// An attribute's name begins and ends where we see it: Firefox takes `a= name value` for `a=name:value`.
const LINE_OF_SDP = /^(?:a=[\w-]+(?::.*)?|[b-z]=.+)$/;
// UDP only, and only addresses: a name would make the browser ask DNS servers for it, except for those
// behind which browsers hide the computer's own addresses (mDNS).
const CANDIDATE = new RegExp(String.raw`^candidate:[\w+/]{1,32} [12] udp \d{1,10} ` +
  String.raw`(?:[\d.]{7,15}|[\da-f:.]{2,45}|[\w-]{1,63}\.local) \d{1,5} typ (?:host|srflx|prflx|relay)( .*)?$`, 'i');

export class Link {
  healthy = false;           // open and heard of lately; for reading only, like all three
  ourFingerprint = null;     // of the certificates with which the ends of this very connection prove ...
  theirFingerprint = null;   // ... to each other who they are (DTLS): no other connection has the same two

  #offers;            // whether we began it
  #signal;
  #tell;              // onhealth, onmessage, onclose
  #connection = null;
  #reliable = null;
  #lossy = null;
  #steps;             // what is done with the connection, one after the other: each takes a while
  #closed = false;
  #quiet = 0;         // beats since something was heard
  #ill = 0;           // beats since it was healthy, or began
  #descriptions = 0;  // taken, ...
  #candidates = 0;    // ... and candidates since the last of them, ...
  #early = [];        // ... and those that came before the first
  #restarted = false;

  /**
   * `configuration` is a promise of the RTCConfiguration; signal(msgtype, data) reaches the peer's take().
   * `tell` has onhealth(healthy), onmessage(message, isLossy), where a message is a string or a Uint8Array,
   * and onclose(). Offers at once, if it is to.
   */
  constructor({ offers, configuration, signal, ...tell }) {
    this.#offers = offers;
    this.#signal = signal;
    this.#tell = tell;
    this.#steps = configuration.then(configuration => !this.#closed && this.#open(configuration));
    this.#next(() => offers && this.#describe('offer'));
  }

  /** Sends a message; one that may get lost does when too many wait already. */
  send(message, isLossy = false) {
    const channel = isLossy ? this.#lossy : this.#reliable;
    if (isLossy && channel.bufferedAmount > CLOGGED) return;
    try {
      channel.send(message);
    } catch {   // the browser's buffers are full
      this.close();
    }
  }

  /** To be called each BEAT, with a short message that says that we are here. */
  beat(message) {
    if (this.#isOpen) this.send(message, true);
    if (++this.#quiet === SILENT && this.healthy) this.#sicken();
    if (!this.healthy && ++this.#ill === ILL) this.close();
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.healthy = false;
    this.#connection?.close();
    this.#tell.onclose();
  }

  // ---- The connection ----

  #open(configuration) {
    const connection = new RTCPeerConnection(configuration);
    this.#connection = connection;
    this.#reliable = this.#channel('reliable', { id: 0 });
    this.#lossy = this.#channel('lossy', { id: 1, ordered: false, maxRetransmits: 0 });
    connection.ondatachannel = () => this.close();   // only a liar opens channels of its own
    connection.onicecandidate = ({ candidate }) => {
      if (!this.#closed && isCandidate(candidate?.candidate)) this.#signal('candidate', candidate.candidate);
    };
    connection.onconnectionstatechange = () => connection.connectionState === 'failed' && this.#fail();
  }

  #channel(label, options) {
    const channel = this.#connection.createDataChannel(label, { negotiated: true, ...options });
    channel.binaryType = 'arraybuffer';
    channel.onopen = () => this.#hear();
    channel.onclose = () => this.close();
    channel.onmessage = ({ data }) => {
      if (this.#closed) return;
      this.#hear();
      this.#tell.onmessage(typeof data === 'string' ? data : new Uint8Array(data), channel === this.#lossy);
    };
    return channel;
  }

  get #isOpen() {
    return !this.#closed && this.#reliable?.readyState === 'open' && this.#lossy.readyState === 'open';
  }

  #hear() {
    this.#quiet = 0;
    if (this.healthy || !this.#isOpen) return;
    this.healthy = true;
    this.#ill = 0;
    this.#tell.onhealth(true);
  }

  #sicken() {
    this.healthy = false;
    this.#tell.onhealth(false);
    if (this.#offers && !this.#restarted) this.#restart();
  }

  #fail() {
    if (this.#closed) return;
    if (this.healthy) this.#sicken();
    else if (this.#offers && this.#restarted) this.close();
    else if (this.#offers) this.#restart();
  }

  // ---- What the browsers must know of each other ----

  /** `offer`, `answer` or `candidate` from the peer, and what came with it. */
  take(msgtype, data) {
    if (msgtype === 'candidate') return this.#takeCandidate(data);
    if (msgtype !== (this.#offers ? 'answer' : 'offer')) return;
    const { sdp, fingerprint } = checked(data) ?? {};
    if (!sdp) return this.close();
    this.theirFingerprint ??= fingerprint;
    if (fingerprint !== this.theirFingerprint) return;   // of another connection
    if (++this.#descriptions > DESCRIPTIONS) return this.close();
    this.#candidates = 0;
    this.#next(async () => {
      if (this.#offers && this.#connection.signalingState !== 'have-local-offer') return;
      await this.#connection.setRemoteDescription({ type: msgtype, sdp });
      if (!this.#offers) await this.#describe('answer');
      for (const candidate of this.#early.splice(0)) this.#addCandidate(candidate);
    });
  }

  #takeCandidate(candidate) {
    if (!isCandidate(candidate) || ++this.#candidates > CANDIDATES) return;
    this.#next(() => {
      if (this.#connection.remoteDescription) this.#addCandidate(candidate);
      else this.#early.push(candidate);
    });
  }

  #addCandidate(candidate) {
    this.#connection.addIceCandidate({ candidate, sdpMLineIndex: 0 }).catch(() => {});  // then not this one
  }

  #restart() {
    this.#restarted = true;
    this.#next(() => this.#describe('offer', { iceRestart: true }));
  }

  async #describe(type, options) {
    const connection = this.#connection;
    const { sdp } = type === 'offer' ? await connection.createOffer(options) : await connection.createAnswer();
    if (this.#closed) return;
    this.ourFingerprint = fingerprintIn(sdp);
    this.#signal(type, sdp);   // first: the candidates come as soon as it is set
    await connection.setLocalDescription({ type, sdp });
  }

  /** Does something when all before it is done; what can't be done ends it all. */
  #next(step) {
    this.#steps = this.#steps.then(() => !this.#closed && step()).catch(() => this.close());
  }
}

function isCandidate(line) {
  return typeof line === 'string' && line.length <= LINE && CANDIDATE.test(line);
}

/**
 * A description with nothing in it but data channels, without candidates, and with the fingerprint of one
 * certificate, so that there is no doubt who is at the other end; else null.
 */
function checked(text) {
  if (typeof text !== 'string' || text.length > SDP) return null;
  const lines = text.split(/[\r\n]+/).filter(line => line && !/^a=candidate/i.test(line));
  const media = lines.filter(line => /^m=/.test(line));
  const prints = lines.map(fingerprintIn).filter(Boolean);
  if (!lines.every(line => LINE_OF_SDP.test(line)) || media.length !== 1 || prints.length !== 1) return null;
  return media[0].startsWith('m=application ') ? { sdp: `${lines.join('\r\n')}\r\n`, fingerprint: prints[0] } : null;
}

function fingerprintIn(text) {
  return /^a=fingerprint:(.+)$/im.exec(text)?.[1].trim();
}

/**
 * The RTCConfiguration that an address tells as JSON, or an empty one if it tells none, or not in time: without
 * STUN servers those behind different routers do not find each other, and play on over the relay.
 */
export async function configurationFrom(address) {
  const response = await fetch(address, { signal: AbortSignal.timeout(ICE_ANSWER) }).catch(() => null);
  if (!response) return {};   // of which the browser tells by itself
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
