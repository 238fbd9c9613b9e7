// SPDX-License-Identifier: MIT

// Who of a crowd has a ship in the sky. A page can fly and draw some dozens of ships in the time of a
// frame, and a room may have a thousand pilots: the others are counted, and nothing of theirs is drawn,
// flown or able to hit.

export const SHIPS = 40; // of others, at most: 40 cost 4 ms of a frame's 16 without a GPU, 300 cost 30
const EARLIEST = 20;     // of them, those who came first: no crowd that comes later can drive them out
const STAY_PX = 200;     // px by which a ship in the sky counts as nearer: two do not take turns there

/**
 * Returns the set of peers whose ships are to be in the sky: of those who play the first who came, then the
 * nearest to our ship; then those who only watch or have fallen silent. `sky` are those who are there now.
 */
export function choose(peers, me, sky) {
  if (peers.length <= SHIPS) return new Set(peers);
  const byArrival = [...peers].sort((a, b) => a.ship.id - b.ship.id);
  const playing = byArrival.filter(isPlaying);
  const far = peer => Math.hypot(peer.ship.x - me.x, peer.ship.y - me.y) - (sky.has(peer) ? STAY_PX : 0);
  const others = playing.slice(EARLIEST).map(peer => ({ peer, far: far(peer) })).sort((a, b) => a.far - b.far);
  const ranking = [...playing.slice(0, EARLIEST), ...others.map(({ peer }) => peer),
    ...byArrival.filter(peer => !isPlaying(peer))];
  return new Set(ranking.slice(0, SHIPS));
}

/** Whether it flies, or will be back soon. */
function isPlaying({ ship }) {
  return ship.state !== 'observing';
}
