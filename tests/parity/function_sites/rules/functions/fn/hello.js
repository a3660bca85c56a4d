export const onRequestGet = () => new Response("hello");
