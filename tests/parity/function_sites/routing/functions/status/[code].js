export const onRequest = ({ params }) => {
  const code = Number(params.code);
  const bodyless = [204, 304].includes(code);
  return new Response(bodyless ? null : `status ${code}`, { status: code, headers: { "x-code": params.code, etag: '"mine"' } });
};
