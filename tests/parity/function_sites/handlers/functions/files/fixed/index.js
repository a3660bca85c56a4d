export const onRequestGet = () => new Response("fixed index");
