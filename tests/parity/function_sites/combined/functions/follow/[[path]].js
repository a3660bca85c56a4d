export const onRequest = async ({ env, params, request }) => {
  const { search } = new URL(request.url);
  const how = new Request(new URL(`/${(params.path ?? []).join("/")}${search}`, request.url), { redirect: params.path?.[0] === "manual" ? "manual" : "follow" });
  return env.ASSETS.fetch(how);
};
