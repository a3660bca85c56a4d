// One file, deployed as it is: an API route, a counter in a KV namespace, and around both a middleware that times them.

const routes = {
  "GET /api/hello": ({ url, request }) =>
    Response.json({
      hello: url.searchParams.get("name") ?? "you",
      from: request.headers.get("cf-connecting-ip"),
      data_centre: request.cf.colo,
    }),

  "GET /api/count": async ({ env }) => Response.json({ count: Number((await env.COUNTS.get("visits")) ?? 0) }),

  "POST /api/count": async ({ env }) => {
    const count = Number((await env.COUNTS.get("visits")) ?? 0) + 1;
    await env.COUNTS.put("visits", String(count));
    console.log("counted", count);
    return Response.json({ count });
  },

  "GET /api/clock": ({ context }) => {
    const { readable, writable } = new TransformStream();
    context.waitUntil(tick(writable.getWriter()));
    return new Response(readable, { headers: { "content-type": "text/plain; charset=utf-8" } });
  },
};

const tick = async (writer) => {
  const encoder = new TextEncoder();
  for (let second = 5; second > 0; second--) {
    await writer.write(encoder.encode(`${second} … `));
    await scheduler.wait(400);
  }
  await writer.write(encoder.encode("hop!"));
  await writer.close();
};

const timed = async (answer) => {
  const started = Date.now();
  const response = new Response((await answer()).body, { headers: { "cache-control": "no-store" } });
  response.headers.set("server-timing", `function;dur=${Date.now() - started}`);
  return response;
};

export default {
  fetch(request, env, context) {
    const url = new URL(request.url);
    const route = routes[`${request.method} ${url.pathname}`];
    return route ? timed(() => route({ request, env, context, url })) : env.ASSETS.fetch(request);
  },
};
