export const tell = ({ request, params, functionPath, data }, who) => {
  const { pathname, search } = new URL(request.url);
  return Response.json({ who, method: request.method, path: pathname + search, params, functionPath, data });
};
