export const onRequest = ({ next, request }) => next(new Request(new URL("/data.json", request.url), { method: "POST" }));
