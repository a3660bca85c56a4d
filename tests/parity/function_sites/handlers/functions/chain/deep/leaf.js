export const onRequest = ({ request }) => {
  if (new URL(request.url).searchParams.has("leaf")) throw new RangeError("in the leaf");
  return new Response("leaf", { status: 201, headers: { "x-leaf": "1" } });
};
