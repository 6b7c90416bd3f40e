// The counter's page: what HTML and htmx cannot do by themselves. Everything listens on the document, so panels may come and go.
(() => {
  const alertBox = document.getElementById("alert");
  // What the script says, in the language of the page.
  const say = document.body.dataset;

  // Copy. The Clipboard API does not exist on plain http, which is what a shop's LAN speaks: there the selection is copied.
  async function copy(input) {
    input.focus();
    input.select();
    if (navigator.clipboard) {
      try {
        await navigator.clipboard.writeText(input.value);
        return true;
      } catch {
        // Not allowed here: the old way may be.
      }
    }
    return document.execCommand("copy");
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const done = await copy(document.querySelector(button.dataset.copy));
    const label = button.querySelector("span");
    button.dataset.idle ??= label.textContent;
    label.textContent = done ? say.copied : say.press;
    button.closest("section").querySelector("[data-copied]").textContent = done ? say.copied : say.pressAloud;
    button.toggleAttribute("data-done", done);
    button.focus();
    setTimeout(() => {
      label.textContent = button.dataset.idle;
      button.removeAttribute("data-done");
    }, 2500);
  });

  // A suggestion fills the field it is for.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-fill]");
    if (!button) return;
    event.preventDefault();
    const input = document.querySelector(button.dataset.fill);
    input.value = button.dataset.value;
    input.focus();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });

  // A name proposes its two-letter code, until the code is typed by hand.
  function propose(name) {
    const words = name.toUpperCase().replaceAll("'", "").normalize("NFD").replace(/\p{M}/gu, "").match(/[A-Z]+/g) ?? [];
    return words.length > 1 ? words[0][0] + words[1][0] : (words[0] ?? "").slice(0, 2);
  }
  document.addEventListener("input", (event) => {
    const { code } = event.target.dataset;
    if (code) {
      const field = document.querySelector(code);
      if (field.value === (field.dataset.proposed ?? "")) field.value = field.dataset.proposed = propose(event.target.value);
    }
  });

  // At set-up a country brings its currency and time zone along, each until it is chosen by hand.
  const country = document.querySelector("[data-brings]");
  if (country) {
    const brought = () => country.selectedOptions[0].dataset.with.split(" ");
    const fields = country.dataset.brings.split(" ").map((id) => document.getElementById(id));
    const free = new Set(fields.filter((field, place) => field.value === brought()[place]));
    for (const field of fields) field.addEventListener("input", () => free.delete(field));
    country.addEventListener("change", () => {
      for (const [place, field] of fields.entries()) if (free.has(field)) field.value = brought()[place];
    });
  }

  // What is said about a value holds for that one alone.
  document.addEventListener("input", (event) => {
    const said = document.querySelector(`[data-about="${event.target.id}"]`);
    if (said) said.hidden = event.target.value !== event.target.defaultValue;
  });

  // The first day's times for all the others; whether they are open stays as it is.
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-copy-day]")) return;
    const [first, ...others] = [...document.querySelectorAll(".day")].map((day) => day.querySelectorAll("input[type=time]"));
    for (const day of others) day.forEach((input, number) => (input.value = first[number].value));
  });

  // Of many tabs the present one is in sight. Only they move: the page may stand at a field that has a mistake.
  const tab = document.querySelector(".tabs [aria-current]");
  if (tab) {
    const [here, all] = [tab, tab.parentElement].map((element) => element.getBoundingClientRect());
    tab.parentElement.scrollBy(here.left + here.width / 2 - all.left - all.width / 2, 0);
  }

  // The preview follows what is typed, and stays where it was scrolled to. Each time in a new frame, which takes the
  // place of the old one once it is drawn: nothing flickers, and Back does not lead through it all.
  const preview = document.getElementById("preview");
  if (preview) {
    const button = preview.querySelector("button");
    let waiting;
    let newest = 0;
    const draw = async () => {
      const number = ++newest;
      const answer = await fetch(button.formAction, { method: "POST", body: new FormData(button.form) }).catch(() => null);
      const page = answer?.ok && (await answer.text());
      if (!page || number !== newest) return;
      const screen = preview.querySelector(".screen");
      const next = screen.lastElementChild.cloneNode();
      for (const name of ["src", "loading"]) next.removeAttribute(name);
      next.srcdoc = page;
      next.style.visibility = "hidden";
      next.addEventListener("load", () => {
        next.contentWindow.scrollTo(0, screen.firstElementChild.contentWindow.scrollY);
        while (next.previousElementSibling) next.previousElementSibling.remove();
        next.style.visibility = "";
      });
      screen.append(next);
    };
    const follow = (delay) => {
      clearTimeout(waiting);
      waiting = setTimeout(draw, delay);
    };
    document.addEventListener("input", (event) => event.target.form === button.form && follow(300));
    document.addEventListener("htmx:after:swap", () => follow(0));
    document.addEventListener("focusin", (event) => {
      const state = event.target.dataset.state && preview.querySelector(`[value=${event.target.dataset.state}]`);
      if (!state || state.checked) return;
      state.checked = true;
      follow(0);
    });
  }

  // A form that makes something is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-once]")) return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-once]")) delete form.dataset.sent;
  });

  // Menus close when one looks elsewhere.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.activeElement?.closest("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // Whoever sends the intake form has typed all of it: a customer who is still being looked up would come after the answer
  // and wipe away what it says.
  let sentPhone = null;
  document.addEventListener("htmx:config:request", (event) => {
    const intake = document.getElementById("intake");
    if (!intake?.contains(event.target)) return;
    const phone = intake.elements.phone;
    if (event.target === intake) {
      sentPhone = phone.value;
      phone.dispatchEvent(new Event("htmx:abort"));
    } else if (phone.value === sentPhone || intake.matches(".htmx-request")) event.preventDefault();
    else sentPhone = null;
  });

  // The same file may be chosen again, after an answer that never came. At intake what was chosen stays until then.
  document.addEventListener("click", (event) => {
    if (event.target.matches("input[type=file]") && !event.target.closest("#intake")) event.target.value = "";
  });

  let pressed = null;
  for (const kind of ["submit", "change"]) {
    document.addEventListener(kind, (event) => (pressed = event.target.closest("section[id]")?.id));
  }

  // The history comes back with every change, and with it the new version: all forms of the page go by it.
  document.addEventListener("htmx:after:swap", () => {
    const version = document.getElementById("history")?.dataset.version;
    if (version) for (const input of document.querySelectorAll("input[name=version]")) input.value = version;
    // The button that was pressed is gone with its old panel: the keyboard goes on in the new one.
    if (pressed && document.activeElement === document.body) {
      const panel = document.getElementById(pressed);
      panel?.querySelector("[aria-invalid=true], form textarea, input[type=file], form .primary:not(:disabled), summary, dd[tabindex]")?.focus();
    }
    pressed = null;
  });

  // --- the board ---

  // A link that a gun types while the search listens has a secret in it: it goes nowhere until Enter sends the form.
  // Where keys have other signs on them than in America, "://" and "/" arrive as others do: "httpsM!!", "-t-".
  document.addEventListener("htmx:config:request", (event) => {
    const { method, body } = event.detail.ctx.request;
    if (method === "GET" && /^\s*https?(\W|M[!§])|[/!§-]t[/!§-]/i.test(body?.get?.("q") ?? "")) event.preventDefault();
    // What is not asked for need not stand in the address.
    if (event.target.id === "live-filter") {
      forget();
      if (body.get("quiet") !== "custom") body.delete("days");
      if (body.get("sort") === "promised") body.delete("sort");
      for (const [name, value] of [...body]) if (!value) body.delete(name);
    }
  });

  // Ticks: all of the page, or none. After a bulk step the answer says what is still ticked; a refresh changes no tick.
  // What was ticked as it stood then goes as it stood then: if a refresh shows it changed, the step is refused.
  const boxes = () => [...document.querySelectorAll("#results input[name=pick]")];
  let seen = new Map();
  function showPicked() {
    const all = boxes(), picked = all.filter((box) => box.checked), ticked = picked.length;
    seen = new Map(picked.map((box) => [box.id, seen.get(box.id) ?? box.value]));
    const head = document.querySelector("#results input[data-pick-all]");
    if (head) {
      head.checked = ticked > 0 && ticked === all.length;
      head.indeterminate = ticked > 0 && ticked < all.length;
    }
    const bar = document.getElementById("bulk");
    if (!bar) return;
    bar.toggleAttribute("data-picked", ticked > 0);
    const words = bar.querySelector(".picked"), isOne = new Intl.PluralRules(document.documentElement.lang).select(ticked) === "one";
    const leads = {};
    for (const { dataset } of picked) if (dataset.next) leads[dataset.next] = (leads[dataset.next] ?? 0) + 1;
    bar.querySelector(".leads").textContent = Object.entries(leads).map(([status, count]) => `${count} → ${status}`).join(", ");
    words.textContent = (isOne ? words.dataset.one : words.dataset.many).replace("#", ticked);
  }
  // What the last step did stands there until the next thing is done.
  const forget = () => document.querySelector("#bulk .done")?.remove();
  document.addEventListener("htmx:config:request", (event) => {
    if (event.target.id !== "bulk") return;
    const { body } = event.detail.ctx.request;
    body.delete("pick");
    for (const pick of seen.values()) body.append("pick", pick);
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("input[data-pick-all]")) for (const box of boxes()) box.checked = event.target.checked;
    if (!event.target.matches("#results input[type=checkbox]")) return;
    forget();
    showPicked();
  });
  document.addEventListener("click", (event) => {
    const all = event.target.closest("button[data-pick-all]");
    if (!all && !event.target.closest("button[data-pick-none]")) return;
    for (const box of boxes()) box.checked = !!all;
    showPicked();
    if (!all) document.querySelector("#results .rows a")?.focus();
  });
  let bulkAnswer = false;
  document.addEventListener("htmx:before:swap", (event) => (bulkAnswer ||= event.detail.ctx?.sourceElement?.id === "bulk"));
  document.addEventListener("htmx:after:swap", () => {
    if (bulkAnswer) {
      seen.clear();
      for (const box of boxes()) box.checked = box.defaultChecked;
    }
    bulkAnswer = false;
    showPicked();
  });
  addEventListener("pageshow", showPicked);

  // Keys. Real focus moves along the rows' own links, so that Enter and screen readers need nothing of us.
  const keys = document.getElementById("keys");
  const rows = () => [...document.querySelectorAll("#results .rows a")];
  function goAlong(by) {
    const all = rows(), here = all.indexOf(document.activeElement?.closest("#results .rows li")?.querySelector("a"));
    const next = all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + by, 0), all.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
    return !!next;
  }
  function search() {
    const field = document.getElementById("q");
    if (field) field.select();
    else location.href = document.querySelector("a.brand").href + "#q";
  }
  const doing = {
    j: () => goAlong(1),
    k: () => goAlong(-1),
    ArrowDown: () => inRows() && goAlong(1),
    ArrowUp: () => inRows() && goAlong(-1),
    x: () => document.activeElement.closest("#results .rows li")?.querySelector("input[name=pick]")?.click() ?? inRows(),
    "/": () => (search(), true),
    n: () => (document.querySelector("a.new")?.click(), true),
    "?": () => (keys?.showModal(), !!keys),
    Escape: () => inRows() && (document.activeElement.blur(), true),
  };
  const inRows = () => !!document.activeElement?.closest("#results .rows");
  const isTyping = (at) => at.closest("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.querySelector("dialog[open]") || !document.querySelector("a.brand")) return;
    if (isTyping(event.target)) {
      // Escape first empties the search, as browsers do, then leaves it.
      if (event.key === "Escape" && event.target.id === "q" && !event.target.value) event.target.blur();
      return;
    }
    if (Object.hasOwn(doing, event.key) && doing[event.key]()) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-open], [data-close]");
    if (!link) return;
    event.preventDefault();
    if (link.dataset.open) {
      const menu = link.closest("details");
      if (menu) menu.open = false;
      document.querySelector(link.dataset.open).showModal();
    } else link.closest("dialog").close();
  });
  // From another page: "/" leads here.
  if (location.hash === "#q") document.getElementById("q")?.focus();

  // A page that nobody looks at asks nothing.
  document.addEventListener("htmx:before:request", (event) => {
    if (document.hidden && event.detail.ctx.request.method === "GET") event.preventDefault();
  });

  // A request that got no answer: say so where it is seen, and leave what was typed alone. The next answer takes it back.
  document.addEventListener("htmx:error", (event) => {
    const method = event.detail.ctx?.request?.method;
    if (!method || alertBox.querySelector("[data-offline=post]")) return;
    const line = document.createElement("div");
    line.className = "alert";
    line.setAttribute("role", "alert");
    line.dataset.offline = method === "POST" ? "post" : "get";
    line.textContent = method === "POST" ? say.unsaved : say.outdated;
    alertBox.replaceChildren(line);
  });
  document.addEventListener("htmx:after:request", (event) => {
    const { response, request } = event.detail.ctx ?? {};
    if (response) alertBox.querySelector("[data-offline]")?.remove();
    if (response?.status < 400 && request.method === "GET") alertBox.querySelector("[data-look]")?.remove();
  });
})();
