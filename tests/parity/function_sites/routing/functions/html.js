export const onRequest = async ({ next }) =>
  new HTMLRewriter().on("h1", { element: (element) => element.setInnerContent("rewritten") }).transform(await next("/page"));
