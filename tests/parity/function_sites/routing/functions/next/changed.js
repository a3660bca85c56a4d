export const onRequest = async ({ env, request }) => {
  const asset = await env.ASSETS.fetch(request);
  return new Response(`[${await asset.text()}]`, { status: asset.status });
};
