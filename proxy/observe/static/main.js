// Puts the parts of the dashboard together.

import { get, setToken } from "./api.js";
import { addPoints, redraw, replaceSeries, startCharts } from "./charts.js";
import { openDetail, startDetail } from "./detail.js";
import { announce, element, find } from "./dom.js";
import { startExplain } from "./explain.js";
import { showChips } from "./filter.js";
import { follow } from "./live.js";
import { showRecording, startRecording } from "./recording.js";
import { addRequests, lastSeen, replaceRequests, startRequests } from "./requests.js";
import { loadSettings, startSettings } from "./settings.js";
import { showUpstreams, tick } from "./upstreams.js";
import { duration, setClock } from "./words.js";

const VIEWS = ["traffic", "explain", "configuration"];
const HEARD = {
  requests: ({ requests, skipped }) => addRequests(requests, skipped),
  points: ({ points }) => addPoints(points),
  upstreams: showAll,
  recording: ({ records_content: on }) => showRecording(on),
  config: (config) => { showRefused(config); refreshSettings(); },
};

let started = null; // when the proxy began that we have heard of
let connection = "";
let view = VIEWS[0];

async function load() {
  const overview = await get("overview");
  setClock(overview.now);
  setToken(overview.token);
  find("address").textContent = overview.address ?? "";
  find("version").textContent = overview.version;
  showAll(overview.upstreams);
  showRefused(overview.config);
  showRecording(overview.records_content);
  replaceSeries(await get("series"));
  if (started !== overview.started) replaceRequests((await get("requests")).requests);
  started = overview.started;
  refreshSettings();
  return `stream?since=${lastSeen()}`;
}

function showAll(upstreams) {
  showUpstreams(upstreams);
  showChips(upstreams.map(({ upstream }) => upstream));
}

function showRefused({ path, refused }) {
  find("refused").hidden = !refused;
  if (!refused) return;
  find("refused-path").textContent = path ?? "";
  find("refused-lines").replaceChildren(...refused.map((line) => element("li", {}, line)));
}

function tell(state, wait) {
  const words = {
    live: "Live",
    hidden: "Waiting until you look",
    lost: `Connection lost, trying again in ${duration(Math.ceil(wait))}`,
  }[state];
  find("connection").dataset.state = state;
  find("connection-words").textContent = words;
  if (state === "live" && connection === "lost") announce("Connected again");
  if (state === "lost" && connection !== "lost") announce("Connection to sidekey lost");
  connection = state;
}

// Other fragments, such as that of the skip link, lead to places within a view.
function showView() {
  view = VIEWS.find((name) => `#${name}` === location.hash) ?? view;
  for (const name of VIEWS) find(name).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a[href^='#']")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  refreshSettings();
}

function refreshSettings() {
  if (view === "configuration" && started !== null) loadSettings();
}

startCharts();
startDetail();
startExplain();
startRecording();
startRequests(openDetail);
startSettings();
window.addEventListener("hashchange", showView);
showView();
setInterval(() => { if (!document.hidden) { tick(); redraw(); } }, 1000);
follow({ load, hear: (name, content) => HEARD[name]?.(content), tell });
