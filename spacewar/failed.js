// SPDX-License-Identifier: MIT

// If a module cannot be loaded or does not start, the page says so in words, instead of showing buttons that do
// nothing. This is a classic script, which any browser runs, deferred so that it runs right before the modules.

(() => {
  let started = false;
  const showFailure = () => {
    if (!started) document.querySelector('#failed').hidden = false;
  };
  addEventListener('error', event => {   // of a script element it does not bubble, but is captured
    const { target } = event;
    if (target === window || target.matches?.('script')) showFailure();
  }, { capture: true });
  addEventListener('spacewar', () => { started = true; });
  if (!('noModule' in HTMLScriptElement.prototype)) addEventListener('DOMContentLoaded', showFailure);
})();
