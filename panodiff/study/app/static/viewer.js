// Shows one case after the other. The clock and all that counts is on the server; this script paints, reports and asks.
"use strict";

const ZOOM = 2.5; // of the magnifier, over the picture as it is shown
const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 4000; // between two tries while the connection is lost
const GIVE_UP_MS = 15000; // of a try that hears nothing
const EARLIEST_MS = 500; // from the picture to the answer: the second half of a double click is over by then
const look = { brightness: 100, contrast: 100, invert: false, magnify: false, x: 0.5, y: 0.5, lift: 0 }; // kept from case to case
let shown = null; // the case on the page
let triedAgain = false;

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const nextFrame = () => new Promise((done) => requestAnimationFrame(done));
const find = (name) => shown.main.querySelector(name);

function begin(main) {
  if (shown) hidePicture();
  const data = main.dataset;
  shown = { main, data, ready: false, sent: false, deadline: Infinity };
  applyLook();
  showPicture(shown);
}

async function showPicture(current) {
  if (!current.data.token) return timeIsUp();
  while (document.hidden) await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
  const { bytes, refused } = await fetchPicture(current.data);
  if (current !== shown) return;
  if (bytes) {
    paint(bytes);
    await nextFrame();
    await nextFrame(); // the frame with the picture in it has been handed to the screen
    if (current === shown) await reportPainted(current);
  } else if (!refused) {
    say("The connection is lost. Please wait: it goes on by itself.");
    await wait(FIRST_WAIT_MS);
    if (current === shown) loadCase();
  } else if (!triedAgain) { // the page was loaded twice at once: ask anew, but two windows do not fight
    triedAgain = true;
    loadCase();
  } else {
    say("This radiograph is open in another window, or its time is up.", "Go on here", loadCase);
  }
}

// The picture's bytes, or else whether the server refused it; anything else that came is as good as nothing.
async function fetchPicture(data) {
  try {
    const response = await fetch(`/pixels/${data.token}`, { redirect: "manual", signal: AbortSignal.timeout(GIVE_UP_MS) });
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (response.ok && bytes.length === data.width * data.height) return { bytes };
    return { refused: !response.ok && response.type !== "opaqueredirect" && !isLost(response) };
  } catch {
    return { refused: false };
  }
}

const isLost = (response) => response.status >= 500 || response.status === 429; // asking again may help

function paint(bytes) {
  const canvas = find(".picture");
  const image = new ImageData(Number(shown.data.width), Number(shown.data.height));
  new Uint32Array(image.data.buffer).set(Uint32Array.from(bytes, (grey) => 0xff000000 | (grey * 0x010101)));
  canvas.getContext("2d").putImageData(image, 0, 0);
  say("");
  triedAgain = false;
  shown.painted = true;
  drawLoupe();
}

async function reportPainted(current) {
  const began = performance.now();
  current.deadline = began + 1000 * Number(current.data.left);
  setTimeout(() => current === shown && openAnswers(), EARLIEST_MS);
  tick(current);
  for (let tries = 0; tries < 5 && current === shown && !current.sent; tries += 1) {
    try {
      const response = await send("/painted", {});
      if (response.ok) current.deadline = Math.min(current.deadline, began + 1000 * (await response.json()).left_s);
      if (!isLost(response)) return;
    } catch {
      // not reached: once more
    }
    await wait(FIRST_WAIT_MS);
  }
}

function tick(current) {
  if (current !== shown || current.sent) return;
  const left = current.deadline - performance.now();
  find(".seconds").textContent = Math.max(0, Math.ceil(left / 1000));
  if (left <= 0) timeIsUp();
  else setTimeout(tick, Math.min(100, left), current);
}

function timeIsUp() {
  hidePicture();
  find(".seconds").textContent = 0;
  say("Time is up. What do you think?");
  openAnswers();
}

function hidePicture() {
  const canvas = find(".picture"), loupe = find(".loupe");
  canvas.classList.add("gone");
  for (const each of [canvas, loupe]) each.getContext("2d").clearRect(0, 0, each.width, each.height);
  loupe.hidden = true;
  shown.painted = false;
}

function openAnswers() {
  if (shown.sent) return;
  shown.ready = true;
  for (const button of shown.main.querySelectorAll(".answers button")) button.disabled = false;
}

async function answer(level) {
  const current = shown;
  if (!current.ready || current.sent) return;
  current.sent = true;
  for (const button of current.main.querySelectorAll(".answers button")) {
    button.disabled = true;
    button.classList.toggle("chosen", button.value === level);
  }
  hidePicture();
  const { response } = await insist(async (signal) => ({ response: await send("/answer", { level }, signal) }));
  if (response.type === "opaqueredirect") return loadCase(); // kept
  if (response.status === 401) return location.replace("/");
  if (response.status === 403) return say("You have signed in anew in another window; this answer was not kept.", "Go on", loadCase);
  say("This case was answered before, or is not yours to answer now. The first answer stays.", "Go on", loadCase);
}

async function loadCase() {
  const { response, text } = await insist(async (signal) => {
    const response = await fetch("/case", { signal });
    return { response, text: await response.text() };
  });
  const page = new DOMParser().parseFromString(text, "text/html");
  const main = page.querySelector("main#case");
  if (!main) return location.replace(response.url);
  document.querySelector("main").replaceWith(document.adoptNode(main));
  document.title = page.title;
  main.focus({ preventScroll: true });
  begin(main);
}

function send(path, fields, signal = AbortSignal.timeout(GIVE_UP_MS)) {
  const body = new URLSearchParams({ form_token: shown.data.formToken, position: shown.data.position, ...fields });
  return fetch(path, { method: "POST", body, redirect: "manual", signal });
}

// What `request` gives, with its response; asked again as long as the connection is lost or the server is not itself.
async function insist(request) {
  for (let pause = FIRST_WAIT_MS; ; pause = Math.min(2 * pause, LONGEST_WAIT_MS)) {
    try {
      const found = await request(AbortSignal.timeout(GIVE_UP_MS));
      if (!isLost(found.response)) return found;
    } catch {
      // not reached, or not to the end
    }
    say("The connection is lost. Please wait: it goes on by itself, and nothing is lost.");
    await wait(pause);
  }
}

function say(text, action, act) {
  const notice = find(".notice");
  notice.textContent = text;
  if (!action) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = action;
  button.addEventListener("click", act, { once: true });
  notice.append(button);
  button.focus();
}

// ---- how the picture is looked at

function applyLook() {
  const filter = `brightness(${look.brightness}%) contrast(${look.contrast}%) invert(${look.invert ? 1 : 0})`;
  find(".picture").style.filter = filter;
  find(".loupe").style.filter = filter;
  find(".brightness").value = look.brightness;
  find(".contrast").value = look.contrast;
  find(".stage").classList.toggle("magnifying", look.magnify);
  const pressed = { magnify: look.magnify, invert: look.invert, full: Boolean(document.fullscreenElement) };
  for (const [tool, on] of Object.entries(pressed)) find(`[data-tool=${tool}]`).setAttribute("aria-pressed", on);
  drawLoupe();
}

// The rectangle of the picture within the stage, which it fills as far as its shape allows.
function frame() {
  const stage = find(".stage"), width = Number(shown.data.width), height = Number(shown.data.height);
  const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const left = (stage.clientWidth - scale * width) / 2, top = (stage.clientHeight - scale * height) / 2;
  return { left, top, width: scale * width, height: scale * height, scale };
}

function drawLoupe() {
  const loupe = find(".loupe"), at = frame();
  loupe.hidden = !(look.magnify && shown.painted);
  if (loupe.hidden) return;
  loupe.style.left = `${at.left + look.x * at.width}px`;
  const radius = loupe.offsetHeight / 2; // above a finger, which would cover it
  loupe.style.top = `${Math.max(look.lift * radius, at.top + look.y * at.height - 1.4 * look.lift * radius)}px`;
  const side = loupe.clientWidth / ZOOM / at.scale; // of the part of the picture that it shows
  const context = loupe.getContext("2d");
  context.clearRect(0, 0, loupe.width, loupe.height);
  const corner = [look.x * shown.data.width - side / 2, look.y * shown.data.height - side / 2];
  context.drawImage(find(".picture"), ...corner, side, side, 0, 0, loupe.width, loupe.height);
}

function moveLoupe(x, y) {
  look.x = Math.min(1, Math.max(0, x));
  look.y = Math.min(1, Math.max(0, y));
  drawLoupe();
}

function use(tool) {
  if (tool === "magnify") look.magnify = !look.magnify;
  if (tool === "invert") look.invert = !look.invert;
  if (tool === "reset") Object.assign(look, { brightness: 100, contrast: 100, invert: false, magnify: false });
  if (tool === "full") {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.().catch(() => {});
  }
  applyLook();
}

// ---- what the reader does

const TOOL_KEYS = { m: "magnify", i: "invert", f: "full", r: "reset" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat && !(event.key in ARROWS)) return;
  const level = /^Digit([1-5])$/.exec(event.code)?.[1] ?? /^[1-5]$/.exec(event.key)?.[0];
  const tool = TOOL_KEYS[event.key.toLowerCase()], step = event.shiftKey ? 0.05 : 0.01;
  if (level) answer(level);
  else if (tool) use(tool);
  else if (look.magnify && event.key in ARROWS && event.target.type !== "range") {
    moveLoupe(look.x + step * ARROWS[event.key][0], look.y + 2 * step * ARROWS[event.key][1]);
  } else return;
  event.preventDefault();
});
document.addEventListener("click", (event) => {
  const tool = event.target.closest("[data-tool]")?.dataset.tool;
  if (tool) use(tool);
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter) answer(event.submitter.value);
});
document.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  look[event.target.className] = Number(event.target.value);
  applyLook();
});
for (const kind of ["pointermove", "pointerdown"]) {
  document.addEventListener(kind, (event) => {
    if (!look.magnify || !event.target.closest(".stage")) return;
    const box = find(".stage").getBoundingClientRect(), at = frame();
    look.lift = event.pointerType === "touch" ? 1 : 0;
    moveLoupe((event.clientX - box.left - at.left) / at.width, (event.clientY - box.top - at.top) / at.height);
  });
}
document.addEventListener("contextmenu", (event) => event.target.closest(".stage") && event.preventDefault());
document.addEventListener("fullscreenchange", applyLook);
window.addEventListener("resize", drawLoupe);
window.addEventListener("pagehide", hidePicture); // no browser keeps the picture for its back button
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

begin(document.querySelector("main"));
