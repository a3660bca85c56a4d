export const onRequest = ({ waitUntil }) => {
  const { readable, writable } = new TransformStream();
  const write = async () => {
    const writer = writable.getWriter();
    for (const part of ["one ", "two ", "three"]) await writer.write(new TextEncoder().encode(part));
    await writer.close();
  };
  waitUntil(write());
  return new Response(readable, { headers: { "content-type": "text/plain" } });
};
