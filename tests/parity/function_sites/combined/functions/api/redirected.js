export const onRequestPost = () => new Response("posted");
