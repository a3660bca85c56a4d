export const onRequest = () => new Response("never asked");
