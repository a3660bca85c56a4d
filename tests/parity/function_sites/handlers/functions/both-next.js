export const onRequest = async ({ next }) => new Response(`any, then ${await (await next()).text()}`);
export const onRequestGet = () => new Response("get");
