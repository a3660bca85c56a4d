export const onRequest = () => new Response("a name with a bracket in the middle");
