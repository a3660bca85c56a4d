// Tells visitors where they are, and shows what a keyed hash does to a name.

const siteLabel = "welcome";
const labels = location.hostname.split(".");
const at = labels.indexOf(siteLabel);
const port = location.port ? `:${location.port}` : "";

function tellWhere(rows) {
  const list = document.getElementById("here");
  for (const [term, text] of rows) {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = term;
    dd.textContent = text;
    list.append(dt, dd);
  }
  document.getElementById("here-section").hidden = false;
}

function kindOfHost() {
  if (at === 0) {
    return "the site’s production address";
  }
  if (at === 1) {
    return /^[0-9a-f]{8}$/.test(labels[0])
      ? "one deployment’s own address: what it shows never changes"
      : `the address of the branch ${labels[0]}`;
  }
  return "a custom domain";
}

async function tellHere() {
  const response = await fetch(location.pathname, { method: "HEAD", cache: "no-store" });
  tellWhere([
    ["host", location.host],
    ["which is", kindOfHost()],
    ["this page’s ETag", response.headers.get("etag") ?? "none"],
    ["travelled as", response.headers.get("content-encoding") ?? "identity"],
  ]);
}

if (at >= 0) {
  const domain = labels.slice(at + 1).join(".");
  for (const link of document.querySelectorAll("a[data-site]")) {
    link.href = `${location.protocol}//${link.dataset.site}.${domain}${port}/`;
    link.hidden = false;
  }
  for (const span of document.querySelectorAll("[data-domain]")) {
    span.textContent = domain + port;
  }
}

// The demonstration below needs crypto.subtle, which browsers give to https and to localhost only.

const secret = new TextEncoder().encode("a key that everyone may know");
const cells = document.getElementById("cells");
const name = document.getElementById("name");

function normalForm(text) {
  return text.trim().toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");
}

async function showKey(key) {
  const hostname = normalForm(name.value);
  const bytes = new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(hostname))).slice(0, 16);
  cells.replaceChildren(
    ...Array.from(bytes, (byte, index) => {
      const cell = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      cell.setAttribute("x", index * 40);
      cell.setAttribute("width", 37);
      cell.setAttribute("height", 37);
      cell.setAttribute("rx", 6);
      cell.setAttribute("fill", `hsl(${(byte / 256) * 360} 55% ${45 + (byte % 16)}%)`);
      return cell;
    }),
  );
  const hexadecimal = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  document.getElementById("key").textContent = `${hostname}\n→ ${hexadecimal}`;
}

async function prepare() {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  name.value = location.hostname;
  name.addEventListener("input", () => showKey(key));
  await showKey(key);
  document.getElementById("try").hidden = false;
}

tellHere();
if (globalThis.crypto?.subtle) {
  prepare();
}
