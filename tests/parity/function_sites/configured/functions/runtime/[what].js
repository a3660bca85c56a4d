const WHAT = {
  digest: async () => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode("x")))).join(),
  uuid: () => crypto.randomUUID().length,
  url: () => new URL("../b?x=é#f", "https://a.example/c/d/e").href,
  pattern: () => JSON.stringify(new URLPattern({ pathname: "/:a/*" }).exec("https://a.example/b/c").pathname.groups),
  clock: () => Date.now() === Date.now(),
  globals: () => [typeof process, typeof Buffer, typeof caches, typeof HTMLRewriter, typeof WebSocketPair].join(),
  agent: () => navigator.userAgent,
  evaluated: () => {
    try {
      return new Function("return 1")();
    } catch (error) {
      return error.name;
    }
  },
  gzip: async () => {
    const packed = new Blob(["zip me"]).stream().pipeThrough(new CompressionStream("gzip"));
    return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).text();
  },
  base64: () => btoa("a\u00ff"),
  clone: () => structuredClone(new Map([["a", 1]])).get("a"),
  abort: () => {
    const controller = new AbortController();
    controller.abort("why");
    return controller.signal.reason;
  },
};
export const onRequestGet = async ({ params }) => new Response(String(await WHAT[params.what]()));
