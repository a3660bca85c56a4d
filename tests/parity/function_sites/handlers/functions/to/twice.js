export const onRequest = async ({ next }) => {
  const first = await next("/data.json");
  const second = await next("/dir/");
  return new Response((await first.text()) + (await second.text()));
};
