export const onRequest = () => new Response("dotted");
