// SPDX-License-Identifier: MIT

// Spacewar, the page's entry: it makes the game (game.js) and starts it. To read on, from the bottom up: physics.js
// moves one body, world.js has the ships and the rules, pilots.js flies some of them; round.js says when a round is
// over. netplay.js makes the worlds of all who opened this address (address.js) one, in the words of messages.js, with
// what peer.js believes of each, on the time of clock.js; crowd.js says who of many has a ship here, standings.js in
// which round the room is and who has how many points, identity.js who is back. It sends through webrtc-relay.js, which
// takes the relay of ws-relay.js (whose WebSocket has a thread of its own, threaded-socket.js) or goes directly
// (connection.js is such a connection, and stream.js sees to it that the two paths deliver like one). view.js draws
// (camera, sky, trails, effects and hud; ships.js and font.js are its pens, looks.js numbers what ships look like),
// controls.js listens, sound.js plays, feed.js tells, and panels.js is the rest of the page.

import { Game } from './game.js';

export const game = new Game();   // of which others see what inspect() tells
game.start();
dispatchEvent(new Event('spacewar'));   // for failed.js
