const order = async (context) => {
  context.data.seen = ["root"];
  const response = await context.next();
  response.headers.set("x-seen", context.data.seen.join(" "));
  return response;
};
const caught = async (context) => {
  try {
    return await context.next();
  } catch (error) {
    return new Response(`caught: ${error.message}`, { status: 418 });
  }
};
export const onRequest = [order, caught];
