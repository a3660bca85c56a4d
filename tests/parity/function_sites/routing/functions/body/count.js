export const onRequestPost = async ({ request }) => new Response(`${(await request.arrayBuffer()).byteLength}`);
