export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    switch (url.pathname.split("/")[1]) {
      case "url":
        return new Response(url.pathname + url.search);
      case "method":
        return new Response(request.method, { headers: { "x-method": request.method } });
      case "fields":
        return Response.json(["accept", "x-given", "cookie"].map((name) => request.headers.get(name)));
      case "echo":
        return new Response(await request.arrayBuffer(), { headers: { "content-type": request.headers.get("content-type") ?? "none/none" } });
      case "redirect":
        return Response.redirect("https://example.com/there?x=1", 307);
      case "relative":
        return new Response(null, { status: 302, headers: { location: "/url/after" } });
      case "assets":
        return env.ASSETS.fetch(new Request(new URL(url.pathname.slice(7) || "/", url), request));
      case "followed":
        return env.ASSETS.fetch(new URL(url.pathname.slice(9) || "/", url));
      case "mutable":
        try {
          const asset = await env.ASSETS.fetch(request);
          asset.headers.set("x-set", "1");
          return asset;
        } catch (error) {
          return new Response(error.constructor.name);
        }
      case "env":
        return Response.json({ pages: env.CF_PAGES, assets: typeof env.ASSETS.fetch });
      case "large":
        return new Response("x".repeat(300_000), { headers: { "content-type": "text/plain" } });
      case "empty":
        return new Response("");
      case "gzip":
        return new Response("sent as gzip", { headers: { "content-encoding": "gzip", "content-type": "text/plain" } });
      case "fields-out":
        return new Response("out", {
          headers: [["x-two", "a"], ["x-two", "b"], ["link", "<a>; rel=x"], ["connection", "close"], ["x-latin", "caf\u00e9"]],
        });
      case "later":
        context.waitUntil(Promise.reject(new Error("harmless")));
        return new Response("now");
      case "teapot":
        return new Response("short and stout", { status: 418, statusText: "I am" });
      default:
        return env.ASSETS.fetch(request);
    }
  },
};
