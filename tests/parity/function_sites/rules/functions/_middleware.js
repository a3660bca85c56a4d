export const onRequest = async ({ next }) => {
  const response = await next();
  response.headers.set("x-function", "1");
  return response;
};
