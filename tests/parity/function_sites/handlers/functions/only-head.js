export const onRequestHead = () => new Response(null, { headers: { "x-head": "function" } });
