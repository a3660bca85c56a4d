export const onRequest = async (context) => {
  context.data.seen.push("middle");
  const response = await context.next();
  response.headers.append("x-middle", "yes");
  return response;
};
