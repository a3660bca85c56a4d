const WRONG = {
  throws: () => {
    throw new Error("a secret on purpose");
  },
  rejects: () => Promise.reject(new TypeError("a secret later")),
  nothing: () => undefined,
  text: () => "a secret that is no response",
  data: (context) => {
    context.data = "a secret that is no object";
    return context.next();
  },
  spent: async ({ next }) => {
    const response = await next("/data.json");
    await response.text();
    return response;
  },
};
export const onRequest = (context) => WRONG[context.params.kind](context);
