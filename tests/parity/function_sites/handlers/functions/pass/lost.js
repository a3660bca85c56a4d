export const onRequest = async (context) => {
  context.passThroughOnException();
  await context.request.text();
  return undefined.nothing;
};
