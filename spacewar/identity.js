// SPDX-License-Identifier: MIT

// Recognises a peer that has come back to the room, to give it its score again. An id holds for one connection to the
// relay, and anybody can take a name. So, when two pages meet, each sends the other
//
//     key [1,challenge,key]      a key that only the two know, and a random number
//
// A page that comes back does not know who of those it meets has given it which key. So it answers each challenge with
// a proof for each key that it has; one of them is right:
//
//     proofs [1,[proof,...]]     hashes of the key, the challenge and our id
//
// A proof is of no use to anybody else: it holds for its sender's id and this challenge only. The hash is a keyed one,
// HalfSipHash-2-4 (https://github.com/veorq/SipHash), since pages that came over plain http have no crypto.subtle.

const MOST_MET = 200;         // peers remembered, including those who are here
export const MOST_KEYS = 64;  // that we were given; their proofs fit into a message

export class Identity {
  #met = [];       // { peer, key }: to whom we have given one
  #keys = [];      // that we were given

  /** Returns what to send to a peer when we meet: { challenge, key }. */
  introduce(peer) {
    const [high, low, ...key] = crypto.getRandomValues(new Uint32Array(4));
    peer.challenge = (high >>> 11) * 2 ** 32 + low;
    this.#met.push({ peer, key });
    if (this.#met.length > MOST_MET) this.#met.shift();
    return { challenge: peer.challenge, key };
  }

  /** Returns the proofs for a peer that has introduced itself so; none the second time. */
  proofsFor(peer, { challenge, key }, id) {
    if (peer.hasIntroduced) return [];
    peer.hasIntroduced = true;
    const proofs = this.#keys.map(key => proofOf(key, challenge, id));
    this.#keys.push(key);
    if (this.#keys.length > MOST_KEYS) this.#keys.shift();
    return proofs;
  }

  /** Returns the earlier peer that a peer with these proofs has been, or null. The second time always null. */
  recognise(peer, proofs) {
    const { challenge, id } = peer;
    peer.challenge = null;
    if (challenge === null) return null;
    const i = this.#met.findIndex(({ peer: earlier, key }) =>
      earlier !== peer && proofs.includes(proofOf(key, challenge, id)));
    return i < 0 ? null : this.#met.splice(i, 1)[0].peer;
  }
}

function proofOf(key, challenge, id) {
  const [high, low] = halfSipHash(key, [...wordsOf(challenge), ...wordsOf(id)]);
  return high * 2 ** 21 + (low >>> 11);
}

/** The words of 32 bits of a safe integer, the lower first. */
function wordsOf(number) {
  return [number >>> 0, Math.floor(number / 2 ** 32)];
}

/** The hash of 64 bits, as two words, of a list of words with a key of two words. */
export function halfSipHash([key0, key1], words) {
  let [v0, v1, v2, v3] = [key0, key1 ^ 0xee, key0 ^ 0x6c796765, key1 ^ 0x74656462];
  const rounds = count => {
    while (count-- > 0) {
      v0 = (v0 + v1) | 0;
      v1 = rotated(v1, 5) ^ v0;
      v0 = rotated(v0, 16);
      v2 = (v2 + v3) | 0;
      v3 = rotated(v3, 8) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = rotated(v3, 7) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = rotated(v1, 13) ^ v2;
      v2 = rotated(v2, 16);
    }
    return (v1 ^ v3) >>> 0;
  };
  for (const word of [...words, words.length << 26]) {   // the last has the number of bytes in its highest byte
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xee;
  const first = rounds(4);
  v1 ^= 0xdd;
  return [first, rounds(4)];
}

function rotated(word, bits) {
  return (word << bits) | (word >>> (32 - bits));
}
