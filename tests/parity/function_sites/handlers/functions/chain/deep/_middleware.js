export const onRequest = async ({ next, request }) => {
  if (new URL(request.url).searchParams.has("throw")) throw new TypeError("in the middleware");
  const response = await next();
  return new Response(`<${await response.text()}>`, response);
};
