export const onRequest = ({ next, request }) => next(new Request(new URL("/text.txt", request.url), { method: "HEAD" }));
