export const onRequest = async (context) => {
  context.data.user = context.params.id;
  const response = await context.next();
  response.headers.set("x-user", encodeURIComponent(context.params.id));
  return response;
};
