export const onRequest = async ({ env, params, request }) => {
  const path = "/" + (params.what ?? []).join("/");
  const response = await env.ASSETS.fetch(new URL(path, request.url), { method: request.method });
  return new Response(response.body, { status: response.status, headers: { "x-type": response.headers.get("content-type"), "x-url": new URL(response.url).pathname, "x-etag": String(response.headers.has("etag")) } });
};
