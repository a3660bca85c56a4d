export const onRequest = [
  ({ next }) => next("/somewhere", { method: "POST", headers: { "x-made": "yes" }, body: "made" }),
  async ({ request }) => new Response(`${request.method} ${request.url.slice(-10)} ${request.headers.get("x-made")} ${await request.text()}`),
];
