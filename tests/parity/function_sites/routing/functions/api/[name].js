const tell = ({ request, params, functionPath, data }, who) => {
  const { pathname, search } = new URL(request.url);
  return Response.json({ who, method: request.method, path: pathname + search, params, functionPath, seen: data.seen });
};
export const onRequestGet = (context) => tell(context, "name get");
export const onRequestPost = async (context) => new Response(`name post: ${await context.request.text()}`);
export const onRequestDelete = () => new Response(null, { status: 204 });
