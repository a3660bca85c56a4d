const caught = async ({ next }) => {
  try {
    return await next();
  } catch (error) {
    return new Response(`${error.name}: ${error.message}`, { status: 500, headers: { "x-caught": "chain" } });
  }
};
const guarded = async ({ request, next }) => {
  if (new URL(request.url).searchParams.has("stop")) return new Response("stopped", { status: 403 });
  return next();
};
export const onRequest = [caught, guarded];
export const onRequestPost = async ({ next }) => {
  const response = await next();
  response.headers.set("x-post", "1");
  return response;
};
