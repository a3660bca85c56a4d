export const onRequestPost = async ({ request }) => new Response(`read ${await request.text()}`);
