// The page: sends songs one after the other, shows what comes back, plays them. Runs once, with `element` around it.
// Names of files and words of answers go into the page as text. The only markup put in is SVG drawn by the service.
const root = element.querySelector(".affekt");
const one = (selector, within = root) => within.querySelector(selector);
const all = (selector, within = root) => [...within.querySelectorAll(selector)];
const player = one("audio");
const RETRIES = 5;
const SLOTS = 8;
const songs = [];
const waiting = [];
let selected = null;
let busy = false;
let counter = 0;

const make = (tag, className = "", text = "") => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
};
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const svg = (inner) => {
  const parsed = new DOMParser().parseFromString(`<svg xmlns="http://www.w3.org/2000/svg">${inner}</svg>`, "image/svg+xml");
  return document.importNode(parsed.documentElement.firstElementChild, true);
};
const say = (text) => { one(".status").textContent = text; };
const complain = (name, text) => {
  const line = make("p", "error");
  line.append(make("strong", "", name), `: ${text.replace(/^The file: /, "")} `);
  const close = make("button", "close", "Dismiss");
  close.type = "button";
  close.onclick = () => line.remove();
  line.append(close);
  one(".errors").append(line);
};

// ---- sending ------------------------------------------------------------------------------------------------------

const send = (file) => new Promise((done, fail) => {
  const form = new FormData();
  form.append("file", file, "song");
  const request = new XMLHttpRequest();
  request.open("POST", new URL("page/song", document.baseURI));
  request.responseType = "json";
  const bar = one("progress");
  request.upload.onprogress = (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; };
  request.upload.onload = () => { bar.removeAttribute("value"); };
  request.onload = () => done({ status: request.status, body: request.response, wait: Number(request.getResponseHeader("Retry-After")) });
  request.onerror = () => fail(new Error("The service does not answer. Is it still running?"));
  request.send(form);
});

const ask = async (file, name) => {
  for (let attempt = 0; ; attempt += 1) {
    say(`Listening to ${name}`);
    const { status, body, wait } = await send(file);
    if (status === 200) return body;
    if (status !== 503 || attempt === RETRIES || body?.error?.code !== "busy") {
      throw new Error(body?.error?.message ?? `The service answers with ${status}.`);
    }
    say(`${name} waits for its turn`);
    await new Promise((done) => { setTimeout(done, 1000 * (wait || 2)); });
  }
};

const work = async () => {
  if (busy) return;
  busy = true;
  one("progress").hidden = false;
  while (waiting.length) {
    const { file, name } = waiting.shift();
    one("progress").value = 0;
    try {
      add(file, name, await ask(file, name));
    } catch (error) {
      complain(name, error.message);
    }
  }
  one("progress").hidden = true;
  say(songs.length ? `${songs.length} ${songs.length === 1 ? "song" : "songs"} heard` : "");
  busy = false;
};

const take = (files) => {
  waiting.push(...[...files].map((file) => ({ file, name: file.name || "song" })));
  work();
};

one("#affekt-file").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
const drop = one(".drop");
for (const name of ["dragenter", "dragover"]) {
  root.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
root.addEventListener("dragleave", (event) => { if (!root.contains(event.relatedTarget)) drop.classList.remove("over"); });
root.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files); });

// ---- recording ----------------------------------------------------------------------------------------------------

const wav = (sound) => { // 16 bits, mono: browsers record into containers that are not audio files
  const length = sound.length;
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, 2 * length, true);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  for (let i = 0; i < length; i += 1) {
    const value = channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length;
    view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, value))), true);
  }
  return new Blob([view], { type: "audio/wav" });
};

let recorder = null;
const record = one(".record");
const finish = async (pieces, stream, ticking) => {
  clearInterval(ticking);
  stream.getTracks().forEach((track) => track.stop());
  recorder = null;
  record.classList.remove("on");
  one(".said", record).textContent = "Record from the microphone";
  const context = new AudioContext();
  try {
    const sound = await context.decodeAudioData(await new Blob(pieces).arrayBuffer());
    counter += 1;
    take([new File([wav(sound)], `Recording ${counter}`)]);
  } catch {
    complain("Recording", "empty, or cannot be read. Record for a second at least.");
  } finally {
    context.close();
  }
};
record.onclick = async () => {
  if (recorder) { recorder.stop(); return; }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    const pieces = [];
    const start = performance.now();
    const tell = () => { one(".said", record).textContent = `Stop recording, ${clock((performance.now() - start) / 1000)}`; };
    const ticking = setInterval(tell, 500);
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => pieces.push(event.data);
    recorder.onstop = () => finish(pieces, stream, ticking);
    recorder.start();
    record.classList.add("on");
    tell();
  } catch {
    complain("Microphone", "it cannot be used. Allow it for this page; browsers ask for https or this machine's own address.");
  }
};

// ---- songs --------------------------------------------------------------------------------------------------------

const slots = (song) => { const slot = (song.number - 1) % SLOTS; return [".plane .marks", ".plane .trails"].flatMap((layer) => all(`${layer} [data-number="${song.number}"]`)).map((mark) => { mark.dataset.slot = slot; return mark; }); };

const add = (file, name, found) => {
  const number = 1 + Math.max(0, ...songs.map((song) => song.number));
  const song = { number, name, found, url: URL.createObjectURL(file) };
  songs.push(song);
  if (found.mark && one(".plane")) {
    const mark = svg(found.mark);
    mark.dataset.number = number;
    all(".number", mark).forEach((text) => { text.textContent = number; });
    mark.addEventListener("click", () => select(song));
    one(".plane .marks").append(mark);
    for (const trail of found.trails.filter(Boolean).map(svg)) {
      trail.dataset.number = number;
      one(".plane .trails").append(trail);
    }
    slots(song);
  }
  one("tbody").append(tableRow(song));
  one(".songs").hidden = false;
  select(song);
};

const remove = (song) => {
  const place = songs.indexOf(song);
  songs.splice(place, 1);
  slots(song).forEach((mark) => mark.remove());
  one(`.songs tr[data-number="${song.number}"]`).remove();
  URL.revokeObjectURL(song.url);
  say(`${song.name} deleted`);
  one(".songs").hidden = !songs.length;
  if (song !== selected) return;
  select(songs[Math.min(place, songs.length - 1)] ?? null);
  (one(".songs tr.selected .pick") ?? one("#affekt-file")).focus();
};

const tableRow = (song) => {
  const row = make("tr");
  row.dataset.number = song.number;
  row.dataset.slot = (song.number - 1) % SLOTS;
  const cell = (label, ...inside) => { const made = make("td"); made.dataset.label = label; made.append(...inside); row.append(made); return made; };
  cell("No.", make("span", "badge", song.number));
  const pick = make("button", "pick", song.name);
  pick.type = "button";
  pick.onclick = () => { select(song); one("#affekt-title").focus({ preventScroll: true }); };
  cell("Song", pick);
  song.found.answers[0].targets.forEach((target, i) => {
    const lines = song.found.answers.map((answer) => answer.targets[i]).filter(Boolean).map((told) => {
      const line = make("span", "told", `${told.value} `);
      line.append(make("span", "soft", told.interval));
      return line;
    });
    cell(target.name, ...lines);
  });
  cell("Mood", ...song.found.answers.map((answer) => make("span", "told", answer.mood || "–")));
  cell("Length", clock(song.found.duration_s));
  const bin = make("button", "quiet delete", "Delete");
  bin.type = "button";
  bin.setAttribute("aria-label", `Delete ${song.name}`);
  bin.onclick = () => remove(song);
  cell("", bin);
  return row;
};

const select = (song) => {
  selected = song;
  all(".songs tbody tr").forEach((row) => row.classList.toggle("selected", Number(row.dataset.number) === song?.number));
  all(".plane .song").forEach((mark) => mark.classList.toggle("selected", Number(mark.dataset.number) === song?.number));
  one(".result").hidden = one(".over-time").hidden = !song;
  root.classList.toggle("empty", !song);
  player.pause();
  if (!song) { player.removeAttribute("src"); player.load(); moveTo(0); return; }
  const front = one(`.plane .marks [data-number="${song.number}"]`);
  front?.parentNode.append(front); // above the others
  one("#affekt-title").textContent = song.name;
  one(".answers").replaceChildren(...song.found.answers.map((answer, i) => answerBox(answer, i, song.found.answers.length)));
  const drawn = one(".drawn");
  drawn.replaceChildren(svg(song.found.course));
  one(".legend").replaceChildren(...legend(song.found));
  one(".ticks").replaceChildren(...ticks(song.found.duration_s));
  one(".seek").setAttribute("aria-valuemax", Math.round(song.found.duration_s));
  one(".silent").hidden = true;
  player.src = song.url;
  moveTo(0);
};

const answerBox = (answer, place, count) => {
  const box = make("div", `answer ${place ? "second" : "first"}`);
  if (count > 1) { const name = make("p", "of", answer.model); name.prepend(make("span", `sign ${place ? "second" : "first"}`)); box.append(name); }
  box.append(make("p", "headline", answer.headline));
  if (answer.mood_line) box.append(make("p", "mood-line", answer.mood_line));
  answer.targets.forEach((target) => box.append(gauge(target)));
  box.append(make("p", "small", answer.scale));
  if (answer.result.warnings.length) {
    const list = make("ul", "warnings");
    list.append(...answer.result.warnings.map((warning) => make("li", "", warning.text)));
    box.append(list);
  }
  return box;
};

const gauge = (target) => {
  const box = make("div", "gauge");
  const head = make("p", "gauge-head");
  head.append(make("span", "gauge-name", target.name), make("strong", "", target.value), make("span", "soft", target.interval));
  const [at, low, high] = target.at;
  const track = make("div", "track");
  const range = make("span", "range");
  range.style.left = `${low}%`;
  range.style.width = `${high - low}%`;
  const point = make("span", "dot");
  point.style.left = `${at}%`;
  track.append(range, point);
  const ends = make("p", "ends");
  ends.append(make("span", "", target.ends[0]), make("span", "", target.ends[1]));
  box.append(head, track, ends);
  if (target.doubt) box.append(make("p", "doubt", `${target.words[0].toUpperCase()}${target.words.slice(1)}; ${target.doubt}.`));
  return box;
};

const legend = (found) => {
  const lines = found.legend.map((line) => { const item = make("li", line.class, line.name); item.prepend(make("span", "stroke")); return item; });
  return found.answers.length > 1 ? [...lines, make("li", "thin", `thinner: ${found.answers[1].model}`)] : lines;
};

const ticks = (duration) => [0, 0.25, 0.5, 0.75, 1].map((share) => make("span", "", clock(share * duration)));

// ---- playing ------------------------------------------------------------------------------------------------------

const moveTo = (time) => {
  const duration = selected?.found.duration_s ?? 1;
  one(".playhead").style.left = `${(100 * Math.min(time, duration)) / duration}%`;
  const slider = one(".seek");
  slider.setAttribute("aria-valuenow", Math.round(time));
  slider.setAttribute("aria-valuetext", `${clock(time)} of ${clock(duration)}`);
  const now = one(".plane .now");
  const place = now && selected && time > 0 ? moment(time) : null;
  now?.classList.toggle("on", Boolean(place));
  if (place) { now.setAttribute("cx", place[0]); now.setAttribute("cy", place[1]); now.dataset.slot = (selected.number - 1) % SLOTS; }
};

const moment = (time) => { // where the song is in the plane, between two points of its course
  const { plane, result } = selected.found.answers[0];
  if (!plane || !result.curve) return null;
  const times = result.curve.times_s;
  const after = times.findIndex((at) => at >= time);
  const last = times.length - 1;
  const [i, j] = after === -1 ? [last, last] : [Math.max(0, after - 1), after];
  const share = times[j] > times[i] ? Math.max(0, (time - times[i]) / (times[j] - times[i])) : 0;
  const [low, high] = result.scale;
  const [x, y] = plane.map((target) => {
    const values = result.curve[target];
    return (2 * (values[i] + share * (values[j] - values[i])) - low - high) / (high - low);
  });
  return [220 + 186 * x, 220 - 186 * y];
};

const follow = () => { moveTo(player.currentTime); if (!player.paused) requestAnimationFrame(follow); };
player.addEventListener("play", follow);
for (const name of ["timeupdate", "seeked"]) player.addEventListener(name, () => moveTo(player.currentTime));
player.addEventListener("error", () => { if (player.getAttribute("src")) one(".silent").hidden = false; });

const jump = (time) => {
  const to = Math.max(0, Math.min(time, selected.found.duration_s));
  player.currentTime = to;
  moveTo(to);
};
const seek = one(".seek");
seek.addEventListener("pointerdown", (event) => { seek.setPointerCapture(event.pointerId); seek.dataset.held = "1"; pointed(event); });
seek.addEventListener("pointermove", (event) => { if (seek.dataset.held) pointed(event); });
for (const name of ["pointerup", "pointercancel"]) seek.addEventListener(name, () => { delete seek.dataset.held; });
const pointed = (event) => {
  const box = seek.getBoundingClientRect();
  jump(((event.clientX - box.left) / box.width) * selected.found.duration_s);
};
seek.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -15, PageUp: 15 };
  if (event.key in steps) jump(player.currentTime + steps[event.key]);
  else if (event.key === "Home") jump(0);
  else if (event.key === "End") jump(selected.found.duration_s);
  else if (event.key === " ") (player.paused ? player.play() : player.pause());
  else return;
  event.preventDefault();
});

// ---- downloads ----------------------------------------------------------------------------------------------------

const save = (text, name, type) => {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
const quoted = (value) => {
  let text = String(value ?? "");
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`; // a table program would run it
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
one(".json").onclick = () => {
  const results = songs.flatMap((song) => song.found.answers.map((answer) => ({ file: song.name, ...answer.result })));
  save(`${JSON.stringify(results, null, 1)}\n`, "affekt.json", "application/json");
};
one(".csv").onclick = () => {
  const names = [...new Set(songs.flatMap((song) => song.found.answers.flatMap((answer) => answer.columns)))];
  const rows = songs.flatMap((song) => song.found.answers.map((answer) => ({ ...answer.row, path: song.name })));
  save([names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => `${line.map(quoted).join(",")}\n`).join(""), "affekt.csv", "text/csv");
};
root.classList.add("ready", "empty");
