// The page: each changed answer asks anew, and only what differs is changed, so that focus and open parts stay.
"use strict";
const desk = document.querySelector(".desk");
const tab = Math.random().toString(36).slice(2);
const running = {};

function headers() {
  return { "x-tab": tab, "x-look": desk ? desk.dataset.look : "" };
}
async function ask(path, query) {
  running[path]?.abort();
  running[path] = new AbortController();
  const response = await fetch(path + query, { headers: headers(), signal: running[path].signal });
  if (response.status === 204) return null;
  if (!response.ok) throw new Error((await response.text()).trim() || response.statusText);
  return response;
}

// Make `old` look like `fresh`: what carries an id is moved and kept, the rest is compared in order.
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  keepValue(old, fresh);
  morphChildren(old, fresh);
}
function keepValue(old, fresh) {
  if (old === document.activeElement) return;
  if (old.nodeName === "INPUT" && old.type === "radio") old.checked = fresh.hasAttribute("checked");
  else if (old.nodeName === "INPUT") old.value = fresh.getAttribute("value") ?? "";
  else if (old.nodeName === "OPTION") old.selected = fresh.hasAttribute("selected");
}
function morphChildren(old, fresh) {
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const same = next.id ? named.get(next.id) : null;
    if (same) {
      if (same !== place) old.insertBefore(same, place);
      else place = place.nextSibling;
      morph(same, next);
    } else if (place && !place.id && !next.id && place.nodeName === next.nodeName) {
      const after = place.nextSibling;
      morph(place, next);
      place = after;
    } else old.insertBefore(next, place);
  }
  while (place) {
    const after = place.nextSibling;
    place.remove();
    place = after;
  }
}
function put(id, html) {
  const node = document.getElementById(id);
  const fresh = node.cloneNode(false);
  fresh.innerHTML = html;
  morph(node, fresh);
  showCopyButtons(node);
}

function queryOf(form) {
  const given = new URLSearchParams();
  for (const [key, value] of new FormData(form)) if (value.trim()) given.set(key, value.trim());
  const text = given.toString();
  return text ? `?${text}` : "";
}
function say(text, isWrong = false) {
  const said = document.getElementById("said");
  said.textContent = text;
  said.classList.toggle("bad", isWrong);
}
async function show(query) {
  const began = performance.now();
  document.body.classList.add("waits");
  try {
    const response = await ask("/parts", query);
    if (!response) return;
    const parts = await response.json();
    put("form", parts.form);
    put("answer", parts.answer);
    desk.dataset.milliseconds = Math.round(performance.now() - began);
    say(document.querySelector("#answer h1")?.textContent ?? "");
    document.title = `${document.querySelector("#answer h1")?.textContent ?? ""} · sft-advisor`;
    document.body.classList.remove("waits");
    await showMore(query);
  } catch (error) {
    if (error.name === "AbortError") return;
    document.body.classList.remove("waits");
    say(error.message === "Failed to fetch" ? desk.dataset.gone : error.message, true);
  }
}
async function showMore(query) {
  const response = await ask("/more", query);
  if (!response) return;
  put("more", await response.text());
}
function go(query) {
  if (query !== location.search) history.pushState(null, "", `/${query}`);
  show(query);
}

if (desk && document.getElementById("answers")) {
  const form = document.getElementById("answers");
  form.addEventListener("change", () => go(queryOf(form)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(queryOf(form));
  });
  addEventListener("popstate", () => show(location.search));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("main a[href^='/?']");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    document.activeElement?.blur();
    go(new URL(link.href).search);
    document.getElementById("main").focus({ preventScroll: true });
    scrollTo({ top: 0 });
  });
  showMore(location.search).catch((error) => {
    if (error.name !== "AbortError") say(error.message, true);
  });
}
// A link to a rule opens the part that holds it.
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let node = target; node; node = node.parentElement) if (node.nodeName === "DETAILS") node.open = true;
  target?.scrollIntoView();
}
addEventListener("hashchange", openTarget);

// Forms that change something carry the token of this page; another site's page cannot read it.
const token = document.querySelector("meta[name=form-token]").content;
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const outcome = form.querySelector(".outcome");
  const button = form.querySelector("button[type=submit]");
  outcome.textContent = "";
  button.disabled = true;
  try {
    const stopping = new AbortController();
    const response = await fetch(form.action, {
      method: "POST",
      headers: { "x-from-page": token },
      body: new URLSearchParams(new FormData(form)),
      signal: stopping.signal,
    });
    if (!response.ok) throw new Error(await response.text());
    if ("answers" in form.dataset) await showBoth(response, form.querySelector("[data-stop]"), stopping);
    else {
      const told = await response.json();
      if (told.to) location.assign(told.to);
    }
  } catch (error) {
    if (error.name !== "AbortError") outcome.textContent = error.message;
  }
  button.disabled = false;
});
// Both answers as they are written: a line of JSON for each piece. The button stops listening, which ends them.
async function showBoth(response, stop, stopping) {
  const said = {};
  stop.onclick = () => stopping.abort();
  stop.hidden = false;
  try {
    let rest = "";
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let got = await reader.read(); !got.done; got = await reader.read()) {
      const lines = (rest + got.value).split("\n");
      rest = lines.pop();
      for (const { who, piece, wrong } of lines.map(JSON.parse)) {
        if (wrong) throw new Error(wrong);
        said[who] ??= answerOf(who);
        said[who].append(piece);
      }
    }
  } finally {
    stop.hidden = true;
  }
}
function answerOf(who) {
  const place = document.getElementById("said-by-both");
  const said = document.createElement("p");
  const name = document.createElement("b");
  name.textContent = `${place.dataset[who]}\n`;
  said.append(name);
  place.append(said);
  return said;
}
// A run as it goes.
const run = document.getElementById("run");
if (run) {
  const events = new EventSource(`/run/events?${new URLSearchParams({ run: run.dataset.run })}`);
  const show = (event) => {
    const said = document.getElementById("said-by-both");
    const kept = said && [...said.childNodes];
    put("run", JSON.parse(event.data));
    if (kept) document.getElementById("said-by-both")?.replaceChildren(...kept);
  };
  events.addEventListener("run", show);
  events.addEventListener("over", (event) => {
    show(event);
    events.close();
  });
}
