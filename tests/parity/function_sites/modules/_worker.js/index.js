import { answer } from "./inner/answer.js";
export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    const [, first, ...rest] = url.pathname.split("/");
    const path = `/${rest.join("/")}`;
    switch (first) {
      case "inner":
        return answer(url);
      case "lazy":
        return (await import("./inner/lazy.js")).default();
      case "asset":
        return env.ASSETS.fetch(new URL(path, url));
      case "manual":
        return env.ASSETS.fetch(new Request(new URL(path, url), { redirect: "manual" }));
      case "elsewhere":
        return env.ASSETS.fetch(`https://user:pw@elsewhere.example:8443${path}?q#f`);
      case "relative":
        try {
          return await env.ASSETS.fetch(path);
        } catch (error) {
          return new Response(error.name, { status: 500 });
        }
      case "posted":
        return env.ASSETS.fetch(new URL(path, url), { method: "POST", body: "x" });
      case "conditional":
        return env.ASSETS.fetch(new Request(new URL(path, url), { headers: request.headers }));
      case "length": {
        const response = await env.ASSETS.fetch(new URL(path, url));
        return new Response(`${(await response.arrayBuffer()).byteLength} ${response.redirected}`);
      }
      case "clone": {
        const response = await env.ASSETS.fetch(new URL(path, url));
        const other = response.clone();
        return new Response((await response.text()) + (await other.text()));
      }
      case "header":
        return new Response(request.headers.get(rest[0]));
      case "host":
        return new Response(`${url.protocol} ${url.host === request.headers.get("host")} ${request.redirect} ${request.body === null}`);
      default: {
        const response = await env.ASSETS.fetch(request);
        return new Response(response.body, response);
      }
    }
  },
};
