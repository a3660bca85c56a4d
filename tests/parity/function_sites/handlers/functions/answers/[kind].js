const ANSWERS = {
  json: () => Response.json({ made: "here" }, { status: 202, headers: { "x-j": "1" } }),
  redirect: () => Response.redirect("https://example.com/there", 301),
  cookies: () => {
    const response = new Response("c");
    response.headers.append("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT");
    response.headers.append("Set-Cookie", "b=2");
    return response;
  },
  bytes: () => new Response(new Uint8Array([0, 255, 128])),
  form: () => {
    const form = new URLSearchParams({ a: "1 2", b: "é" });
    return new Response(form);
  },
  blob: () => new Response(new Blob(["blob"], { type: "text/x-blob" })),
  length: () => new Response("four", { headers: { "content-length": "4" } }),
  nocontent: () => new Response(null, { status: 204, headers: { "x-none": "1" } }),
  reset: () => new Response(null, { status: 205 }),
  unchanged: () => new Response(null, { status: 304, headers: { etag: '"x"' } }),
  empty: () => new Response(null),
  type: () => new Response("t", { headers: { "content-type": "text/html" } }),
  untyped: () => {
    const response = new Response("u");
    response.headers.delete("content-type");
    return response;
  },
  vary: () => new Response("v", { headers: { vary: "origin", "cache-control": "public, max-age=5", link: "</a.css>; rel=preload" } }),
  unusual: () => new Response("599", { status: 599, statusText: "Odd Thing" }),
  robots: () => new Response("r", { headers: { "x-robots-tag": "all", "x-content-type-options": "other", "referrer-policy": "origin", "access-control-allow-origin": "https://a.example" } }),
};
export const onRequest = ({ params }) => (ANSWERS[params.kind] ?? (() => new Response("no such", { status: 404 })))();
