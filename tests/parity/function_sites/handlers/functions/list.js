const step = (name) => async (context) => {
  context.data.steps = [...(context.data.steps ?? []), name];
  const response = await context.next();
  response.headers.append("x-steps", name);
  return response;
};
export const onRequest = [step("a"), step("b"), (context) => Response.json(context.data.steps)];
