export const onRequestGet = async ({ next }) => {
  const response = await next();
  return new Response(response.body, { status: response.status, headers: { ...Object.fromEntries(response.headers), "x-dir": "1" } });
};
