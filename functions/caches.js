// `caches` for a deployment's function: loaded before its own first module, in place of workerd's, which for isolates
// that are loaded at run time has no store. The entries are our edge's; the way there is the isolate's own way out,
// where a host that can't exist is answered by us (dispatcher.js), for this pipeline alone.

const send = globalThis.fetch;
const NAMES = new WeakMap();

const requestOf = (input) => (input instanceof Request ? input : new Request(input));

class Cache {
  async put(input, response) {
    const request = requestOf(input);
    if (request.method !== "GET") throw new TypeError("Cannot cache response to non-GET request.");
    if (response.status === 206) throw new TypeError("Cannot cache response to a range request (206 Partial Content).");
    if (response.headers.get("vary")?.includes("*")) throw new TypeError("Cannot cache response with 'Vary: *' header.");
    const fields = JSON.stringify([response.status, response.statusText, [...response.headers]]);
    await ask("put", this, request.url, { method: "PUT", body: await response.arrayBuffer() }, fields);
  }

  async match(input, options) {
    const request = requestOf(input);
    if (request.method !== "GET" && !options?.ignoreMethod) return undefined;
    const answer = await ask("match", this, request.url, {});
    if (answer.status !== 200) return undefined;
    const [status, statusText, fields] = JSON.parse(decodeURIComponent(answer.headers.get("onehop-cached")));
    const headers = new Headers(fields);
    headers.set("cf-cache-status", "HIT");
    headers.set("age", answer.headers.get("age"));
    const bodyless = [101, 204, 205, 304].includes(status);
    return new Response(bodyless ? null : answer.body, { status, statusText, headers, encodeBody: "manual" });
  }

  async delete(input, options) {
    const request = requestOf(input);
    if (request.method !== "GET" && !options?.ignoreMethod) return false;
    return (await ask("delete", this, request.url, {})).status === 200;
  }
}

const ask = (operation, cache, url, init, fields = "") =>
  send("http://cache.onehop.invalid/", {
    ...init,
    headers: {
      "onehop-cache": encodeURIComponent(JSON.stringify([operation, NAMES.get(cache), url])),
      "onehop-cached": encodeURIComponent(fields),
    },
  });

const named = (name) => {
  const cache = new Cache();
  NAMES.set(cache, name);
  return cache;
};

Object.defineProperty(globalThis, "caches", {
  value: { default: named(""), open: async (name) => named(`${name}`) },
  configurable: true,
  enumerable: true,
  writable: true,
});
