export const onRequest = () => new Response("any");
export const onRequestGet = () => new Response("get");
export const onRequestPost = [({ next }) => next(), () => new Response("post")];
