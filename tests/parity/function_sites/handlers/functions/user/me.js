export const onRequestGet = () => new Response("me");
