export const onRequest = async ({ request, next }) => {
  const response = await next();
  if (new URL(request.url).searchParams.has("plain")) return response;
  response.headers.set("x-through", `${response.status} ${response.headers.get("x-all")}`);
  return response;
};
