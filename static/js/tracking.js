// The customer's page: the countdown and "updated … ago" tick here; everything else comes from the server, through htmx.
(() => {
  const live = () => document.getElementById("live");

  // The phone's clock may be wrong by hours. What counts is the server's: this is how far it is ahead, in milliseconds.
  // A page with a countdown brings it along; elsewhere the first answer tells.
  const now = document.getElementById("countdown")?.dataset.now;
  let ahead = now ? Date.parse(now) - Date.now() : null;
  const serverNow = () => Date.now() + (ahead ?? 0);

  const ago = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

  function sinceThen(time) {
    const seconds = Math.max(0, (serverNow() - Date.parse(time.dateTime)) / 1000);
    const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? [];
    return unit ? ago.format(-Math.floor(seconds / size), unit) : time.dataset.justNow;
  }

  function write(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }

  function tick() {
    const countdown = document.getElementById("countdown");
    if (countdown && !countdown.hidden) {
      const left = Math.ceil((Date.parse(countdown.dataset.deadline) - serverNow()) / 1000);
      if (left <= 0) {
        // The promise has passed: the server now has something else to say in this place.
        countdown.hidden = true;
        htmx.trigger(live(), "refresh");
      } else {
        const parts = { d: Math.floor(left / 86400), h: Math.floor(left / 3600) % 24, m: Math.floor(left / 60) % 60, s: left % 60 };
        for (const [unit, value] of Object.entries(parts)) {
          write(countdown.querySelector(`[data-unit=${unit}]`), unit === "d" ? String(value) : String(value).padStart(2, "0"));
        }
      }
    }
    const updated = document.getElementById("updated");
    if (ahead !== null) write(updated, sinceThen(updated));
    setTimeout(tick, 1000 - (serverNow() % 1000) + 5);
  }

  document.addEventListener("htmx:before:request", (event) => {
    // A page that nobody looks at asks nothing; it asks as soon as it is looked at.
    if (document.hidden) event.preventDefault();
  });

  document.addEventListener("htmx:after:request", (event) => {
    const date = event.detail.ctx.response?.headers?.get("Date");
    // The header is cut to the second, so on average it is half a second behind.
    if (date) ahead = Date.parse(date) + 500 - Date.now();
    document.getElementById("offline").hidden = true;
  });

  document.addEventListener("htmx:error", () => {
    document.getElementById("offline").hidden = false;
  });

  // A page out of the browser's cache carries the time it was stored: ask at once.
  addEventListener("pageshow", (event) => {
    const load = performance.getEntriesByType("navigation")[0];
    if (event.persisted || (load && load.transferSize < load.encodedBodySize)) htmx.trigger(live(), "refresh");
  });

  tick();
})();
