// Each stop asks this very host and prints what came back.

const siteLabel = "tour";
const labels = location.hostname.split(".");
const at = labels.indexOf(siteLabel);

function hostOf(...front) {
  const port = location.port ? `:${location.port}` : "";
  return `${location.protocol}//${[...front, ...labels.slice(at + 1)].join(".")}${port}/`;
}

function kilobytes(bytes) {
  return bytes < 1000 ? `${bytes} bytes` : `${(bytes / 1000).toFixed(1)} kB`;
}

async function weigh(path) {
  // An address of its own, so that the measurement found is this one's.
  const url = new URL(`${path}?weighed=${Date.now()}`, location);
  await (await fetch(url, { cache: "no-store" })).arrayBuffer();
  const entry = performance.getEntriesByName(url.href).at(-1);
  return entry?.decodedBodySize
    ? [`${kilobytes(entry.encodedBodySize)} travelled`, `${kilobytes(entry.decodedBodySize)} arrived`]
    : [];
}

async function ask(button, output) {
  const { ask: path, show = "", range, again, sizes } = button.dataset;
  const headers = range ? { Range: range } : {};
  const started = performance.now();
  let response = await fetch(path, { headers, cache: "no-store" });
  const lines = [];
  if (again !== undefined) {
    const etag = response.headers.get("etag");
    lines.push(`first  ${response.status}, ${kilobytes((await response.arrayBuffer()).byteLength)}`);
    response = await fetch(path, { headers: { "If-None-Match": etag }, cache: "no-store" });
    lines.push(`again  ${response.status}, ${kilobytes((await response.arrayBuffer()).byteLength)}`);
  } else {
    lines.push(`GET ${path}`, `${response.status} in ${(performance.now() - started).toFixed(1)} ms`);
    if (response.redirected) {
      lines.push(`redirected to ${new URL(response.url).pathname}`);
    }
    if (response.headers.get("content-type")?.startsWith("text/html") && path !== "/") {
      lines.push(`title: ${new DOMParser().parseFromString(await response.text(), "text/html").title}`);
    }
  }
  for (const name of show.split(" ").filter(Boolean)) {
    lines.push(`${name}: ${response.headers.get(name) ?? "(none)"}`);
  }
  if (sizes !== undefined) {
    lines.push(...(await weigh(path)));
  }
  output.textContent = lines.join("\n");
}

for (const button of document.querySelectorAll("button[data-ask]")) {
  const output = button.nextElementSibling;
  button.addEventListener("click", () => {
    ask(button, output).catch((error) => {
      output.textContent = `no answer: ${error.message}`;
    });
  });
}

if (at >= 0) {
  for (const link of document.querySelectorAll("a[data-site]")) {
    link.href = hostOf(link.dataset.site);
    link.hidden = false;
  }
  const label = at > 0 ? labels[0] : null;
  const other = document.getElementById("other-branch");
  if (other) {
    other.href = label === "preview" ? hostOf(siteLabel) : hostOf("preview", siteLabel);
    other.textContent = label === "preview" ? "Back to production" : "See the chart at dusk";
    other.hidden = false;
  }
  const notice = document.getElementById("notice");
  if (notice && label) {
    const name = document.createElement("code");
    name.textContent = label;
    notice.append(
      label === "preview" ? "You are at the address of the branch " : "You are at the own address of the deployment ",
      name,
    );
    notice.hidden = false;
  }
}
